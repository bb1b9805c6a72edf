"""The active requests, by id: whom `Scheduler.cancel` finds."""

from __future__ import annotations

from collections.abc import Iterator

from rbee_scheduler._errors import InvalidRequest
from rbee_scheduler._life import RequestLife


__all__ = ["ActiveRequests", "Running"]


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

    def running(self, life: RequestLife) -> Running:
        """Return a block in which a request is found by its id, and no other one has it."""
        return Running(self._lives, life)

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


class Running:
    """Lets a request be found while the block runs.

    Raises:
        InvalidRequest: From entering: another request of this id runs.
    """

    # No generator: entering and leaving one takes 2 us, and every request does.
    __slots__ = ("_life", "_lives")

    def __init__(self, lives: dict[str, RequestLife], life: RequestLife) -> None:
        self._lives = lives
        self._life = life

    def __enter__(self) -> None:
        job_id = self._life.request.job_id
        other = self._lives.setdefault(job_id, self._life)
        if other is not self._life:
            if other.outcome is None:
                raise InvalidRequest(
                    f"the job {job_id!r} is running",
                    place="$.job_id",
                    hint="give each request its own id",
                )
            self._lives[job_id] = self._life

    def __exit__(self, *_: object) -> None:
        job_id = self._life.request.job_id
        if self._lives.get(job_id) is self._life:
            del self._lives[job_id]
