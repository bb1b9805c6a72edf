"""Strategies that look at load: of all candidates, or of two of them."""

from __future__ import annotations

from collections.abc import Sequence

from rbee_scheduler import Snapshot, Worker, hookimpl
from rbee_scheduler_strategies._turns import in_turn


__all__ = ["LeastInFlight", "PowerOfTwo"]


class LeastInFlight:
    """``least-in-flight``: the candidate with the fewest requests for its slots.

    It compares `Worker.load`, which the registry keeps current with every request that it
    places: running over slots; and over running + 8 where the slots are unknown, unless the
    worker itself reports more. So the requests of a burst see each other, which is what
    separates this from a choice by scraped figures. Equals take turns.

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> large, small = free_workers(2)
        >>> workers = [large.revised(slots=8, running=3), small.revised(slots=2, running=1)]
        >>> snapshot = fleet(workers)
        >>> LeastInFlight().rbee_select_worker(snapshot.free("m"), snapshot)
        ['w0']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return the least loaded candidate, and its equals as fall-backs."""
        loads = [worker.load for worker in candidates]
        return in_turn(candidates, loads, min(loads), snapshot.turn)


class PowerOfTwo:
    """``power-of-two``: the less loaded of two candidates drawn at random.

    It looks at two, however many there are, and still keeps the largest load near the mean:
    ``ln ln n / ln 2`` above it for n requests on n workers, where one draw gives
    ``ln n / ln ln n`` (Azar et al., Balanced Allocations, STOC 1994; Mitzenmacher, 2001).

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> idle, loaded = free_workers(2, slots=4)
        >>> workers = [idle, loaded.revised(running=3)]
        >>> snapshot = fleet(workers)
        >>> PowerOfTwo().rbee_select_worker(snapshot.free("m"), snapshot)
        ['w0', 'w1']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return two candidates, the less loaded one first."""
        size = len(candidates)
        if size == 1:
            return [candidates[0].id]
        # One number for both: every ordered pair of two different places is as likely.
        at, other = divmod(snapshot.draw(size * (size - 1)), size - 1)
        first, second = candidates[at], candidates[other + (other >= at)]
        return [second.id, first.id] if second.load < first.load else [first.id, second.id]
