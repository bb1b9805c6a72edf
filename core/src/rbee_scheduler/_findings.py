"""Findings: what a worker's answers to a probe come to. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rbee_scheduler._probe_parse import Answer, Load, info_fields, load_of, model_names, said
from rbee_scheduler._worker import Worker


__all__ = ["Findings", "findings"]

_OWNERS = {
    "library": "ollama",
    "llamacpp": "llama-cpp",
    "organization_owner": "lm-studio",
    "sglang": "sglang",
    "vllm": "vllm",
}
# They list every model on the disk, and load one when it is asked for.
_LOAD_ON_DEMAND = frozenset({"lm-studio", "ollama"})

_UNAUTHORISED = frozenset({401, 403})
_SERVER_ERROR = 500


@attrs.frozen(kw_only=True)
class Findings:
    """What a probe found out.

    Attributes:
        worker: The worker as it is now known. `Worker.running` counts everybody's
            requests, those of this scheduler included.
        changes: The fields that were learnt, for `WorkerRegistry.update`.
        answers: What was asked and answered, in the order of asking.
        reachable: Whether anything was answered at all.
        reason: Why it is not ready, or what keeps it from being of use; else empty.
    """

    worker: Worker
    changes: Mapping[str, Any]
    answers: tuple[Answer, ...]
    reachable: bool
    reason: str = ""

    @property
    def timed_out(self) -> bool:
        """Whether it kept silent rather than refuse: it may just be busy."""
        return not self.reachable and any(answer.timed_out for answer in self.answers)

    @property
    def usable(self) -> bool:
        """Whether requests can be sent to it now, for some model."""
        return self.worker.available and bool(self.worker.models)


def findings(worker: Worker, answers: Iterable[Answer]) -> Findings:
    """Return what ``answers`` say about ``worker``.

    What the worker was configured with stands: its models, slots and implementation are
    only learnt where they were left open.

    Args:
        worker: As it was configured.
        answers: What came of asking each path.
    """
    answers = tuple(answers)
    by_path = {answer.path: answer for answer in answers}
    reachable = any(answer.status for answer in answers)
    if not reachable:
        first = next((answer.error for answer in answers if answer.error), "nothing was asked")
        changes: dict[str, Any] = {"online": False, "status": "failed"}
        return Findings(
            worker=attrs.evolve(worker, **changes),
            changes=changes,
            answers=answers,
            reachable=False,
            reason=first,
        )
    changes = _facts(worker, by_path)
    status, reason = _status(by_path, changes)
    changes |= {"online": True, "status": status}
    if status == "busy" and changes.get("slots", worker.slots):
        # Full rather than unwilling, and the slots say so too: as ready, it gets work at
        # the moment a request of ours ends, and not at the next probe.
        changes["status"] = "ready"
        changes.setdefault("running", changes.get("slots", worker.slots))
    found = attrs.evolve(worker, **changes)
    if not reason and not found.models:
        reason = "it names no model; give it one"
    return Findings(worker=found, changes=changes, answers=answers, reachable=True, reason=reason)


def _facts(worker: Worker, by_path: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the fields that the answers tell, short of its status."""
    blank = Answer(path="")
    info = info_fields(by_path.get("/info", blank))
    names, owner = model_names(by_path.get("/v1/models", blank))
    slots = by_path.get("/slots", blank)
    props = by_path.get("/props", blank).json()
    props = props if isinstance(props, dict) else {}
    load = load_of(by_path.get("/metrics", blank), slots)
    fields: dict[str, Any] = {}
    maker = worker.implementation or _implementation(by_path, owner, load, names)
    if maker:
        fields["implementation"] = maker
    if version := _version(by_path, props):
        fields["version"] = version
    if names and not worker.models:
        fields["models"] = tuple(names)
        if maker not in _LOAD_ON_DEMAND or len(names) == 1:
            fields["model"] = names[0]
    if worker.slots is None:
        rows = slots.json()
        count = props.get("total_slots", len(rows) if isinstance(rows, list) else None)
        if type(count) is int and count > 0:
            fields["slots"] = count
    fields |= {
        name: value
        for name, value in (("running", load.running), ("waiting", load.waiting))
        if value is not None
    }
    if info is not None:
        told = {k: v for k, v in info.items() if k not in _configured(worker)}
        fields |= {"protocol": "queen", **told}
    return fields


def _configured(worker: Worker) -> set[str]:
    """Return the fields of ``worker`` that were given and are not for it to say."""
    given = {name for name in ("implementation", "slots") if getattr(worker, name)}
    return given | {"model", "models"} if worker.models else given


def _implementation(by_path: Mapping[str, Answer], owner: str, load: Load, names: list[str]) -> str:
    if any(answer.server == "llama.cpp" for answer in by_path.values()):
        return "llama-cpp"
    if maker := load.implementation or _OWNERS.get(owner, ""):
        return maker
    if _named_version(by_path.get("/api/version")):
        return "ollama"  # whose models may be owned by anybody
    anyway = any(answer.answers_anyway for answer in by_path.values())
    return "lm-studio" if anyway and names else ""


def _version(by_path: Mapping[str, Answer], props: Mapping[str, Any]) -> str:
    build = props.get("build_info")
    if isinstance(build, str):
        return build[:100]
    return _named_version(by_path.get("/version")) or _named_version(by_path.get("/api/version"))


def _named_version(answer: Answer | None) -> str:
    value = None if answer is None else answer.json()
    version = value.get("version") if isinstance(value, dict) else None
    return version[:100] if isinstance(version, str) else ""


def _status(by_path: Mapping[str, Answer], told: Mapping[str, Any]) -> tuple[str, str]:
    """Return the worker's status, and why it is not ready."""
    health = by_path.get("/health", Answer(path="/health"))
    if health.status >= _SERVER_ERROR and not health.absent:
        # llama.cpp: 503 "Loading model"; SGLang: 503 until the model is there.
        loading = b"loading" in health.body.lower() or told.get("implementation") == "sglang"
        reason = f"GET /health: {said(health)}"
        return "starting" if loading and health.status == 503 else "failed", reason  # noqa: PLR2004 - HTTP
    for path in ("/health", "/v1/models", "/info"):
        answer = by_path.get(path)
        if answer is not None and answer.status in _UNAUTHORISED:
            return "failed", f"GET {path}: {said(answer)}; it asks for a key (label api_key)"
    if told.get("protocol") == "queen":
        status = told.get("status", "ready")
        return status, "" if status in {"ready", "busy"} else f"it says it is {status}"
    models = by_path.get("/v1/models")
    if health.good or (models is not None and models.json() is not None):
        return "ready", ""
    asked = "; ".join(
        f"{a.path} {said(a)}" for a in by_path.values() if a.path in {"/health", "/v1/models"}
    )
    return "failed", f"nothing a worker would answer: {asked}"
