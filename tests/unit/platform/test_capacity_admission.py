"""Who may wait, and who is told at once that it makes no sense."""

import pytest

from rbee_scheduler import (
    CapacityExceeded,
    DeadlineExceeded,
    InferenceRequest,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._capacity import Capacity, CapacityOptions
from rbee_scheduler_platform._fairness import FairOrder


GPU = Worker(id="gpu", url="http://gpu:8080", model="m", slots=1)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def registry(clock):
    registry = WorkerRegistry(clock=clock)
    registry.add(GPU)
    return registry


def job(job_id, tenant="a", tokens=100, max_tokens=100, **fields):
    return InferenceRequest(
        job_id=job_id,
        model="m",
        prompt="x" * (4 * tokens),
        max_tokens=max_tokens,
        tenant_id=tenant,
        **fields,
    )


def capacity_of(clock, **options):
    order = FairOrder(clock)
    return Capacity(clock, order, CapacityOptions(**options)), order.lane("m", "text-gen")


def fill(lane, number, tenant="a", **fields):
    jobs = [
        job(f"{tenant}{n}-{fields.get('priority', '')}", tenant, **fields) for n in range(number)
    ]
    for one in jobs:
        lane.add(one)
    return jobs


def test_a_flood_leaves_places_for_others(clock, registry):
    capacity, lane = capacity_of(clock, queue={"interactive": 100})
    snapshot = registry.snapshot()
    registry.reserve("gpu")
    busy = registry.snapshot()
    admitted = 0
    while capacity.admit(job(f"a{admitted}"), busy) is None:
        lane.add(job(f"a{admitted}"))
        admitted += 1
    assert admitted == 80
    refusal = capacity.admit(job("more"), busy)
    assert refusal.code == "queue_full"
    assert refusal.reason == "80 interactive jobs wait, of 100, 80 of them yours"
    others = 0
    while capacity.admit(job(f"b{others}", "b"), busy) is None:
        lane.add(job(f"b{others}", "b"))
        others += 1
    assert others == 16
    assert capacity.admit(job("c", "c"), busy) is None
    assert capacity.admit(job("more"), snapshot) is not None


def test_the_bound_of_a_class_is_hard(clock, registry):
    capacity, lane = capacity_of(clock, queue={"interactive": 50})
    registry.reserve("gpu")
    for n in range(200):
        one = job(f"j{n}", f"t{n}")
        if capacity.admit(one, registry.snapshot()) is None:
            lane.add(one)
    assert len(lane) == 50


def test_classes_are_bounded_each_for_itself(clock, registry):
    capacity, lane = capacity_of(clock, queue={"interactive": 10, "batch": 1})
    registry.reserve("gpu")
    fill(lane, 1, priority="batch")
    snapshot = registry.snapshot()
    assert capacity.admit(job("batch", priority="batch"), snapshot).code == "queue_full"
    assert capacity.admit(job("interactive"), snapshot) is None


def test_a_full_queue_is_no_matter_to_who_need_not_wait(clock, registry):
    capacity, _ = capacity_of(clock, queue={"interactive": 1})
    capacity._order.lane("other", "text-gen").add(job("x").changed(model="other"))
    assert capacity.admit(job("goes"), registry.snapshot()) is None
    registry.reserve("gpu")
    assert capacity.admit(job("waits"), registry.snapshot()).retry_after == 1.0


def drain(clock, capacity, lane, jobs, seconds_each):
    """Serve jobs one by one, each ``seconds_each``: first half of it to the first token."""
    for one in jobs:
        lane.remove(one)
        capacity.dispatched(one, GPU)
        clock.advance(seconds_each / 2)
        capacity.first_token(one.job_id)
        capacity._order.streamed(one.job_id, 100)
        clock.advance(seconds_each / 2)
        capacity._order.settle(one.job_id, 100, 100)
        capacity.ended(one.job_id)


def test_the_first_token_is_predicted_from_what_is_ahead(clock, registry):
    capacity, lane = capacity_of(clock)
    snapshot = registry.snapshot()
    assert capacity.predict(job("first"), snapshot) is None
    jobs = fill(lane, 30)
    drain(clock, capacity, lane, jobs[:20], 2.0)
    prediction = capacity.predict(job("next"), snapshot)
    # 10 jobs of 2 s each are ahead; 100 tokens of prompt take a second.
    assert prediction.wait == pytest.approx(20.0, rel=0.1)
    assert prediction.prefill == pytest.approx(1.0, rel=0.01)
    # A tenant that comes anew is next, for it has waited for nothing yet.
    assert capacity.predict(job("other", "b"), snapshot).wait == 0.0


def test_what_is_on_the_worker_without_a_first_token_is_ahead_too(clock, registry):
    capacity, lane = capacity_of(clock)
    drain(clock, capacity, lane, fill(lane, 5), 2.0)
    snapshot = registry.snapshot()
    alone = capacity.predict(job("next"), snapshot).prefill
    capacity.dispatched(job("long", tokens=300), GPU)
    assert capacity.predict(job("next"), snapshot).prefill == pytest.approx(4 * alone)
    capacity.first_token("long")
    assert capacity.predict(job("next"), snapshot).prefill == pytest.approx(alone, rel=0.2)


def test_who_would_be_too_late_is_told_at_once(clock, registry):
    capacity, lane = capacity_of(clock)
    jobs = fill(lane, 30)
    drain(clock, capacity, lane, jobs[:20], 2.0)
    snapshot = registry.snapshot()
    refusal = capacity.admit(job("late", deadline_ms=10_000.0), snapshot)
    assert refusal.code == "too_late"
    assert isinstance(refusal.error(), DeadlineExceeded)
    assert refusal.reason.endswith("after the deadline")
    assert capacity.admit(job("in time", deadline_ms=60_000.0), snapshot) is None


def test_who_would_wait_too_long_is_told_when_to_come_back(clock, registry):
    capacity, lane = capacity_of(clock, first_token_limit={"interactive": 5.0})
    jobs = fill(lane, 30)
    drain(clock, capacity, lane, jobs[:20], 2.0)
    snapshot = registry.snapshot()
    refusal = capacity.admit(job("slow"), snapshot)
    assert (refusal.code, refusal.retry_after) == ("too_slow", pytest.approx(16.0, rel=0.1))
    assert isinstance(refusal.error(), CapacityExceeded)
    assert refusal.error().retry_after == refusal.retry_after
    assert capacity.admit(job("batch", priority="batch"), snapshot) is None
    drain(clock, capacity, lane, jobs[20:29], 2.0)  # it comes back after that time
    assert capacity.admit(job("slow"), snapshot) is None


def test_a_full_queue_says_when_a_place_is_free(clock, registry):
    capacity, lane = capacity_of(clock, queue={"interactive": 10})
    jobs = fill(lane, 30)
    drain(clock, capacity, lane, jobs[:20], 4.0)
    registry.reserve("gpu")
    refusal = capacity.admit(job("more"), registry.snapshot())
    assert refusal.code == "queue_full"
    assert refusal.retry_after == pytest.approx(4.0, rel=0.1)


def test_time_without_a_backlog_says_nothing_about_the_rate(clock, registry):
    capacity, lane = capacity_of(clock)
    jobs = fill(lane, 11)
    drain(clock, capacity, lane, jobs[:10], 2.0)
    lane.remove(jobs[10])
    before = lane.rate.value
    clock.advance(10_000.0)
    fill(lane, 3, "b")
    assert lane.rate.value == pytest.approx(before)


def test_prefill_speeds_of_lanes_are_bounded(clock, registry):
    capacity, _ = capacity_of(clock)
    for n in range(3000):
        one = job(f"j{n}").changed(model=f"m{n}")
        capacity.dispatched(one, GPU)
        capacity.first_token(one.job_id)
        capacity.ended(one.job_id)
    assert len(capacity._prefill) <= 1024


def test_a_request_for_a_model_that_nobody_has_makes_no_lane(clock, registry):
    capacity, lane = capacity_of(clock)
    drain(clock, capacity, lane, fill(lane, 5), 2.0)
    rate = lane.rate.value
    for n in range(2000):  # a lane that is forgotten forgets its rate
        capacity.admit(job(f"j{n}").changed(model=f"m{n}"), registry.snapshot())
    assert capacity._order.lane("m", "text-gen").rate.value == rate


def test_the_wait_is_predicted_where_no_first_token_was_ever_heard_of(clock, registry):
    capacity, lane = capacity_of(clock)
    jobs = fill(lane, 30)
    for one in jobs[:20]:
        lane.remove(one)
        clock.advance(2.0)
        capacity._order.settle(one.job_id, 100, 100)
    prediction = capacity.predict(job("next"), registry.snapshot())
    assert prediction.wait == pytest.approx(20.0, rel=0.1)
    assert prediction.prefill == 0.0
    late = job("late", deadline=clock.now() + 10_000.0)
    assert capacity.admit(late, registry.snapshot()).code == "too_late"
