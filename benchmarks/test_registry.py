"""What the registry costs: heartbeats, reservations and snapshots, in fleets of all sizes.

Budget: a heartbeat for one of 100,000 workers under 50 us, and never a copy of all.
"""

from itertools import count

import pytest

from rbee_scheduler import Worker, WorkerHeartbeat, WorkerRegistry
from rbee_scheduler.testing import VirtualClock, free_workers


SIZES = [10, 1_000, 100_000]


@pytest.fixture(scope="module", params=SIZES)
def fleet(request):
    registry = WorkerRegistry(clock=VirtualClock())
    for worker in free_workers(request.param, slots=8):
        registry.add(worker)
    return registry, request.param


def test_heartbeat(benchmark, fleet):
    """A heartbeat that changes something, and the snapshot after it."""
    registry, size = fleet
    clock = registry.clock
    numbers = count(1)

    def prepare():
        n = next(numbers)
        clock.advance(0.001)
        worker = Worker(
            id=f"w{n * 7919 % size}",
            url="http://127.0.0.1:8080",
            model="m",
            slots=8,
            gpu_util_pct=float(n % 100),
        )
        return (WorkerHeartbeat(worker=worker, timestamp=clock.now()),), {}

    def work(heartbeat):
        registry.worker_heartbeat(heartbeat)
        return registry.snapshot()

    assert benchmark.pedantic(work, setup=prepare, rounds=2_000) is not None


def test_reserve_and_release(benchmark, fleet):
    """What a request costs the registry, with a snapshot after each step."""
    registry, size = fleet
    numbers = count(1)

    def work():
        reservation = registry.reserve(f"w{next(numbers) * 7919 % size}")
        registry.snapshot()
        reservation.release()
        return registry.snapshot()

    assert len(benchmark(work)) == size


def test_snapshot(benchmark, fleet):
    registry, size = fleet
    assert len(benchmark(registry.snapshot)) == size
