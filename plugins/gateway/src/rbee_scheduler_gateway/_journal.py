"""The journal: where jobs are written down, so that a restart can go on with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rbee_scheduler import InferenceRequest, Outcome


__all__ = ["JobJournal"]


class JobJournal(Protocol):
    """Writes jobs down; each method returns when what it was told can no longer be lost."""

    async def admitted(self, request: InferenceRequest, *, retry: bool) -> None:
        """Note a job that was taken.

        Args:
            request: The job.
            retry: Whether it may be run again when the service stopped in its middle.
        """
        ...

    async def started(self, job_id: str, worker_id: str) -> None:
        """Note that a worker has it."""
        ...

    async def ended(self, job_id: str, outcome: Outcome) -> None:
        """Note how it ended; its prompt is forgotten."""
        ...

    async def unfinished(self) -> Sequence[InferenceRequest]:
        """Return the jobs that the service's last run has left, to be run now."""
        ...

    async def find(self, job_id: str) -> Mapping[str, object] | None:
        """Return what is known of a job that is no longer in memory."""
        ...
