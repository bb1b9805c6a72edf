"""Jobs that wait: late binding, order, limits, and what wakes them."""

from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from rbee_scheduler import (
    Cancelled,
    CapacityExceeded,
    DeadlineExceeded,
    InferenceRequest,
    LivenessConfig,
    NoWorkersAvailable,
    QueueConfig,
    Reject,
    Rejected,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    Scores,
    Wait,
    Worker,
    WorkerCommunicationFailed,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion


def request(job_id, **fields):
    return InferenceRequest(**{"job_id": job_id, "model": "m", "prompt": "Hi"} | fields)


class Shop:
    """A scheduler over workers in memory; each request runs until it is told to end."""

    def __init__(self, *plugins, strategy="", **config):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock, liveness=LivenessConfig(failures=1))
        self.transport = MemoryTransport(self.answer)
        self.scheduler = Scheduler(
            self.registry,
            list(plugins),
            SchedulerConfig(strategy=strategy, **config),
            transport=self.transport,
        )
        self.ends = {}
        self.events = {}
        self.failing = set()
        self.tasks = None

    async def answer(self, call):
        if call.url.split("/")[2] in self.failing:
            raise WorkerCommunicationFailed("refused")
        job_id = call.headers["x-correlation-id"]
        end = self.ends.setdefault(job_id, anyio.Event())
        return MemoryResponse([end.wait, *completion(["a"])])

    def worker(self, worker_id, **fields):
        self.registry.add(
            Worker(
                **{"id": worker_id, "url": f"http://{worker_id}", "model": "m", "slots": 1} | fields
            )
        )

    async def start(self, job_id, **fields):
        """Start a request; return when it waits, or runs, or has ended."""
        self.tasks.start_soon(self.run, request(job_id, **fields))
        await self.settle()

    async def settle(self):
        """Let all tasks run until they wait."""
        await self.clock.run_for(0)

    async def run(self, asked):
        events = self.events[asked.job_id] = []
        async with self.scheduler.stream(asked) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - others look at it meanwhile

    async def end(self, *job_ids):
        for job_id in job_ids:
            self.ends.setdefault(job_id, anyio.Event()).set()
            await self.settle()

    def kinds(self, job_id):
        return [event.type for event in self.events[job_id]]

    def where(self, job_id):
        """The worker that has a job now; None while it waits."""
        started = [e.worker_id for e in self.events[job_id] if e.type == "started"]
        return started[-1] if started else None

    def last(self, job_id):
        return self.events[job_id][-1]

    @property
    def waiting(self):
        return len(self.scheduler._placement.queue)

    def in_flight(self):
        return [worker.in_flight for worker in self.registry.snapshot().workers()]


@asynccontextmanager
async def shop(*plugins, **config):
    opened = Shop(*plugins, **config)
    async with anyio.create_task_group() as tasks:
        opened.tasks = tasks
        yield opened
        tasks.cancel_scope.cancel()
    assert opened.waiting == 0
    assert set(opened.in_flight()) <= {0}
    assert not opened.scheduler._active


# Late binding


async def test_a_job_gets_the_worker_that_is_free_first_not_one_chosen_before():
    async with shop() as at:
        at.worker("a")
        at.worker("b")
        for job in "123":
            await at.start(job)
        assert (at.where("1"), at.where("2"), at.where("3")) == ("a", "b", None)
        assert at.kinds("3") == ["queued"]
        await at.end("2")
        assert at.where("3") == "b"
        await at.end("3", "1")
        assert at.kinds("3") == ["queued", "started", "token", "end"]
        assert at.last("3").outcome.attempts == 1


async def test_the_time_in_the_queue_is_told():
    async with shop() as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        at.clock.advance(3.0)
        await at.end("1")
        at.clock.advance(1.0)
        await at.end("2")
        outcome = at.last("2").outcome
        assert (outcome.queued_ms, outcome.first_token_ms, outcome.total_ms) == (3000, 4000, 4000)


