"""The state of the service when somebody looks: workers, queue, jobs, schedulers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from rbee_scheduler import Scheduler, WorkerRegistry
from rbee_scheduler._observe import SchedulerStatistics
from rbee_scheduler._worker import STATUSES
from rbee_scheduler_gateway._metrics import _names as names
from rbee_scheduler_gateway._metrics._cells import Row


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._metrics._names import Metric
    from rbee_scheduler_gateway._metrics._recorder import Recorder


__all__ = ["Ledger", "state_rows"]

_JOBS: Final = ("queued", "running", "ended")

# Who sends heartbeats, by the route.
_SOURCES: Final = {"/v1/hive-heartbeat": "hive", "/v1/worker-heartbeat": "worker"}
_TAKEN: Final = 2


class Ledger:
    """Sums over all schedulers there ever were: a reload ends one, and sums never fall.

    What an old scheduler does after the last look at it is not seen.
    """

    __slots__ = ("_seen", "decisions", "failures")

    def __init__(self) -> None:
        self.decisions = 0
        self.failures: Counter[tuple[str, str]] = Counter()
        self._seen: dict[Scheduler, SchedulerStatistics] = {}

    def look(self, schedulers: Iterable[Scheduler]) -> None:
        """Add what schedulers have done since the last look."""
        now = {scheduler: scheduler.statistics() for scheduler in schedulers}
        for scheduler, statistics in now.items():
            before = self._seen.get(scheduler)
            self.decisions += statistics.decisions - (before.decisions if before else 0)
            self.failures.update(statistics.plugin_failures)
            if before is not None:
                self.failures.subtract(before.plugin_failures)
        self._seen = now


def state_rows(gateway: Gateway, recorder: Recorder) -> Iterator[tuple[Metric, list[Row]]]:
    """Yield what can be read off the gateway; costs the number of workers, jobs and waiters."""
    yield names.RUNNING, [Row((), gateway.active)]
    yield names.QUEUE, list(_queue(gateway, recorder))
    yield from _workers(gateway.registry, recorder)
    yield names.HEARTBEATS, list(_heartbeats(recorder))
    jobs = Counter(job.status for job in gateway.jobs)
    yield names.JOBS, [Row((status,), jobs[status]) for status in _JOBS]


def _queue(gateway: Gateway, recorder: Recorder) -> Iterator[Row]:
    waiting = Counter(one.model for scheduler in gateway.schedulers for one in scheduler.waiting())
    limit, _ = recorder.limits()
    # Only models that a worker serves are waited for; still there may be too many.
    first = dict(waiting.most_common(limit))
    for model, count in first.items():
        yield Row((model,), count)
    rest = waiting.total() - sum(first.values())
    if rest:
        yield Row((names.OTHER,), rest)


def _workers(registry: WorkerRegistry, recorder: Recorder) -> Iterator[tuple[Metric, list[Row]]]:
    snapshot = registry.snapshot()
    cells = recorder.workers
    cells.keep(lambda worker_id: snapshot.worker(worker_id) is not None)
    _, limit = recorder.limits()
    statuses: Counter[str] = Counter()
    running: Counter[str] = Counter()
    failures = 0
    for worker in snapshot.workers():
        statuses[worker.status if worker.online else "offline"] += 1
        cell = cells.take(worker.id, limit)
        own = cell is cells.get(worker.id)
        running[worker.id if own else names.OTHER] += worker.in_flight
        failed = registry.failures(worker.id)
        if own:
            cell.failures = failed
        else:
            failures += failed
    if names.OTHER in running:
        cells.rest.failures = max(cells.rest.failures, failures)
    yield names.WORKERS, [Row((status,), statuses[status]) for status in (*STATUSES, "offline")]
    yield names.WORKER_RUNNING, [Row((worker,), count) for worker, count in running.items()]


def _heartbeats(recorder: Recorder) -> Iterator[Row]:
    sums: Counter[tuple[str, str]] = Counter()
    for (route, status), count in recorder.calls.items():
        source = _SOURCES.get(route)
        if source is not None:
            sums[source, "taken" if status == _TAKEN else "refused"] += count
    for labels, count in sums.items():
        yield Row(labels, count)
