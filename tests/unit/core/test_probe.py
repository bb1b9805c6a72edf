"""Probing over real sockets: the kinds of workers, and every way to be dead."""

from functools import partial

import anyio
import httpx
import pytest

from rbee_scheduler import HttpxTransport, Worker
from rbee_scheduler._probe import LONGEST_BODY, PATHS, probe
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._fake_worker import Dialect, FakeWorker, Fault, Gate, Script


@pytest.fixture
async def transport():
    transport = HttpxTransport()
    yield transport
    await transport.aclose()


async def look(worker, transport, **options):
    return await probe(Worker(id="w", url=worker.url), transport, **options)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (Dialect.LLAMACPP, ("openai", "llama-cpp", 3)),
        (Dialect.VLLM, ("openai", "vllm", None)),
        (Dialect.QUEEN, ("queen", "", 3)),
    ],
)
async def test_each_kind_of_worker(transport, dialect, expected):
    async with FakeWorker(dialect=dialect, model="bee", slots=3) as worker:
        found = await look(worker, transport)
    assert expected == (found.worker.protocol, found.worker.implementation, found.worker.slots)
    assert (found.worker.model, found.worker.status, found.usable) == ("bee", "ready", True)
    assert [answer.path for answer in found.answers] == list(PATHS)


async def test_a_running_request_is_seen(transport):
    gate = Gate(after=None)
    async with FakeWorker(Script(gate=gate), slots=2) as worker, httpx.AsyncClient() as client:
        async with anyio.create_task_group() as tasks:
            body = {"model": "m", "prompt": "x", "stream": True}
            tasks.start_soon(partial(client.post, f"{worker.url}/v1/completions", json=body))
            await gate.wait_for(1)
            found = await look(worker, transport)
            gate.release()
        assert (found.worker.running, found.worker.slots) == (1, 2)


async def test_the_key_goes_along(transport):
    async with FakeWorker() as worker:
        keyed = Worker(id="w", url=worker.url, labels={"api_key": "k"})
        await probe(keyed, transport)
        assert {seen.headers["authorization"] for seen in worker.requests} == {"Bearer k"}
        assert {seen.headers["connection"] for seen in worker.requests} == {"close"}


async def test_only_what_is_asked_for_is_asked(transport):
    async with FakeWorker() as worker:
        await look(worker, transport, paths=("/health", "/slots"))
        assert sorted(seen.path for seen in worker.requests) == ["/health", "/slots"]


async def test_nobody_listens(transport):
    async with FakeWorker() as worker:
        worker.refuse()
        found = await look(worker, transport)
    assert (found.worker.online, found.worker.status, found.timed_out) == (False, "failed", False)
    assert "ConnectError" in found.reason


async def test_a_worker_that_never_answers_is_given_up(transport):
    clock = VirtualClock()
    gate = Gate(after=None)
    silent = {path: Script(gate=gate) for path in PATHS}
    async with FakeWorker(paths=silent) as worker, anyio.create_task_group() as tasks:
        found = []

        async def ask():
            found.append(await look(worker, transport, clock=clock, limit=3.0))

        tasks.start_soon(ask)
        await gate.wait_for(len(PATHS))
        clock.advance(3.0)
    assert found[0].timed_out
    assert found[0].reason == "no answer within 3 s"


class Told:
    """A response of a body that was told in advance, or of one that never comes."""

    headers, close_delimited = {}, False

    def __init__(self, body):
        self.status = 200
        self.body = body
        self.closed = False

    async def read(self):
        if self.body is None:
            await anyio.sleep_forever()
        body, self.body = self.body, b""
        return body or None

    async def aclose(self):
        self.closed = True


async def test_one_silent_path_costs_only_itself():
    clock = VirtualClock()
    told = {
        "/health": Told(b"ok"),
        "/v1/models": Told(b'{"data":[{"id":"m"}]}'),
        "/slots": Told(None),
    }

    class Transport:
        async def open(self, call):
            return told[call.url.removeprefix("http://w:1")]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.run_for, 2.0)
        found = await probe(
            Worker(id="w", url="http://w:1"), Transport(), clock=clock, paths=tuple(told)
        )
    assert found.usable
    assert [answer.timed_out for answer in found.answers] == [False, False, True]
    assert all(response.closed for response in told.values())


HANGS = {Fault.SILENCE_BEFORE_HEADERS, Fault.SILENCE_AFTER_HEADERS, Fault.SILENCE_MID_STREAM}


# Bytes flow for ever, some 10 s of them to the limit of a body.
SLOW = {Fault.ENDLESS_COMMENTS}


@pytest.mark.parametrize("fault", sorted(set(Fault) - SLOW, key=lambda fault: fault.name))
async def test_no_fault_is_raised_or_hangs(transport, fault):
    clock = VirtualClock()
    paths = dict.fromkeys(PATHS, Script(fault=fault))
    async with FakeWorker(paths=paths) as worker, anyio.create_task_group() as tasks:
        if fault in HANGS:

            async def lose_patience():
                await worker.wait_for_requests(len(PATHS))
                clock.advance(2.0)

            tasks.start_soon(lose_patience)
        with anyio.fail_after(20):
            found = await look(worker, transport, clock=clock)
    assert (found.worker.id, found.worker.url) == ("w", worker.url)
    assert any(a.timed_out for a in found.answers) == (fault in HANGS)


async def test_an_endless_body_is_cut():
    class Endless:
        status, headers, close_delimited = 200, {}, True

        async def read(self):
            return b"x" * 65536

        async def aclose(self):
            pass

    class Transport:
        async def open(self, call):
            return Endless()

    found = await probe(Worker(id="w", url="http://w:1"), Transport())
    assert {len(answer.body) for answer in found.answers} == {LONGEST_BODY}
    assert {answer.error for answer in found.answers} == {f"cut after {LONGEST_BODY} bytes"}
