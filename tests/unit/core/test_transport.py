"""The adapter of httpx: failures in one tree, and no connection left behind."""

from typing import ClassVar

import anyio
import httpx
import pytest

from rbee_scheduler import WorkerCommunicationFailed, WorkerTimeout
from rbee_scheduler._transport import HttpCall, HttpxTransport, _HttpxResponse
from rbee_scheduler.testing import Dialect, FakeWorker, Fault, Gate, Script


BODY = b'{"prompt": "x", "stream": true}'


# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


def call(worker, path="/v1/completions", **options):
    return HttpCall(method="POST", url=worker.url + path, body=BODY, **options)


async def read_all(response):
    chunks = []
    while (chunk := await response.read()) is not None:
        chunks.append(chunk)
    return b"".join(chunks)


def pooled(transport):
    """Connections of all pools."""
    return [
        connection
        for client in transport._clients.values()
        for connection in client._transport._pool.connections
    ]


async def test_reads_a_stream_to_its_end_and_keeps_the_connection():
    transport = HttpxTransport()
    async with FakeWorker(Script(tokens=["a"]), dialect=Dialect.VLLM) as worker:
        for _ in range(2):
            response = await transport.open(call(worker))
            assert (response.status, response.close_delimited) == (200, False)
            assert response.headers["content-type"] == "text/event-stream"
            assert (await read_all(response)).endswith(b"data: [DONE]\n\n")
            assert await response.read() is None
            await response.aclose()
        assert len(worker.connections) == 1
        assert len(pooled(transport)) == 1
        await transport.aclose()
        await worker.wait_for_close(0)


async def test_a_body_read_but_for_its_end_is_read_to_its_end():
    """Who has seen [DONE] reads no further; the end is at hand, and the connection is kept."""
    transport = HttpxTransport()
    async with FakeWorker(Script(tokens=["a"], body=b"0123456789")) as worker:
        response = await transport.open(call(worker))
        body = b""
        while len(body) < 10:
            body += await response.read()
        await response.aclose()
        assert len(pooled(transport)) == 1
        assert await read_all(await transport.open(call(worker))) == b"0123456789"
        assert len(worker.connections) == 1
        await transport.aclose()


@pytest.mark.parametrize("reads", [0, 1])
async def test_closing_early_closes_the_connection(reads):
    gate = Gate(after=1)
    transport = HttpxTransport()
    async with FakeWorker(Script(gate=gate)) as worker:
        response = await transport.open(call(worker))
        for _ in range(reads):
            assert b"once" in await response.read()
        await response.aclose()
        await response.aclose()
        assert pooled(transport) == []
        await worker.wait_for_close(0)
        await transport.aclose()


async def test_closing_after_a_cancelled_read():
    gate = Gate(after=1)
    transport = HttpxTransport()
    async with FakeWorker(Script(gate=gate)) as worker:
        response = await transport.open(call(worker))
        await response.read()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(response.read)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await response.aclose()
        assert pooled(transport) == []
        await worker.wait_for_close(0)
        await transport.aclose()


@pytest.mark.parametrize(
    "fault", [Fault.ENDLESS_LINE, Fault.ENDLESS_COMMENTS], ids=lambda f: f.name
)
async def test_closing_an_endless_stream_ends(fault):
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=fault, fault_after=0)) as worker:
        response = await transport.open(call(worker))
        assert await response.read()
        await response.aclose()
        assert pooled(transport) == []
        await worker.wait_for_close(0)
        await transport.aclose()


@pytest.mark.parametrize(
    "fault",
    [Fault.REFUSE, Fault.RESET_AT_ONCE, Fault.CLOSE_BEFORE_HEADERS, Fault.RESET_BEFORE_HEADERS,
     Fault.GARBAGE_HEAD, Fault.HUGE_HEADERS, Fault.LENGTH_GARBAGE],
    ids=lambda f: f.name,
)  # fmt: skip
async def test_no_response(fault):
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=fault)) as worker:
        with pytest.raises(WorkerCommunicationFailed) as caught:
            await transport.open(call(worker))
        assert type(caught.value) is WorkerCommunicationFailed
        assert worker.url in caught.value.message
        assert pooled(transport) == []
        await transport.aclose()


@pytest.mark.parametrize(
    "fault",
    [Fault.CLOSE_MID_STREAM, Fault.RESET_MID_STREAM, Fault.CHUNK_GARBAGE, Fault.CHUNK_TRUNCATED],
    ids=lambda f: f.name,
)
async def test_a_body_that_breaks(fault):
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=fault)) as worker:
        response = await transport.open(call(worker))
        with pytest.raises(WorkerCommunicationFailed):
            await read_all(response)
        await response.aclose()
        assert pooled(transport) == []
        await transport.aclose()


async def test_closing_meets_what_is_broken():
    """The rest of a broken body shows when it is closed, and is told like any failure."""
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=Fault.CHUNK_GARBAGE)) as worker:
        response = await transport.open(call(worker))
        await response.read()
        await anyio.wait_all_tasks_blocked()
        try:
            await response.aclose()
        except WorkerCommunicationFailed:
            await response.aclose()
        assert pooled(transport) == []
        await transport.aclose()


