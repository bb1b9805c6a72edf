"""The simulation: arrivals in, service and first tokens by tenant out."""

from __future__ import annotations

from collections import defaultdict

import attrs

from fairness.platform_ import Platform
from fairness.workers import PROFILES, Sequence, SimulatedWorker
from rbee_scheduler import InferenceRequest, Worker


INPUT_WEIGHT, OUTPUT_WEIGHT = 1.0, 2.0

# Seconds between two looks at who had how much.
SAMPLE = 2.0


@attrs.define(kw_only=True)
class Sample:
    """What every tenant had, and had asked for, until one moment.

    `waiting` are those who had jobs waiting all the time since the sample before.
    """

    at: float
    service: dict[str, float]
    demand: dict[str, float]
    waiting: frozenset[str]


@attrs.define(kw_only=True)
class Run:
    """One simulation's result."""

    samples: list[Sample] = attrs.field(factory=list)
    first_tokens: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    preempted: int = 0
    ended: int = 0

    @property
    def service(self) -> dict[str, float]:
        return self.samples[-1].service

    @property
    def throughput(self) -> float:
        """Service per second."""
        return sum(self.service.values()) / self.samples[-1].at


class _Live:
    __slots__ = ("arrival", "noted", "sequence", "worker")

    def __init__(self, arrival, sequence, worker):
        self.arrival, self.sequence, self.worker = arrival, sequence, worker
        self.noted = 0


def simulate(workload, *, fair: bool, workers: int = 1, predict: bool = False) -> Run:
    """Run ``workload`` with the fair order, or first come first served."""
    profile = workload.profile
    ids = [f"gpu{n}" for n in range(workers)]
    simulated = {worker_id: SimulatedWorker(profile) for worker_id in ids}
    kv_tokens = str(PROFILES[profile]["kv_tokens"])
    platform = Platform(
        [
            Worker(
                id=worker_id,
                url=f"http://127.0.0.1:{8000 + n}",
                model="m",
                slots=256,
                labels={"kv_tokens": kv_tokens},
            )
            for n, worker_id in enumerate(ids)
        ],
        fair=fair,
        weights=workload.weights,
        predict=predict,
    )
    run = Run()
    state = _State(workload, platform, simulated, run)
    state.go()
    run.preempted = sum(worker.preempted for worker in simulated.values())
    return run


class _State:
    def __init__(self, workload, platform, workers, run):
        self.workload, self.platform, self.workers, self.run = workload, platform, workers, run
        self.service = defaultdict(float)
        self.demand = defaultdict(float)
        self.waiting = defaultdict(int)
        self.emptied = set()  # tenants without a waiting job at some time since the last sample
        self.arrivals = {}
        self.live = {}

    def go(self) -> None:
        clock, arrivals, end = self.platform.clock, self.workload.arrivals, self.workload.seconds
        coming, next_sample = 0, SAMPLE
        while clock.monotonic() < end:
            moment = min(next_sample, *(worker.next_event() for worker in self.workers.values()))
            if coming < len(arrivals):
                moment = min(moment, arrivals[coming].at)
            moment = min(moment, end)
            now = max(moment, clock.monotonic())
            clock.advance(now - clock.monotonic())
            now = clock.monotonic()
            for worker in self.workers.values():
                worker.advance(now)
            self.note()
            while coming < len(arrivals) and arrivals[coming].at <= now:
                self.arrive(coming, arrivals[coming])
                coming += 1
            self.serve(now)
            if now >= next_sample or now >= end:
                self.sample(now)
                next_sample += SAMPLE

    def arrive(self, number: int, arrival) -> None:
        request = InferenceRequest(
            job_id=str(number),
            model="m",
            prompt="x" * (4 * arrival.input_tokens),
            max_tokens=2 * arrival.output_tokens,  # clients ask for more than they get
            tenant_id=arrival.tenant,
        )
        self.arrivals[request.job_id] = arrival
        cost = INPUT_WEIGHT * arrival.input_tokens + OUTPUT_WEIGHT * arrival.output_tokens
        self.demand[arrival.tenant] += cost
        self.waiting[arrival.tenant] += 1
        self.platform.add(request)

    def serve(self, now: float) -> None:
        for request, worker_id in self.platform.serve():
            arrival = self.arrivals.pop(request.job_id)
            self.waiting[arrival.tenant] -= 1
            if not self.waiting[arrival.tenant]:
                self.emptied.add(arrival.tenant)
            sequence = Sequence(arrival.input_tokens, arrival.output_tokens)
            worker = self.workers[worker_id]
            worker.submit(sequence, now)
            self.live[request.job_id] = _Live(arrival, sequence, worker)
            self.service[arrival.tenant] += INPUT_WEIGHT * arrival.input_tokens

    def note(self) -> None:
        """Tell the platform what came since the last look."""
        for job_id, live in list(self.live.items()):
            tenant = live.arrival.tenant
            made = live.worker.generated(live.sequence)
            if made > live.noted:
                if not live.noted:
                    self.platform.first_token(job_id)
                    self.run.first_tokens[tenant].append(live.sequence.first - live.arrival.at)
                self.platform.streamed(job_id, made - live.noted)
                self.service[tenant] += OUTPUT_WEIGHT * (made - live.noted)
                live.noted = made
            if live.sequence.done is not None:
                self.platform.ended(job_id, live.arrival.input_tokens, live.arrival.output_tokens)
                self.run.ended += 1
                del self.live[job_id]

    def sample(self, now: float) -> None:
        self.run.samples.append(
            Sample(
                at=now,
                service=dict(self.service),
                demand=dict(self.demand),
                waiting=frozenset(
                    name
                    for name, number in self.waiting.items()
                    if number and name not in self.emptied
                ),
            )
        )
        self.emptied = {name for name, number in self.waiting.items() if not number}


def unloaded(workload) -> Run:
    """Run the victims alone."""
    alone = attrs.evolve(
        workload, arrivals=[one for one in workload.arrivals if one.tenant in workload.victims]
    )
    return simulate(alone, fair=True)
