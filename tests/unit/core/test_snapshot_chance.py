"""Chance in a decision: the same for the same seed, even over many seeds."""

from collections import Counter

import pytest

from rbee_scheduler.testing import fleet


def test_one_seed_draws_one_number():
    assert fleet([], seed=7).draw(1000) == fleet([], seed=7).draw(1000)
    assert fleet([], seed=7).random().random() == fleet([], seed=7).random().random()


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 100])
def test_a_number_is_within_its_bound(bound):
    assert all(0 <= fleet([], seed=seed).draw(bound) < bound for seed in range(200))


def test_neighbouring_seeds_draw_evenly():
    drawn = Counter(fleet([], seed=seed).draw(4) for seed in range(4000))

    # Binomial: mean 1000, standard deviation 27; five of them are one chance in a million.
    assert all(abs(count - 1000) < 5 * 28 for count in drawn.values())
    assert len(drawn) == 4


def test_decisions_of_a_scheduler_draw_evenly():
    from rbee_scheduler import InferenceRequest, Scheduler, WorkerRegistry, hookimpl

    class Shuffle:
        @hookimpl
        def rbee_select_worker(self, candidates, snapshot):
            return [candidates[snapshot.draw(len(candidates))].id]

    registry = WorkerRegistry()
    for n in range(4):
        registry.add_url(f"http://127.0.0.1:900{n}", id=f"w{n}", model="m")
    scheduler = Scheduler(registry, [Shuffle()])
    request = InferenceRequest(job_id="j", model="m", prompt="x")
    chain = scheduler.plugins.chain(scheduler.strategy)

    from rbee_scheduler import decide

    seeds = (scheduler._placement.snapshot() for _ in range(2000))
    drawn = Counter(decide(request, snapshot, chain).worker.id for snapshot in seeds)

    assert all(abs(count - 500) < 5 * 20 for count in drawn.values())
    assert len(drawn) == 4
