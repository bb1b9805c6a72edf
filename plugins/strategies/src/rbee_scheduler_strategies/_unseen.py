"""Strategies that look at no worker: they cost the same for any fleet.

They name no fall-backs: when a worker fails, core decides anew without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rbee_scheduler import Snapshot, Worker, hookimpl


__all__ = ["RandomWorker", "RoundRobin"]


class RoundRobin:
    """``round-robin``: one candidate after the other, in the order of registration.

    The place is ``turn % len(candidates)``. Turns count all decisions of a scheduler, so
    the round is even where one model gets the requests; where the requests of several
    models alternate, each sees only some of the turns.

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> workers = free_workers(3)
        >>> RoundRobin().rbee_select_worker(workers, fleet(workers, turn=4))
        ['w1']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return the candidate whose turn it is."""
        return [candidates[snapshot.turn % len(candidates)].id]


class RandomWorker:
    """``random``: any candidate, each as likely as the others.

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> workers = free_workers(3)
        >>> RandomWorker().rbee_select_worker(workers, fleet(workers, seed=1))
        ['w1']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return a candidate drawn with the snapshot's seed."""
        return [candidates[snapshot.draw(len(candidates))].id]
