"""Who is next: interactive before batch, then the least service, then the deadline."""

import math

import pytest

from rbee_scheduler import InferenceRequest
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._fairness import FairOrder
from rbee_scheduler_platform._quota import Estimate, QuotaBook


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def order(clock):
    return FairOrder(clock)


def job(job_id, tenant="a", tokens=10, **fields):
    prompt = "x" * (4 * tokens)
    return InferenceRequest(
        job_id=job_id, model="m", prompt=prompt, max_tokens=10, tenant_id=tenant, **fields
    )


def lane_of(order, *jobs):
    lane = order.lane("m", "text-gen")
    for one in jobs:
        lane.add(one)
    return lane


def serve(order, lane, jobs):
    """Give the next job a worker; return its id."""
    job_id = next(iter(lane))
    lane.remove(jobs[job_id])
    return job_id


def test_tenants_take_turns(order):
    lane = lane_of(order, *[job(f"a{n}") for n in range(3)], *[job(f"b{n}", "b") for n in range(3)])
    assert list(lane) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert list(lane) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_who_had_less_service_is_next(order):
    jobs = [job("a0", "a", tokens=100), job("a1"), job("b0", "b"), job("b1", "b"), job("b2", "b")]
    by_id = {one.job_id: one for one in jobs}
    lane = lane_of(order, *jobs)
    assert [serve(order, lane, by_id) for _ in jobs] == ["a0", "b0", "b1", "b2", "a1"]


def test_streamed_tokens_count_twice(order):
    jobs = [job("a0"), job("a1"), job("b0", "b"), job("b1", "b")]
    by_id = {one.job_id: one for one in jobs}
    lane = lane_of(order, *jobs)
    assert [serve(order, lane, by_id), serve(order, lane, by_id)] == ["a0", "b0"]
    order.streamed("a0", 3)
    assert dict(order.service()) == {"a": 16.0, "b": 10.0}
    assert next(iter(lane)) == "b1"
    order.settle("b0", input_tokens=10, output_tokens=4)
    assert next(iter(lane)) == "a1"


def test_weights_divide_what_is_charged(clock):
    order = FairOrder(clock, weight_of={"a": 1.0, "b": 3.0}.__getitem__)
    jobs = [job(f"{tenant}{n}", tenant) for tenant in "ab" for n in range(9)]
    by_id = {one.job_id: one for one in jobs}
    lane = lane_of(order, *jobs)
    served = [serve(order, lane, by_id)[0] for _ in range(8)]
    assert (served.count("a"), served.count("b")) == (2, 6)


def test_a_tenant_that_was_idle_has_saved_up_nothing(order):
    busy = [job(f"a{n}") for n in range(20)]
    by_id = {one.job_id: one for one in busy}
    lane = lane_of(order, *busy)
    for _ in range(10):
        serve(order, lane, by_id)
    late = [job(f"b{n}", "b") for n in range(10)]
    by_id |= {one.job_id: one for one in late}
    lane_of(order, *late)
    served = [serve(order, lane, by_id)[0] for _ in range(10)]
    assert (served.count("a"), served.count("b")) == (5, 5)


def test_when_nobody_waits_the_last_one_served_says_where_to_begin(order):
    for n in range(10):
        order.dispatched(job(f"a{n}"))
    lane = lane_of(order, job("b0", "b"), job("b1", "b"), job("a10"))
    assert list(lane) == ["b0", "a10", "b1"]


def test_leaving_and_coming_back_gains_nothing(order):
    by_id = {f"{t}{n}": job(f"{t}{n}", t) for t in "ab" for n in range(40)}
    lane = lane_of(order, *[by_id[f"a{n}"] for n in range(40)])
    served = []
    for n in range(20):  # b has one job at a time, and sends the next one when that has gone
        lane.add(by_id[f"b{n}"])
        while f"b{n}" not in served:
            served.append(serve(order, lane, by_id))
    share = sum(one.startswith("b") for one in served) / len(served)
    assert share <= 0.55


def test_batch_waits_for_all_interactive_jobs(order):
    lane = lane_of(order, job("a0", priority="batch"), job("b0", "b"), job("b1", "b"))
    assert list(lane) == ["b0", "b1", "a0"]


