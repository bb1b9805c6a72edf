"""What a decision costs, by counting and not by the clock: nothing grows that need not."""

import sys
from collections.abc import Sequence

import attrs
import pytest

from rbee_scheduler import InferenceRequest, Plugins, decide, hookimpl
from rbee_scheduler.testing import fleet, free_workers


REQUEST = InferenceRequest(job_id="job", model="m", prompt="Hello!", created_at=1.0)
(WORKER,) = free_workers(1)
PLUGINS = [[], ["simple"]]


class Counted(Sequence):
    """So many workers, made when they are looked at; counts the looks."""

    def __init__(self, size):
        self.size = size
        self.looks = 0

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[n] for n in range(*index.indices(self.size)))
        if not 0 <= index < self.size:
            raise IndexError(index)
        self.looks += 1
        return WORKER.changed(id=f"w{index}")

    def get(self, key):
        """Stand for the indexes of a fleet, too: by worker id, and by model and task."""
        return self if key == ("m", "text-gen") else self[int(key[1:])]


def looks(size, sources):
    """Return how often a decision looks at a worker of a fleet of this size, and whom it takes."""
    counted = Counted(size)
    view = attrs.evolve(fleet([])._fleet, free=counted, by_id=counted)
    plugins = Plugins(sources, environ={})
    snapshot = attrs.evolve(fleet([]), fleet=view)
    decision = decide(REQUEST, snapshot, plugins.chain(plugins.default_strategy))
    return counted.looks, [decision.worker.id, *decision.fallbacks]


@pytest.mark.parametrize("sources", PLUGINS, ids=["core", "simple"])
def test_first_available_looks_at_the_same_few_workers_of_10_and_of_100_000(sources):
    small, large = looks(10, sources), looks(100_000, sources)
    assert small == large
    assert large[0] <= 10
    assert large[1] == ["w0", "w1", "w2", "w3", "w4"]


def calls_during(function):
    """Return how many Python and C functions are called, and what comes back."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = function()
    finally:
        sys.setprofile(before)
    return count, result


def workers(count, **fields):
    return [WORKER.changed(id=f"w{n}", **fields) for n in range(count)]


# Fleets of over 256 workers are kept in chunks; reading those takes a few calls more.
SIZES = (300, 2_000)


@pytest.mark.parametrize("sources", PLUGINS, ids=["core", "simple"])
def test_first_available_makes_the_same_number_of_calls(sources):
    plugins = Plugins(sources, environ={})
    chain = plugins.chain(plugins.default_strategy)
    snapshots = [fleet(workers(size)) for size in SIZES]
    costs = {
        calls_during(lambda snapshot=snapshot: decide(REQUEST, snapshot, chain))[0]
        for snapshot in snapshots
    }
    assert len(costs) == 1


def test_saying_that_all_are_full_makes_the_same_number_of_calls():
    chain = Plugins([]).chain("best-score")
    costs = set()
    for size in SIZES:
        snapshot = fleet(workers(size, slots=1, running=1))
        calls, decision = calls_during(lambda snapshot=snapshot: decide(REQUEST, snapshot, chain))
        assert decision.action == "wait"
        costs.add(calls)
    assert len(costs) == 1


def test_workers_of_other_models_cost_nothing():
    class Scorer:
        @hookimpl
        def rbee_score_workers(self, candidates):
            return {w.id: w.load for w in candidates}

    chain = Plugins([Scorer()]).chain("best-score")
    others = [w.changed(id=f"o{w.id}", model="o", models=("o",)) for w in workers(500)]
    costs = {
        calls_during(lambda snapshot=snapshot: decide(REQUEST, snapshot, chain))[0]
        for snapshot in (fleet(workers(20)), fleet([*others, *workers(20)]))
    }
    assert len(costs) == 1
