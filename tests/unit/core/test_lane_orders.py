"""Orders that plugins keep of waiting jobs (`rbee_order_lane`)."""

from contextlib import asynccontextmanager

import anyio
import pytest

from rbee_scheduler import (
    CapacityExceeded,
    InferenceRequest,
    QueueConfig,
    Scheduler,
    SchedulerConfig,
    Wait,
    Worker,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryTransport


class Order:
    """Newest first; leaves out whom it is told to, and writes down what it is told."""

    def __init__(self, plugin, wake):
        self.plugin = plugin
        self.wake = wake
        self.jobs = {}

    def act(self, method):
        act = self.plugin.acts.get(method)
        if isinstance(act, Exception):
            raise act
        if act == "wake":
            self.wake()

    def add(self, request):
        assert request.job_id not in self.jobs
        self.plugin.log.append(f"+{request.job_id}")
        self.act("early add")
        self.jobs[request.job_id] = request
        self.act("add")

    def remove(self, request):
        self.plugin.log.append(f"-{request.job_id}")
        self.act("early remove")
        del self.jobs[request.job_id]  # an error when it is not there
        self.act("remove")

    def __iter__(self):
        self.act("iter")
        self.plugin.asked += 1
        yield "nobody"  # an id that no job has
        for job_id in reversed(self.jobs):
            if job_id not in self.plugin.left_out:
                yield job_id
                self.act("next")


class Keeper:
    """A plugin that keeps orders."""

    def __init__(self, answer=Order):
        self.answer = answer
        self.acts = {}
        self.asked = 0
        self.left_out = set()
        self.log = []
        self.orders = {}

    @hookimpl
    def rbee_order_lane(self, model, task, wake):
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.acts.get("order") == "wake":
            wake()
        self.log.append(f"lane {model} {task}")
        self.orders[model] = self.answer and self.answer(self, wake)
        return self.orders[model]


class Waits:
    """Lets some jobs wait although a worker is free; says when to ask again."""

    def __init__(self):
        self.waits = {}

    @hookimpl
    def rbee_select_worker(self, request):
        return self.waits.get(request.job_id)


class Lanes:
    """Questions to a scheduler with one busy worker, and who was answered, in order."""

    def __init__(self, *plugins, **queue):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        self.scheduler = Scheduler(
            self.registry,
            list(plugins),
            SchedulerConfig(queue=QueueConfig(**queue)),
            transport=MemoryTransport(None),
        )
        self.held = {}
        self.served = []
        self.errors = {}
        self.scopes = {}
        self.tasks = None

    def busy(self, model="m"):
        """Add a worker that has no slot free until `free` says so."""
        self.registry.add(Worker(id=model, url=f"http://{model}", model=model, slots=1))
        self.held[model] = self.registry.reserve(model)

    async def free(self, model="m"):
        self.held[model].release()
        await self.settle()

    async def settle(self):
        await self.clock.run_for(0)

    async def wait(self, *job_ids, **fields):
        for job_id in job_ids:
            self.tasks.start_soon(self.ask, job_id, fields)
            await self.settle()

    async def ask(self, job_id, fields):
        request = InferenceRequest(**{"job_id": job_id, "model": "m", "prompt": "Hi"} | fields)
        with anyio.CancelScope() as self.scopes[job_id]:
            try:
                await self.scheduler.schedule(request)
            except CapacityExceeded as error:
                self.errors[job_id] = error
            else:
                self.served.append(job_id)

    @property
    def queued(self):
        return self.scheduler.statistics().queued

    @property
    def failures(self):
        return self.scheduler.statistics().plugin_failures


@asynccontextmanager
async def lanes(*plugins, **queue):
    at = Lanes(*plugins, **queue)
    at.busy()
    async with anyio.create_task_group() as at.tasks:
        yield at
        at.tasks.cancel_scope.cancel()
    assert at.queued == 0
    # Whatever happened: who was added was removed, once, and no order is kept of nobody.
    for keeper in plugins:
        log = getattr(keeper, "log", [])
        if not keeper_failed(at, keeper):
            added = sorted(entry[1:] for entry in log if entry[0] == "+")
            assert added == sorted(entry[1:] for entry in log if entry[0] == "-")
    assert at.scheduler._waiting._orders._kept == {}
    assert at.clock.next_timer is None


def keeper_failed(at, keeper):
    return isinstance(keeper, Keeper) and bool(at.failures)


# ---- order ---------------------------------------------------------------------------------------


async def test_the_order_is_the_plugins_and_it_is_told_once_who_comes_and_goes():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "3")
        assert keeper.log == ["lane m text-gen", "+1", "+2", "+3"]
        await at.free()
        assert at.served == ["3", "2", "1"]
        assert keeper.log[4:] == ["-3", "-2", "-1"]
        assert at.failures == {}


