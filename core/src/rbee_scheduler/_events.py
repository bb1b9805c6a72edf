"""Events: what a client sees of a stream, and what plugins see of a request's life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from rbee_scheduler._errors import SchedulerError
from rbee_scheduler._outcome import Outcome, Usage


__all__ = [
    "End",
    "Error",
    "Metrics",
    "Queued",
    "RequestEvent",
    "Started",
    "StreamEvent",
    "Token",
    "WorkerEvent",
    "WorkerEventKind",
]


@attrs.frozen
class Queued:
    """The request waits for a worker.

    Attributes:
        job_id: The request.
        position: 1 for the next one of its model.
    """

    job_id: str
    position: int
    type: Literal["queued"] = "queued"


@attrs.frozen
class Started:
    """A worker has the request. Seen again when another worker takes over.

    Attributes:
        job_id: The request.
        worker_id: The worker.
        attempt: 1 for the first worker.
    """

    job_id: str
    worker_id: str
    attempt: int = 1
    type: Literal["started"] = "started"


@attrs.frozen
class Token:
    """A piece of generated text; rarely exactly one token of the model.

    Attributes:
        text: The text.
        data: The worker's own line, without ``data: ``.
    """

    text: str
    data: str = ""
    type: Literal["token"] = "token"


@attrs.frozen
class Metrics:
    """Numbers a worker gave about the request.

    Attributes:
        usage: Token counts.
        values: Everything else it said, such as llama.cpp's ``timings``.
        data: The worker's own line, without ``data: ``.
    """

    usage: Usage = attrs.field(factory=Usage)
    values: Mapping[str, Any] = attrs.field(factory=dict)
    data: str = ""
    type: Literal["metrics"] = "metrics"


@attrs.frozen
class End:
    """The stream is complete; the last event.

    Attributes:
        outcome: How it ended: a success.
        data: The worker's own last line (``[DONE]``), where it sent one.
    """

    outcome: Outcome
    data: str = ""
    type: Literal["end"] = "end"


@attrs.frozen
class Error:
    """The request failed; the last event.

    Attributes:
        error: What went wrong.
        outcome: How it ended.
    """

    error: SchedulerError
    outcome: Outcome
    type: Literal["error"] = "error"


StreamEvent = Queued | Started | Token | Metrics | End | Error


@attrs.frozen(kw_only=True)
class RequestEvent:
    """One step of a request's life, for `rbee_on_event`.

    Attributes:
        kind: ``"admitted"``, ``"queued"``, ``"scheduled"``, ``"first_token"``,
            ``"retry"`` or ``"outcome"``.
        job_id: The request.
        model: Its model.
        at: Wall-clock ms.
        worker_id: The worker concerned, where there is one.
        strategy: The strategy that decided, for ``"scheduled"``.
        tenant_id: Whose request it is, where known.
        error: Why, for ``"retry"``.
        outcome: How it ended, for ``"outcome"``.
    """

    kind: Literal["admitted", "queued", "scheduled", "first_token", "retry", "outcome"]
    job_id: str
    model: str
    at: float
    worker_id: str = ""
    strategy: str = ""
    tenant_id: str | None = None
    error: SchedulerError | None = None
    outcome: Outcome | None = None


WorkerEventKind = Literal["came", "changed", "online", "offline", "left"]


@attrs.frozen(kw_only=True)
class WorkerEvent:
    """A worker came, changed, or left, for `rbee_worker_event`.

    Attributes:
        kind: ``"came"``, ``"changed"``, ``"online"``, ``"offline"`` or ``"left"``.
        worker_id: The worker; look it up in the snapshot.
        at: Wall-clock ms.
        reason: Why, where something is known.
    """

    kind: WorkerEventKind
    worker_id: str
    at: float
    reason: str = ""
