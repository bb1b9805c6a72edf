"""A worker held for a relay: every way in which it ends, once, with everything given back."""

from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest

from rbee_scheduler import (
    Allow,
    Cancelled,
    CapacityExceeded,
    Catalog,
    DeadlineExceeded,
    Deny,
    InferenceRequest,
    InvalidRequest,
    LimitsConfig,
    LivenessConfig,
    ModelInfo,
    NoWorkersAvailable,
    PluginError,
    QueueConfig,
    QuotaExceeded,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    SchedulerError,
    StreamReadError,
    TimeoutConfig,
    Usage,
    Worker,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerRegistry,
    WorkerTimeout,
    hookimpl,
)
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryTransport


class Books:
    """A plugin that writes down what happens to each request."""

    def __init__(self):
        self.log = []
        self.acts = {}  # hook -> what it does
        self.streamed_tokens = []

    def act(self, hook):
        act = self.acts.get(hook)
        if isinstance(act, Exception):
            raise act
        return act

    async def wait(self, hook):
        if self.act(hook) == "hangs":
            await anyio.sleep_forever()

    @hookimpl
    async def rbee_check_quota(self):
        await self.wait("quota")
        return self.act("quota") or Allow(self)

    @hookimpl
    async def rbee_reserve(self, worker):
        await self.wait("reserve")
        self.log.append(f"reserve {worker.id}")

    @hookimpl
    def rbee_release(self, worker, outcome):
        self.log.append(f"release {worker.id}: {outcome.kind}")

    @hookimpl
    def rbee_on_event(self, event):
        if event.kind == "outcome":
            self.log.append(f"outcome {event.outcome.kind}")

    def settle(self, outcome):
        self.log.append("settle")

    def refund(self):
        self.log.append("refund")

    def streamed(self, tokens):
        self.streamed_tokens.append(tokens)


class Place:
    """A scheduler over workers nobody calls, on a virtual clock."""

    def __init__(self, *workers, **config):
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(
            clock=self.clock, liveness=LivenessConfig(failures=2, cooldown=1.0)
        )
        for worker_id in workers:
            self.registry.add(Worker(id=worker_id, url=f"http://{worker_id}", model="m", slots=1))
        self.books = Books()
        settings = {
            "timeout": TimeoutConfig(first_token=8.0, idle=4.0, total=100.0),
            "retry": RetryConfig(max_attempts=3, initial_delay=1.0, jitter=0.0),
            "limits": LimitsConfig(hook_timeout=5.0),
        }
        self.scheduler = Scheduler(
            self.registry,
            [self.books],
            SchedulerConfig(**settings | config),
            transport=MemoryTransport(None),
            rng=Random(0),
        )
        self.tasks = None

    def hold(self, job_id="j", **fields):
        options = {name: fields.pop(name, None) for name in ("on_queued", "filter_workers")}
        request = InferenceRequest(**{"job_id": job_id, "model": "m", "prompt": "Hi"} | fields)
        return self.scheduler.hold(request, **options)

    def in_flight(self):
        return {w.id: w.in_flight for w in self.registry.snapshot().workers()}


@asynccontextmanager
async def place(*workers, **config):
    """A place in which time passes by itself; nothing is held when the block ends."""
    at = Place(*workers, **config)
    async with anyio.create_task_group() as at.tasks:
        at.tasks.start_soon(at.clock.autojump)
        yield at
        at.tasks.cancel_scope.cancel()
    assert set(at.in_flight().values()) <= {0}
    assert len(at.scheduler._placement.queue) == 0
    assert not at.scheduler._active
    ended = [entry for entry in at.books.log if entry in {"settle", "refund"}]
    assert len(ended) == sum(entry.startswith("outcome") for entry in at.books.log)
    assert at.scheduler.statistics().active == 0


# ---- ends well -----------------------------------------------------------------------------------