async def test_it_is_asked_anew_after_each_job_that_got_a_worker():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "3", "4")

        class Choosy(Order):
            """Lets those who came first go next once the third has gone."""

            def __iter__(self):
                gone = "4" not in self.jobs
                yield from list(self.jobs if gone else reversed(self.jobs))

        keeper.orders["m"].__class__ = Choosy
        await at.free()
        assert at.served == ["4", "1", "2", "3"]


async def test_an_order_lasts_until_its_lane_is_empty():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1")
        first = keeper.orders["m"]
        await at.wait("2")
        assert keeper.orders["m"] is first
        await at.free()
        at.held["m"] = at.registry.reserve("m")
        await at.wait("3", "4")
        assert keeper.orders["m"] is not first
        assert keeper.log.count("lane m text-gen") == 2
        await at.free()
        assert at.served == ["2", "1", "4", "3"]


async def test_each_lane_has_its_own():
    keeper = Keeper()
    async with lanes(keeper) as at:
        at.busy("n")
        await at.wait("1", "2")
        await at.wait("3", "4", model="n")
        await at.free("n")
        assert at.served == ["4", "3"]
        assert list(keeper.orders["m"].jobs) == ["1", "2"]


async def test_the_first_answer_wins_and_no_other_is_asked():
    class Sorted:
        @hookimpl
        def rbee_order_queue(self, jobs):
            pytest.fail("asked")

    silent, keeper, other = Keeper(answer=None), Keeper(), Keeper()
    async with lanes(silent, keeper, other, Sorted()) as at:
        await at.wait("1", "2")
        await at.free()
        assert at.served == ["2", "1"]
        assert silent.log == ["lane m text-gen"]
        assert other.log == []


# ---- left out ------------------------------------------------------------------------------------


async def test_who_is_left_out_waits_until_it_is_woken():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "3")
        keeper.left_out = {"1", "3"}
        await at.free()
        assert at.served == ["2"]
        keeper.left_out = {"3"}
        await at.settle()
        assert at.served == ["2"]  # nobody said so
        keeper.orders["m"].wake()
        await at.settle()
        assert at.served == ["2", "1"]
        keeper.left_out.clear()
        await at.wait("4")  # finds the worker free, and does not wait
        assert at.served == ["2", "1", "4"]
        at.registry.update("m", slots=2)  # any event of a worker will do
        await at.settle()
        assert at.served == ["2", "1", "4", "3"]


async def test_waking_a_lane_in_which_nobody_waits_is_fine():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1")
        await at.free()
        keeper.orders["m"].wake()
        assert at.served == ["1"]


async def test_who_is_left_out_waits_no_longer_than_the_queue_allows():
    keeper = Keeper()
    async with lanes(keeper, timeout=10.0) as at:
        keeper.left_out = {"1"}
        await at.wait("1")
        await at.free()
        await at.clock.run_for(9.5)
        assert at.errors == {}
        await at.clock.run_for(1.0)
        error = at.errors["1"]
        assert error.message == "it had to wait although a worker is free, and did so for 10 s"
        assert keeper.log[-1] == "-1"


async def test_a_job_that_is_to_be_asked_again_is_asked_when_its_order_lets_it():
    keeper, waits = Keeper(), Waits()
    async with lanes(keeper, waits) as at:
        waits.waits = {"1": Wait(retry_after=1.0), "2": Wait(retry_after=1.0)}
        await at.wait("1", "2")
        await at.free()
        assert at.served == []
        keeper.left_out = {"1"}
        waits.waits = {}
        await at.clock.run_for(1.5)
        assert at.served == ["2"]
        keeper.left_out = set()
        keeper.orders["m"].wake()
        await at.settle()
        assert at.served == ["2", "1"]


async def test_those_who_must_wait_do_not_hold_up_those_behind_them():
    keeper, waits = Keeper(), Waits()
    async with lanes(keeper, waits) as at:
        waits.waits = {"3": Wait("not yet")}
        await at.wait("1", "2", "3")
        await at.free()
        assert at.served == ["2", "1"]


# ---- leaving -------------------------------------------------------------------------------------


