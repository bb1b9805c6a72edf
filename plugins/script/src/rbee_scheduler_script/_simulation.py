"""Many decisions of a policy, one after the other, on a fleet that fills up and empties again.

The shipped decision runs, on snapshots of a real registry with real reservations; only time and
the work of the workers are made up.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Final

import attrs

from rbee_scheduler import InferenceRequest, Plugins, Reservation, Surroundings, WorkerRegistry
from rbee_scheduler._pipeline import decide
from rbee_scheduler_script._hooks import as_plugin
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._still_clock import StillClock
from rbee_scheduler_script._synthetic import job_seconds


__all__ = ["SimulationReport", "WorkerCount", "simulate"]


@attrs.frozen(kw_only=True)
class WorkerCount:
    """What one worker got.

    Attributes:
        worker_id: The worker.
        jobs: How many jobs.
        share: The same as part of all that were placed.
        busy: Part of its slots' time that they kept busy.
    """

    worker_id: str
    jobs: int
    share: float
    busy: float


@attrs.frozen(kw_only=True)
class SimulationReport:
    """How it went.

    Attributes:
        jobs: How many came.
        placed: How many got a worker.
        waited: How many of them had to wait.
        wait_p50: Median time of waiting of those that waited, ms of the simulation.
        wait_p99: The 99th percentile of it.
        rejected: Reason -> how many were refused.
        unplaced: How many still waited at the end.
        failures: Failure of the policy -> how often.
        decisions: How often it was asked.
        decision_p50: Median time of a decision, us of this machine.
        decision_p99: The 99th percentile of it.
        late: How many ended after their deadline.
        cost: What all tokens cost.
        workers: What each worker got, the busiest first.
    """

    jobs: int
    placed: int
    waited: int
    wait_p50: float
    wait_p99: float
    rejected: Mapping[str, int]
    unplaced: int
    failures: Mapping[str, int]
    decisions: int
    decision_p50: float
    decision_p99: float
    late: int
    cost: float
    workers: tuple[WorkerCount, ...]


def simulate(
    policy: Policy,
    registry: WorkerRegistry,
    jobs: Iterable[tuple[float, InferenceRequest]],
    clock: StillClock,
    *,
    seed: int = 0,
    timer: Callable[[], float] = time.perf_counter,
) -> SimulationReport:
    """Let ``policy`` place jobs.

    Args:
        policy: Decides.
        registry: The fleet; its clock is ``clock``.
        jobs: ``(seconds, job)``, in the order of time.
        clock: Moved from event to event.
        seed: Of the decisions' chance.
        timer: Seconds; measures decisions.
    """
    stage = _Stage(policy, registry, clock, seed, timer)
    for moment, job in jobs:
        stage.go_to(moment)
        stage.come(job)
    stage.finish()
    return stage.report()


# Waiting jobs that are asked for in vain before the others must wait for the next end.
ASKED: Final = 16


class _Stage:
    """The simulation under way."""

    def __init__(
        self,
        policy: Policy,
        registry: WorkerRegistry,
        clock: StillClock,
        seed: int,
        timer: Callable[[], float],
    ) -> None:
        plugins = Plugins([as_plugin(policy)])
        self._chain = plugins.chain(plugins.default_strategy)
        self._registry, self._clock, self._timer = registry, clock, timer
        self._rng = Random(seed)
        self._ends: list[tuple[float, int, Reservation]] = []
        self._queue: deque[InferenceRequest] = deque()
        self._times: list[float] = []
        self._waits: list[float] = []
        self._served: Counter[str] = Counter()
        self._busy: defaultdict[str, float] = defaultdict(float)
        self._rejected: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._jobs = self._late = 0
        self._cost = 0.0
        self._around = Surroundings(jobs=lambda: list(self._queue))

    def go_to(self, moment: float) -> None:
        """Let time pass; what ends meanwhile makes room for those that wait."""
        while self._ends and self._ends[0][0] <= moment:
            self._end_next()
        self._clock.passed = moment

    def come(self, job: InferenceRequest) -> None:
        """A job comes: it is placed, refused, or waits behind the others."""
        self._jobs += 1
        if not self._settle(job):
            self._queue.append(job.changed(queued_at=self._clock.now()))

    def finish(self) -> None:
        """Let everything end."""
        while self._ends:
            self._end_next()

    def _end_next(self) -> None:
        moment, _, reservation = heapq.heappop(self._ends)
        self._clock.passed = moment
        reservation.release()
        # Those behind the first may be for other workers; but asking all of a long queue each
        # time would cost the square of its length.
        still: list[InferenceRequest] = []
        while self._queue and len(still) < ASKED:
            job = self._queue.popleft()
            if not self._settle(job):
                still.append(job)
        self._queue.extendleft(reversed(still))

    def _settle(self, job: InferenceRequest) -> bool:
        """Ask the policy; return whether the job needs to wait no longer."""
        snapshot = self._registry.snapshot(
            turn=len(self._times), seed=self._rng.getrandbits(63), surroundings=self._around
        )
        if not snapshot.free(job.model, job.task_type) and snapshot.count_usable(
            job.model, job.task_type
        ):
            return False
        began = self._timer()
        decision = decide(
            job, snapshot, self._chain, on_failure=lambda error: self._failed(str(error))
        )
        self._times.append((self._timer() - began) * 1e6)
        if decision.action == "reject":
            self._rejected[decision.reason or str(decision.error)] += 1
            return True
        if decision.worker is None:
            return False
        reservation = self._registry.reserve(decision.worker.id)
        if reservation is None:
            return False
        worker = reservation.worker
        seconds = job_seconds(job, worker)
        end = self._clock.passed + seconds
        heapq.heappush(self._ends, (end, len(self._times), reservation))
        self._served[worker.id] += 1
        self._busy[worker.id] += seconds
        self._cost += worker.cost_per_token * job.max_tokens
        if job.queued_at:
            self._waits.append(self._clock.now() - job.queued_at)
        self._late += job.deadline is not None and self._clock.now() + seconds * 1e3 > job.deadline
        return True

    def _failed(self, failure: str) -> None:
        self._failures[failure.partition("\n")[0]] += 1

    def report(self) -> SimulationReport:
        placed = self._served.total()
        seconds = self._clock.passed or 1.0
        workers = [
            WorkerCount(
                worker_id=worker.id,
                jobs=self._served[worker.id],
                share=self._served[worker.id] / placed if placed else 0.0,
                busy=self._busy[worker.id] / (seconds * (worker.slots or 1)),
            )
            for worker in self._registry.snapshot().workers()
        ]
        return SimulationReport(
            jobs=self._jobs,
            placed=placed,
            waited=len(self._waits),
            wait_p50=_percentile(self._waits, 50),
            wait_p99=_percentile(self._waits, 99),
            rejected=dict(self._rejected),
            unplaced=len(self._queue),
            failures=dict(self._failures),
            decisions=len(self._times),
            decision_p50=_percentile(self._times, 50),
            decision_p99=_percentile(self._times, 99),
            late=self._late,
            cost=self._cost,
            workers=tuple(sorted(workers, key=lambda one: -one.jobs)),
        )


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile by nearest rank; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]
