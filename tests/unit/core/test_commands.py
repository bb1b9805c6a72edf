"""Commands to pool managers: decided, offered to plugins in order, sent once, never in the way."""

from __future__ import annotations

import logging

import anyio
import pytest

from rbee_scheduler import (
    Act,
    InferenceRequest,
    LimitsConfig,
    PoolCommand,
    Reject,
    Rejected,
    Scheduler,
    SchedulerConfig,
    Wait,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock, free_workers


START = PoolCommand(kind="start_worker", pool_id="p", model_ref="m")
EVICT = PoolCommand(kind="evict_worker", worker_id="w0")


class Selects:
    """Answers what it is told to."""

    def __init__(self, *answers):
        self.answers = list(answers)

    @hookimpl
    def rbee_select_worker(self, candidates):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Takes:
    """Answers commands, and keeps them."""

    def __init__(self, answer=True):
        self.answer = answer
        self.taken = []

    @hookimpl
    async def rbee_pool_command(self, command, snapshot):
        await anyio.lowlevel.checkpoint()
        assert snapshot.worker("w0") is not None
        self.taken.append(command)
        return self.answer


class Fails:
    @hookimpl
    def rbee_pool_command(self, command):
        raise RuntimeError("no")


class Hangs:
    @hookimpl
    async def rbee_pool_command(self, command):
        await anyio.sleep_forever()


def scheduler_of(*plugins, clock=None, **config):
    registry = WorkerRegistry(clock=clock)
    for worker in free_workers(2):
        registry.add(worker)
    return Scheduler(registry, plugins, SchedulerConfig(**config))


def request(**fields):
    return InferenceRequest(**{"job_id": "j", "model": "m", "prompt": "x", **fields})


async def test_a_dispatch_with_commands():
    manager = Takes()
    result = await scheduler_of(Selects(Act(["w1"], [START, EVICT])), manager).schedule(request())
    assert (result.worker_id, manager.taken) == ("w1", [START, EVICT])


async def test_a_wait_with_commands_sends_them_before_it_waits():
    manager = Takes()
    scheduler = scheduler_of(Selects(Act(Wait("soon", retry_after=0.01), [START]), ["w0"]), manager)
    with anyio.fail_after(60):
        assert (await scheduler.schedule(request())).worker_id == "w0"
    assert manager.taken == [START]


async def test_a_rejection_with_commands():
    manager = Takes()
    with pytest.raises(Rejected):
        await scheduler_of(Selects(Act(Reject("no"), [EVICT])), manager).schedule(request())
    assert manager.taken == [EVICT]


async def test_no_opinion_but_commands():
    manager = Takes()
    scheduler = scheduler_of(Selects(Act(None, [START])), manager)
    result = await scheduler.schedule(request())
    assert (result.worker_id, result.selected_by, manager.taken) == ("w0", "core", [START])


async def test_an_explanation_shows_them_and_sends_none():
    manager = Takes()
    explained = scheduler_of(Selects(Act(["w1"], [START])), manager).explain(request())
    assert (explained.worker_id, explained.commands, manager.taken) == ("w1", (START,), [])
    assert explained.to_dict()["commands"][0]["kind"] == "start_worker"


@pytest.mark.parametrize(
    ("answers", "asked"),
    [((None, True), 2), ((True, True), 1), ((False, True), 1), ((None, None), 2)],
)
async def test_the_first_answer_ends_the_asking(answers, asked, caplog):
    managers = [type(f"Takes{n}", (Takes,), {})(answer) for n, answer in enumerate(answers)]
    await scheduler_of(Selects(Act(["w0"], [START])), *managers).schedule(request())
    assert [len(manager.taken) for manager in managers] == [1, 1][:asked] + [0] * (2 - asked)
    assert ("was refused" in caplog.text) is (answers[0] is False)
    assert ("taken by no plugin" in caplog.text) is (answers == (None, None))


async def test_the_decision_says_that_nobody_takes_them(caplog):
    scheduler = scheduler_of(Selects(Act(["w0"], [START])))
    assert scheduler.explain(request()).reason == "no plugin takes commands to pools"
    waits = scheduler_of(Selects(Act(Wait("r"), [START])))
    assert waits.explain(request()).reason == "r (no plugin takes commands to pools)"
    await scheduler.schedule(request())
    assert "taken by no plugin" in caplog.text


async def test_a_manager_that_fails_is_named_and_the_next_one_asked(caplog):
    manager = Takes()
    scheduler = scheduler_of(Selects(Act(["w0"], [START])), Fails(), manager)
    assert (await scheduler.schedule(request())).worker_id == "w0"
    assert manager.taken == [START]
    assert scheduler.statistics().plugin_failures == {("Fails", "rbee_pool_command"): 1}


async def test_a_manager_that_hangs_is_left(caplog):
    caplog.set_level(logging.WARNING)
    clock = VirtualClock()
    scheduler = scheduler_of(
        Selects(Act(["w0"], [START])), Hangs(), clock=clock, limits=LimitsConfig(hook_timeout=2)
    )
    results = []

    async def ask():
        results.append(await scheduler.schedule(request()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        clock.advance(2.1)
    assert results[0].worker_id == "w0"
    assert "took longer than 2 s" in caplog.text


def test_act_takes_commands_only():
    with pytest.raises(TypeError):
        Act(["w0"], ["start"])


async def test_what_a_snapshot_says_of_its_surroundings():
    seen = []

    class Looks:
        @hookimpl
        def rbee_select_worker(self, candidates, snapshot):
            around = snapshot.surroundings
            seen.append(([job.job_id for job in around.jobs()], around.config.queue.capacity))
            return Wait(retry_after=0.01) if len(seen) < 2 else [candidates[0].id]

    scheduler = scheduler_of(Looks())
    with anyio.fail_after(60):
        await scheduler.schedule(request())
    # The first time it is asked, the job is no waiting one.
    assert seen == [([], -1), (["j"], -1)]
    assert scheduler.registry.snapshot().surroundings.jobs() == ()
