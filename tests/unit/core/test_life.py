"""What a request holds, and how it is given back."""

import logging
from random import Random

import anyio
import pytest

from rbee_scheduler import (
    Allow,
    Cancelled,
    CapacityExceeded,
    DeadlineExceeded,
    Deny,
    InferenceRequest,
    InvalidRequest,
    LimitsConfig,
    NoWorkersAvailable,
    ParseError,
    PluginError,
    PromptTooLarge,
    QuotaExceeded,
    Rejected,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    StreamReadError,
    Worker,
    WorkerError,
    WorkerRegistry,
    WorkerTimeout,
    hookimpl,
)
from rbee_scheduler._life import outcome_kind
from rbee_scheduler._observe import Observer
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Cancelled, "cancelled"),
        (DeadlineExceeded, "timeout"),
        (WorkerTimeout, "timeout"),
        (CapacityExceeded, "rejected"),
        (InvalidRequest, "rejected"),
        (PromptTooLarge, "rejected"),
        (NoWorkersAvailable, "rejected"),
        (QuotaExceeded, "rejected"),
        (Rejected, "rejected"),
        (WorkerError, "error"),
        (StreamReadError, "error"),
        (ParseError, "error"),
        (PluginError, "error"),
    ],
)
def test_the_kind_of_an_outcome(error, kind):
    assert outcome_kind(error("x")) == kind


class Hooks:
    """A plugin whose life-cycle hooks do what they are told, and write down who was called."""

    def __init__(self, name, log, *, reserve=None, release=None):
        self.name = name
        self.log = log
        self.acts = {"reserve": reserve, "release": release}

    def act(self, hook, worker):
        self.log.append(f"{hook} {self.name} {worker.id}")
        act = self.acts[hook]
        if isinstance(act, Exception):
            raise act


class Sync(Hooks):
    @hookimpl
    def rbee_reserve(self, worker):
        self.act("reserve", worker)

    @hookimpl
    def rbee_release(self, worker, outcome):
        self.act("release", worker)
        self.log.append(outcome.kind)


class Async(Hooks):
    @hookimpl
    async def rbee_reserve(self, worker):
        self.act("reserve", worker)
        if self.acts["reserve"] == "hang":
            await anyio.sleep_forever()

    @hookimpl
    async def rbee_release(self, worker, outcome):
        self.act("release", worker)
        if self.acts["release"] == "hang":
            await anyio.sleep_forever()


class ReleaseOnly:
    def __init__(self, log):
        self.log = log

    @hookimpl
    def rbee_release(self, worker):
        self.log.append(f"release x {worker.id}")


async def run(*plugins, workers=1, **fields):
    """Run a request; return its last event, and the scheduler."""
    clock = VirtualClock()
    registry = WorkerRegistry(clock=clock)
    for n in range(workers):
        registry.add(Worker(id=f"w{n}", url=f"http://w{n}", model="m", slots=1))

    async def answer(call):
        return MemoryResponse(completion(["a"]))

    config = SchedulerConfig(
        limits=LimitsConfig(hook_timeout=3.0),
        retry=RetryConfig(max_attempts=2, initial_delay=1.0, jitter=0.0),
    )
    scheduler = Scheduler(
        registry, list(plugins), config, transport=MemoryTransport(answer), rng=Random(0)
    )
    asked = InferenceRequest(job_id="j", model="m", prompt="Hi", **fields)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.autojump)
        async with scheduler.stream(asked) as events:
            last = [event async for event in events][-1]
        tasks.cancel_scope.cancel()
    assert {worker.in_flight for worker in registry.snapshot().workers()} == {0}
    return last, scheduler, clock.monotonic()


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_releases_come_in_reverse_order(kind):
    log = []
    last, _, _ = await run(kind("a", log), kind("b", log))
    assert last.type == "end"
    assert [entry for entry in log if entry != "success"] == [
        "reserve a w0", "reserve b w0", "release b w0", "release a w0",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_a_reserve_that_raises_undoes_those_before_and_moves_on(kind):
    log = []
    failing = kind("b", log, reserve=LookupError("no lease"))
    last, scheduler, _ = await run(kind("a", log), failing, kind("c", log), workers=2)
    assert [entry for entry in log if " " in entry] == [
        "reserve a w0", "reserve b w0", "release a w0",
        "reserve a w1", "reserve b w1", "release a w1",
    ]  # fmt: skip
    assert last.error.message == "LookupError: no lease"
    assert (last.error.hook, last.outcome.kind) == ("rbee_reserve", "error")
    assert last.outcome.attempts == 2
    # It says nothing about the workers.
    assert {w.status for w in scheduler.registry.snapshot().workers()} == {"ready"}


async def test_a_reserve_that_hangs_is_left_at_its_limit():
    log = []
    last, _, seconds = await run(Async("a", log, reserve="hang"), workers=2)
    assert log == ["reserve a w0", "reserve a w1"]
    assert last.error.message == "took longer than 3 s"
    assert "limits.hook_timeout" in last.error.hint
    assert seconds == 6.0


async def test_the_requests_time_runs_out_in_a_reserve():
    log = []
    last, scheduler, seconds = await run(
        Sync("a", log), Async("b", log, reserve="hang"), deadline_ms=2000
    )
    assert isinstance(last.error, DeadlineExceeded)
    assert (last.outcome.kind, seconds) == ("timeout", 2.0)
    assert log == ["reserve a w0", "reserve b w0", "release a w0", "timeout"]
    assert scheduler.statistics().plugin_failures == {}


@pytest.mark.parametrize("act", ["hang", LookupError()], ids=str)
async def test_a_release_that_fails_does_not_stop_the_others(act):
    log = []
    last, scheduler, seconds = await run(
        Sync("a", log), Async("b", log, release=act), Sync("c", log)
    )
    assert last.type == "end"
    assert log[3:] == ["release c w0", "success", "release b w0", "release a w0", "success"]
    assert list(scheduler.statistics().plugin_failures.values()) == [1]
    assert seconds == (3.0 if act == "hang" else 0.0)


async def test_a_release_without_a_reserve_is_always_called():
    log = []
    await run(Sync("a", log, reserve=LookupError()), ReleaseOnly(log))
    assert log == ["reserve a w0", "release x w0"] * 2


async def test_a_plugins_own_error_is_named():
    log = []
    last, _, _ = await run(Sync("a", log, reserve=PluginError("mine", hint="do this")))
    assert (last.error.message, last.error.hint) == ("mine", "do this")
    assert last.error.hook == "rbee_reserve"
    assert last.error.plugin
    assert last.error.__cause__ is None


async def test_a_strategy_and_its_plugin_are_two():
    """They may have one name; the release of one does not stand for that of the other."""
    log = []

    class Plugin(Sync):
        @hookimpl
        def rbee_register_strategies(self):
            return {"Plugin": Sync("strategy", log, reserve=LookupError())}

    await run(Plugin("plugin", log), strategy="Plugin")
    assert [entry for entry in log if " " in entry][:3] == [
        "reserve plugin w0", "reserve strategy w0", "release plugin w0",
    ]  # fmt: skip


def test_an_observer_counts_and_logs(caplog):
    observer = Observer(logging.getLogger("rbee_scheduler"))
    for _ in range(2):
        error = PluginError("outer", plugin="p", hook="h")
        error.__cause__ = LookupError("inner")
        observer.plugin_failed(error)
    observer.count("retry", None)
    observer.count("admitted", None)
    assert observer.plugin_failures == {("p", "h"): 2}
    assert observer.retries == 1
    assert [bool(record.exc_info) for record in caplog.records] == [True, False]


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [(2, 0.0, 1.0), (3, 0.0, 3.0), (4, 0.0, 9.0), (5, 0.0, 10.0), (2, 1.0, 0.75), (99, 0.0, 10.0)],
)
def test_pauses(attempt, chance, seconds):
    retry = RetryConfig(initial_delay=1.0, multiplier=3.0, max_delay=10.0, jitter=0.25)
    assert retry.delay(attempt, chance) == seconds