async def test_redirects_are_not_followed():
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=Fault.REDIRECT)) as worker:
        response = await transport.open(call(worker))
        assert response.status == 307
        await response.aclose()
        assert len(worker.requests) == 1
        await transport.aclose()


async def test_only_the_close_ends_an_old_body():
    transport = HttpxTransport()
    async with FakeWorker(Script(fault=Fault.HTTP_1_0)) as worker:
        response = await transport.open(call(worker))
        assert response.close_delimited
        await read_all(response)
        await response.aclose()
        await transport.aclose()


async def test_each_worker_has_a_client_of_its_own():
    transport = HttpxTransport()
    async with FakeWorker() as one, FakeWorker() as two:
        for worker in (one, two, one):
            response = await transport.open(call(worker))
            await read_all(response)
            await response.aclose()
        assert len(transport._clients) == 2
        await transport.aclose()
        assert transport._clients == {}


async def test_an_injected_client_is_used_and_left_open():
    async with FakeWorker() as worker, httpx.AsyncClient(headers={"x-mine": "1"}) as client:
        transport = HttpxTransport(client)
        response = await transport.open(call(worker))
        await read_all(response)
        await response.aclose()
        await transport.aclose()
        assert not client.is_closed
        assert worker.requests[0].headers["x-mine"] == "1"


def answering(problem):
    def handler(request):
        raise problem

    return httpx.AsyncClient(transport=httpx.MockTransport(handler))


async def test_a_connection_that_does_not_come_in_time():
    async with answering(httpx.ConnectTimeout("")) as client:
        with pytest.raises(WorkerTimeout, match=r"no connection to http://w/ within 0\.5 s"):
            await HttpxTransport(client).open(
                HttpCall(method="GET", url="http://w/", connect_timeout=0.5)
            )


class BreaksWhileSending(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request):
        async for _ in request.stream:
            raise httpx.WriteError("reset")


async def test_a_connection_that_breaks_while_the_body_is_sent():
    async with httpx.AsyncClient(transport=BreaksWhileSending()) as client:
        with pytest.raises(WorkerCommunicationFailed, match="reset"):
            await HttpxTransport(client).open(HttpCall(method="POST", url="http://w/", body=BODY))


async def test_the_limit_for_connecting_reaches_the_client():
    seen = []

    def handler(request):
        seen.append(request.extensions["timeout"])
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handler), timeout=1) as client:
        response = await HttpxTransport(client).open(
            HttpCall(method="GET", url="http://w/", connect_timeout=0.5)
        )
        await response.aclose()
    assert seen == [{"connect": 0.5, "read": None, "write": None, "pool": None}]


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://w:99999/", "http://w/\x00"])
async def test_a_url_that_is_none(url):
    transport = HttpxTransport()
    with pytest.raises(WorkerCommunicationFailed):
        await transport.open(HttpCall(method="GET", url=url))
    await transport.aclose()


async def test_a_failure_without_words_has_some():
    async with answering(httpx.ReadError("")) as client:
        with pytest.raises(WorkerCommunicationFailed, match="ReadError: no details"):
            await HttpxTransport(client).open(HttpCall(method="GET", url="http://w/"))


async def test_what_is_no_client():
    with pytest.raises(TypeError, match=r"object is no httpx\.AsyncClient"):
        await HttpxTransport(object()).open(HttpCall(method="GET", url="http://w/"))


async def test_a_kin_of_httpx_is_taken_by_its_own_name():
    class Mine(httpx.AsyncClient):
        pass

    async with FakeWorker() as worker, Mine() as client:
        response = await HttpxTransport(client).open(call(worker))
        assert response.status == 200
        await response.aclose()


async def test_closing_tells_of_a_body_that_breaks_meanwhile():
    class Broken(httpx.AsyncByteStream):
        closed = 0

        async def __aiter__(self):
            yield b"a"
            raise httpx.ReadError("cut")

        async def aclose(self):
            self.closed += 1

    body = Broken()

    def handler(request):
        return httpx.Response(200, stream=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
        response = await HttpxTransport(client).open(HttpCall(method="GET", url="http://w/"))
        assert await response.read() == b"a"
        with pytest.raises(WorkerCommunicationFailed, match="ReadError: cut"):
            await response.aclose()
        await response.aclose()
    assert body.closed == 1


async def test_a_flood_that_no_cancellation_interrupts_does_not_keep_a_response_open():
    class Flood:
        """What httpx over uvloop looks like while a worker floods: a read never waits."""

        status_code = 200
        headers: ClassVar = {}
        closed = False

        async def aiter_raw(self):
            while True:
                yield b"x"

        async def aclose(self):
            self.closed = True

    flood = Flood()
    response = _HttpxResponse(flood, "http://127.0.0.1:1")
    assert await response.read() == b"x"
    await response.aclose()

    assert flood.closed
    await response._body.aclose()  # what a garbage collector does
