"""What a decision costs: the whole pipeline, sans I/O, on fleets of all sizes.

Budgets (DESIGN.md section 6, CPython 3.11 on this class of machine): first available 10 us,
flat; filter + two scores + select 15 / 60 / 500 us over 10 / 100 / 1,000 candidates.
"""

import pytest

from rbee_scheduler._pipeline import decide


SIZES = [10, 100, 1_000, 10_000, 100_000]


def decision(scheduler, request):
    """Return the call that is measured: take a snapshot, decide."""
    chain = scheduler.plugins.chain(scheduler.strategy)
    snapshot = scheduler.registry.snapshot

    def run():
        return decide(request, snapshot(turn=1, seed=1), chain)

    return run


@pytest.mark.parametrize("size", SIZES)
def test_first_available(benchmark, scheduler_for, request_, size):
    run = decision(scheduler_for(size, ["simple"]), request_)
    assert benchmark(run).worker.id == "w0"


@pytest.mark.parametrize("size", [10, 100, 1_000])
def test_filter_two_scores_select(benchmark, scheduler_for, request_, rules, size):
    run = decision(scheduler_for(size, rules), request_)
    assert benchmark(run).selected_by == "bench"


@pytest.mark.parametrize("size", [10, 100, 1_000])
def test_two_scores_best_of(benchmark, scheduler_for, request_, two_scores, size):
    run = decision(scheduler_for(size, two_scores), request_)
    assert benchmark(run).worker is not None


def test_explain(benchmark, scheduler_for, request_, rules):
    scheduler = scheduler_for(10, rules)
    assert benchmark(scheduler.explain, request_).action == "dispatch"
