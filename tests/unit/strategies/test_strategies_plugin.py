"""The plugin `strategies` as a whole: names, options, laws that hold for each, bursts."""

import doctest
import importlib
import pkgutil
from collections import Counter
from contextlib import AsyncExitStack

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbee_scheduler_strategies
from rbee_scheduler import (
    ConfigError,
    InferenceRequest,
    PluginConfig,
    Plugins,
    Scheduler,
    SchedulerConfig,
    WorkerRegistry,
    decide,
)
from rbee_scheduler.testing import PluginContract, fleet, free_workers
from rbee_scheduler_strategies import Options, Strategies


NAMES = [
    "least-in-flight",
    "round-robin",
    "power-of-two",
    "random",
    "session-affinity",
    "cheapest",
    "fastest",
]
PLUGINS = Plugins(["strategies"], environ={})


class TestContract(PluginContract):
    plugin = "strategies"


def request(name="job", **fields):
    return InferenceRequest(**{"job_id": name, "model": "m", "prompt": "Hi", **fields})


WORKERS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ready", "ready", "ready", "busy", "stopped"]),
        "slots": st.sampled_from([None, 1, 4]),
        "running": st.integers(0, 6),
        "avg_tokens_per_sec": st.sampled_from([0.0, 20.0, 90.0]),
        "cost_per_token": st.sampled_from([0.0, 1e-6, 2e-6]),
    }
)


def fleets():
    """Return fleets of up to eight workers, some of them full or not ready."""
    return st.lists(WORKERS, max_size=8).map(
        lambda all_fields: [
            worker.changed(**fields)
            for worker, fields in zip(free_workers(len(all_fields)), all_fields, strict=True)
        ]
    )


def test_the_strategies_and_their_names():
    assert list(PLUGINS.strategies) == [*NAMES, "best-score"]


def test_alone_the_first_one_is_the_default():
    assert Scheduler(WorkerRegistry(), ["strategies"]).strategy == "least-in-flight"


def test_beside_the_simple_plugin_the_default_stays():
    installed = Plugins(environ={}).strategies
    assert installed.index("simple") < installed.index("least-in-flight")


@pytest.mark.parametrize("strategy", NAMES)
@given(
    workers=fleets(),
    turn=st.integers(0, 10**6),
    seed=st.integers(0, 2**64 - 1),
    session=st.none() | st.text(max_size=20),
)
def test_only_candidates_each_once_and_the_same_again(strategy, workers, turn, seed, session):
    snapshot = fleet(workers, turn=turn, seed=seed)
    candidates = snapshot.free("m")
    ask, chain, failures = request(session_id=session), PLUGINS.chain(strategy), []

    decision = decide(ask, snapshot, chain, on_failure=failures.append)

    assert failures == []
    assert (decision.worker is not None) == bool(candidates)
    if candidates:
        named = [decision.worker.id, *decision.fallbacks]
        assert len(named) == len(set(named)) <= 5
        assert set(named) <= {w.id for w in candidates}
        assert decision.selected_by == strategy
    again = fleet(workers, turn=turn, seed=seed)
    assert decide(ask, again, PLUGINS.chain(strategy)) == decision


@pytest.mark.parametrize("strategy", ["least-in-flight", "round-robin"])
@given(
    size=st.integers(1, 12),
    count=st.integers(0, 60),
    turn=st.integers(0, 1000),
    slots=st.none() | st.just(60),
)
def test_equal_workers_differ_by_one_request_at_most(strategy, size, count, turn, slots):
    registry = WorkerRegistry()
    for worker in free_workers(size, slots=slots):
        registry.add(worker)

    for n in range(count):
        decision = decide(request(), registry.snapshot(turn=turn + n), PLUGINS.chain(strategy))
        assert registry.reserve(decision.worker.id) is not None

    running = [w.in_flight for w in registry.snapshot().workers()]
    assert sum(running) == count
    assert max(running) - min(running) <= 1


# ---- bursts, through the scheduler -----------------------------------------------------------


