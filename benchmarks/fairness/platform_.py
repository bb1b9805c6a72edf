"""The shipped deciding half, put together as the platform scheduler puts it together."""

from __future__ import annotations

from rbee_scheduler import Scheduler, WorkerRegistry, decide, hookimpl
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._capacity import Capacity, CapacityOptions, GateOptions
from rbee_scheduler_platform._fairness import FairOrder


# As core's waiting room: so many jobs that can't be placed are passed over.
PASSED_OVER = 16


class FirstComeFirstServed:
    """The order without this plugin."""

    def __init__(self):
        self.jobs = {}

    def add(self, request):
        self.jobs[request.job_id] = None

    def remove(self, request):
        self.jobs.pop(request.job_id, None)

    def __iter__(self):
        return iter(self.jobs)

    def __len__(self):
        return len(self.jobs)


class Platform:
    """Registry, decision, order and gate around one virtual clock."""

    __name__ = "platform"

    def __init__(self, workers, *, fair: bool, weights=None, predict: bool = False) -> None:
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        for worker in workers:
            self.registry.add(worker)
        self.order = FairOrder(
            self.clock, weight_of=lambda tenant: (weights or {}).get(tenant, 1.0), predict=predict
        )
        gate = GateOptions() if fair else GateOptions(headroom=0.0)
        self.capacity = Capacity(self.clock, self.order, CapacityOptions(gate=gate))
        self.lane = self.order.lane("m", "text-gen") if fair else FirstComeFirstServed()
        self.fair = fair
        self.scheduler = Scheduler(self.registry, [self])
        self.chain = self.scheduler.plugins.chain(self.scheduler.strategy)
        self.jobs = {}
        self.reservations = {}

    @hookimpl
    def rbee_select_worker(self, request, candidates, scores, snapshot):
        return self.capacity.gate.select_worker(request, candidates, scores, snapshot)

    def add(self, request) -> None:
        """Let a request wait."""
        self.jobs[request.job_id] = request
        self.lane.add(request)

    def serve(self):
        """Yield the requests that get a worker now, as core's waiting room serves a lane."""
        passed_over = set()
        while len(passed_over) < PASSED_OVER:
            snapshot = self.registry.snapshot()
            if not snapshot.free("m"):
                return
            job_id = next((job for job in self.lane if job not in passed_over), None)
            if job_id is None:
                return
            request = self.jobs[job_id]
            decision = decide(request, snapshot, self.chain)
            if decision.worker is None:
                passed_over.add(job_id)
                continue
            worker = decision.worker
            self.reservations[job_id] = self.registry.reserve(worker.id)
            self.lane.remove(request)
            del self.jobs[job_id]
            self.order.dispatched(request)
            self.capacity.dispatched(request, worker)
            yield request, worker.id

    def streamed(self, job_id: str, tokens: int) -> None:
        self.order.streamed(job_id, tokens)

    def first_token(self, job_id: str) -> None:
        self.capacity.first_token(job_id)

    def ended(self, job_id: str, input_tokens: int, output_tokens: int) -> None:
        self.order.settle(job_id, input_tokens, output_tokens)
        self.capacity.ended(job_id)
        self.reservations.pop(job_id).release()
