"""Strategies that look at what a worker costs, or how fast it is."""

from __future__ import annotations

from collections.abc import Sequence

from rbee_scheduler import Snapshot, Worker, hookimpl
from rbee_scheduler_strategies._turns import in_turn


__all__ = ["Cheapest", "Fastest"]


class Cheapest:
    """``cheapest``: the lowest `cost_per_token`, and among those the least loaded.

    A worker whose cost is unknown has 0 and counts as free of charge. One that is full is no
    candidate, so that the dearer ones serve what the cheapest can't.

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> own, rented = free_workers(2, slots=4)
        >>> workers = [own.revised(running=3), rented.revised(cost_per_token=2e-6)]
        >>> Cheapest().rbee_select_worker(workers, fleet(workers))
        ['w0']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return the least loaded of the cheapest candidates, and its equals as fall-backs."""
        costs = [worker.cost_per_token for worker in candidates]
        lowest = min(costs)
        if costs.count(lowest) < len(costs):
            candidates = [worker for worker in candidates if worker.cost_per_token == lowest]
        loads = [worker.load for worker in candidates]
        return in_turn(candidates, loads, min(loads), snapshot.turn)


class Fastest:
    """``fastest``: the highest measured speed, shared among the requests that run.

    The speed a new request can hope for is ``avg_tokens_per_sec / (running + 1)``. A worker
    without a measurement counts with the mean of the others: with 0 it would never get the
    request that would measure it. Where nobody is measured, all count alike and the fewest
    running requests win. Equals take turns.

    Example:
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> quick, slow = free_workers(2, slots=4)
        >>> quick = quick.revised(avg_tokens_per_sec=90.0, running=1)
        >>> workers = [quick, slow.revised(avg_tokens_per_sec=40.0)]
        >>> Fastest().rbee_select_worker(workers, fleet(workers))
        ['w0']
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker], snapshot: Snapshot) -> list[str]:
        """Return the candidate with most speed to spare, and its equals as fall-backs."""
        speeds = [worker.avg_tokens_per_sec for worker in candidates]
        measured = [speed for speed in speeds if speed]
        usual = sum(measured) / len(measured) if measured else 1.0
        shares = [
            (speed or usual) / (worker.running + 1)
            for speed, worker in zip(speeds, candidates, strict=True)
        ]
        return in_turn(candidates, shares, max(shares), snapshot.turn)