async def test_a_success_is_told_settled_and_reported():
    async with place("a", "b") as at:
        at.registry.report_failure("a")
        async with at.hold() as held:
            assert (held.worker.id, held.model, held.strategy) == ("a", "m", "best-score")
            assert (held.attempts, held.outcome, held.request.job_id) == (1, None, "j")
            assert at.in_flight() == {"a": 1, "b": 0}
            with held.attempt():
                held.streamed(3)
                held.streamed(1)
            held.succeeded(Usage(prompt_tokens=2, completion_tokens=4), "stop")
        outcome = held.outcome
        assert (outcome.kind, outcome.worker_id, outcome.error) == ("success", "a", None)
        assert (outcome.usage.completion_tokens, outcome.finish_reason) == (4, "stop")
        assert outcome.first_token_ms is not None
        assert at.books.log == ["reserve a", "release a: success", "settle", "outcome success"]
        assert at.books.streamed_tokens == [3, 1]
        # Its earlier failure is forgiven: it takes two in a row again.
        at.registry.report_failure("a")
        assert at.registry.snapshot().worker("a").usable


async def test_the_worker_has_its_own_name_for_the_model():
    catalog = Catalog([ModelInfo(model_ref="org/model", aliases=["short"])])
    registry = WorkerRegistry(catalog=catalog)
    registry.add(Worker(id="a", url="http://a", model="short"))
    async with Scheduler(registry, [], transport=MemoryTransport(None)) as scheduler:
        request = InferenceRequest(job_id="j", model="org/model", prompt="Hi")
        async with scheduler.hold(request) as held:
            assert (held.model, held.request.model) == ("short", "org/model")


async def test_the_next_worker_serves_when_one_fails():
    async with place("a", "b") as at:
        failure = WorkerCommunicationFailed("refused")
        async with at.hold() as held:
            await held.failed(failure)
            assert (held.worker.id, held.attempts, failure.worker_id) == ("b", 2, "a")
            assert at.in_flight() == {"a": 0, "b": 1}
            assert not at.registry.snapshot().worker("a").usable  # unreachable: at once
            held.succeeded()
        assert held.outcome.attempts == 2
        assert at.books.log == [
            "reserve a", "release a: error", "reserve b", "release b: success",
            "settle", "outcome success",
        ]  # fmt: skip
        assert at.scheduler.statistics().retries == 1


async def test_the_only_worker_is_tried_again_after_a_pause():
    async with place("a") as at:
        async with at.hold() as held:
            await held.failed(StreamReadError("cut"))
            assert (held.worker.id, held.attempts) == ("a", 2)
            held.succeeded()
        assert at.clock.monotonic() == 1.0


# ---- ends badly ----------------------------------------------------------------------------------


async def test_tries_are_exhausted():
    async with place("a", "b", "c", "d") as at:
        tried = []
        with pytest.raises(WorkerCommunicationFailed):  # noqa: PT012 - the block is what is tested
            async with at.hold() as held:
                while True:
                    tried.append(held.worker.id)
                    await held.failed(WorkerCommunicationFailed("refused"))
        assert tried == ["a", "b", "c"]
        assert (held.outcome.kind, held.outcome.attempts) == ("error", 3)
        assert at.books.log[-2:] == ["settle", "outcome error"]


@pytest.mark.parametrize(
    ("failure", "options", "usable"),
    [
        (WorkerCommunicationFailed("cut"), {"can_go_on": False}, False),
        (WorkerError("bad prompt", status=400), {}, True),  # the request's fault
    ],
    ids=["begun", "the request's fault"],
)
async def test_no_other_try_is_worth_it(failure, options, usable):
    async with place("a", "b") as at:
        with pytest.raises(type(failure)):
            async with at.hold() as held:
                await held.failed(failure, **options)
        assert held.attempts == 1
        assert at.registry.snapshot().worker("a").usable == usable