async def test_positions_count_in_the_lane():
    async with shop() as at:
        at.worker("a", models=["n"])
        await at.start("1")
        for job, model in (("2", "m"), ("3", "n"), ("4", "m")):
            await at.start(job, model=model)
        assert [at.last(job).position for job in "234"] == [1, 1, 2]
        assert at.scheduler.statistics().queued == 3


async def test_first_come_first_served():
    async with shop() as at:
        at.worker("a")
        jobs = [str(n) for n in range(40)]
        for job in jobs:
            await at.start(job)
        for job, following in pairwise(jobs):
            assert at.where(following) is None
            await at.end(job)
            assert at.where(following) == "a"


async def test_one_lane_does_not_hold_up_another():
    async with shop() as at:
        at.worker("a")
        at.worker("b", model="n")
        for job, model in (("1", "m"), ("2", "m"), ("3", "n"), ("4", "n")):
            await at.start(job, model=model)
        await at.end("3")
        assert (at.where("2"), at.where("4")) == (None, "b")


async def test_lanes_are_by_task_too():
    async with shop() as at:
        at.worker("a", capabilities=["text-gen", "embedding"])
        at.worker("b", capabilities=["embedding"])
        await at.start("1")
        await at.start("2")
        await at.start("3", task_type="embedding")
        assert (at.where("2"), at.where("3")) == (None, "b")
        await at.end("1")
        assert at.where("2") == "a"


# Capacity


async def test_a_full_queue_refuses():
    async with shop(queue=QueueConfig(capacity=1)) as at:
        at.worker("a")
        for job in "123":
            await at.start(job)
        error = at.last("3").error
        assert isinstance(error, CapacityExceeded)
        assert error.message == "all workers of 'm' are full, and 1 jobs wait already"
        assert error.retry_after == 1.0
        assert at.last("3").outcome.kind == "rejected"
        await at.end("1")
        await at.start("4")
        assert at.kinds("4") == ["queued"]


async def test_no_queue_at_all():
    async with shop(queue=QueueConfig(capacity=0)) as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        assert at.last("2").error.message == "all workers of 'm' are full, and nobody may wait"
        with pytest.raises(CapacityExceeded):
            await at.scheduler.schedule(request("3"))


async def test_without_bounds():
    async with shop() as at:
        at.worker("a")
        for n in range(300):
            await at.start(str(n))
        assert at.waiting == 299


async def test_many_slots_that_come_at_once_are_all_filled():
    async with shop() as at:
        at.worker("a")
        for n in range(101):
            await at.start(str(n))
        at.worker("b", slots=64)
        await at.settle()
        assert at.in_flight() == [1, 64]
        assert at.waiting == 36
        at.registry.update("b", slots=None)
        await at.settle()
        assert at.waiting == 0


async def test_a_burst_spreads():
    """Each decision sees the reservations of those before it."""

    class LeastInFlight:
        @hookimpl
        def rbee_score_workers(self, candidates):
            return Scores({w.id: w.in_flight for w in candidates}, better="lower")

    async with shop(LeastInFlight(), strategy="best-score") as at:
        for name in "abcd":
            at.worker(name, slots=4)
        for n in range(64):
            at.tasks.start_soon(at.run, request(str(n)))
        await at.settle()
        assert at.in_flight() == [4, 4, 4, 4]
        for n in range(64):
            await at.end(str(n))
            running = at.in_flight()
            if at.waiting:
                assert max(running) - min(running) <= 1
        assert [at.last(str(n)).type for n in range(64)] == ["end"] * 64


# Order


class Order:
    def __init__(self, order):
        self.order = order
        self.asked = []

    @hookimpl
    def rbee_order_queue(self, jobs, snapshot):
        self.asked.append([job.id for job in jobs])
        if isinstance(self.order, Exception):
            raise self.order
        return self.order


