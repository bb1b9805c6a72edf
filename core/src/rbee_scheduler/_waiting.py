"""Waiting: jobs that no worker is free for, until one is.

Late binding: a job's worker is chosen when one is free, by what is known then, and not
when the job begins to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import anyio

from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import CapacityExceeded, NoWorkersAvailable, SchedulerError
from rbee_scheduler._events import WorkerEvent
from rbee_scheduler._lane_orders import LaneOrders
from rbee_scheduler._life import RequestLife
from rbee_scheduler._observe import Observer
from rbee_scheduler._placement import Placement
from rbee_scheduler._queue import Job, Lane
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._worker import Worker


__all__ = ["WaitingRoom"]

# Jobs that must wait although a worker is free (filters, a selector's `Wait`) are passed
# over, so that they don't hold up those behind them; this many at a time.
PASSED_OVER = 16

# A selector that says "ask again at once" is asked a hundred times a second, seconds.
SHORTEST_PAUSE = 0.01


class WaitingRoom:
    """Where jobs wait, and where free workers are given to them.

    Args:
        placement: Decides and reserves; its `queue` holds the jobs.
        registry: The workers.
        timeout: Longest wait, seconds.
        clock: Source of time.
        observer: Who is told.
    """

    __slots__ = (
        "_clock", "_deaf", "_observer", "_orders", "_placement", "_queue", "_registry", "_serving",
        "_timeout", "_to_serve",
    )  # fmt: skip

    def __init__(
        self,
        placement: Placement,
        registry: WorkerRegistry,
        *,
        timeout: float,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._placement = placement
        self._queue = placement.queue
        self._registry = registry
        self._timeout = timeout
        self._clock = clock
        self._observer = observer
        self._orders = LaneOrders(observer, self.serve)
        self._serving = False
        self._to_serve: dict[Lane, Job | None] = {}
        self._deaf: Callable[[], None] | None = None  # ends listening for capacity

    def enqueue(self, life: RequestLife, decision: Decision) -> tuple[Job, int]:
        """Let a request wait.

        Returns:
            The job, and its place in the queue.

        Raises:
            CapacityExceeded: The queue is full.
        """
        if not life.request.queued_at:
            life.request = life.request.changed(queued_at=self._clock.now())
        job = Job(life)
        self._ask_again(job, decision)
        position = self._queue.add(job)
        if self._deaf is None:  # only while somebody waits: each request ends with such news
            self._deaf = self._registry.subscribe_capacity(self.capacity)
        self._orders.add(job, first=position == 1)
        life.tell("queued")
        if self._to_serve:  # while a plugin took the job
            self._serve_all()
        return job, position

    async def wait(self, job: Job) -> Reservation:
        """Wait until the job has a worker.

        Raises:
            SchedulerError: It was refused, cancelled, or waited too long.
        """
        clock, life = self._clock, job.life
        began = clock.monotonic()
        ends_at = began + self._timeout
        try:
            while not job.settled:
                job.event = anyio.Event()
                if life.outbox:
                    await life.outbox.send()
                    if job.settled or job.event.is_set():
                        continue
                moments = [ends_at, job.retry_at, self._registry.next_recovery()]
                pause = min(m for m in moments if m is not None) - clock.monotonic()
                await life.patience.doze(max(pause, 0.0), job.event)
                now = clock.monotonic()
                if job.settled or job.event.is_set():
                    continue
                if now >= ends_at:
                    raise self._waited_too_long(job.lane)
                due = job.retry_at is not None and now >= job.retry_at
                if due:
                    job.retry_at = None
                self._registry.tick()
                self.serve(job.lane, job if due else None)
            if job.error is not None:
                raise job.error
            reservation, job.reservation = job.reservation, None
            assert reservation is not None  # noqa: S101 - the event is set with one or the other
            return reservation
        finally:
            life.queued_seconds += clock.monotonic() - began

    def withdraw(self, job: Job) -> None:
        """Let a job wait no longer; give back what it was given and did not take."""
        self._leave(job)
        if job.reservation is not None:
            job.reservation.release()
            job.reservation = None
        if self._to_serve:  # while a plugin forgot the job
            self._serve_all()

    def _waited_too_long(self, lane: Lane) -> SchedulerError:
        if self._registry.snapshot().free(*lane):
            return CapacityExceeded(
                f"it had to wait although a worker is free, and did so for {self._timeout:g} s",
                hint="a plugin orders, filters or defers such requests; or raise queue.timeout",
                retry_after=1.0,
            )
        waited = f"no worker was free within {self._timeout:g} s"
        if self._registry.snapshot().count_usable(*lane):
            hint = "add workers, or raise queue.timeout"
            return CapacityExceeded(waited, hint=hint, retry_after=1.0)
        return NoWorkersAvailable(
            f"{waited}, and none is up for {lane[0]!r}",
            hint="see `rbee-scheduler workers` for their states",
        )

    def capacity(self, worker: Worker) -> None:
        """Serve the jobs that wait for what ``worker`` can do."""
        if self._queue:
            for lane in self._lanes_of(worker):
                self.serve(lane)

    def worker_changed(self, event: WorkerEvent) -> None:
        """Let jobs look again at when to wake: a worker may have begun a pause."""
        worker = self._registry.snapshot().worker(event.worker_id) if self._queue else None
        if worker is not None and not worker.usable:
            for lane in self._lanes_of(worker):
                for job in self._queue.waiting(lane):
                    job.event.set()

    def serve(self, lane: Lane, due: Job | None = None) -> None:
        """Give free workers to waiting jobs, in the order the deployment wants.

        Args:
            lane: Whose jobs.
            due: A job to look at before all others: it was to be asked again now.
        """
        if not self._queue.has(lane):
            return
        self._to_serve[lane] = due or self._to_serve.get(lane)
        self._serve_all()

    def _serve_all(self) -> None:
        # A plugin, or a snapshot, may bring a worker while jobs are served, or are taken.
        if self._serving or self._orders.calling:
            return
        self._serving = True
        try:
            while self._to_serve:
                self._serve(*self._to_serve.popitem())
        finally:
            self._serving = False

    def _serve(self, lane: Lane, due: Job | None) -> None:
        passed_over = 0
        for job in self._in_order(lane, due):
            if passed_over >= PASSED_OVER:
                return
            # A job that is due is asked again even so: `rbee_no_candidate` may answer anew.
            if job is not due and not self._registry.snapshot().free(*lane):
                return
            job.retry_at = None
            try:
                placed = self._placement.place(job.life)
            except SchedulerError as error:
                job.error = error
            else:
                if isinstance(placed, Decision):
                    passed_over += 1
                    self._ask_again(job, placed)
                    if job.life.outbox:
                        job.event.set()
                    continue
                job.reservation = placed
            self._leave(job)
            job.event.set()

    def _leave(self, job: Job) -> None:
        if self._queue.remove(job):
            if self._deaf is not None and not self._queue:
                self._deaf()
                self._deaf = None
            self._orders.remove(job)

    def _ask_again(self, job: Job, decision: Decision) -> None:
        if decision.retry_after is not None:
            pause = max(decision.retry_after, SHORTEST_PAUSE)
            job.retry_at = self._clock.monotonic() + pause
            job.event.set()

    def _in_order(self, lane: Lane, due: Job | None) -> Iterator[Job]:
        """Yield the jobs of a lane, next one first; they may be removed meanwhile."""
        if self._orders.keeps(lane):
            yield from self._as_kept(lane, due)
            return
        first = self._first(lane)
        if due is not None and due in self._queue:
            first = {due: None, **first}
        yield from first
        passed_over = 0
        while (job := next(islice(self._queue.waiting(lane), passed_over, None), None)) is not None:
            if job not in first:
                yield job
            passed_over += job in self._queue

    def _as_kept(self, lane: Lane, due: Job | None) -> Iterator[Job]:
        """Yield the jobs as a plugin keeps them; those it leaves out wait."""
        passed_over: set[Job] = set()
        if due is not None and due in self._queue:
            # Where nobody is free it gets no worker, but maybe another answer.
            is_free = self._registry.snapshot().free(*lane)
            if not is_free or self._orders.lets(due):
                passed_over.add(due)
                yield due
        # Asked anew after each job: one that got a worker may have changed the order.
        while (job := self._orders.next(lane, passed_over)) is not None:
            passed_over.add(job)
            yield job

    def _first(self, lane: Lane) -> Mapping[Job, None]:
        """Return the jobs that the first plugin with an opinion wants first, in order."""
        waiting = self._queue.waiting(lane)
        chain = next(iter(waiting)).life.chain if self._queue.has(lane) else None
        if chain is None or not chain.order_queue:
            return {}
        jobs = {job.life.request.job_id: job for job in waiting}
        requests = [job.life.request for job in waiting]
        snapshot = self._registry.snapshot()
        for call in chain.order_queue:
            try:
                answer = call.function(requests, snapshot)
                if answer is not None:
                    return {jobs[job_id]: None for job_id in answer if job_id in jobs}
            except Exception as problem:  # noqa: BLE001 - the jobs keep their order
                self._observer.plugin_failed(call.failure(problem))
        return {}

    def _lanes_of(self, worker: Worker) -> list[Lane]:
        return [(model, task) for model in worker.models for task in worker.capabilities]
