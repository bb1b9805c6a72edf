"""Lane orders: which plugin keeps the order of which lane, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rbee_scheduler._answers import LaneOrder
from rbee_scheduler._observe import Observer
from rbee_scheduler._plugins import Call
from rbee_scheduler._queue import Job, JobQueue, Lane


__all__ = ["LaneOrders"]


class LaneOrders:
    """The orders that plugins keep (`rbee_order_lane`), by lane.

    Args:
        queue: The jobs that wait.
        observer: Told of orders that fail; their lanes go on as jobs came.
        wake: Serves a lane.
    """

    __slots__ = ("_observer", "_orders", "_queue", "_wake")

    def __init__(self, queue: JobQueue, observer: Observer, wake: Callable[[Lane], None]) -> None:
        self._queue = queue
        self._observer = observer
        self._wake = wake
        self._orders: dict[Lane, tuple[Call, LaneOrder] | None] = {}

    def add(self, job: Job) -> None:
        """Take a job that is in the queue now."""
        lane = job.lane
        if lane not in self._orders:
            self._orders[lane] = self._ask(job)
        self._tell(lane, lambda order: order.add(job.life.request))

    def remove(self, job: Job) -> None:
        """Forget a job that has left the queue."""
        lane = job.lane
        self._tell(lane, lambda order: order.remove(job.life.request))
        if not self._queue.has(lane):
            self._orders.pop(lane, None)

    def keeps(self, lane: Lane) -> bool:
        """Return whether a plugin keeps the order of ``lane``."""
        return self._orders.get(lane) is not None

    def ranked(self, lane: Lane) -> Iterator[str]:
        """Yield job ids, next one first; none when the order fails."""
        kept = self._orders.get(lane)
        if kept is None:
            return
        call, order = kept
        try:
            yield from order
        except Exception as problem:  # noqa: BLE001 - the jobs keep the order in which they came
            self._fail(lane, call, problem)

    def _ask(self, job: Job) -> tuple[Call, LaneOrder] | None:
        lane = job.lane
        for call in job.life.chain.order_lane:
            try:
                order = call.function(*lane, lambda: self._wake(lane))
            except Exception as problem:  # noqa: BLE001 - the next plugin is asked
                self._observer.plugin_failed(call.failure(problem))
                continue
            if order is not None:
                return call, order
        return None

    def _tell(self, lane: Lane, tell: Callable[[LaneOrder], None]) -> None:
        kept = self._orders.get(lane)
        if kept is not None:
            call, order = kept
            try:
                tell(order)
            except Exception as problem:  # noqa: BLE001 - the jobs keep the order in which they came
                self._fail(lane, call, problem)

    def _fail(self, lane: Lane, call: Call, problem: Exception) -> None:
        self._observer.plugin_failed(call.failure(problem))
        self._orders[lane] = None