async def served(at, jobs="1234"):
    """The order in which waiting jobs get the one worker."""
    at.worker("a")
    await at.start("0")
    for job in jobs:
        await at.start(job)
    order, running = [], "0"
    while at.waiting:
        await at.end(running)
        (running,) = [job for job in jobs if at.where(job) and job not in order]
        order.append(running)
    return "".join(order)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, "1234"),
        ([], "1234"),
        (["4", "3", "2", "1"], "4321"),
        (["3"], "3124"),
        (["nobody", "2", "2"], "2134"),
        (LookupError(), "1234"),
        (7, "1234"),
        ([[]], "1234"),
    ],
    ids=str,
)
async def test_the_order_that_a_plugin_wants(order, expected):
    plugin = Order(order)
    async with shop(plugin) as at:
        assert expected == await served(at)
        assert plugin.asked[0] == ["1", "2", "3", "4"]
        failures = sum(at.scheduler.statistics().plugin_failures.values())
        assert failures == (
            0 if order is None or expected != "1234" or order == [] else len(plugin.asked)
        )


async def test_the_first_plugin_with_an_order_decides():
    first, second, third = Order(None), Order(LookupError()), Order(["2"])
    fourth = Order(["3"])

    async with shop(first, second, third, fourth) as at:
        assert await served(at, "123") == "213"
        assert fourth.asked == []


# Selectors that want to wait


