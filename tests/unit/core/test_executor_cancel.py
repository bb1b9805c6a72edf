"""A request may be given up at every point where it waits: nothing is held afterwards."""

import anyio
import pytest

from rbee_scheduler import (
    Allow,
    Cancelled,
    InferenceRequest,
    Scheduler,
    SchedulerConfig,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler._transport import HttpxTransport
from rbee_scheduler.testing import Dialect, FakeWorker, Fault, Gate, Script, VirtualClock


PROTOCOLS = {"openai": Dialect.LLAMACPP, "queen": Dialect.QUEEN}


# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


class Charge:
    def __init__(self):
        self.ended = []

    def settle(self, outcome):
        self.ended.append(("settle", outcome.kind))

    def refund(self):
        self.ended.append(("refund", None))


class Books:
    """A plugin that books everything it is told; its hooks can be held up."""

    def __init__(self, *, hold_reserve=False, hold_release=False):
        self.hold_reserve = hold_reserve
        self.hold_release = hold_release
        self.charges = []
        self.begun = []
        self.reserved = []
        self.released = []
        self.events = []
        self.reached = anyio.Event()

    @hookimpl
    def rbee_check_quota(self, request, snapshot):
        self.charges.append(Charge())
        return Allow(self.charges[-1])

    @hookimpl
    async def rbee_reserve(self, request, worker):
        self.begun.append(worker.id)
        if self.hold_reserve:
            self.reached.set()
            await anyio.sleep_forever()
        self.reserved.append(worker.id)

    @hookimpl
    async def rbee_release(self, request, worker, outcome):
        self.released.append((worker.id, outcome.kind))
        if self.hold_release:
            self.reached.set()
            await anyio.sleep_forever()

    @hookimpl
    def rbee_on_event(self, event):
        self.events.append(event.kind)

    @property
    def outcomes(self):
        return self.events.count("outcome")


class SlowToConnect:
    """A transport that does not get through."""

    def __init__(self):
        self.inner = HttpxTransport()
        self.reached = anyio.Event()

    async def open(self, call):
        self.reached.set()
        await anyio.sleep_forever()

    async def aclose(self):
        await self.inner.aclose()


class State:
    """A request on its way, brought to one point where it waits."""

    def __init__(self, name, protocol):
        self.name = name
        self.gate = {
            "before headers": Gate(after=None),
            "before the first token": Gate(after=0),
            "mid-stream": Gate(after=2),
        }.get(name)
        fault = Fault.ERROR_JSON if name == "backing off" else None
        self.worker = FakeWorker(
            Script(gate=self.gate, fault=fault), dialect=PROTOCOLS[protocol], model="m"
        )
        self.clock = VirtualClock()
        self.registry = WorkerRegistry(clock=self.clock)
        self.books = Books(hold_reserve=name == "reserve hook", hold_release=name == "release hook")
        self.transport = SlowToConnect() if name == "connecting" else None
        self.scheduler = Scheduler(
            self.registry, [self.books], SchedulerConfig(), transport=self.transport
        )
        self.protocol = protocol
        self.seen = []
        self.fresh = anyio.Event()

    async def __aenter__(self):
        await self.worker.__aenter__()
        self.registry.add_url(self.worker.url, id="w", model="m", slots=1, protocol=self.protocol)
        self.other = self.registry.reserve("w") if self.name == "queued" else None
        return self

    async def __aexit__(self, *error):
        await self.scheduler.aclose()
        await self.worker.__aexit__(*error)

    def note(self, event):
        self.seen.append(event)
        self.fresh.set()
        self.fresh = anyio.Event()

    async def until(self, condition):
        while not condition(self.seen):
            await self.fresh.wait()

    async def reached(self):
        if self.name in {"reserve hook", "release hook"}:
            await self.books.reached.wait()
        elif self.name == "connecting":
            await self.transport.reached.wait()
        elif self.gate is not None:
            await self.gate.wait_for(1)
            if self.name == "mid-stream":
                await self.until(lambda seen: sum(e.type == "token" for e in seen) == 2)
        elif self.name == "queued":
            await self.until(lambda seen: seen[-1:] and seen[-1].type == "queued")
        else:
            while "retry" not in self.books.events:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()

    async def stream(self):
        async with self.scheduler.stream(request()) as events:
            async for event in events:
                self.note(event)

    async def check(self, *, kind="cancelled"):
        if self.other is not None:
            self.other.release()
        assert self.registry.snapshot().worker("w").in_flight == 0
        assert len(self.scheduler._placement.queue) == 0
        assert not self.scheduler._active
        assert self.books.outcomes == 1
        assert dict(self.scheduler.statistics().outcomes) == {kind: 1}
        (charge,) = self.books.charges
        never_ran = self.name in {"queued", "reserve hook"}
        assert charge.ended == [("refund", None) if never_ran else ("settle", kind)]
        ends = [kind] * len(self.books.reserved)
        if self.name == "backing off":
            ends[0] = "error"  # its first and only try had ended before
        assert list(zip(self.books.reserved, ends, strict=True)) == self.books.released
        if self.gate is not None:
            await self.worker.wait_for_client_gone()
            await self.worker.wait_until_idle()
        if self.protocol == "queen" and self.gate is not None:
            assert self.worker.cancels == ["job-0"]


def request(**fields):
    return InferenceRequest(job_id="j", model="m", prompt="Tell!", **fields)


STATES = [
    "queued",
    "reserve hook",
    "connecting",
    "before headers",
    "before the first token",
    "mid-stream",
    "backing off",
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", STATES)
async def test_the_caller_is_cancelled(name, protocol):
    async with State(name, protocol) as state:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(state.stream)
            await state.reached()
            tasks.cancel_scope.cancel()
        assert [e for e in state.seen if e.type in {"end", "error"}] == []
        await state.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", STATES)
async def test_the_job_is_cancelled_by_its_id(name, protocol):
    async with State(name, protocol) as state:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(state.stream)
            await state.reached()
            assert state.scheduler.statistics().active == 1
            assert state.scheduler.cancel("j")
        last = state.seen[-1]
        assert last.type == "error"
        assert isinstance(last.error, Cancelled)
        assert last.outcome.kind == "cancelled"
        assert last.outcome.error is last.error
        assert not state.scheduler.cancel("j")
        await state.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", STATES)
async def test_the_scheduler_is_closed(name, protocol):
    async with State(name, protocol) as state:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(state.stream)
            await state.reached()
            await state.scheduler.aclose()
        assert isinstance(state.seen[-1].error, Cancelled)
        await state.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["break", "raise"])
@pytest.mark.parametrize("kind", ["queued", "started", "token"])
async def test_the_loop_is_left(kind, way, protocol):
    name = {"queued": "queued", "started": "connecting", "token": "mid-stream"}[kind]
    async with State(name, protocol) as state:

        async def run():
            async with state.scheduler.stream(request()) as events:
                async for event in events:
                    if event.type == kind:
                        if way == "raise":
                            raise LookupError
                        break

        if way == "raise":
            with pytest.raises(LookupError):
                await run()
        else:
            await run()
        if kind == "started":
            assert not state.transport.reached.is_set()
        await state.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_handler_raises(protocol):
    async with State("mid-stream", protocol) as state:
        lines = []

        async def handler(line):
            lines.append(line)
            if len(lines) == 2:
                raise LookupError("enough")

        result = await state.scheduler.schedule(request())
        assert state.books.charges.pop(0).ended == [("refund", None)]
        with pytest.raises(LookupError, match="enough"):
            await state.scheduler.execute_inference(result, request(), handler)
        assert len(lines) == 2
        await state.check()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["scope", "id"])