@pytest.mark.parametrize("error", [Cancelled("x"), DeadlineExceeded("x"), QuotaExceeded("x")])
async def test_what_is_not_the_workers_fault_is_no_reason_to_try_another(error):
    async with place("a", "b", retry=RetryConfig(max_attempts=9)) as at:
        with pytest.raises(type(error)):
            async with at.hold() as held:
                await held.failed(error)
        assert held.attempts == 1
        assert held.outcome.error is error
        for _ in range(2):  # nothing was counted against it: two failures are what it takes
            assert at.registry.snapshot().worker("a").usable
            at.registry.report_failure("a")


async def test_a_failure_that_was_told_is_the_outcome():
    async with place("a") as at:
        error = WorkerError("no", status=422)
        async with at.hold() as held:
            held.ended(error, Usage(prompt_tokens=5))
        assert (held.outcome.error, held.outcome.usage.prompt_tokens) == (error, 5)
        assert at.books.log[-1] == "outcome error"


async def test_a_block_that_says_nothing_was_left():
    async with place("a") as at:
        async with at.hold() as held:
            pass
        assert held.outcome.kind == "cancelled"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (LookupError("a bug"), "error", "LookupError: a bug"),
        (StreamReadError("cut"), "error", "cut"),
        (KeyboardInterrupt(), "cancelled", "the caller left"),
    ],
    ids=["bug", "scheduler error", "interrupt"],
)
async def test_an_exception_is_the_outcome_even_after_a_success(error, kind, message):
    async with place("a") as at:

        async def block():
            async with at.hold() as held:
                held.succeeded()
                at.held = held
                raise error

        with pytest.raises(type(error)) as caught:
            await block()
        assert caught.value is error
        assert (at.held.outcome.kind, at.held.outcome.error.message) == (kind, message)


async def test_a_listener_of_the_registry_that_raises_leaves_nothing_held():
    async with place("a") as at:
        at.registry.report_failure("a", unreachable=True)
        await at.clock.sleep(2.0)

        def listen(event):
            raise LookupError(event.kind)

        async def block():
            async with at.hold() as held:
                at.registry.report_failure("a", unreachable=True)
                unsubscribe.append(at.registry.subscribe(listen))
                held.succeeded()  # it is up again: that is told

        unsubscribe = []
        with pytest.raises(LookupError):
            await block()
        unsubscribe[0]()
        assert at.books.log[-2:] == ["settle", "outcome success"]


# ---- never begins --------------------------------------------------------------------------------


async def test_nobody_serves_the_model():
    async with place("a") as at:
        with pytest.raises(NoWorkersAvailable):
            async with at.hold(model="other"):
                pytest.fail("held")
        assert at.books.log == ["refund", "outcome rejected"]


async def test_a_quota_denies():
    async with place("a") as at:
        at.books.acts["quota"] = Deny("spent", retry_after=9.0)
        held = at.hold()
        with pytest.raises(QuotaExceeded) as caught:
            await held.__aenter__()
        assert (caught.value.retry_after, held.outcome.kind) == (9.0, "rejected")
        at.books.log.clear()  # nothing was booked


async def test_a_quota_check_that_hangs_denies_at_its_limit():
    async with place("a") as at:
        at.books.acts["quota"] = "hangs"
        with pytest.raises(QuotaExceeded, match="failed"):
            await at.hold().__aenter__()
        assert at.clock.monotonic() == 5.0
        at.books.log.clear()


async def test_an_id_is_in_use_while_it_is_held_and_free_afterwards():
    async with place("a", "b") as at:
        async with at.hold() as held:
            with pytest.raises(InvalidRequest, match="'j' is running"):
                await at.hold().__aenter__()
            with pytest.raises(InvalidRequest, match="'j' is running"):
                async with at.scheduler.stream(held.request) as events:
                    await events.text()
            held.succeeded()
        async with at.hold() as held:
            held.succeeded()


async def test_a_hold_is_entered_once():
    async with place("a") as at:
        held = at.hold()
        async with held:
            with pytest.raises(RuntimeError, match="entered once"):
                await held.__aenter__()
        with pytest.raises(RuntimeError, match="entered once"):
            await held.__aenter__()


async def test_a_hold_that_is_not_entered_holds_nothing():
    async with place("a") as at:
        at.hold()
        async with at.hold() as held:
            held.succeeded()


