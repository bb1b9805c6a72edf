"""The review of a policy before it decides: checked, compiled, and tried on the present fleet.

Nothing of the policy that decides is touched, and nothing here waits: a host calls it in another
thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from rbee_scheduler import (
    Geo,
    InferenceRequest,
    PolicyError,
    SchedulerError,
    Snapshot,
    User,
    Worker,
)
from rbee_scheduler_script._hooks import as_plugin
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._policy_text import PolicyText, policy_text


__all__ = ["Remark", "Review", "check_text", "review", "try_out"]

Severity = Literal["error", "warning", "info"]

# Models that a dry run asks for: a bad policy fails on the first one, mostly.
TRIED_MODELS: Final = 8

_HOOKS: Final[Mapping[str, str]] = {
    "select": "rbee_select_worker",
    "filter": "rbee_filter_workers",
    "soft-filter": "rbee_filter_workers",
    "score": "rbee_score_workers",
}

JOB_ID: Final = "dry-run"
A_MINUTE: Final = 60_000.0


@attrs.frozen(kw_only=True)
class Remark:
    """One thing noticed about a policy.

    Attributes:
        severity: ``"error"`` (it is refused), ``"warning"`` or ``"info"``.
        code: Stable name.
        place: ``file:line:column``.
        message: What is wrong.
        hint: What to do about it.
    """

    severity: Severity
    code: str
    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.severity}: {self.message}{hint} [{self.code}]"


@attrs.frozen(kw_only=True)
class Review:
    """What came out.

    Attributes:
        text: What was reviewed.
        remarks: All that was noticed, by place.
        candidate: The compiled policy, where it may decide.
    """

    text: PolicyText
    remarks: tuple[Remark, ...]
    candidate: Policy | None

    @property
    def errors(self) -> tuple[Remark, ...]:
        """Why it is refused; empty when it is not."""
        return tuple(remark for remark in self.remarks if remark.severity == "error")


def review(
    policy: Policy, text: str, *, file: str = "", snapshot: Snapshot | None = None
) -> Review:
    """Review another script for ``policy``.

    Args:
        policy: The one that decides; its role and limits hold for the new one.
        text: As it was written, Rhai or YAML.
        file: Where it comes from; the suffix says the language.
        snapshot: The fleet to try it on; None: it is not tried.
    """
    file = file or policy.file
    written = PolicyText(file=file, text=text, source=text)
    try:
        written = policy_text(text, file)
        remarks = check_text(written)
        if any(remark.severity == "error" for remark in remarks):
            return Review(text=written, remarks=remarks, candidate=None)
        candidate = policy.candidate(written.source)
    except PolicyError as error:
        return Review(text=written, remarks=(remark_of(error, file),), candidate=None)
    if snapshot is not None:
        remarks += try_out(candidate, snapshot)
    good = not any(remark.severity == "error" for remark in remarks)
    return Review(text=written, remarks=remarks, candidate=candidate if good else None)


def check_text(written: PolicyText) -> tuple[Remark, ...]:
    """Return what the checker finds in a policy.

    Raises:
        PolicyError: It does not even parse.
    """
    # Who only runs policies does not need it.
    from rbee_scheduler_script._check import check

    return tuple(
        Remark(
            severity="error" if finding.severity == "error" else "warning",
            code=finding.code,
            place=written.place(finding.line, finding.column),
            message=finding.message,
            hint=finding.hint,
        )
        for finding in check(written.source)
    )


# ---- the dry run -----------------------------------------------------------------------------


def try_out(policy: Policy, snapshot: Snapshot) -> tuple[Remark, ...]:
    """Let a policy decide on a plain job for each of the fleet's first few models.

    Returns:
        An error where it fails for all of them. A policy that fails for some is warned of: it may
        be made for others.
    """
    decide = _decider(policy)
    failed: list[tuple[str, SchedulerError]] = []
    tried = 0
    for request, candidates in _sample_jobs(snapshot):
        tried += 1
        try:
            decide(request, candidates, snapshot)
        except SchedulerError as error:
            failed.append((request.model, error))
    if not failed:
        return ()
    model, failure = failed[0]
    what = f"dry run for a job of {model}: "
    severity: Severity = "error" if len(failed) == tried else "warning"
    return (remark_of(failure, policy.file, what=what, severity=severity),)


def _decider(policy: Policy) -> Callable[..., Any]:
    """Return the hook with which a policy decides, as plugins call it."""
    carrier: Any = as_plugin(policy)
    if policy.role == "select":
        (carrier,) = carrier.rbee_register_strategies().values()
    hook: Callable[..., Any] = getattr(carrier, _HOOKS[policy.role])
    return hook


def _sample_jobs(snapshot: Snapshot) -> Iterable[tuple[InferenceRequest, Sequence[Worker]]]:
    tried: set[str] = set()
    for worker in snapshot.workers():
        for model in worker.models:
            candidates = snapshot.free(model)
            if model not in tried and candidates:
                tried.add(model)
                yield _sample_job(model, candidates[0], snapshot.now), candidates
            if len(tried) == TRIED_MODELS:
                return


def _sample_job(model: str, worker: Worker, now: float) -> InferenceRequest:
    """Return a job that says all a policy may ask for: only a wrong policy fails on it."""
    return InferenceRequest(
        job_id=JOB_ID,
        model=model,
        prompt="dry run",
        max_tokens=100,
        seed=1,
        tenant_id=JOB_ID,
        session_id=JOB_ID,
        user=User(geo=worker.geo or Geo(latitude=0.0, longitude=0.0, region="")),
        deadline=now + A_MINUTE,
        created_at=now,
        queued_at=now,
        estimated_vram_bytes=0,
        estimated_duration_ms=1000.0,
    )


def remark_of(
    error: SchedulerError, file: str, *, what: str = "", severity: Severity = "error"
) -> Remark:
    """Return a failure as a remark."""
    return Remark(
        severity=severity,
        code=error.code,
        place=error.place or file,
        message=what + error.message,
        hint=error.hint or "",
    )