async def test_who_is_cancelled_is_removed_once():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "3")
        at.scopes["2"].cancel()
        await at.settle()
        assert keeper.log[4:] == ["-2"]
        # Given a worker and cancelled in the same turn of the loop.
        at.held["m"].release()
        at.scopes["3"].cancel()
        await at.settle()
        assert at.served[-1] == "1"
        assert keeper.log[4:] == ["-2", "-3", "-1"]


async def test_jobs_with_one_id_are_one_to_the_order():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "2", "2")
        assert at.queued == 4
        at.scopes["2"].cancel()  # the last of the three
        await at.settle()
        assert keeper.log == ["lane m text-gen", "+1", "+2"]
        await at.free()
        assert at.served == ["2", "2", "1"]
        assert keeper.log[3:] == ["-2", "-1"]


# ---- plugins that fail ---------------------------------------------------------------------------


async def test_a_plugin_that_raises_is_counted_and_the_next_one_asked():
    failing, keeper = Keeper(answer=LookupError("no table")), Keeper()
    async with lanes(failing, keeper) as at:
        await at.wait("1", "2")
        await at.free()
        assert at.served == ["2", "1"]
        assert at.failures == {("Keeper", "rbee_order_lane"): 1}


@pytest.mark.parametrize(
    ("method", "served"), [("iter", ["1", "2", "3"]), ("remove", ["3", "1", "2"])]
)
async def test_an_order_that_raises_gives_way_to_the_order_of_arrival(method, served):
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2", "3")
        keeper.acts[method] = LookupError("broken")
        await at.free()
        assert at.served == served
        assert at.failures == {("Keeper", "rbee_order_lane"): 1}


async def test_those_whom_an_order_left_out_go_when_it_fails():
    """A worker is free all the time: nothing else would tell them."""
    keeper = Keeper()
    async with lanes(keeper) as at:
        keeper.left_out = {"1", "2"}
        await at.wait("1", "2")
        await at.free()
        assert at.served == []
        keeper.acts["remove"] = LookupError("broken")
        at.scopes["1"].cancel()
        await at.settle()
        assert at.served == ["2"]


async def test_a_job_that_can_not_be_added_waits_in_the_order_of_arrival():
    keeper = Keeper()
    async with lanes(keeper) as at:
        await at.wait("1", "2")
        keeper.acts["add"] = LookupError("broken")
        await at.wait("3")
        await at.free()
        assert at.served == ["1", "2", "3"]
        # The lane is empty: the plugin gets another chance.
        keeper.acts.clear()
        at.held["m"] = at.registry.reserve("m")
        await at.wait("4", "5")
        await at.free()
        assert at.served[3:] == ["5", "4"]


# ---- waking at odd moments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["order", "early add", "add", "early remove", "remove", "iter", "next"]
)
async def test_an_order_that_wakes_its_lane_whenever_it_is_called(moment):
    """It is never called in the middle of a call, and never asked for ever."""
    keeper, waits = Keeper(), Waits()
    keeper.acts[moment] = "wake"
    async with lanes(keeper, waits) as at:
        waits.waits = {"1": Wait("not yet"), "2": Wait("not yet")}
        await at.free()
        await at.wait("1", "2", "3")  # the third finds the worker free
        assert at.served == ["3"]
        keeper.orders["m"].wake()  # nobody may go: it is asked, and that is the end of it
        at.scopes["2"].cancel()
        await at.settle()
        waits.waits = {}
        keeper.orders["m"].wake()
        await at.settle()
        assert at.served == ["3", "1"]
        assert at.failures == {}


async def test_a_job_that_is_served_while_it_is_added():
    """The plugin brings a worker while it takes the job: the job has left when it returns."""
    keeper = Keeper()
    async with lanes(keeper) as at:

        class Bringing(Order):
            def add(self, request):
                super().add(request)
                at.registry.update("m", slots=2)
                assert at.queued == 1  # served when this has returned

        keeper.answer = Bringing
        await at.wait("1")
        assert at.failures == {}
        assert at.served == ["1"]
        assert keeper.log == ["lane m text-gen", "+1", "-1"]


async def test_two_lanes_that_wake_each_other():
    keeper = Keeper()
    async with lanes(keeper) as at:
        at.busy("n")
        await at.wait("1", "2")
        await at.wait("3", "4", model="n")
        keeper.left_out = {"3", "4"}
        await at.free("n")

        class Waking(Order):
            def remove(self, request):
                super().remove(request)
                keeper.left_out.clear()
                keeper.orders["n"].wake()

        keeper.orders["m"].__class__ = Waking
        await at.free()
        assert sorted(at.served) == ["1", "2", "3", "4"]
