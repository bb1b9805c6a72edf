"""Placement: decide and reserve in one step, or wait for the moment when that works.

Late binding: a job's worker is chosen when one is free, by what is known then, and not
when the job begins to wait. Choosing and reserving happen without a pause in between, so
that a burst of requests sees each other's reservations and spreads.
"""

from __future__ import annotations

from itertools import islice

import attrs

from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import CapacityExceeded, SchedulerError
from rbee_scheduler._life import RequestLife
from rbee_scheduler._observe import Observer
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Chain
from rbee_scheduler._queue import Job, JobQueue, Lane
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._trace import Trace
from rbee_scheduler._worker import Worker


__all__ = ["Placement"]

# Jobs that must wait although a worker is free (filters, a selector's `Wait`) are passed
# over, so that they don't hold up those behind them; this many at a time.
PASSED_OVER = 16

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
        "_clock", "_config", "_fallback", "_observer", "_registry", "_serving", "queue", "turns",
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
        self.queue = JobQueue(config.queue.capacity)
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
        return self._registry.snapshot(turn=turn, seed=seed)

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
        if life.tried and decision.action == "wait":
            # Nobody else is free: those that failed it before may try again.
            life.tried.clear()
            return self.decide(life, snapshot, trace)
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
            life.request = attrs.evolve(life.request, queued_at=self._clock.now())
        job = Job(life)
        if decision.retry_after is not None:
            job.retry_at = self._clock.monotonic() + decision.retry_after
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
            while not job.event.is_set():
                now = clock.monotonic()
                moments = [ends_at, job.retry_at, self._registry.next_recovery()]
                pause = min(m for m in moments if m is not None) - now
                await life.patience.doze(max(pause, 0.0), job.event)
                now = clock.monotonic()
                if job.event.is_set():
                    break
                if now >= ends_at:
                    raise CapacityExceeded(
                        f"no worker was free within {self._config.queue.timeout:g} s",
                        hint="add workers, or raise queue.timeout",
                        retry_after=1.0,
                    )
                if job.retry_at is not None and now >= job.retry_at:
                    job.retry_at = None
                self._registry.tick()
                self.serve(job.lane)
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

    def capacity(self, worker: Worker) -> None:
        """Serve the jobs that wait for what ``worker`` can do."""
        if self.queue:
            for model in worker.models:
                for task in worker.capabilities:
                    self.serve((model, task))

    def serve(self, lane: Lane) -> None:
        """Give free workers to waiting jobs, in the order the deployment wants."""
        if self._serving or not self.queue.has(lane):
            return
        self._serving = True
        try:
            self._serve(lane)
        finally:
            self._serving = False

    def _serve(self, lane: Lane) -> None:
        snapshot = self._registry.snapshot()
        free = len(snapshot.free(*lane))
        if not free:
            return
        passed_over = 0
        for job in self._ordered(lane, snapshot, free + PASSED_OVER):
            try:
                placed = self.place(job.life)
            except SchedulerError as error:
                job.error = error
            else:
                if isinstance(placed, Decision):
                    if placed.retry_after is not None:
                        job.retry_at = self._clock.monotonic() + placed.retry_after
                    passed_over += 1
                    if passed_over >= PASSED_OVER or not self._registry.snapshot().free(*lane):
                        return
                    continue
                job.reservation = placed
            self.queue.remove(job)
            job.event.set()

    def _ordered(self, lane: Lane, snapshot: Snapshot, most: int) -> list[Job]:
        """Return the jobs to look at, next one first."""
        chain = next(iter(self.queue.waiting(lane))).life.chain
        if not chain.order_queue:
            return list(islice(self.queue.waiting(lane), most))
        jobs = {job.life.request.job_id: job for job in self.queue.waiting(lane)}
        requests = [job.life.request for job in jobs.values()]
        for call in chain.order_queue:
            try:
                answer = call.function(requests, snapshot)
                if answer is None:
                    continue
                first = [jobs.pop(job_id) for job_id in answer if job_id in jobs]
            except Exception as problem:  # noqa: BLE001 - the jobs keep their order
                self._observer.plugin_failed(call.failure(problem))
                continue
            return (first + list(jobs.values()))[:most]
        return list(jobs.values())[:most]