def test_an_old_batch_job_goes_before_its_tenants_others(clock):
    order = FairOrder(clock, batch_bound=60.0)
    lane = lane_of(order, job("a-batch", priority="batch"))
    clock.advance(59.0)
    lane_of(order, job("a0", deadline=clock.now() + 1.0), job("b0", "b"), job("b1", "b"))
    assert list(lane) == ["a0", "b0", "b1", "a-batch"]
    clock.advance(1.0)
    assert list(lane) == ["a-batch", "b0", "a0", "b1"]


def test_old_batch_jobs_buy_no_more_than_their_tenants_turn(clock):
    order = FairOrder(clock, batch_bound=60.0)
    flood = [job(f"a{n}", priority="batch") for n in range(100)]
    lane = lane_of(order, *flood)
    clock.advance(61.0)
    others = [job(f"b{n}", "b") for n in range(50)]
    lane_of(order, *others)
    by_id = {one.job_id: one for one in flood + others}
    served = [serve(order, lane, by_id)[0] for _ in range(40)]
    assert 19 <= served.count("a") <= 21


def test_time_waited_before_a_restart_counts(clock):
    order = FairOrder(clock, batch_bound=60.0)
    lane = lane_of(
        order,
        job("b0", "b"),
        job("a0", priority="batch", queued_at=clock.now() - 61_000),
        job("c0", "c", priority="batch"),
    )
    assert list(lane) == ["b0", "a0", "c0"]


def test_within_a_tenant_the_earliest_deadline_is_next_then_who_came_first(order, clock):
    now = clock.now()
    lane = lane_of(
        order,
        job("none"),
        job("late", deadline=now + 9000),
        job("soon", deadline_ms=3000, created_at=now),
        job("none too"),
    )
    assert list(lane) == ["soon", "late", "none", "none too"]


def test_the_order_does_not_end_where_nobody_takes_what_is_offered(order):
    jobs = [job(f"a{n}") for n in range(100)] + [job("b0", "b")]
    lane = lane_of(order, *jobs)
    offered = list(lane)
    assert offered == ["a0", "b0", "a1", "a2", "a3"]
    assert list(lane) == offered


def test_a_round_that_is_not_finished_leaves_no_trace(order):
    jobs = [job(f"{tenant}{n}", tenant) for tenant in "abc" for n in range(3)]
    lane = lane_of(order, *jobs)
    whole = list(lane)
    rounds = [iter(lane) for _ in range(3)]
    for depth, one in enumerate(rounds):
        for _ in range(depth + 1):
            next(one)
    assert list(lane) == whole


def test_jobs_may_leave_while_the_order_is_read(order):
    jobs = [job(f"{tenant}{n}", tenant) for tenant in "ab" for n in range(3)]
    by_id = {one.job_id: one for one in jobs}
    lane = lane_of(order, *jobs)
    taken = []
    for job_id in lane:
        if job_id != "a0":
            lane.remove(by_id[job_id])
            taken.append(job_id)
    assert (sorted(taken), list(lane)) == (["a1", "a2", "b0", "b1", "b2"], ["a0"])


def test_a_job_that_was_withdrawn_is_charged_nothing(order):
    one = job("a0")
    lane = lane_of(order, one)
    lane.remove(one)
    order.refund("a0")
    order.refund("a0")
    assert dict(order.service()) == {"a": 0.0}
    lane.remove(one)
    assert len(lane) == 0


def test_a_retry_is_not_charged_twice(order):
    one = job("a0")
    lane = lane_of(order, one)
    lane.remove(one)
    lane.add(one)
    lane.remove(one)
    order.dispatched(one)
    assert dict(order.service()) == {"a": 10.0}


