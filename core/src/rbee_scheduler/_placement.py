"""Placement: decide and reserve in one step, or wait for the moment when that works.

Late binding: a job's worker is chosen when one is free, by what is known then, and not
when the job begins to wait. Choosing and reserving happen without a pause in between, so
that a burst of requests sees each other's reservations and spreads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import anyio

from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import CapacityExceeded, NoWorkersAvailable, SchedulerError
from rbee_scheduler._events import WorkerEvent
from rbee_scheduler._life import RequestLife
from rbee_scheduler._observe import Observer
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Chain
from rbee_scheduler._queue import Job, JobQueue, Lane
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._surroundings import Surroundings
from rbee_scheduler._trace import Trace
from rbee_scheduler._worker import Worker


__all__ = ["Placement"]

# Jobs that must wait although a worker is free (filters, a selector's `Wait`) are passed
# over, so that they don't hold up those behind them; this many at a time.
PASSED_OVER = 16

# A selector that says "ask again at once" is asked a hundred times a second, seconds.
SHORTEST_PAUSE = 0.01

SEED_MIX = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: seeds of neighbouring turns differ widely


class Placement:
    """Finds workers for requests.

    Args:
        registry: The workers.
        config: The settings.
        fallback: The strategy that decides when a plugin fails.
        clock: Source of time.
        observer: Who is told.
    """

    __slots__ = (
        "_clock", "_config", "_fallback", "_observer", "_registry", "_serving", "_to_serve",
        "queue", "surroundings", "turns",
    )  # fmt: skip

    def __init__(
        self,
        registry: WorkerRegistry,
        config: SchedulerConfig,
        fallback: Chain | None,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._registry = registry
        self._config = config
        self._fallback = fallback
        self._clock = clock
        self._observer = observer
        self._serving = False
        self._to_serve: dict[Lane, Job | None] = {}
        self.queue = JobQueue(config.queue.capacity)
        self.surroundings = Surroundings(jobs=self._waiting, config=config)
        self.turns = 0

    def snapshot(self, *, peek: bool = False) -> Snapshot:
        """Return the snapshot of the next decision, with its turn and its seed.

        Args:
            peek: Whether the turn is left for the decision that follows.
        """
        turn = self.turns
        if not peek:
            self.turns = turn + 1
        seed = (self._config.seed + turn) * SEED_MIX & 0xFFFF_FFFF_FFFF_FFFF
        return self._registry.snapshot(turn=turn, seed=seed, surroundings=self.surroundings)

    def _waiting(self) -> list[InferenceRequest]:
        return [job.life.request for job in self.queue.jobs()]

    def decide(
        self, life: RequestLife, snapshot: Snapshot | None = None, trace: Trace | None = None
    ) -> Decision:
        """Return the decision for a request, without acting on it."""
        snapshot = snapshot or self.snapshot()
        decision = decide(
            life.request,
            snapshot,
            life.chain,
            fallback=self._fallback,
            exclude=life.tried,
            on_failure=self._observer.plugin_failed,
            trace=trace,
        )
        life.decision = decision
        if decision.commands and trace is None:
            life.outbox.put(decision.commands, snapshot)
        return decision

    def place(self, life: RequestLife) -> Reservation | Decision:
        """Reserve the best worker now; or return why the request must wait.

        Raises:
            SchedulerError: It can't be served, now or by waiting.
        """
        decision = self.decide(life)
        if decision.worker is not None:
            reservation = self._registry.reserve(decision.worker.id)
            if reservation is not None:
                return reservation
        if decision.error is not None:
            raise decision.error
        return decision

    def place_on(self, life: RequestLife, worker_id: str) -> Reservation | Decision:
        """Reserve the worker that was chosen before; any other when it is not free now."""
        worker = self._registry.snapshot().worker(worker_id)
        if worker is not None and worker.serves(life.request.model):
            reservation = self._registry.reserve(worker_id)
            if reservation is not None:
                life.decision = Decision("dispatch", life.chain.strategy, worker=worker)
                return reservation
        return self.place(life)

    # ---- waiting -----------------------------------------------------------------------

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
        position = self.queue.add(job)
        life.tell("queued")
        return job, position

    async def wait(self, job: Job) -> Reservation:
        """Wait until the job has a worker.

        Raises:
            SchedulerError: It was refused, cancelled, or waited too long.
        """
        clock, life = self._clock, job.life
        began = clock.monotonic()
        ends_at = began + self._config.queue.timeout
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
        self.queue.remove(job)
        if job.reservation is not None:
            job.reservation.release()
            job.reservation = None

    def _waited_too_long(self, lane: Lane) -> SchedulerError:
        waited = f"no worker was free within {self._config.queue.timeout:g} s"
        if self._registry.snapshot().count_usable(*lane):
            hint = "add workers, or raise queue.timeout"
            return CapacityExceeded(waited, hint=hint, retry_after=1.0)
        return NoWorkersAvailable(
            f"{waited}, and none is up for {lane[0]!r}",
            hint="see `rbee-scheduler workers` for their states",
        )

    def capacity(self, worker: Worker) -> None:
        """Serve the jobs that wait for what ``worker`` can do."""
        if self.queue:
            for lane in self._lanes_of(worker):
                self.serve(lane)

    def worker_changed(self, event: WorkerEvent) -> None:
        """Let jobs look again at when to wake: a worker may have begun a pause."""
        worker = self._registry.snapshot().worker(event.worker_id) if self.queue else None
        if worker is not None and not worker.usable:
            for lane in self._lanes_of(worker):
                for job in self.queue.waiting(lane):
                    job.event.set()

    def serve(self, lane: Lane, due: Job | None = None) -> None:
        """Give free workers to waiting jobs, in the order the deployment wants.

        Args:
            lane: Whose jobs.
            due: A job to look at before all others: it was to be asked again now.
        """
        if not self.queue.has(lane):
            return
        self._to_serve[lane] = due or self._to_serve.get(lane)
        if self._serving:  # a plugin, or a snapshot, brought a worker while jobs are served
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
            if passed_over >= PASSED_OVER or not self._registry.snapshot().free(*lane):
                return
            job.retry_at = None
            try:
                placed = self.place(job.life)
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
            self.queue.remove(job)
            job.event.set()

    def _ask_again(self, job: Job, decision: Decision) -> None:
        if decision.retry_after is not None:
            pause = max(decision.retry_after, SHORTEST_PAUSE)
            job.retry_at = self._clock.monotonic() + pause
            job.event.set()

    def _in_order(self, lane: Lane, due: Job | None) -> Iterator[Job]:
        """Yield the jobs of a lane, next one first; they may be removed meanwhile."""
        first = self._first(lane)
        if due is not None and due in self.queue:
            first = {due: None, **first}
        yield from first
        passed_over = 0
        while (job := next(islice(self.queue.waiting(lane), passed_over, None), None)) is not None:
            if job not in first:
                yield job
            passed_over += job in self.queue

    def _first(self, lane: Lane) -> Mapping[Job, None]:
        """Return the jobs that the first plugin with an opinion wants first, in order."""
        waiting = self.queue.waiting(lane)
        chain = next(iter(waiting)).life.chain if self.queue.has(lane) else None
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
