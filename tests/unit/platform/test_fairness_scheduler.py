"""The deciding half in core's own scheduler: real queue, real placement, virtual time."""

from contextlib import asynccontextmanager

import anyio
import pytest

from rbee_scheduler import (
    Allow,
    Deny,
    InferenceRequest,
    Scheduler,
    Worker,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Capacity, Estimate, FairOrder, QuotaBook, Quotas, Tenant
from rbee_scheduler_platform._quota import Denial


class Glue:
    """The plugin as the platform makes it, without what is durable."""

    __name__ = "platform"

    def __init__(self, clock, *tenants):
        self.tenants = {tenant.id: tenant for tenant in tenants}
        self.book = QuotaBook(clock)
        self.order = FairOrder(
            clock, weight_of=lambda tenant: self.tenants[tenant].weight, holds=self.book
        )
        self.book.on_fall(self.order.usage_fell)
        self.capacity = Capacity(clock, self.order)
        self.ended = []

    @hookimpl
    def rbee_check_quota(self, request):
        booking = self.book.book(
            self.tenants[request.tenant_id], request.job_id, Estimate.of(request)
        )
        if isinstance(booking, Denial):
            return Deny(booking.reason, retry_after=booking.retry_after)
        return Allow(Charge(self, booking))

    @hookimpl
    def rbee_order_lane(self, model, task, wake):
        return self.order.lane(model, task, wake)

    @hookimpl
    def rbee_select_worker(self, request, candidates, scores, snapshot):
        return self.capacity.gate.select_worker(request, candidates, scores, snapshot)

    @hookimpl
    def rbee_reserve(self, request, worker):
        self.book.claim(request.job_id)
        self.order.dispatched(request)
        self.capacity.dispatched(request, worker)

    @hookimpl
    def rbee_release(self, request):
        self.capacity.ended(request.job_id)


class Charge:
    def __init__(self, glue, booking):
        self.glue, self.booking = glue, booking

    def settle(self, outcome):
        used = self.booking.settle(outcome.usage)
        self.glue.order.settle(self.booking.request_id, used.input_tokens, used.output_tokens)

    def refund(self):
        self.booking.refund()
        self.glue.order.refund(self.booking.request_id)

    def streamed(self, tokens):
        self.booking.streamed(tokens)
        self.glue.order.streamed(self.booking.request_id, tokens)


class Service:
    """One worker with one slot, and requests that hold it until they are told to end."""

    def __init__(self, *tenants, **worker):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        self.registry.add(Worker(id="gpu", url="http://gpu:1", model="m", **worker or {"slots": 1}))
        self.glue = Glue(self.clock, *tenants)
        self.scheduler = Scheduler(self.registry, [self.glue])
        self.begun = []
        self.go_on = {}
        self.scopes = {}
        self.refused = {}

    def ask(self, tasks, job_id, tenant, tokens=10, **fields):
        request = InferenceRequest(
            job_id=job_id, model="m", prompt="x" * (4 * tokens), tenant_id=tenant, **fields
        )
        tasks.start_soon(self._run, request)

    async def _run(self, request):
        job_id = request.job_id
        self.go_on[job_id] = anyio.Event()
        with anyio.CancelScope() as self.scopes[job_id]:
            try:
                async with self.scheduler.hold(request) as hold:
                    self.begun.append(job_id)
                    await self.go_on[job_id].wait()
                    hold.streamed(5)
                    hold.succeeded()
            except Exception as error:  # noqa: BLE001 - kept for the test
                self.refused[job_id] = error

    async def end_all(self):
        """End whoever runs, until nobody does."""
        ended = 0
        while ended < len(self.begun):
            self.go_on[self.begun[ended]].set()
            ended += 1
            await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def service(*tenants, **worker):
    one = Service(*tenants, **worker)
    async with one.scheduler, anyio.create_task_group() as tasks:
        yield one, tasks


async def ask_all(one, tasks, *jobs, **fields):
    for job_id, tenant in jobs:
        one.ask(tasks, job_id, tenant, **fields)
        await anyio.wait_all_tasks_blocked()


async def test_tenants_take_turns_however_many_jobs_one_sends():
    async with service(Tenant(id="a"), Tenant(id="b")) as (one, tasks):
        await ask_all(one, tasks, *[(f"a{n}", "a") for n in range(6)], ("b0", "b"), ("b1", "b"))
        await one.end_all()
        assert one.begun == ["a0", "b0", "a1", "b1", "a2", "a3", "a4", "a5"]
        assert one.refused == {}
        assert dict(one.glue.order.service()) == {"a": 120.0, "b": 40.0}


async def test_who_waits_for_room_in_a_cache_gets_it_when_there_is_some():
    one_fits = {"kv_tokens": "200"}
    async with service(Tenant(id="a"), labels=one_fits) as (one, tasks):
        await ask_all(one, tasks, *[(f"a{n}", "a") for n in range(5)], tokens=200)
        assert one.begun == ["a0"]
        one.go_on["a0"].set()
        await anyio.wait_all_tasks_blocked()
        assert one.begun == ["a0", "a1"]
        await one.end_all()
        assert one.begun == ["a0", "a1", "a2", "a3", "a4"]


async def test_jobs_that_are_given_a_worker_at_once_see_each_other():
    two_fit = {"kv_tokens": "1000"}  # 300 tokens of prompt and 256 of output each
    async with service(Tenant(id="a"), labels=two_fit) as (one, tasks):
        one.registry.update("gpu", status="busy")
        await ask_all(one, tasks, *[(f"a{n}", "a") for n in range(9)], tokens=300)
        assert one.begun == []
        one.registry.update("gpu", status="ready")
        await anyio.wait_all_tasks_blocked()
        assert sorted(one.begun) == ["a0", "a1"]
        await one.end_all()
        assert len(one.begun) == 9


async def test_weights_are_shares():
    async with service(Tenant(id="a"), Tenant(id="b", weight=3.0)) as (one, tasks):
        await ask_all(one, tasks, ("first", "a"))
        await ask_all(one, tasks, *[(f"{t}{n}", t) for n in range(9) for t in "ab"])
        await one.end_all()
        first = [job_id[0] for job_id in one.begun[1:9]]
        assert (first.count("a"), first.count("b")) == (2, 6)


async def test_what_is_held_goes_when_another_request_of_its_tenant_ends():
    quotas = Quotas(max_concurrent_jobs=1, hold=("max_concurrent_jobs",))
    async with service(Tenant(id="a", quotas=quotas), Tenant(id="b")) as (one, tasks):
        await ask_all(one, tasks, ("a0", "a"), ("a1", "a"), ("a2", "a"), ("b0", "b"))
        await one.end_all()
        assert sorted(one.begun) == ["a0", "a1", "a2", "b0"]
        assert one.begun[0] == "a0"
        assert one.glue.book.jobs("a") == 0


async def test_what_is_held_waits_though_a_worker_is_free_and_goes_in_time():
    quotas = Quotas(requests_per_minute=60, hold=("requests_per_minute",))
    async with service(Tenant(id="a", quotas=quotas), slots=100) as (one, tasks):
        await ask_all(one, tasks, *[(f"a{n}", "a") for n in range(62)])
        assert len(one.begun) == 60
        for seconds in (0.5, 0.4, 0.1):
            assert len(one.begun) == 60
            one.clock.advance(seconds)
            one.glue.order.tick()
            await anyio.wait_all_tasks_blocked()
        assert one.begun[60:] == ["a60"]
        assert one.glue.order.next_ready() == 2.0
        one.clock.advance(1.0)
        one.glue.order.tick()
        await anyio.wait_all_tasks_blocked()
        assert one.begun[60:] == ["a60", "a61"]
        await one.end_all()


async def test_what_is_cancelled_anywhere_gives_everything_back():
    quotas = Quotas(max_concurrent_jobs=5, tokens_daily=100_000)
    acme = Tenant(id="a", quotas=quotas)
    async with service(acme) as (one, tasks):
        await ask_all(one, tasks, ("a0", "a"), ("a1", "a"), ("a2", "a"))
        one.scopes["a1"].cancel()
        await anyio.wait_all_tasks_blocked()
        one.scopes["a0"].cancel()
        await anyio.wait_all_tasks_blocked()
        assert one.begun == ["a0", "a2"]
        await one.end_all()
        glue = one.glue
        assert (glue.book.jobs("a"), len(glue.capacity.flights), len(glue.order._running)) == (
            0,
            0,
            0,
        )
        assert glue.order.waiting("interactive") == 0
        # a0 ran, and is charged its prompt; a1 never did; a2 generated five tokens.
        remaining = {limit.name: limit.remaining for limit in glue.book.rate_limits(acme)}
        assert remaining["tokens_daily"] == 100_000 - 10 - 15


@pytest.mark.parametrize("limit", [1, 3])
async def test_what_is_too_much_is_refused_with_429(limit):
    acme = Tenant(id="a", quotas=Quotas(requests_per_minute=limit))
    async with service(acme) as (one, tasks):
        await ask_all(one, tasks, *[(f"a{n}", "a") for n in range(limit + 1)])
        error = one.refused[f"a{limit}"]
        assert (error.code, error.retry_after) == ("QUOTA_EXCEEDED", 60.0 / limit)
        await one.end_all()
        assert len(one.begun) == limit
