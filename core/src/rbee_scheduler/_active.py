"""The active requests, by id: whom `Scheduler.cancel` finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rbee_scheduler._errors import InvalidRequest
from rbee_scheduler._life import RequestLife


__all__ = ["ActiveRequests"]


class ActiveRequests:
    """The requests that run or wait, by id.

    Example:
        >>> len(ActiveRequests())
        0
    """

    __slots__ = ("_lives",)

    def __init__(self) -> None:
        self._lives: dict[str, RequestLife] = {}

    def __len__(self) -> int:
        """Return how many are known, those that are about to be forgotten included."""
        return len(self._lives)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lives)

    def enter(self, life: RequestLife) -> None:
        """Let a request be found by its id, until it leaves.

        Raises:
            InvalidRequest: Another request of this id runs.
        """
        job_id = life.request.job_id
        other = self._lives.setdefault(job_id, life)
        if other is not life:
            if other.outcome is None:
                raise InvalidRequest(
                    f"the job {job_id!r} is running",
                    place="$.job_id",
                    hint="give each request its own id",
                )
            self._lives[job_id] = life

    def leave(self, life: RequestLife) -> None:
        """Forget a request."""
        job_id = life.request.job_id
        if self._lives.get(job_id) is life:
            del self._lives[job_id]

    @contextmanager
    def running(self, life: RequestLife) -> Iterator[None]:
        """Let a request be found while the block runs. See `enter`."""
        self.enter(life)
        try:
            yield
        finally:
            self.leave(life)

    def count(self) -> int:
        """Return how many have not ended."""
        return sum(life.outcome is None for life in self._lives.values())

    def cancel(self, job_id: str) -> bool:
        """Cancel a request; return whether there was one that had not ended."""
        life = self._lives.get(job_id)
        if life is None or life.outcome is not None:
            return False
        life.patience.cancel()
        return True

    def cancel_all(self) -> None:
        """Cancel every request."""
        for life in tuple(self._lives.values()):
            life.patience.cancel()