def test_predicted_outputs_are_charged_at_dispatch_and_corrected_at_the_end(clock):
    order = FairOrder(clock, predict=True)
    order.expected.learn("a", 8)
    order.dispatched(job("a0"))
    assert dict(order.service()) == {"a": 26.0}
    order.streamed("a0", 5)
    assert dict(order.service()) == {"a": 26.0}
    order.streamed("a0", 3)
    assert dict(order.service()) == {"a": 26.0}
    order.streamed("a0", 1)
    assert dict(order.service()) == {"a": 28.0}
    order.settle("a0", input_tokens=9, output_tokens=2)
    assert dict(order.service()) == {"a": 13.0}


def test_who_was_charged_too_much_is_next_as_soon_as_that_is_known(order):
    jobs = {f"{t}{n}": job(f"{t}{n}", t) for t in "abc" for n in range(3)}
    lane = lane_of(order, *jobs.values())
    for _ in range(3):
        serve(order, lane, jobs)
    order.streamed("a0", 50)
    for _ in range(3):
        assert serve(order, lane, jobs)[0] in "bc"
    assert next(iter(lane))[0] in "bc"
    order.settle("a0", input_tokens=1, output_tokens=0)
    assert next(iter(lane)) == "a1"


def test_who_had_much_is_not_forgotten_before_the_others_had_as_much(order):
    jobs = {f"{t}{n}": job(f"{t}{n}", t) for t in "ab" for n in range(3)}
    lane = lane_of(order, *jobs.values())
    assert [serve(order, lane, jobs), serve(order, lane, jobs)] == ["a0", "b0"]
    order.streamed("b0", 1000)
    for name in ("b1", "b2"):  # b leaves
        lane.remove(jobs[name])
        order.refund(name)
    for n in range(10):  # others come: each of them lets the order look who can be forgotten
        lane.add(job(f"other{n}", f"other{n}"))
    lane.add(job("b3", "b"))
    assert [job_id for job_id in lane if job_id[0] == "b"] == ["b3"]
    assert list(lane)[-1] == "b3"


def test_what_a_tenant_had_elsewhere_before_it_came_is_no_debt_here(order):
    for n in range(10):
        order.dispatched(job(f"there{n}").changed(model="other"))
    lane = lane_of(order, job("b0", "b"), job("a0"), job("b1", "b"), job("a1"))
    assert list(lane) == ["b0", "a0", "b1", "a1"]


def test_lanes_share_what_is_charged_but_not_who_waits(order):
    here = order.lane("m", "text-gen")
    there = order.lane("other", "text-gen")
    here.add(job("a0"))
    here.add(job("b0", "b"))
    for n in range(3):
        there.add(job(f"a-there{n}").changed(model="other"))
        there.remove(job(f"a-there{n}").changed(model="other"))
    assert list(here) == ["b0", "a0"]
    there.add(job("c0", "c").changed(model="other"))
    assert (len(here), list(there)) == (2, ["c0"])


def test_a_starved_lane_gives_no_credit_elsewhere(order):
    starved = order.lane("scarce", "text-gen")
    starved.add(job("a-scarce").changed(model="scarce"))
    plenty = order.lane("m", "text-gen")
    jobs = {f"b{n}": job(f"b{n}", "b") for n in range(60)}
    for one in jobs.values():
        plenty.add(one)
    for _ in range(40):
        serve(order, plenty, jobs)
    # c waits for the scarce model first: that makes it no poorer than b where b waits.
    starved.add(job("c-scarce", "c").changed(model="scarce"))
    late = {f"c{n}": job(f"c{n}", "c") for n in range(20)}
    for one in late.values():
        plenty.add(one)
    served = [serve(order, plenty, jobs | late)[0] for _ in range(20)]
    assert 9 <= served.count("c") <= 11


def test_held_jobs_are_left_out_until_their_time_comes(clock):
    book = QuotaBook(clock)
    order = FairOrder(clock, holds=book)
    book.on_fall(order.usage_fell)
    woken = []
    lane = order.lane("m", "text-gen", lambda: woken.append(clock.monotonic()))
    acme = Tenant(id="a", quotas=Quotas(requests_per_minute=60, hold=("requests_per_minute",)))
    bookings = [book.book(acme, f"a{n}", Estimate()) for n in range(62)]
    lane.add(job("a60"))
    lane.add(job("a61"))
    lane.add(job("b0", "b"))
    assert (list(lane), order.next_ready()) == (["b0"], 1.0)
    order.tick()
    assert woken == []
    clock.advance(1.0)
    order.tick()
    assert (woken, next(iter(lane))) == ([1.0], "b0")
    assert "a60" in list(lane)
    lane.remove(job("a60"))  # it got a worker: that took the room
    assert (bookings[60].held, list(lane)) == ((), ["b0"])
    assert order.next_ready() == 2.0