# ---- in the queue --------------------------------------------------------------------------------


async def test_its_place_in_the_queue_is_told():
    async with place("a") as at:
        positions = []
        done = []

        async def wait(job_id):
            async with at.hold(job_id, on_queued=positions.append) as held:
                done.append(job_id)
                held.succeeded()
            assert held.outcome.queued_ms == 500

        async with (
            at.hold("first", on_queued=positions.append) as held,
            anyio.create_task_group() as waiting,
        ):
            for number, job_id in enumerate(("second", "third"), 1):
                waiting.start_soon(wait, job_id)
                while at.scheduler.statistics().queued < number:
                    await anyio.lowlevel.checkpoint()
            assert positions == [1, 2]
            at.clock.advance(0.5)
            held.succeeded()
            at.registry.update("a", slots=3)
        assert sorted(done) == ["second", "third"]


async def test_the_queue_is_full():
    async with place("a", queue=QueueConfig(capacity=0)) as at, at.hold("1") as held:
        with pytest.raises(CapacityExceeded):
            await at.hold("2").__aenter__()
        held.succeeded()


async def test_who_is_told_its_place_may_raise():
    async with place("a") as at:

        def told(position):
            raise LookupError(position)

        async with at.hold("1") as held:
            with pytest.raises(LookupError):
                await at.hold("2", on_queued=told).__aenter__()
            held.succeeded()


@pytest.mark.parametrize(
    ("how", "error"), [("cancel", Cancelled), ("deadline", DeadlineExceeded), ("scope", None)]
)
async def test_it_ends_while_it_waits(how, error):
    async with place("a") as at:
        async with at.hold("1") as first:
            waits = at.hold("2", deadline_ms=3000)
            raised = []

            async def wait():
                with anyio.CancelScope() as at.scope:
                    try:
                        await waits.__aenter__()
                    except SchedulerError as failure:
                        raised.append(type(failure))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                while not at.scheduler.statistics().queued:
                    await anyio.lowlevel.checkpoint()
                if how == "cancel":
                    assert at.scheduler.cancel("2")
                elif how == "scope":
                    at.scope.cancel()
            assert raised == ([error] if error else [])
            assert waits.outcome.kind == ("timeout" if how == "deadline" else "cancelled")
            first.succeeded()
        assert at.books.log.count("refund") == 1


# ---- while it runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "scope", "close", "before"])
async def test_it_is_cancelled_while_it_runs(how):
    async with place("a") as at:
        held = at.hold()
        raised = []

        async def run():
            with anyio.CancelScope() as at.scope:
                try:
                    async with held:
                        if how == "before":  # between two tries
                            at.scheduler.cancel("j")
                        with held.attempt():
                            running.set()
                            await anyio.sleep_forever()
                except SchedulerError as failure:
                    raised.append(type(failure))

        running = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await running.wait()
            if how == "cancel":
                assert at.scheduler.cancel("j")
            elif how == "close":
                await at.scheduler.aclose()
            elif how == "scope":
                at.scope.cancel()
        assert raised == ([] if how == "scope" else [Cancelled])
        assert held.outcome.kind == "cancelled"
        assert at.books.log == ["reserve a", "release a: cancelled", "settle", "outcome cancelled"]
        assert not at.scheduler.cancel("j")


@pytest.mark.parametrize(
    ("how", "error"), [("cancel", Cancelled), ("deadline", DeadlineExceeded), ("scope", None)]
)
async def test_it_ends_while_a_plugin_prepares(how, error):
    async with place("a") as at:
        at.books.acts["reserve"] = "hangs"
        held = at.hold(deadline_ms=2000)
        raised = []

        async def run():
            with anyio.CancelScope() as at.scope:
                try:
                    await held.__aenter__()
                except SchedulerError as failure:
                    raised.append(type(failure))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while not at.in_flight()["a"]:
                await anyio.lowlevel.checkpoint()
            if how == "cancel":
                at.scheduler.cancel("j")
            elif how == "scope":
                at.scope.cancel()
        assert raised == ([error] if error else [])
        # It never got to the worker: what was booked comes back.
        assert at.books.log[-2] == "refund"


