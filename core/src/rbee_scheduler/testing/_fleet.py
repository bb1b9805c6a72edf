"""Fleets for tests and benchmarks: workers in a registry, without a server behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._worker import Worker
from rbee_scheduler.testing._clock import VirtualClock


__all__ = ["fleet", "free_workers"]


def fleet(workers: Iterable[Worker], *, turn: int = 0, seed: int = 0) -> Snapshot:
    """Return a snapshot of ``workers``, as a registry would give it.

    Example:
        >>> snapshot = fleet(free_workers(3))
        >>> [worker.id for worker in snapshot.free("m")]
        ['w0', 'w1', 'w2']
    """
    registry = WorkerRegistry(clock=VirtualClock())
    for worker in workers:
        registry.add(worker)
    return registry.snapshot(turn=turn, seed=seed)


def free_workers(count: int, **fields: Any) -> list[Worker]:
    """Return ``count`` free workers ``w0``, ``w1``, ... of model ``m``, all alike.

    Args:
        count: How many.
        **fields: Fields of `Worker`, the same for all.
    """
    own: dict[str, Any] = {"id": "w0", "url": "http://127.0.0.1:10000", "model": "m"}
    first = Worker(**(own | fields))
    ports = [10_000 + n % 50_000 for n in range(count)]
    # Checking all fields of 10,000 equal workers would take half a second.
    return [
        first.changed(
            id=f"w{n}", url=f"http://127.0.0.1:{port}", port=port, labels=dict(first.labels)
        )
        for n, port in enumerate(ports)
    ]
