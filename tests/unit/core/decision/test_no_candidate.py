"""Nobody is free: the first opinion decides, and may have a worker started."""

import anyio
import pytest

from rbee_scheduler import (
    Act,
    InferenceRequest,
    PoolCommand,
    Reject,
    Scheduler,
    SchedulerConfig,
    Wait,
    Worker,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import FakeWorker, VirtualClock


START = PoolCommand(kind="start_worker", pool_id="lab", model_ref="m")


class Says:
    """Answers the same each time; raises an exception."""

    def __init__(self, answer, name="says"):
        self.answer = answer
        self.__name__ = name
        self.asked = 0

    @hookimpl
    def rbee_no_candidate(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def scheduler(*plugins, workers=()):
    registry = WorkerRegistry()
    for worker in workers:
        registry.add(worker)
    return Scheduler(registry, plugins, SchedulerConfig())


def request(model="m"):
    return InferenceRequest(job_id="j", model=model, prompt="x")


def full():
    return Worker(id="w", url="http://127.0.0.1:8080", model="m", slots=1, running=1)


def test_without_an_opinion_it_is_as_without_the_hook():
    silent, none = scheduler(Says(None)), scheduler()
    assert silent.explain(request()) == none.explain(request())


@pytest.mark.parametrize("workers", [(), (full(),)])
@pytest.mark.parametrize(("answer", "action"), [(Wait("soon"), "wait"), (Reject("soon"), "reject")])
def test_the_first_opinion_decides(workers, answer, action):
    first, second = Says(answer, "first"), Says(Reject("too late"), "second")
    explanation = scheduler(first, second, workers=workers).explain(request())

    assert (explanation.action, explanation.reason) == (action, "soon")
    assert explanation.selected_by == "first"
    assert second.asked == 0


@pytest.mark.parametrize("wrong", [["w0"], "wait", 1, ValueError("oops")])
def test_a_failure_is_named_and_the_next_one_is_asked(wrong):
    made = scheduler(Says(wrong, "bad"), Says(Wait("soon"), "good"))
    explanation = made.explain(request())

    assert (explanation.action, explanation.selected_by) == ("wait", "good")
    assert "'bad' in rbee_no_candidate" in explanation.failures[0]


def test_commands_go_with_the_answer_and_without_one():
    asks = scheduler(Says(Act(None, [START]), "starts"), Says(Act(Wait("soon"), [START]), "waits"))
    explanation = asks.explain(request())

    assert explanation.action == "wait"
    assert explanation.commands == (START, START)


def test_it_is_not_asked_while_somebody_is_free():
    asked = Says(Reject("never"))
    free = Worker(id="w", url="http://127.0.0.1:8080", model="m")
    assert scheduler(asked, workers=[free]).explain(request()).worker_id == "w"
    assert asked.asked == 0


async def test_a_wait_with_a_time_is_asked_again_at_that_time():
    clock = VirtualClock()
    asked = []

    class Patient:
        @hookimpl
        def rbee_no_candidate(self, snapshot):
            asked.append(clock.monotonic())
            return Reject("no worker came") if len(asked) == 3 else Wait("soon", retry_after=2.0)

    events = []

    async def run(made):
        async with made.stream(request()) as stream:
            events.extend([event async for event in stream])

    async with (
        Scheduler(WorkerRegistry(clock=clock), [Patient()]) as made,
        anyio.create_task_group() as group,
    ):
        group.start_soon(run, made)
        await clock.run_for(10)
    assert asked == [0.0, 2.0, 4.0]
    assert [event.type for event in events] == ["queued", "error"]
    assert events[-1].error.message == "no worker came"


async def test_the_first_worker_of_a_model_is_started_and_serves():
    async with FakeWorker() as worker:
        registry = WorkerRegistry()

        class Starter:
            @hookimpl
            def rbee_no_candidate(self, request):
                return Act(Wait("a worker is being started"), [START])

            @hookimpl
            async def rbee_pool_command(self, command):
                registry.add_url(worker.url, id="new", model=command.model_ref)
                return True

        async with (
            Scheduler(registry, [Starter()]) as made,
            made.stream(request()) as events,
        ):
            kinds = [event.type async for event in events]
    assert kinds[:2] == ["queued", "started"]
    assert kinds[-1] == "end"
