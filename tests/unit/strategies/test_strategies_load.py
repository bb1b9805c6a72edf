"""The strategies without a session: whom each of them prefers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import WorkerRegistry
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler_strategies import (
    Cheapest,
    Fastest,
    LeastInFlight,
    PowerOfTwo,
    RandomWorker,
    RoundRobin,
)


# As the scheduler makes the seeds of its decisions.
GOLDEN = 0x9E3779B97F4A7C15


def fleet_of(*fields, **common):
    """Return workers w0, w1, ..., one for each mapping of fields."""
    made = free_workers(len(fields), **common)
    return [worker.revised(**own) for worker, own in zip(made, fields, strict=True)]


def select(strategy, workers, *, turn=0, seed=0):
    snapshot = fleet(workers, turn=turn, seed=seed)
    return strategy.rbee_select_worker(snapshot.free("m"), snapshot)


def seeds(count):
    return [n * GOLDEN & 0xFFFF_FFFF_FFFF_FFFF for n in range(count)]


# ---- round-robin and random ------------------------------------------------------------------


def test_round_robin_goes_by_the_turn():
    workers = free_workers(3)
    assert [select(RoundRobin(), workers, turn=turn)[0] for turn in range(4)] == [
        "w0",
        "w1",
        "w2",
        "w0",
    ]


def test_round_robin_goes_round_the_end():
    assert select(RoundRobin(), free_workers(9), turn=16) == ["w7"]
    assert select(RoundRobin(), free_workers(2), turn=1) == ["w1"]


def test_random_draws_evenly():
    workers = free_workers(4)
    drawn = Counter(select(RandomWorker(), workers, seed=seed)[0] for seed in seeds(1000))
    # Binomial: mean 250, standard deviation 13.7.
    assert all(abs(drawn[w.id] - 250) < 5 * 14 for w in workers)


class Untouchable:
    """Candidates that may be counted and named by place, and not walked through."""

    def __init__(self, workers):
        self.workers = workers
        self.looks = 0

    def __len__(self):
        return len(self.workers)

    def __getitem__(self, place):
        self.looks += 1
        return self.workers[place]

    __iter__ = None


@pytest.mark.parametrize("strategy", [RoundRobin(), RandomWorker(), PowerOfTwo()])
def test_large_fleets_are_not_walked_through(strategy):
    snapshot = fleet(free_workers(1000), turn=999, seed=GOLDEN)
    candidates = Untouchable(snapshot.workers())
    assert strategy.rbee_select_worker(candidates, snapshot)
    assert candidates.looks <= 5


# ---- least-in-flight -------------------------------------------------------------------------


def test_the_fewest_requests_for_the_slots():
    workers = fleet_of({"slots": 2, "running": 1}, {"slots": 8, "running": 3}, {"slots": 1})
    assert select(LeastInFlight(), workers[:2]) == ["w1"]
    assert select(LeastInFlight(), workers) == ["w2"]


def test_unknown_slots_count_what_runs():
    assert select(LeastInFlight(), fleet_of({"running": 3}, {"running": 2})) == ["w1"]


def test_our_own_requests_count_at_once():
    registry = WorkerRegistry()
    for worker in free_workers(2, slots=4):
        registry.add(worker)
    registry.reserve("w0")
    snapshot = registry.snapshot()
    assert LeastInFlight().rbee_select_worker(snapshot.free("m"), snapshot) == ["w1"]


def test_equals_take_turns_and_are_each_others_fallbacks():
    workers = fleet_of({}, {"running": 1}, {}, {"running": 2}, {}, slots=4)
    orders = [select(LeastInFlight(), workers, turn=turn) for turn in range(4)]
    assert orders == [
        ["w0", "w2", "w4"],
        ["w2", "w4", "w0"],
        ["w4", "w0", "w2"],
        ["w0", "w2", "w4"],
    ]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=300), st.integers(0, 10**6))
def test_nobody_has_less_than_those_named(running, turn):
    workers = [
        worker.changed(running=busy)
        for worker, busy in zip(free_workers(len(running), slots=8), running, strict=True)
    ]
    named = select(LeastInFlight(), workers, turn=turn)
    counts = {worker.id: worker.running for worker in workers}
    assert [counts[name] for name in named] == [min(running)] * len(named)
    assert len(named) == min(5, running.count(min(running)))


# ---- power-of-two ----------------------------------------------------------------------------


def test_every_ordered_pair_is_as_likely():
    workers = free_workers(4)
    pairs = Counter(tuple(select(PowerOfTwo(), workers, seed=seed)) for seed in seeds(2400))
    # 12 pairs of different workers; binomial: mean 200, standard deviation 13.5.
    assert len(pairs) == 12
    assert all(first != second for first, second in pairs)
    assert all(abs(count - 200) < 5 * 14 for count in pairs.values())


@given(st.integers(0, 2**64 - 1))
def test_the_less_loaded_of_the_two_comes_first(seed):
    workers = fleet_of(*({"running": n} for n in range(6)), slots=8)
    first, second = select(PowerOfTwo(), workers, seed=seed)
    assert int(first[1:]) < int(second[1:])


def test_one_candidate_alone():
    assert select(PowerOfTwo(), free_workers(1)) == ["w0"]


def largest_excess(strategy, *, size=64, each=16):
    """Place ``size * each`` requests; return the largest load beyond the mean."""
    registry = WorkerRegistry()
    for worker in free_workers(size):
        registry.add(worker)
    for seed in seeds(size * each):
        snapshot = registry.snapshot(seed=seed)
        registry.reserve(strategy.rbee_select_worker(snapshot.free("m"), snapshot)[0])
    return max(w.in_flight for w in registry.snapshot().workers()) - each


def test_two_choices_keep_the_largest_load_near_the_mean():
    # log2(log(64)) + O(1) whatever the mean, where one choice has about 2.5 * sqrt(16) = 10
    # (Berenbrink et al., STOC 2000: the heavily loaded case).
    assert largest_excess(PowerOfTwo()) <= 4 < largest_excess(RandomWorker())


# ---- cheapest --------------------------------------------------------------------------------


def test_the_cheapest_even_when_others_are_idle():
    workers = fleet_of({"cost_per_token": 2e-6}, {"cost_per_token": 1e-6, "running": 3}, slots=4)
    assert select(Cheapest(), workers) == ["w1"]


def test_among_equally_cheap_ones_the_least_loaded_in_turn():
    workers = fleet_of(
        {"cost_per_token": 1e-6, "running": 1},
        {"cost_per_token": 1e-6},
        {"cost_per_token": 2e-6},
        {"cost_per_token": 1e-6},
        slots=4,
    )
    assert select(Cheapest(), workers) == ["w1", "w3"]
    assert select(Cheapest(), workers, turn=1) == ["w3", "w1"]


def test_what_the_cheapest_cannot_take_goes_to_the_next():
    workers = fleet_of({"running": 1}, {"cost_per_token": 1e-6}, {"cost_per_token": 2e-6}, slots=1)
    assert select(Cheapest(), workers) == ["w1"]


# ---- fastest ---------------------------------------------------------------------------------


def test_speed_is_shared_among_what_runs():
    quick, slow = {"avg_tokens_per_sec": 90.0}, {"avg_tokens_per_sec": 40.0}
    assert select(Fastest(), fleet_of(quick, slow)) == ["w0"]
    assert select(Fastest(), fleet_of({**quick, "running": 1}, slow)) == ["w0"]  # 45
    assert select(Fastest(), fleet_of({**quick, "running": 2}, slow)) == ["w1"]  # 30


def test_a_worker_without_a_measurement_counts_with_the_mean():
    unknown, quick, slow = {}, {"avg_tokens_per_sec": 90.0}, {"avg_tokens_per_sec": 10.0}
    assert select(Fastest(), fleet_of(slow, unknown, quick)) == ["w2"]
    assert select(Fastest(), fleet_of(slow, unknown, {**quick, "running": 1})) == ["w1"]  # 50 > 45


def test_where_nobody_is_measured_the_fewest_running_win():
    workers = fleet_of({"running": 1}, {}, {"running": 2}, {})
    assert [select(Fastest(), workers, turn=turn) for turn in (0, 1)] == [
        ["w1", "w3"],
        ["w3", "w1"],
    ]
