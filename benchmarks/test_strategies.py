"""What the load balancing strategies cost: a whole decision, and the strategy by itself.

A decision takes about 5 us without a strategy's work; the budget for one over 1,000 candidates
is 500 us (a filter, two scores and a selection).
"""

import attrs
import pytest

from rbee_scheduler import decide
from rbee_scheduler_strategies import Strategies


STRATEGIES = Strategies().rbee_register_strategies()
SIZES = [10, 100, 1_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_decision(benchmark, scheduler_for, request_, strategy, size):
    scheduler = scheduler_for(size, ["strategies"])
    chain = scheduler.plugins.chain(strategy)
    snapshot = scheduler.registry.snapshot
    request = attrs.evolve(request_, session_id="chat-7")

    decision = benchmark(lambda: decide(request, snapshot(turn=1, seed=1), chain))
    assert (decision.action, decision.strategy) == ("dispatch", strategy)


@pytest.mark.parametrize("size", SIZES)
def test_least_in_flight_among_all_equal(benchmark, scheduler_for, size):
    idle = scheduler_for(size, ["strategies"]).registry.snapshot(turn=7)
    workers = tuple(w.changed(load=0.0) for w in idle.free("m"))
    select = STRATEGIES["least-in-flight"].rbee_select_worker
    assert benchmark(select, workers, idle)[0] == workers[7].id