class Select:
    """A selector that answers what it is told to; others are sent to the first candidate."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    @hookimpl
    def rbee_select_worker(self, request, candidates):
        self.asked.append(request.id)
        answer = self.answers.get(request.id)
        return [candidates[0].id] if answer is None else answer


async def test_a_job_that_must_wait_is_passed_over():
    select = Select(j1=Wait("not now"))
    async with shop(select) as at:
        at.worker("a")
        await at.start("j1")
        assert at.kinds("j1") == ["queued"]
        await at.start("j2")
        await at.start("j3")
        assert (at.where("j2"), at.where("j3")) == ("a", None)
        await at.end("j2")
        assert (at.where("j1"), at.where("j3")) == (None, "a")
        select.answers = {}
        await at.end("j3")
        assert at.where("j1") == "a"


async def test_only_so_many_are_passed_over_at_a_time():
    select = Select(**{f"j{n}": Wait() for n in range(20)})
    async with shop(select) as at:
        at.worker("a")
        for n in range(20):
            await at.start(f"j{n}")
        select.asked.clear()
        at.registry.update("a", device="cuda:1")
        await at.settle()
        assert select.asked == [f"j{n}" for n in range(16)]


async def test_a_selector_says_when_to_ask_again():
    select = Select(j1=Wait(retry_after=2.0))
    async with shop(select) as at:
        at.worker("a")
        await at.start("j1")
        await at.clock.run_for(1.9)
        assert select.asked == ["j1"]
        await at.clock.run_for(0.1)
        assert select.asked == ["j1", "j1"]
        select.answers = {}
        await at.clock.run_for(2.0)
        assert at.where("j1") == "a"


async def test_who_is_to_be_asked_again_is_asked_although_many_wait_before():
    select = Select(**{f"j{n}": Wait() for n in range(30)})
    async with shop(select) as at:
        at.worker("a")
        for n in range(30):
            await at.start(f"j{n}")
        select.answers["late"] = Wait(retry_after=1.0)
        await at.start("late")
        del select.answers["late"]
        await at.clock.run_for(1.0)
        assert at.where("late") == "a"


async def test_asking_again_at_once_does_not_spin():
    select = Select(j1=Wait(retry_after=0.0))
    async with shop(select) as at:
        at.worker("a")
        await at.start("j1")
        await at.clock.run_for(0.095)
        assert len(select.asked) == 1 + 9


async def test_a_job_may_be_rejected_after_it_waited():
    select = Select(j1=Wait())
    async with shop(select) as at:
        at.worker("a")
        await at.start("j1")
        select.answers = {"j1": Reject("no more of these")}
        await at.start("j2")
        await at.end("j2")
        assert isinstance(at.last("j1").error, Rejected)
        assert at.last("j1").outcome.kind == "rejected"


async def test_a_filter_keeps_a_job_waiting_for_its_own_worker():
    class Pinned:
        @hookimpl
        def rbee_filter_workers(self, request, candidates):
            if not request.session_id:
                return {}
            return {w.id: "pinned" for w in candidates if w.id != request.session_id}

    async with shop(Pinned()) as at:
        at.worker("a")
        at.worker("b")
        await at.start("1")
        await at.start("2", session_id="a")
        await at.start("3")
        assert (at.where("1"), at.where("2"), at.where("3")) == ("a", None, "b")
        await at.end("3")
        assert at.where("2") is None
        await at.end("1")
        assert at.where("2") == "a"


# Time


async def test_the_longest_wait():
    async with shop(queue=QueueConfig(timeout=10.0)) as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        await at.clock.run_for(9.9)
        assert at.kinds("2") == ["queued"]
        await at.clock.run_for(0.1)
        error = at.last("2").error
        assert isinstance(error, CapacityExceeded)
        assert error.message == "no worker was free within 10 s"
        assert at.last("2").outcome.kind == "rejected"
        assert at.last("2").outcome.queued_ms == 10_000


async def test_the_longest_wait_for_a_worker_that_went_away():
    async with shop(queue=QueueConfig(timeout=10.0)) as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        at.registry.remove("a")
        await at.clock.run_for(10.0)
        error = at.last("2").error
        assert isinstance(error, NoWorkersAvailable)
        assert error.message == "no worker was free within 10 s, and none is up for 'm'"


async def test_a_deadline_in_the_queue():
    async with shop() as at:
        at.worker("a")
        await at.start("1")
        await at.start("2", deadline_ms=500)
        await at.clock.run_for(0.5)
        assert isinstance(at.last("2").error, DeadlineExceeded)
        assert at.last("2").outcome.kind == "timeout"


@pytest.mark.parametrize("field", ["deadline", "deadline_ms"])
async def test_a_deadline_that_has_passed_at_admission(field):
    async with shop() as at:
        at.worker("a")
        late = at.clock.now() if field == "deadline" else -250
        await at.start("1", **{field: late})
        assert at.kinds("1") == ["error"]
        error = at.last("1").error
        assert isinstance(error, DeadlineExceeded)
        assert error.place == f"$.{field}"
        assert at.last("1").outcome.kind == "timeout"
        assert at.transport.calls == []
        with pytest.raises(DeadlineExceeded):
            await at.scheduler.schedule(request("2", **{field: late}))


# Workers that come and go


@pytest.mark.parametrize("way", ["remove", "offline", "drain"])
async def test_jobs_outlive_their_worker(way):
    async with shop() as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        if way == "remove":
            at.registry.remove("a")
        elif way == "drain":
            at.registry.drain("a")
        else:
            at.registry.update("a", online=False)
        await at.end("1")
        assert at.kinds("2") == ["queued"]
        at.worker("b")
        await at.settle()
        assert at.where("2") == "b"


async def test_a_worker_that_fails_while_jobs_wait_is_tried_again_after_its_pause():
    """They went to sleep before it failed: its failing must wake them."""
    async with shop(retry=RetryConfig(max_attempts=1)) as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        at.registry.report_failure("a", unreachable=True)
        await at.end("1")  # ends well, and frees a slot of a worker that is left alone...
        assert at.where("2") == "a"  # ...no more: it has served a request
        await at.clock.run_for(5.0)
        await at.start("3")
        assert at.clock.next_timer > 50  # it sleeps soundly
        at.failing.add("a")
        at.registry.report_failure("a", unreachable=True)
        at.scheduler.cancel("2")
        await at.settle()
        assert at.where("3") is None
        at.failing.clear()
        await at.clock.run_for(1.0)
        assert at.where("3") == "a"


async def test_the_slot_of_a_worker_that_failed_goes_to_nobody():
    """Its failure is known before its slot is free; those who wait don't try it in turn."""
    async with shop(retry=RetryConfig(max_attempts=1)) as at:
        at.worker("a")
        await at.start("0")
        at.failing.add("a")
        for job in "123":
            await at.start(job)
        calls = len(at.transport.calls)
        await at.end("0")
        # The first one finds out; the others wait.
        assert at.last("1").type == "error"
        assert len(at.transport.calls) == calls + 1
        assert at.waiting == 2


