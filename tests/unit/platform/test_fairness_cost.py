"""What an order costs, counted in comparisons: no more than the logarithm of what waits."""

import math

import pytest

from rbee_scheduler import InferenceRequest
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._fairness import FairOrder


class Counted(float):
    """A float that counts how often it is compared; sums and quotients of it do, too."""

    comparisons = 0

    def _compared(name):  # noqa: N805 - makes the methods below
        compare = getattr(float, name)

        def counting(self, other):
            Counted.comparisons += 1
            return compare(self, other)

        return counting

    def _counted(name):  # noqa: N805 - makes the methods below
        compute = getattr(float, name)
        return lambda self, other: Counted(compute(self, other))

    for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__"):
        locals()[_name] = _compared(_name)
    for _name in ("__add__", "__radd__", "__sub__", "__rsub__", "__rtruediv__", "__rmul__"):
        locals()[_name] = _counted(_name)
    __hash__ = float.__hash__


def comparisons_per_job(jobs, tenants, steps=60):
    """Serve and refill a lane of ``jobs``; return the comparisons that each step took."""
    clock = VirtualClock()
    order = FairOrder(clock, weight_of=lambda _: Counted(1.0))
    lane = order.lane("m", "text-gen")

    def job(number):
        return InferenceRequest(
            job_id=str(number),
            model="m",
            prompt="x" * (1 + number * 7919 % 997),
            max_tokens=10,
            tenant_id=f"t{number % tenants}",
            deadline=Counted(clock.now() + number * 104_729 % 99_991),
        )

    waiting = {}
    for number in range(jobs):
        waiting[str(number)] = job(number)
        lane.add(waiting[str(number)])
    Counted.comparisons = 0
    for step in range(steps):
        job_id = next(iter(lane))
        lane.remove(waiting.pop(job_id))
        order.streamed(job_id, 3)
        newcomer = job(jobs + step)
        waiting[newcomer.job_id] = newcomer
        lane.add(newcomer)
    return Counted.comparisons / steps


def test_the_count_sees_a_sort():
    Counted.comparisons = 0
    sorted(Counted(n * 7919 % 997) for n in range(1000))
    assert Counted.comparisons > 5000


@pytest.mark.parametrize("tenants", [10, 100, 1000])
def test_a_step_costs_the_logarithm_of_the_jobs(tenants):
    few, many = (comparisons_per_job(jobs, tenants) for jobs in (1_000, 16_000))
    # 16 times as many jobs are 4 levels of a heap more; a level costs about 4 comparisons
    # (a tuple is compared for equality first), going down and coming up.
    assert many - few < 4 * 8
    assert many < 16 * math.log2(16_000)


def test_a_step_costs_the_logarithm_of_the_tenants():
    few, many = (comparisons_per_job(8_000, tenants) for tenants in (8, 8_000))
    assert many - few < 10 * 16
    assert many < 16 * math.log2(8_000)


def test_a_streamed_token_costs_the_same_however_much_waits():
    clock = VirtualClock()
    order = FairOrder(clock, weight_of=lambda _: Counted(1.0))
    lane = order.lane("m", "text-gen")
    request = InferenceRequest(job_id="first", model="m", prompt="x", tenant_id="t0")
    order.dispatched(request)
    counts = []
    for number in range(200):
        lane.add(request.changed(job_id=f"job{number}", tenant_id=f"t{number % 20}"))
        Counted.comparisons = 0
        order.streamed("first", 1)
        counts.append(Counted.comparisons)
    assert len(set(counts[1:])) == 1