def test_no_pause_is_beyond_a_float():
    assert RetryConfig(multiplier=100.0, max_attempts=10**6).delay(10**6, 0.0) == 60.0


class Quota:
    """A quota check that may wait, with a charge that follows the stream."""

    def __init__(self, act=None, meter=None):
        self.act = act
        self.meter = meter
        self.log = []

    @hookimpl
    async def rbee_check_quota(self, request, snapshot):
        assert len(snapshot) == 1
        if self.act == "hang":
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        if isinstance(self.act, Exception):
            raise self.act
        return self.act or Allow(self)

    def streamed(self, tokens):
        self.log.append(tokens)
        if self.meter:
            raise self.meter

    def settle(self, outcome):
        self.log.append("settle")

    def refund(self):
        self.log.append("refund")


async def test_a_quota_check_may_wait():
    one, other = Quota(), Quota()
    last, _, _ = await run(one, other)
    assert last.type == "end"
    assert one.log == other.log == [1, "settle"]


@pytest.mark.parametrize("act", ["hang", LookupError("no table"), Deny("spent"), 7], ids=str)
async def test_a_quota_check_that_waits_and_does_not_allow_denies(act):
    one, other = Quota(), Quota(act)
    last, scheduler, seconds = await run(one, other)
    assert isinstance(last.error, QuotaExceeded)
    assert one.log == ["refund"]
    assert seconds == (3.0 if act == "hang" else 0.0)
    assert sum(scheduler.statistics().plugin_failures.values()) == (not isinstance(act, Deny))


async def test_the_requests_time_runs_out_in_a_quota_check():
    one, other = Quota(), Quota("hang")
    last, scheduler, seconds = await run(one, other, deadline_ms=2000)
    assert isinstance(last.error, DeadlineExceeded)
    assert (one.log, seconds) == (["refund"], 2.0)
    assert scheduler.statistics().plugin_failures == {}


async def test_a_meter_that_raises_is_counted_and_the_stream_goes_on():
    one, other = Quota(meter=LookupError("no meter")), Quota()
    last, scheduler, _ = await run(one, other)
    assert last.type == "end"
    assert one.log == other.log == [1, "settle"]
    assert scheduler.statistics().plugin_failures == {("Quota", "rbee_check_quota"): 1}


async def test_a_listener_that_raises_is_counted_and_the_others_are_told():
    registry = WorkerRegistry()
    registry.add(Worker(id="w", url="http://w", model="m"))
    scheduler = Scheduler(registry, [], transport=MemoryTransport(None))
    kinds = []

    def broken(event):
        raise LookupError(event.kind)

    ends = [scheduler.subscribe(broken), scheduler.subscribe(lambda e: kinds.append(e.kind))]
    request = InferenceRequest(job_id="j", model="m", prompt="Hi")
    async with scheduler.hold(request) as held:
        held.succeeded()
    assert kinds == ["admitted", "scheduled", "outcome"]
    ((plugin, hook),) = scheduler.statistics().plugin_failures
    assert plugin.endswith("broken")
    assert hook == "Scheduler.subscribe"
    for end in ends:
        end()
    async with scheduler.hold(request) as held:
        held.succeeded()
    assert len(kinds) == 3
