"""One job: what is asked, what became of it, and its latest events."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import attrs

from rbee_scheduler import InferenceRequest, Outcome, Scheduler, SchedulerError
from rbee_scheduler_gateway._events import EventRing
from rbee_scheduler_gateway._identity import Identity


__all__ = ["Job", "outcome_data"]

Status = Literal["queued", "running", "ended"]


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data; its error is told beside it."""
    return {
        "kind": outcome.kind,
        "worker_id": outcome.worker_id or None,
        "finish_reason": outcome.finish_reason or None,
        "usage": attrs.asdict(outcome.usage),
        "attempts": outcome.attempts,
        "queued_ms": outcome.queued_ms,
        "first_token_ms": outcome.first_token_ms,
        "total_ms": outcome.total_ms,
    }


class Job:
    """One job.

    Args:
        request: What is asked.
        reference: The client's own name for it.
        buffer: How many of its events are kept.

    Attributes:
        id: Its id.
        request: What is asked; its prompt is forgotten once it has ended.
        reference: The client's own name for it.
        status: ``"queued"``, ``"running"`` or ``"ended"``.
        ring: Its latest events.
        begun: Set with its first event.
        refused: Why it was refused before its first event; who asked is told so.
        position: Its place in the queue when it began to wait; 0: it did not.
        worker_id: The worker that has or had it.
        attempts: Workers tried so far.
        outcome: How it ended.
        error: Why it failed.
        scheduler: What runs it.
        cancelled: Whether somebody wants it to end.
    """

    __slots__ = (
        "attempts", "begun", "cancelled", "error", "id", "outcome", "position", "reference",
        "refused", "request", "ring", "scheduler", "status", "worker_id",
    )  # fmt: skip

    def __init__(self, request: InferenceRequest, *, reference: str = "", buffer: int) -> None:
        self.id = request.job_id
        self.request = request
        self.reference = reference
        self.status: Status = "queued"
        self.ring = EventRing(buffer)
        self.begun = anyio.Event()
        self.refused: SchedulerError | None = None
        self.position = 0
        self.worker_id = ""
        self.attempts = 0
        self.outcome: Outcome | None = None
        self.error: SchedulerError | None = None
        self.scheduler: Scheduler | None = None
        self.cancelled = False

    def is_seen_by(self, identity: Identity) -> bool:
        """Return whether it is theirs: operators see all jobs, tenants their own."""
        return identity.role == "operator" or self.request.tenant_id == identity.tenant_id

    def cancel(self) -> None:
        """Let it end; one that has ended stays as it is."""
        self.cancelled = True
        if self.scheduler is not None:
            self.scheduler.cancel(self.id)

    def to_dict(self, position: int | None = None) -> dict[str, Any]:
        """Return it as plain data.

        Args:
            position: Its place in the queue now, where it waits.
        """
        outcome = self.outcome
        return {
            "job_id": self.id,
            "reference": self.reference or None,
            "status": self.status,
            "model": self.request.model,
            "priority": self.request.priority,
            "created_at": self.request.created_at,
            "queue_position": position,
            "worker_id": self.worker_id or None,
            "attempts": self.attempts,
            "events": self.ring.last,
            "events_url": f"/v1/jobs/{self.id}/events",
            "outcome": None if outcome is None else outcome_data(outcome),
            "usage": None if outcome is None else attrs.asdict(outcome.usage),
            "error": None if self.error is None else self.error.to_dict(),
        }
