"""The bars of the fairness simulation, on shorter runs of the same workloads."""

import importlib
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("fairness.run")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def compared(bench):
    def run(name, seconds):
        make = next(make for make in bench.workloads.SYNTHETIC if make(1.0).name == name)
        return bench.compare(make(seconds)).figures()

    return run


def test_two_tenants_in_overload_stay_within_the_bound(compared):
    figures = compared("overload", 90.0)
    assert figures["fair_gap"] < figures["bound"] / 10
    assert figures["fcfs_gap"] > figures["bound"]
    assert figures["throughput"] >= 0.99
    assert figures["preempted"] == 0


def test_short_requests_and_long_ones_get_the_same_service(compared):
    figures = compared("short-long", 55.0)
    assert figures["fair_gap"] < figures["bound"] / 5
    assert figures["fair_gap"] < figures["fcfs_gap"] / 3


def test_victims_of_a_flood_hardly_notice(compared):
    figures = compared("flood", 60.0)
    alone, fair = figures["alone_first_token"], figures["fair_first_token"]
    assert fair["p50"] <= 2 * alone["p50"]
    assert figures["fcfs_first_token"]["p50"] > 100 * alone["p50"]
    assert figures["fcfs_gap"] > figures["bound"] > figures["fair_gap"]
    assert figures["throughput"] >= 0.99


def test_service_follows_the_weights(compared):
    figures = compared("weights", 80.0)
    assert figures["weight_error"] <= 0.02
    assert figures["throughput"] >= 0.99


def test_a_hog_of_long_answers_gets_its_share_and_no_more(compared):
    figures = compared("hog", 60.0)
    assert figures["fair_gap"] < figures["bound"] / 10
    assert figures["fair_jain"] > 0.99 > figures["fcfs_jain"]


def test_the_simulation_gives_the_same_figures_each_time(compared):
    assert compared("on-off", 15.0) == compared("on-off", 15.0)


def test_a_worker_computes_every_token_once_and_frees_its_cache(bench):
    workers = importlib.import_module("fairness.workers")
    worker = workers.SimulatedWorker("rtx4090-llama3.1-8b")
    sequences = [workers.Sequence(100 + n * 37 % 900, 1 + n * 53 % 700) for n in range(200)]
    for n, sequence in enumerate(sequences):
        worker.submit(sequence, n * 0.01)
    worker.advance(1e9)
    assert [worker.generated(one) for one in sequences] == [one.total for one in sequences]
    assert (worker._used, worker._context, worker._running) == (0, 0, {})
    assert worker.preempted > 0  # nobody gated it


def test_small_steps_and_one_jump_end_the_same(bench):
    workers = importlib.import_module("fairness.workers")
    ends = []
    for stride in (None, 0.013):
        worker = workers.SimulatedWorker("rtx4090-llama3.1-8b")
        sequences = [workers.Sequence(200, 150) for _ in range(20)]
        for sequence in sequences:
            worker.submit(sequence, 0.0)
        for n in range(1, 2000):
            if stride is not None:
                worker.advance(n * stride)
        worker.advance(100.0)
        ends.append([sequence.done for sequence in sequences])
    assert ends[0] == pytest.approx(ends[1])


def test_max_min_shares_give_nobody_more_than_it_asks_for(bench):
    shares = bench.measure.max_min_shares({"a": 10, "b": 100, "c": 100}, 90, {"b": 3.0})
    assert shares == {"a": 10, "b": 60.0, "c": 20.0}