async def test_in_the_release_hook_it_is_too_late(way, protocol):
    """The request has succeeded; the hook is shielded, and has its time."""
    async with State("release hook", protocol) as state:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(state.stream)
            await state.reached()
            if way == "scope":
                tasks.cancel_scope.cancel()
            else:
                assert not state.scheduler.cancel("j")
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
                assert state.books.outcomes == 0
                state.clock.advance(5.0)
        await state.check(kind="success")
        ((_, hook),) = state.scheduler.statistics().plugin_failures
        assert hook == "rbee_release"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_cancelled_reader_leaves_the_connection_closed_not_pooled(protocol):
    """A half-read connection must never serve the next request."""
    async with State("mid-stream", protocol) as state:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(state.stream)
            await state.reached()
            tasks.cancel_scope.cancel()
        await state.worker.wait_for_client_gone()
        before = len(state.worker.connections)
        assert all(
            not client._transport._pool.connections
            for client in state.scheduler._transport._clients.values()
        )
        state.gate.release()
        state.worker.set_script(Script())
        async with state.scheduler.stream(request()) as events:
            assert await events.text() == Script().text
        assert all(
            seen.connection >= before
            for seen in state.worker.requests
            if seen.number >= state.worker.requests[-1].number
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", ["release hook", "mid-stream"])
async def test_asyncio_task_cancel_twice(name, anyio_backend):
    """`Task.cancel` goes through shields; everything is given back all the same."""
    import asyncio

    async with State(name, "openai") as state:
        task = asyncio.create_task(state.stream())
        await state.reached()
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await state.check(kind="success" if name == "release hook" else "cancelled")
