"""What a worker's answers to a probe say about it. No I/O here.

Real servers agree on little, so every answer is optional, and none is trusted: a body may
be no JSON, of another shape, or cut. What can't be read is as good as not said.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import attrs

from rbee_scheduler._errors import SchedulerError
from rbee_scheduler._wire import structure
from rbee_scheduler._worker import Worker


__all__ = ["Answer", "Load", "info_fields", "load_of", "model_names", "said"]

HTTP_OK = 200
HTTP_ERROR = 400

# Models of one worker that are taken notice of; Ollama lists everything that was ever pulled.
MODELS = 1000
LONGEST_NAME = 500

# LM Studio answers 200 to any path, and says so in the body.
_ANYWAY = b"Unexpected endpoint or method"
_ANYWAY_WITHIN = 100

# What a queen worker may say of itself. Its address is known better here, and where it
# stands, what it costs and what it is labelled are the deployment's to say.
_INFO_FIELDS = (
    "model", "models", "device", "backend", "implementation", "version", "capability",
    "capabilities", "status", "gpus", "gpu_ids", "estimated_time", "running", "waiting", "slots",
    "pid", "group", "instance", "cpu_pct", "rss_mb", "io_r_mb_s", "io_w_mb_s", "uptime_s",
    "gpu_util_pct", "vram_mb", "total_vram_mb", "vram_free_mb", "jobs_completed",
    "avg_tokens_per_sec", "current_job_id",
)  # fmt: skip

# implementation -> its gauges of running and of waiting requests.
_GAUGES: Mapping[str, tuple[str, str]] = {
    "llama-cpp": ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
}

_ENGINE = re.compile(r'\b(?:engine|dp_rank)="([^"]*)"')


@attrs.frozen(kw_only=True)
class Answer:
    """What came of asking one path.

    Attributes:
        path: The path.
        status: HTTP status; 0 when there was no answer.
        server: The ``server`` header.
        body: The body, whole or cut at a limit.
        error: Why there is no answer, or no whole one.
        timed_out: Whether it was the time limit.
    """

    path: str
    status: int = 0
    server: str = ""
    body: bytes = attrs.field(default=b"", repr=False)
    error: str = ""
    timed_out: bool = False

    @property
    def good(self) -> bool:
        """Whether the worker has the path and answered it."""
        return self.status == HTTP_OK and not self.answers_anyway

    @property
    def answers_anyway(self) -> bool:
        """Whether the status is 200 although the path is not there: LM Studio's way."""
        return self.status == HTTP_OK and _ANYWAY in self.body[:_ANYWAY_WITHIN]

    @property
    def absent(self) -> bool:
        """Whether the worker does not have the path: nothing to hold against it."""
        return (
            self.answers_anyway
            or 300 <= self.status < HTTP_ERROR  # noqa: PLR2004 - HTTP: redirected elsewhere
            or self.status in {404, 405, 501}  # 501: llama.cpp, for what was not switched on
        )

    def json(self) -> Any:
        """Return the body as plain values; None when there is no good one."""
        if not self.good or self.error:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@attrs.frozen(kw_only=True)
class Load:
    """How busy a worker is; None where it does not say.

    Attributes:
        implementation: Who names its gauges this way; empty without metrics.
        running: Requests it runs.
        waiting: Requests in its own queue.
    """

    implementation: str = ""
    running: int | None = None
    waiting: int | None = None


def said(answer: Answer) -> str:
    """Return what came of asking a path, in one line for a person."""
    if not answer.status:
        return answer.error
    text = " ".join(answer.body[:2000].decode("utf-8", "replace").split())
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        text = str(json.loads(answer.body)["error"]["message"])
    shown = f"{answer.status}: {text[:120]}" if text else str(answer.status)
    return f"{shown} ({answer.error})" if answer.error else shown


def model_names(answer: Answer) -> tuple[list[str], str]:
    """Return the models of ``/v1/models`` and the first one's ``owned_by``."""
    value = answer.json()
    rows = value.get("data") if isinstance(value, dict) else None
    names: dict[str, None] = {}  # ordered, each once
    owner = ""
    for row in rows[:MODELS] if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        aliases = row.get("aliases")
        for name in [row.get("id"), *(aliases if isinstance(aliases, list) else ())]:
            if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME:
                names[name] = None
                # Ollama takes a name without its tag for the latest one.
                names[name.removesuffix(":latest")] = None
        if not owner and isinstance(row.get("owned_by"), str):
            owner = row["owned_by"]
    return list(names), owner


def info_fields(answer: Answer) -> dict[str, Any] | None:
    """Return the `Worker` fields of a queen worker's ``/info``; None when it is no worker object.

    Other servers have an ``/info`` of their own (text-generation-inference), so a worker
    object must have an id and something else that makes it a worker. A field of a wrong
    type or out of range is left out, and so are those that are not the worker's to say.
    """
    value = answer.json()
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    if not value.keys() & {"url", "status", "model", "device"}:
        return None
    fields: dict[str, Any] = {}
    for name in _INFO_FIELDS:
        if name in value:
            stand_in = {"id": "probed", "url": "http://probed", name: value[name]}
            with suppress(SchedulerError):
                field = "capabilities" if name == "capability" else name
                fields[field] = getattr(structure(stand_in, Worker), field)
    if "vram_free_mb" not in fields and fields.keys() & {"vram_mb", "total_vram_mb"}:
        total, used = fields.get("total_vram_mb", 0.0), fields.get("vram_mb", 0.0)
        fields["vram_free_mb"] = max(0.0, total - used)
    return fields


def load_of(metrics: Answer, slots: Answer) -> Load:
    """Return how busy a worker says it is: by its gauges, else by its slots."""
    if metrics.good:
        # A cut body is fine: it is read line by line.
        text = metrics.body.decode("utf-8", "replace")
        for implementation, (running, waiting) in _GAUGES.items():
            if f"\n{running}" in f"\n{text}":
                return Load(
                    implementation=implementation,
                    running=_gauge(text, running),
                    waiting=_gauge(text, waiting),
                )
    rows = slots.json()
    if isinstance(rows, list) and rows:
        busy = sum(isinstance(row, dict) and row.get("is_processing") is True for row in rows)
        return Load(running=busy)
    return Load()


def _gauge(text: str, name: str) -> int | None:
    """Return a gauge, summed over the engines of one server.

    vLLM labels each series with its engine, SGLang with its data-parallel rank. Within
    one of those, series say the same in parts (SGLang: by tensor rank; by priority, next
    to their total), so the greatest counts.
    """
    engines: dict[tuple[str, ...], float] = {}
    for labels, value in _samples(text, name):
        engine = tuple(_ENGINE.findall(labels))
        engines[engine] = max(value, engines.get(engine, 0.0))
    return round(sum(engines.values())) if engines else None


def _samples(text: str, name: str) -> Iterator[tuple[str, float]]:
    """Yield labels and value of each sample of a metric, in Prometheus' text format."""
    for line in text.splitlines():
        if not line.startswith(name):
            continue
        rest, labels = line[len(name) :], ""
        if rest.startswith("{"):
            labels, _, rest = rest.rpartition("}")  # a label may hold braces, a number can't
        elif not rest.startswith((" ", "\t")):
            continue  # a longer name
        with suppress(ValueError, IndexError):
            value = float(rest.split()[0])
            if math.isfinite(value) and value >= 0:
                yield labels, value
