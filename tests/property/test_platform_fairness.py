"""Laws of the fair order: everybody is served, nobody gets more than its weight's share."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rbee_scheduler import InferenceRequest
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._fairness import FairOrder


LONGEST_PROMPT = 100
LONGEST_ANSWER = 80
SLOTS = 4


def job(number, tenant, tokens, **fields):
    return InferenceRequest(
        job_id=f"{tenant}-{number}",
        model="m",
        prompt="x" * (4 * tokens),
        max_tokens=LONGEST_ANSWER,
        tenant_id=tenant,
        **fields,
    )


jobs = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, LONGEST_PROMPT), st.booleans()),
    min_size=1,
    max_size=80,
)


@given(jobs)
def test_every_job_is_served_once(wanted):
    order = FairOrder(VirtualClock())
    lane = order.lane("m", "text-gen")
    waiting = {}
    for number, (tenant, tokens, batch) in enumerate(wanted):
        one = job(number, tenant, tokens, priority="batch" if batch else "interactive")
        waiting[one.job_id] = one
        lane.add(one)
    served = []
    while waiting:
        job_id = next(iter(lane))
        lane.remove(waiting.pop(job_id))
        served.append(job_id)
    assert (len(served), len(set(served)), list(lane)) == (len(wanted), len(wanted), [])
    assert (lane.queued_service, lane.interactive.weights, lane.batch.weights) == (0.0, 0.0, 0.0)
    assert (order.waiting("interactive"), order.waiting("batch")) == (0, 0)


@given(jobs)
def test_without_takers_a_round_offers_each_tenant_and_changes_nothing(wanted):
    order = FairOrder(VirtualClock())
    lane = order.lane("m", "text-gen")
    for number, (tenant, tokens, batch) in enumerate(wanted):
        lane.add(job(number, tenant, tokens, priority="batch" if batch else "interactive"))
    offered = list(lane)
    assert {job_id[0] for job_id in offered} == {tenant for tenant, *_ in wanted}
    assert len(offered) == len(set(offered))
    assert list(lane) == offered


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.5, 8.0), min_size=2),
    st.lists(
        st.tuples(st.integers(1, LONGEST_PROMPT), st.integers(0, LONGEST_ANSWER)),
        min_size=8,
        max_size=150,
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_between_tenants_that_wait_the_gap_stays_under_the_bound(weights, sizes, predict):
    """2U over the smaller weight: U = max(w_p * longest prompt, w_q * tokens that run)."""
    order = FairOrder(VirtualClock(), weight_of=weights.__getitem__, predict=predict)
    lane = order.lane("m", "text-gen")
    waiting, running, left = {}, {}, {}
    got = dict.fromkeys(weights, 0.0)
    number = 0

    def refill(tenant):  # everybody waits all the time
        nonlocal number
        while sum(one[0] == tenant for one in waiting) < 2:
            tokens, answer = sizes[number % len(sizes)]
            one = job(number, tenant, tokens)
            waiting[one.job_id] = one
            left[one.job_id] = (tokens, answer)
            lane.add(one)
            number += 1

    for tenant in weights:
        refill(tenant)
    lightest = min(weights.values())
    bound = 2 * max(LONGEST_PROMPT, 2 * SLOTS * LONGEST_ANSWER) / lightest
    bound += 2 * LONGEST_PROMPT / lightest  # ours charges a prompt at dispatch, not as it is read
    for _ in range(len(sizes)):
        while len(running) < SLOTS:
            job_id = next(iter(lane))
            lane.remove(waiting.pop(job_id))
            tenant = job_id[0]
            running[job_id] = left.pop(job_id)
            got[tenant] += running[job_id][0] / weights[tenant]
            refill(tenant)
        for job_id, (tokens, answer) in list(running.items()):
            tenant = job_id[0]
            step = min(answer, 30)
            order.streamed(job_id, step)
            got[tenant] += 2 * step / weights[tenant]
            if answer - step <= 0:
                del running[job_id]
                order.settle(job_id, tokens)
            else:
                running[job_id] = (tokens, answer - step)
        assert max(got.values()) - min(got.values()) <= bound


class Accounts(RuleBasedStateMachine):
    """Jobs come, go, stream and end in any order; what was charged is what was used."""

    @initialize(predict=st.booleans())
    def begin(self, predict):
        self.clock = VirtualClock()
        self.order = FairOrder(self.clock, predict=predict, batch_bound=30.0)
        self.lane = self.order.lane("m", "text-gen")
        self.waiting, self.running, self.number = {}, {}, 0

    @rule(tenant=st.sampled_from("abc"), tokens=st.integers(1, 50), batch=st.booleans())
    def comes(self, tenant, tokens, batch):
        self.number += 1
        one = job(self.number, tenant, tokens, priority="batch" if batch else "interactive")
        self.waiting[one.job_id] = (one, self.clock.monotonic())
        self.lane.add(one)

    @precondition(lambda self: self.waiting)
    @rule()
    def is_served(self):
        job_id = next(iter(self.lane))
        one, _ = self.waiting.pop(job_id)
        self.aged_first(job_id)
        self.lane.remove(one)
        self.running[job_id] = 0

    def aged_first(self, job_id):
        """An aged batch job waits for its tenant's turn only: nobody above it is served."""
        now = self.clock.monotonic()
        aged = [
            (since, one)
            for one, since in [*self.waiting.values()]
            if one.priority == "batch" and now - since >= 30.0
        ]
        place = self.lane.interactive.place(job_id[0])
        for _, one in aged:
            if one.tenant_id != job_id[0]:
                other = self.lane.interactive.place(one.tenant_id)
                assert place is not None
                assert place.key <= other.key + 1e-6

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def is_withdrawn(self, data):
        job_id = data.draw(st.sampled_from(sorted(self.waiting)))
        one, _ = self.waiting.pop(job_id)
        self.lane.remove(one)
        self.order.refund(job_id)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.integers(1, 20))
    def streams(self, data, tokens):
        job_id = data.draw(st.sampled_from(sorted(self.running)))
        self.order.streamed(job_id, tokens)
        self.running[job_id] += tokens

    @precondition(lambda self: self.running)
    @rule(data=st.data(), counted=st.none() | st.integers(0, 60))
    def ends(self, data, counted):
        job_id = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[job_id]
        self.order.settle(job_id, counted, counted)
        self.order.settle(job_id, 1000, 1000)

    @rule(seconds=st.floats(0.1, 20.0))
    def passes(self, seconds):
        self.clock.advance(seconds)

    @rule(stop=st.integers(0, 5))
    def is_read_in_part(self, stop):
        for number, _ in enumerate(self.lane):
            if number >= stop:
                break

    @invariant()
    def who_waits_is_offered(self):
        if hasattr(self, "lane"):
            offered = list(self.lane)
            tenants = {one.tenant_id for one, _ in self.waiting.values()}
            assert {job_id[0] for job_id in offered} == tenants
            assert len(self.lane) == len(self.waiting)

    @invariant()
    def sums_agree(self):
        if hasattr(self, "lane"):
            cost = math.fsum(share.cost for share in (self.lane.interactive, self.lane.batch))
            assert (cost > 0) == bool(self.waiting)
            assert all(service >= -1e-6 for service in self.order.service().values())
            assert len(self.order._running) == len(self.running)


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


@given(jobs, st.integers(0, 3))
@settings(deadline=None)
def test_a_batch_job_waits_no_longer_than_the_bound_and_its_tenants_turn(wanted, others):
    """One batch job against tenants who never stop: after the bound it is next but for ties."""
    clock = VirtualClock()
    order = FairOrder(clock, batch_bound=60.0)
    lane = order.lane("m", "text-gen")
    patient = job(0, "patient", 10, priority="batch")
    lane.add(patient)
    waiting = {}
    for number, (tenant, tokens, _) in enumerate(wanted * (others + 1)):
        one = job(number, tenant, tokens)
        waiting[one.job_id] = one
        lane.add(one)
    clock.advance(60.0)
    tenants = {one.tenant_id for one in waiting.values()}
    for _ in range(len(tenants) + 1):
        job_id = next(iter(lane))
        if job_id == patient.job_id:
            return
        lane.remove(waiting.pop(job_id))
    raise AssertionError("it was not served after each other tenant had had one turn")
