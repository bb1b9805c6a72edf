"""What platform mode adds to a request: admission with all checks, and the choice of the next job.

Bars: admission under 1 ms at the 99th percentile with 1,000 tenants and 10,000 queued jobs; the
choice of the next job grows no faster than the logarithm of jobs and tenants (counted in
comparisons, and asserted, in tests/unit/platform/test_fairness_cost.py).
"""

from time import perf_counter_ns

import pytest

from rbee_scheduler import Geo, InferenceRequest, Usage, Worker, WorkerRegistry
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Quotas, ServiceTarget, Tenant
from rbee_scheduler_platform._capacity import Capacity, CapacityOptions
from rbee_scheduler_platform._fairness import FairOrder
from rbee_scheduler_platform._quota import Booking, Estimate, QuotaBook, rate_limit_headers
from rbee_scheduler_platform._targets import filter_regions


MUCH = 10**9
QUOTAS = Quotas(
    requests_per_minute=MUCH,
    input_tokens_per_minute=MUCH,
    output_tokens_per_minute=MUCH,
    tokens_daily=MUCH,
    max_concurrent_jobs=MUCH,
    vram_bytes=MUCH,
    tokens_per_request=MUCH,
)
TARGETS = {"interactive": ServiceTarget(first_token_ms=60_000.0)}


class Full:
    """A platform with ``jobs`` waiting, of ``tenants``."""

    def __init__(self, jobs, tenants):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        for n in range(8):
            name = f"gpu{n}"
            self.registry.add(
                Worker(
                    id=name,
                    url=f"http://{name}:1",
                    model="m",
                    slots=256,
                    geo=Geo(region="eu"),
                    labels={"kv_tokens": "400000"},
                )
            )
        self.tenants = {
            f"t{n}": Tenant(
                id=f"t{n}", weight=1.0 + n % 4, quotas=QUOTAS, targets=TARGETS, regions=("eu",)
            )
            for n in range(tenants)
        }
        self.book = QuotaBook(self.clock)
        self.order = FairOrder(
            self.clock, weight_of=lambda tenant: self.tenants[tenant].weight, holds=self.book
        )
        self.book.on_fall(self.order.usage_fell)
        options = CapacityOptions(
            queue={"interactive": 10 * jobs}, first_token_limit={"interactive": 1e6}
        )
        self.capacity = Capacity(self.clock, self.order, options)
        self.lane = self.order.lane("m", "text-gen")
        self.waiting = {}
        self.number = 0
        for _ in range(jobs):
            self.wait()
        self.warm_up()

    def request(self):
        self.number += 1
        return InferenceRequest(
            job_id=f"job{self.number}",
            model="m",
            prompt="x" * (40 + self.number * 7919 % 997),
            max_tokens=256,
            tenant_id=f"t{self.number * 104_729 % len(self.tenants)}",
            deadline=self.clock.now() + 1e9,
        )

    def wait(self):
        request = self.request()
        self.waiting[request.job_id] = request
        self.lane.add(request)

    def next_job(self):
        """Take the next job out, let another one wait: the queue stays as long as it is."""
        job_id = next(iter(self.lane))
        request = self.waiting.pop(job_id)
        self.lane.remove(request)
        self.order.streamed(job_id, 5)
        self.order.settle(job_id, 100, 20)
        self.wait()
        return job_id

    def warm_up(self):
        """Run a few jobs, so that rates are known and predictions are made."""
        worker = self.registry.snapshot().worker("gpu0")
        for _ in range(50):
            job_id = next(iter(self.lane))
            request = self.waiting.pop(job_id)
            self.lane.remove(request)
            self.capacity.dispatched(request, worker)
            self.clock.advance(0.2)
            self.capacity.first_token(job_id)
            self.order.settle(job_id, 100, 20)
            self.capacity.ended(job_id)
            self.wait()

    def admit(self, request):
        """Make all checks of one admission; return the booking."""
        tenant = self.tenants[request.tenant_id]
        snapshot = self.registry.snapshot()
        booking = self.book.book(tenant, request.job_id, Estimate.of(request))
        assert isinstance(booking, Booking)
        assert self.capacity.admit(request, snapshot) is None
        filter_regions(tenant, snapshot.free("m"))
        rate_limit_headers(self.book.rate_limits(tenant))
        return booking


@pytest.fixture(scope="module")
def full():
    return Full(jobs=10_000, tenants=1_000)


def test_admission_with_all_checks(benchmark, full):
    def admit():
        booking = full.admit(full.request())
        booking.settle(Usage(prompt_tokens=50, completion_tokens=20))

    benchmark(admit)
    times = []
    for _ in range(5_000):
        request = full.request()
        begin = perf_counter_ns()
        booking = full.admit(request)
        times.append(perf_counter_ns() - begin)
        booking.settle(Usage(prompt_tokens=50, completion_tokens=20))
    times.sort()
    p50, p99 = times[2_500] / 1e3, times[4_950] / 1e3
    benchmark.extra_info.update(p50_us=round(p50, 1), p99_us=round(p99, 1))
    print(f"\nadmission, 1,000 tenants, 10,000 queued jobs: p50 {p50:.1f} us, p99 {p99:.1f} us")


@pytest.mark.parametrize("tenants", [10, 100, 1_000])
@pytest.mark.parametrize("jobs", [100, 1_000, 10_000, 100_000])
def test_next_job(benchmark, jobs, tenants):
    assert benchmark(Full(jobs, tenants).next_job)


def test_streamed_token(benchmark, full):
    request = full.request()
    full.order.dispatched(request)
    benchmark(full.order.streamed, request.job_id, 1)


def test_booking(benchmark, full):
    tenant = full.tenants["t0"]
    estimate = Estimate(input_tokens=100, output_tokens=100, vram_bytes=10)

    def book():
        full.book.book(tenant, "job", estimate).settle()

    benchmark(book)
