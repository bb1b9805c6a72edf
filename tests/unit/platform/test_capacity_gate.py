"""Which workers have room for a request."""

import pytest

from rbee_scheduler import (
    Catalog,
    InferenceRequest,
    ModelInfo,
    Scheduler,
    Wait,
    Worker,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_platform._capacity import Capacity, CapacityOptions, GateOptions
from rbee_scheduler_platform._fairness import FairOrder


class Floor:
    """A registry, an order and a gate."""

    def __init__(self, *workers, catalog=None, **options):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock, catalog=catalog)
        for worker in workers:
            self.registry.add(worker)
        self.order = FairOrder(self.clock)
        gate = GateOptions(**options)
        self.capacity = Capacity(self.clock, self.order, CapacityOptions(gate=gate))

    def full(self, request):
        snapshot = self.registry.snapshot()
        return dict(
            self.capacity.gate.filter_workers(request, snapshot.free(request.model), snapshot)
        )

    def run(self, request, worker_id):
        self.order.dispatched(request)
        self.capacity.dispatched(request, self.registry.snapshot().worker(worker_id))


def worker(name="gpu", **fields):
    return Worker(id=name, url=f"http://{name}:8080", model="m", **fields)


def job(job_id, tenant="a", tokens=10, max_tokens=90):
    return InferenceRequest(
        job_id=job_id, model="m", prompt="x" * (4 * tokens), max_tokens=max_tokens, tenant_id=tenant
    )


def test_a_worker_is_full_when_the_tokens_in_flight_fill_its_cache():
    floor = Floor(worker(labels={"kv_tokens": "1000"}), fill=0.5, headroom=0.0)
    for n in range(4):
        floor.run(job(f"a{n}"), "gpu")
        assert floor.full(job("next")) == {}
    floor.run(job("a4"), "gpu")
    assert floor.full(job("next")) == {"gpu": "500 tokens are in flight, of 500"}
    floor.capacity.ended("a0")
    assert floor.full(job("next")) == {}


def test_expected_outputs_count_not_the_most_there_could_be():
    floor = Floor(worker(labels={"kv_tokens": "1000"}))
    floor.order.expected.learn("a", 20)
    floor.run(job("a0"), "gpu")
    assert floor.capacity.flights.tokens("gpu") == 30.0


def test_slots_are_never_overdrawn():
    floor = Floor(worker(slots=2, labels={"kv_tokens": "1000000"}))
    snapshot = floor.registry.snapshot()
    one, two = (worker(slots=2, running=running) for running in (1, 2))
    filtered = floor.capacity.filter_workers
    assert filtered(job("next"), [one], snapshot) == {}
    assert filtered(job("next"), [two], snapshot) == {"gpu": "all 2 slots are used"}


def test_slots_times_context_is_the_cache_where_no_label_says_more():
    catalog = Catalog([ModelInfo(model_ref="m", context_length=100)])
    floor = Floor(worker(slots=10), catalog=catalog, fill=0.2, headroom=0.0)
    floor.run(job("a0"), "gpu")
    assert floor.full(job("next")) == {}
    floor.run(job("a1"), "gpu")
    assert floor.full(job("next")) == {"gpu": "200 tokens are in flight, of 200"}


@pytest.mark.parametrize("label", ["", "many", "-5", "0"])
def test_a_worker_that_says_nothing_gets_as_many_as_the_deployment_says(label):
    floor = Floor(worker(labels={"kv_tokens": label}), slots=3)
    for n in range(3):
        assert floor.full(job("next")) == {}
        floor.run(job(f"a{n}"), "gpu")
    assert floor.full(job("next")) == {
        "gpu": "3 requests run there, and it names neither slots nor cache"
    }