async def test_who_waited_in_a_retry_gets_a_worker_that_comes():
    async with shop() as at:
        at.worker("a")
        at.worker("b")
        at.failing.add("a")
        await at.start("0")
        assert at.where("0") == "b"
        await at.clock.run_for(0.5)
        at.registry.report_failure("a", unreachable=True)
        await at.start("1")
        assert at.kinds("1") == ["queued"]
        at.worker("c")
        await at.settle()
        assert at.where("1") == "c"


async def test_a_worker_that_comes_while_another_lane_is_served():
    """What a hook does may free workers of other lanes: nobody is forgotten."""
    select = Select()
    async with shop(select) as at:
        at.worker("a", model="m")
        at.worker("b", model="n")
        for job, model in (("1", "m"), ("2", "m"), ("3", "n"), ("4", "n")):
            await at.start(job, model=model)

        class Answers(dict):
            def get(self, job_id):
                if job_id == "2":
                    at.registry.update("b", slots=2)

        select.answers = Answers()
        await at.end("1")
        assert (at.where("2"), at.where("4")) == ("a", "b")


# Cancelled


async def test_a_cancelled_job_makes_room():
    async with shop(queue=QueueConfig(capacity=1)) as at:
        at.worker("a")
        await at.start("1")
        await at.start("2")
        assert at.scheduler.cancel("2")
        await at.settle()
        assert isinstance(at.last("2").error, Cancelled)
        await at.start("3")
        assert at.kinds("3") == ["queued"]


async def test_what_a_cancelled_job_was_given_goes_to_the_next():
    """The worker was reserved for it; then, before it could run, it was cancelled."""
    async with shop() as at:
        at.worker("a")
        for job in "123":
            await at.start(job)
        # Both in the same turn of the loop, the gift first.
        at.registry.update("a", slots=2)
        assert at.in_flight() == [2]
        at.scheduler.cancel("2")
        await at.settle()
        assert isinstance(at.last("2").error, Cancelled)
        assert at.where("2") is None
        assert at.where("3") == "a"


async def test_a_question_waits_too_and_may_be_cancelled():
    async with shop() as at:
        at.worker("a", device="cuda:0")
        await at.start("1")
        results = []

        async def ask():
            results.append(await at.scheduler.schedule(request("1")))  # the id may be in use

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await at.settle()
            assert at.waiting == 2
            await at.end("1")
        assert [result.worker_id for result in results] == ["a", "a"]
        assert at.in_flight() == [0]
        await at.start("2")
        with anyio.move_on_after(0):
            await at.scheduler.schedule(request("3"))
        assert at.waiting == 0


async def test_asking_again_while_nobody_is_free_waits_for_somebody():
    """A moment that has come is over, whether there was somebody to ask for or not."""
    select = Select(j1=Wait(retry_after=1.0))
    async with shop(select, queue=QueueConfig(timeout=10.0)) as at:
        at.worker("a")
        await at.start("j1")
        await at.start("j2")
        await at.clock.run_for(1.5)
        assert at.clock.next_timer == pytest.approx(8.5)
        select.answers = {}
        await at.end("j2")
        assert at.where("j1") == "a"
