"""Lane orders: which plugin keeps the order of which lane, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

from rbee_scheduler._answers import LaneOrder
from rbee_scheduler._observe import Observer
from rbee_scheduler._plugins import Call
from rbee_scheduler._queue import Job, Lane


__all__ = ["LaneOrders"]


class _Kept:
    """An order that a plugin keeps, and the jobs it knows."""

    __slots__ = ("call", "jobs", "order")

    def __init__(self, call: Call, order: LaneOrder) -> None:
        self.call = call
        self.order = order
        # Several jobs may have one id: a request may be asked about while it waits. The order
        # knows the id once, from the first of them to the last.
        self.jobs: dict[str, list[Job]] = {}


class LaneOrders:
    """The orders that plugins keep (`rbee_order_lane`), by lane.

    Args:
        observer: Told of orders that fail; their lanes go on in the order in which jobs came.
        serve: Serves a lane; while a plugin is called (`calling`), it must wait, so that no
            order is called in the middle of a call.

    Attributes:
        calling: Whether a plugin is being called.
    """

    __slots__ = ("_asked", "_kept", "_observer", "_serve", "calling")

    def __init__(self, observer: Observer, serve: Callable[[Lane], None]) -> None:
        self._observer = observer
        self._serve = serve
        self._kept: dict[Lane, _Kept] = {}
        self._asked: Lane | None = None
        self.calling = False

    def add(self, job: Job, *, first: bool) -> None:
        """Take a job that is in the queue now.

        Args:
            job: The job.
            first: Whether nobody else waits in its lane: then plugins are asked for an order.
        """
        if not (first or self._kept):  # most deployments have no such plugin
            return
        kept = self._begin(job) if first else self._kept.get(job.lane)
        if kept is not None:
            request = job.life.request
            same = kept.jobs.setdefault(request.job_id, [])
            same.append(job)
            if len(same) == 1:
                with self._call(job.lane, kept.call):
                    kept.order.add(request)

    def remove(self, job: Job) -> None:
        """Forget a job that has left the queue."""
        if not self._kept:
            return
        lane = job.lane
        kept = self._kept.get(lane)
        if kept is None:
            return
        request = job.life.request
        same = kept.jobs[request.job_id]
        same.remove(job)
        if not same:
            del kept.jobs[request.job_id]
            if not kept.jobs:
                del self._kept[lane]
            with self._call(lane, kept.call):
                kept.order.remove(request)

    def keeps(self, lane: Lane) -> bool:
        """Return whether a plugin keeps the order of ``lane``."""
        return lane in self._kept

    def next(self, lane: Lane, passed_over: Container[Job]) -> Job | None:
        """Return the first job that may go and is not ``passed_over``; None: there is none."""
        kept = self._kept.get(lane)
        if kept is not None:
            with self._asking(lane, kept.call):
                for job_id in kept.order:
                    for job in kept.jobs.get(job_id, ()):
                        if job not in passed_over:
                            return job
        return None

    def lets(self, job: Job) -> bool:
        """Return whether ``job`` may go now; costs its place in the order."""
        kept = self._kept.get(job.lane)
        if kept is not None:
            with self._asking(job.lane, kept.call):
                return job.life.request.job_id in iter(kept.order)
        return False

    # ---- calling plugins -------------------------------------------------------------------

    def _begin(self, job: Job) -> _Kept | None:
        lane = job.lane
        for call in job.life.chain.order_lane:
            with self._call(lane, call):
                order = call.function(*lane, lambda: self._wake(lane))
                if order is not None:
                    kept = self._kept[lane] = _Kept(call, order)
                    return kept
        return None

    def _wake(self, lane: Lane) -> None:
        # An order that wakes its own lane each time it is asked would be asked for ever.
        if lane != self._asked:
            self._serve(lane)

    @contextmanager
    def _asking(self, lane: Lane, call: Call) -> Iterator[None]:
        self._asked = lane
        try:
            with self._call(lane, call):
                yield
        finally:
            self._asked = None

    @contextmanager
    def _call(self, lane: Lane, call: Call) -> Iterator[None]:
        """Let a plugin act; when it fails, its lane goes on in the order in which jobs came."""
        outer, self.calling = self.calling, True
        try:
            yield
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            self._observer.plugin_failed(call.failure(problem))
            if self._kept.pop(lane, None) is not None:
                self._serve(lane)  # those it left out may go now
        finally:
            self.calling = outer