def test_headroom_is_for_who_is_next_and_below_its_share():
    floor = Floor(worker(labels={"kv_tokens": "1000"}), fill=0.5, headroom=0.2)
    lane = floor.order.lane("m", "text-gen")
    for n in range(5):
        floor.run(job(f"a{n}"), "gpu")
    lane.add(job("a-waits"))
    assert floor.full(job("a-waits")) == {"gpu": "500 tokens are in flight, of 500"}
    lane.add(job("b-waits", "b"))
    assert floor.full(job("b-waits", "b")) == {}
    floor.run(job("b0", "b"), "gpu")
    floor.run(job("b1", "b"), "gpu")
    assert floor.full(job("b-waits", "b")) == {"gpu": "700 tokens are in flight, of 500"}


def test_headroom_is_not_for_who_had_more_service_than_another_who_waits():
    floor = Floor(worker(labels={"kv_tokens": "2000"}), fill=0.5, headroom=0.5)
    lane = floor.order.lane("m", "text-gen")
    hog = job("hog", "a", tokens=990)
    lane.add(hog)
    lane.remove(hog)
    floor.capacity.dispatched(hog, floor.registry.snapshot().worker("gpu"))
    lane.add(job("a0"))
    lane.add(job("b0", "b"))
    lane.add(job("b1", "b"))
    assert floor.full(job("b0", "b")) == {}
    for n in range(20):  # b runs ahead of a
        floor.order.dispatched(job(f"run{n}", "b", tokens=100))
    assert floor.full(job("b1", "b")) != {}


def test_when_all_are_full_the_request_waits_and_is_not_refused():
    floor = Floor(worker("one", slots=4, labels={"kv_tokens": "100"}), fill=0.5, headroom=0.0)

    class Selects:
        __name__ = "platform"

        @hookimpl
        def rbee_select_worker(self, request, candidates, scores, snapshot):
            return floor.capacity.gate.select_worker(request, candidates, scores, snapshot)

    scheduler = Scheduler(floor.registry, [Selects()])
    assert scheduler.explain(job("first")).action == "dispatch"
    floor.run(job("a0"), "one")
    explained = scheduler.explain(job("next"))
    assert (explained.action, explained.reason) == (
        "wait", "all 1 free workers have as much as they can run",
    )  # fmt: skip


def test_the_best_score_is_first_and_of_equals_the_emptiest_cache():
    workers = [worker(name, labels={"kv_tokens": "1000"}) for name in ("one", "two", "three")]
    floor = Floor(*workers, fill=0.5)
    floor.run(job("a0"), "one")
    snapshot = floor.registry.snapshot()
    gate = floor.capacity.gate
    choose = gate.select_worker
    assert choose(job("x"), snapshot.free("m"), {}, snapshot) == ["two", "three", "one"]
    scores = {"one": 1.0, "two": 0.2, "three": 0.3}
    assert choose(job("x"), snapshot.free("m"), scores, snapshot) == ["one", "three", "two"]
    for n in range(9):
        floor.run(job(f"b{n}", "b"), "two")
    assert choose(job("x"), snapshot.free("m"), scores, snapshot) == ["one", "three"]
    only = [snapshot.worker("two")]
    assert isinstance(choose(job("x", "b"), only, {}, snapshot), Wait)


def test_what_is_in_flight_comes_back_to_nothing():
    floor = Floor(worker("one"), worker("two"))
    flights = floor.capacity.flights
    for n in range(50):
        floor.run(job(f"j{n}", f"t{n % 7}", tokens=n + 1), ("one", "two")[n % 2])
    floor.run(job("j3", "t3"), "one")  # a retry elsewhere takes the first try's place
    assert (len(flights), flights.requests("one"), flights.requests("two")) == (50, 26, 24)
    for n in range(0, 50, 3):
        floor.capacity.first_token(f"j{n}")
        floor.capacity.first_token(f"j{n}")
    for n in range(50):
        floor.capacity.ended(f"j{n}")
        floor.capacity.ended(f"j{n}")
    left = (flights._tokens, flights._requests, flights._unprefilled, flights._shares)
    assert [dict(one) for one in left] == [{}, {}, {}, {}]
    assert (flights.unprefilled_in(("m", "text-gen")), len(flights)) == (0, 0)