async def test_a_plugin_that_fails_to_prepare_costs_a_worker_not_the_request():
    async with place("a", "b") as at:
        at.books.acts["reserve"] = LookupError("no lease")

        class Once:
            @hookimpl
            def rbee_on_event(self, event):
                if event.kind == "retry":
                    at.books.acts.clear()

        at.scheduler = Scheduler(
            at.registry, [at.books, Once()], at.scheduler.config, transport=MemoryTransport(None)
        )
        async with at.hold() as held:
            assert (held.worker.id, held.attempts) == ("b", 2)
            held.succeeded()
        assert at.registry.snapshot().worker("a").usable


async def test_a_plugin_that_always_fails_to_prepare_ends_it():
    async with place("a", "b") as at:
        at.books.acts["reserve"] = LookupError("no lease")
        with pytest.raises(PluginError, match="no lease"):
            await at.hold().__aenter__()
        assert at.books.log == ["refund", "outcome error"]


# ---- time ----------------------------------------------------------------------------------------


async def test_a_worker_that_never_answers():
    async with place("a") as at:
        with pytest.raises(WorkerTimeout, match="http://a kept silent"):  # noqa: PT012 - the block is what is tested
            async with at.hold() as held:
                with held.attempt():
                    await anyio.sleep_forever()
        assert at.clock.monotonic() == 8.0
        assert held.outcome.kind == "timeout"


async def test_silence_is_a_failure_that_another_worker_may_mend():
    async with place("a", "b") as at, at.hold() as held:
        try:
            with held.attempt() as attempt:
                attempt.expect(4.0)
                await anyio.sleep_forever()
        except WorkerTimeout as silent:
            await held.failed(silent)
        assert held.worker.id == "b"
        held.succeeded()


async def test_the_deadline_ends_a_try():
    async with place("a") as at:
        with pytest.raises(DeadlineExceeded):  # noqa: PT012 - the block is what is tested
            async with at.hold(deadline_ms=2500) as held:
                with held.attempt() as attempt:
                    while True:
                        attempt.expect(4.0)
                        await at.clock.sleep(1.0)
        assert at.clock.monotonic() == 2.5
        assert held.outcome.kind == "timeout"


def only(*names):
    """A request's own filter, which lets some workers through."""
    return lambda _, workers, __: {w.id: "not it" for w in workers if w.id not in names}


async def test_a_filter_of_its_own_leaves_workers_out_for_one_request():
    async with place("a", "b") as at, at.hold(filter_workers=only("b")) as held:
        assert held.worker.id == "b"
        async with at.hold("other") as other:
            assert other.worker.id == "a"
            other.succeeded()
        held.succeeded()


async def test_with_a_filter_of_its_own_it_waits_for_those_that_are_left():
    queued, served = anyio.Event(), anyio.Event()

    async def second():
        options = {"filter_workers": only("b"), "on_queued": lambda _: queued.set()}
        async with at.hold("second", **options) as held:
            assert held.worker.id == "b"
            held.succeeded()
        served.set()

    async with place("a", "b") as at:
        async with at.hold("first", filter_workers=only("b")) as first:
            at.tasks.start_soon(second)
            await queued.wait()
            first.succeeded()
        await served.wait()


async def test_when_its_own_filter_leaves_nobody_the_error_says_why():
    async with place("a") as at:
        with pytest.raises(NoWorkersAvailable, match="not it"):
            async with at.hold(filter_workers=only("b")):
                raise AssertionError("never held")


async def test_explaining_takes_the_filter_too():
    async with place("a", "b") as at:
        request = InferenceRequest(job_id="j", model="m", prompt="Hi")
        assert at.scheduler.explain(request).worker_id == "a"
        assert at.scheduler.explain(request, filter_workers=only("b")).worker_id == "b"
