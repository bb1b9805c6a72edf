"""The reservation: a worker's slot held for one request."""

from __future__ import annotations

from collections.abc import Callable

from rbee_scheduler._worker import Worker


__all__ = ["Reservation"]


class Reservation:
    """A worker's slot, held until `release`; releasing twice is the same as once.

    Attributes:
        worker: The worker as it was when the slot was taken.
    """

    __slots__ = ("_give_back", "worker")

    def __init__(self, worker: Worker, give_back: Callable[[], None]) -> None:
        self.worker = worker
        self._give_back: Callable[[], None] | None = give_back

    @property
    def held(self) -> bool:
        """Whether the slot is still held."""
        return self._give_back is not None

    def release(self) -> None:
        """Give the slot back."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()