def test_held_jobs_are_looked_at_again_when_another_ends(clock):
    book = QuotaBook(clock)
    order = FairOrder(clock, holds=book)
    book.on_fall(order.usage_fell)
    woken = []
    lane = order.lane("m", "text-gen", lambda: woken.append(True))
    acme = Tenant(id="a", quotas=Quotas(max_concurrent_jobs=1, hold=("max_concurrent_jobs",)))
    running = book.book(acme, "a0", Estimate())
    book.book(acme, "a1", Estimate())
    lane.add(job("a1"))
    assert (list(lane), order.next_ready()) == ([], None)
    running.settle()
    assert (list(lane), woken) == (["a1"], [True])


def test_a_held_tenant_saves_up_nothing(clock):
    book = QuotaBook(clock)
    order = FairOrder(clock, holds=book)
    book.on_fall(order.usage_fell)
    acme = Tenant(id="a", quotas=Quotas(max_concurrent_jobs=5, hold=("max_concurrent_jobs",)))
    running = [book.book(acme, f"run{n}", Estimate()) for n in range(5)]
    by_id = {f"{t}{n}": job(f"{t}{n}", t) for t in "ab" for n in range(30)}
    lane = order.lane("m", "text-gen")
    for name, one in by_id.items():
        if name.startswith("a"):
            book.book(acme, name, Estimate())
        lane.add(one)
    assert [serve(order, lane, by_id)[0] for _ in range(20)] == ["b"] * 20
    for one in running:
        one.settle()
    assert [serve(order, lane, by_id)[0] for _ in range(6)].count("b") >= 3


class Until:
    """Holds jobs of the tenant ``a`` back until a moment, which changes each time it is asked."""

    def __init__(self, step):
        self.at, self.step = 1e6, step

    def ready_at(self, request_id):
        if not request_id.startswith("a"):
            return -math.inf
        self.at += self.step
        return self.at

    def claim(self, request_id):
        pass


@pytest.mark.parametrize("step", [0.0, 1e-6, math.inf])
def test_timers_are_bounded_by_tenants_not_by_how_often_they_are_set(clock, step):
    order = FairOrder(clock, holds=Until(step))
    lane = order.lane("m", "text-gen")
    for n in range(1000):
        lane.add(job(f"a{n}"))  # each could be the next one: it is looked at, and held again
    assert len(lane._timers) < 100
    # The first moment that was told and is kept: then it is looked again.
    assert order.next_ready() == (None if step == math.inf else pytest.approx(1e6))


def test_a_timer_that_was_forgotten_is_set_again(clock):
    holds = Until(0.0)
    order = FairOrder(clock, holds=holds)
    lane = lane_of(order, job("a0"))
    for n in range(100):
        holds.at = 1e6 + n % 2  # two moments in turn
        lane.add(job(f"a{n + 1}"))
    lane._forget_timers()
    assert order.next_ready() == 1e6 + 1
    clock.advance(1e6 + 1)
    holds.at = 0.0
    order.tick()
    assert next(iter(lane)) == "a0"


def test_what_a_quota_holds_back_is_nobodys_backlog(clock):
    order = FairOrder(clock, holds=Until(0.0))
    lane = lane_of(order, job("a0"), job("b0", "b"))
    lane.remove(job("b0", "b"))
    order.settle("b0", 10, 10)
    clock.advance(5.0)
    lane.add(job("b1", "b"))
    clock.advance(1.0)
    lane.remove(job("b1", "b"))
    order.settle("b1", 10, 10)
    # Two prompts of 10 tokens in the second in which somebody waited who could go; not in 6.
    assert lane.rate.value == pytest.approx(20.0, rel=0.05)
    assert (lane.queued_service, len(lane)) == (0.0, 1)
    assert lane.ahead(job("b2", "b")) == 0.0
    assert lane.ahead(job("a1")) == 30.0  # a's own does wait before it
    assert order.is_next(job("c0", "c", priority="batch"))
    lane.remove(job("a0"))
    assert (lane.queued_service, lane.interactive.weights) == (0.0, 0.0)