async def burst(default, count, **fields):
    """Place ``count`` requests at once; return how many each of four workers holds."""
    registry = WorkerRegistry()
    for worker in free_workers(4):
        registry.add(worker)
    config = SchedulerConfig(strategy=default)
    async with Scheduler(registry, ["strategies"], config) as scheduler:
        async with AsyncExitStack() as holds, anyio.create_task_group() as group:

            async def hold(name):
                held = await holds.enter_async_context(scheduler.hold(request(name, **fields)))
                held.succeeded()

            for n in range(count):
                group.start_soon(hold, f"job-{n}")
            await anyio.wait_all_tasks_blocked()
            placed = {w.id: w.in_flight for w in registry.snapshot().workers()}
        assert [w.in_flight for w in registry.snapshot().workers()] == [0, 0, 0, 0]
    return placed


@pytest.mark.parametrize("strategy", ["least-in-flight", "round-robin", "cheapest", "fastest"])
async def test_a_burst_spreads_evenly(strategy):
    placed = await burst(strategy, 64)
    assert placed == {"w0": 16, "w1": 16, "w2": 16, "w3": 16}


async def test_a_burst_of_one_session_stays_within_the_bound():
    placed = await burst("session-affinity", 64, session_id="chat-7")
    assert sum(placed.values()) == 64
    assert max(placed.values()) == 20  # ceil(1.25 * 64 / 4): its own worker is filled to it


async def test_a_request_may_name_its_strategy():
    placed = await burst("random", 40, strategy="least-in-flight")
    assert set(placed.values()) == {10}


async def test_an_idle_fleet_shares_the_requests():
    registry = WorkerRegistry()
    for worker in free_workers(3, slots=4):
        registry.add(worker)
    scheduler = Scheduler(registry, ["strategies"])
    chosen = [(await scheduler.schedule(request())).worker_id for _ in range(9)]
    assert Counter(chosen) == {"w0": 3, "w1": 3, "w2": 3}


# ---- options ---------------------------------------------------------------------------------


def with_options(**options):
    return Plugins([PluginConfig(name="strategies", options=options)], strict=True, environ={})


def test_the_load_factor_is_used():
    candidates = [w.revised(running=4) for w in free_workers(2)]
    ask = request(session_id="chat-7")

    def chosen(factor, running):
        snapshot = fleet([candidates[0].revised(running=running), candidates[1]])
        return decide(ask, snapshot, with_options(load_factor=factor).chain("session-affinity"))

    home = chosen(1.25, 4).worker.id
    assert home == "w0"  # so that it is the one whose load is raised below
    # 11 run in all: 1.1 * 12 / 2 = 6.6 is under its 7, 1.25 * 12 / 2 = 7.5 is not.
    assert [chosen(factor, 7).worker.id for factor in (1.1, 1.25)] == ["w1", "w0"]


@pytest.mark.parametrize("wrong", [0.99, -1.0, float("nan"), "much"])
def test_a_load_factor_below_one_stops_the_start(wrong):
    with pytest.raises(ConfigError, match="load_factor"):
        with_options(load_factor=wrong)


def test_a_misspelt_option_stops_the_start():
    with pytest.raises(ConfigError, match="load_factor"):
        with_options(load_facter=1.5)


def test_an_instance_of_ones_own():
    plugins = Plugins([Strategies(Options(load_factor=2.0))])
    assert list(plugins.strategies) == [*NAMES, "best-score"]


# ---- the package -----------------------------------------------------------------------------


def test_exports_are_sorted():
    assert sorted(rbee_scheduler_strategies.__all__) == rbee_scheduler_strategies.__all__


def test_the_examples_of_the_docstrings_run():
    rooms = pkgutil.iter_modules(rbee_scheduler_strategies.__path__)
    names = ["rbee_scheduler_strategies", *(f"rbee_scheduler_strategies.{r.name}" for r in rooms)]
    results = [doctest.testmod(importlib.import_module(name)) for name in names]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) > 20
