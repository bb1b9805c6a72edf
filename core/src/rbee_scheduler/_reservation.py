"""The reservation: a worker's slot held for one request."""

from __future__ import annotations

from collections.abc import Callable

from rbee_scheduler._entry import Entry
from rbee_scheduler._worker import Worker


__all__ = ["Reservation"]


class Reservation:
    """A worker's slot, held until `release`; releasing twice is the same as once.

    Args:
        worker: The worker.
        give_back: Gives the slot back to ``entry``.
        entry: The registry's entry of the worker.

    Attributes:
        worker: The worker as it was when the slot was taken.
    """

    __slots__ = ("_entry", "_give_back", "worker")

    def __init__(self, worker: Worker, give_back: Callable[[Entry], None], entry: Entry) -> None:
        self.worker = worker
        self._give_back = give_back
        self._entry: Entry | None = entry  # None: given back

    @property
    def held(self) -> bool:
        """Whether the slot is still held."""
        return self._entry is not None

    def release(self) -> None:
        """Give the slot back."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._give_back(entry)