def test_tenants_that_are_gone_are_forgotten(order):
    for n in range(1000):
        one = job(f"job{n}", f"tenant{n}")
        lane = lane_of(order, one)
        lane.remove(one)
        order.settle(one.job_id, 10, 5)
    assert len(order) < 20
    assert len(order.lane("m", "text-gen").interactive) < 20


def test_lanes_that_are_empty_are_forgotten(order):
    for n in range(3000):
        one = job(f"job{n}").changed(model=f"m{n}")
        lane = order.lane(one.model, "text-gen")
        lane.add(one)
        lane.remove(one)
        order.settle(one.job_id, 10, 5)
    assert len(order._lanes) <= 1025


def test_the_prompts_of_jobs_that_left_are_not_kept(order):
    jobs = [job(f"a{n}", priority="batch") for n in range(1000)]
    lane = lane_of(order, *jobs)
    for one in jobs[1:]:
        lane.remove(one)
        order.refund(one.job_id)
    assert len(lane._ageing) < 20
    assert len(lane.batch.place("a")._heap) < 20


def test_counters_that_fall_leave_nothing_behind(order):
    jobs = {f"a{n}": job(f"a{n}") for n in range(3000)}
    lane = lane_of(order, *jobs.values(), job("b0", "b"))
    lane.remove(job("b0", "b"))
    for n in range(2000):
        lane.remove(jobs[f"a{n}"])
        order.streamed(f"a{n}", 2000 - n)
        next(iter(lane))  # notices that the counter rose
        order.settle(f"a{n}", input_tokens=0, output_tokens=0)
    assert len(lane.interactive._heap) < 100


def test_sums_of_weights_come_back_to_nothing(clock):
    order = FairOrder(clock, weight_of=lambda tenant: 0.1 * (1 + ord(tenant) % 7))
    for n in range(500):
        order.dispatched(job(f"j{n}", "abcdefg"[n * 31 % 7]))
    for n in range(500):
        order.refund(f"j{n * 211 % 500}")
    assert (order._weights, order.share_of("a")) == (0.0, 1.0)


def test_what_is_ahead_is_ones_own_turn_not_all_that_waits(order):
    lane = lane_of(order, *[job(f"a{n}") for n in range(9)], *[job(f"b{n}", "b") for n in range(2)])
    # 10 tokens in, 10 out: 30 each. a's own nine, and as much for b, but b has only two.
    assert lane.ahead(job("next")) == 330.0
    assert lane.ahead(job("next", "b")) == 120.0
    assert lane.ahead(job("next", "c")) == 0.0
    assert lane.ahead(job("next", "c", priority="batch")) == 330.0
    # Who is 60 ahead of the others waits until they have caught up.
    order.dispatched(job("c0", "c", tokens=60))
    assert lane.ahead(job("next", "c")) == 180.0


def test_what_waits_is_counted_by_class_and_tenant(order):
    one, batch = job("a0"), job("b0", "b", priority="batch")
    lane = lane_of(order, one, batch)
    assert (order.waiting("interactive"), order.waiting("batch", "b")) == (1, 1)
    assert order.waiting("batch", "a") == 0
    lane.remove(one)
    assert (order.waiting("interactive"), order.waiting("batch")) == (0, 1)


def test_a_changed_weight_counts_from_the_next_request_on(clock):
    weights = {"a": 1.0, "b": 1.0}
    order = FairOrder(clock, weight_of=weights.__getitem__)
    lane = lane_of(order, job("a0"), job("b0", "b"))
    assert (order.share_of("a"), lane.interactive.weights) == (0.5, 2.0)
    weights["a"] = 3.0
    lane.add(job("a1"))
    assert (order.share_of("a"), lane.interactive.weights) == (0.75, 4.0)
