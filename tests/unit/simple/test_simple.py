"""The simple strategy: the first available worker, in registration order."""

import doctest

import anyio
import pytest

import rbee_scheduler_simple
from rbee_scheduler import (
    InferenceRequest,
    NoWorkersAvailable,
    Plugins,
    Scheduler,
    SchedulerConfig,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler.testing import FakeWorker, PluginContract, Script, free_workers
from rbee_scheduler_simple import SimpleScheduler, SimpleStrategy


REQUEST = InferenceRequest(job_id="job-123", model="m", prompt="Hello!")


class TestContract(PluginContract):
    plugin = "simple"


def registry_of(*workers):
    registry = WorkerRegistry()
    for worker in workers:
        registry.add(worker)
    return registry


def worker(name, **fields):
    return Worker(**{"id": name, "url": f"http://{name}:8080", "model": "m", **fields})


def test_the_seeds_usage_is_the_same_as_naming_the_plugin():
    simple, named = SimpleScheduler(WorkerRegistry()), Scheduler(WorkerRegistry(), ["simple"])
    assert simple.strategy == named.strategy == "simple"
    assert simple.plugins.digest == named.plugins.digest


def test_options_of_the_scheduler_are_passed_on():
    config = SchedulerConfig(seed=7)
    assert SimpleScheduler(WorkerRegistry(), config=config).config is config


async def test_the_first_in_the_order_of_registration():
    registry = registry_of(
        worker("other", model="o"),
        worker("offline", online=False),
        worker("starting", status="starting"),
        worker("full", slots=1, running=1),
        worker("first", device="cuda:1", load=0.9),
        worker("second", load=0.0),
    )
    result = await SimpleScheduler(registry).schedule(REQUEST)
    assert (result.worker_id, result.worker_url, result.worker_port) == (
        "first",
        "http://first:8080",
        8080,
    )
    assert (result.model, result.device) == ("m", "cuda:1")
    assert (result.fallbacks, result.strategy, result.selected_by) == (
        ("second",),
        "simple",
        "simple",
    )


async def test_no_load_balancing_the_first_one_again_while_it_is_free():
    scheduler = SimpleScheduler(registry_of(*free_workers(3)))
    chosen = [(await scheduler.schedule(REQUEST)).worker_id for _ in range(5)]
    assert chosen == ["w0"] * 5


async def test_nobody_is_an_error_that_says_so():
    with pytest.raises(NoWorkersAvailable, match="no worker serves 'm'"):
        await SimpleScheduler(registry_of(worker("x", model="o"))).schedule(REQUEST)


async def test_a_full_fleet_makes_the_request_wait():
    registry = registry_of(worker("w", slots=1))
    held = registry.reserve("w")
    async with SimpleScheduler(registry) as scheduler:
        results = []

        async def ask():
            results.append(await scheduler.schedule(REQUEST))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while not scheduler.statistics().queued:
                await anyio.lowlevel.checkpoint()
            held.release()
    assert [result.worker_id for result in results] == ["w"]


async def test_the_seeds_usage_runs_and_hands_over_each_line():
    lines = []
    async with FakeWorker(Script(tokens=("Hello", " world"))) as server:
        registry = WorkerRegistry()
        registry.add_url(server.url, model="m")
        async with SimpleScheduler(registry) as scheduler:
            result = await scheduler.schedule(REQUEST)
            outcome = await scheduler.execute_inference(result, REQUEST, lines.append)
    assert outcome.kind == "success"
    assert lines[-1] == "[DONE]"
    assert not any(line.startswith("data:") for line in lines)


def test_the_strategy_alone():
    chosen = SimpleStrategy().rbee_select_worker(free_workers(9))
    assert chosen == ["w0", "w1", "w2", "w3", "w4"]


def test_the_module_is_the_plugin():
    assert Plugins([rbee_scheduler_simple]).strategies == ("simple", "best-score")
    assert sorted(rbee_scheduler_simple.__all__) == rbee_scheduler_simple.__all__


def test_the_modules_example_runs():
    assert doctest.testmod(rbee_scheduler_simple).failed == 0
