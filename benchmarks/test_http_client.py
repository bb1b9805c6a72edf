"""What a call to a worker costs the client: us of CPU per request, and per streamed event.

The server is a child process, so that only the client is counted. ``us_per_request`` and
``us_per_event`` in the extra info leave out what happens once: loop, connections, warm-up.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from importlib.util import find_spec

import anyio
import httptools
import pytest


EVENT = (
    b'data: {"choices":[{"index":0,"delta":{"content":" bee"}}],"id":"chatcmpl-0123"}'.ljust(
        195, b" "
    )
    + b"\n\n"
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
BODY = b'{"id":"cmpl-0","object":"text_completion","model":"story","choices":[{"text":" bee"}]}'
QUESTION = b'{"model":"story","prompt":"Tell me a story.","max_tokens":16,"stream":true}'
KIND = b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 17:00:00 GMT\r\nContent-Type: "
SMALL = KIND + b"application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
STREAM = KIND + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SIXTEEN = STREAM + CHUNK * 16 + b"0\r\n\r\n"
HEADERS = {
    "content-type": "application/json",
    "accept": "text/event-stream, application/json",
    "accept-encoding": "identity",
    "x-correlation-id": "0123456789abcdef",
}


# ---- the server, when this file is run as a program ----------------------------------------


class Served(asyncio.Protocol):
    """/small and /sixteen answer at once; /lockstep with one event for each byte to /tick."""

    streams: list[asyncio.Transport] = []  # noqa: RUF012 - one server, one list

    def __init__(self):
        self.parser = httptools.HttpRequestParser(self)
        self.ticker = False

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        if self.transport in self.streams:
            self.streams.remove(self.transport)

    def data_received(self, data):
        if not self.ticker:
            self.parser.feed_data(data)
            return
        for kind in data:
            chunk = CHUNK if kind == ord("+") else b"0\r\n\r\n"
            for stream in self.streams:
                stream.write(chunk)
            if kind != ord("+"):
                self.streams.clear()

    def on_url(self, url):
        self.url = url

    def on_message_complete(self):
        if self.url == b"/small":
            self.transport.write(SMALL)
        elif self.url == b"/sixteen":
            self.transport.write(SIXTEEN)
        elif self.url == b"/lockstep":
            self.transport.write(STREAM + CHUNK)  # so the client knows that it is counted
            self.streams.append(self.transport)
        else:
            self.ticker = True


async def serve():
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# ---- the clients ---------------------------------------------------------------------------


class RawProtocol(asyncio.Protocol):
    """The floor: httptools on a protocol, and nothing that a product needs."""

    def __init__(self):
        self.parser = httptools.HttpResponseParser(self)
        self.waiter = None
        self.parts = []
        self.done = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.parser.feed_data(data)
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def on_body(self, body):
        self.parts.append(body)

    def on_message_complete(self):
        self.done = True


class RawClient:
    """One connection for each caller, as a pool would give them."""

    def __init__(self, url):
        self.port = int(url.rpartition(":")[2])
        self.idle = []

    @asynccontextmanager
    async def _connection(self):
        loop = asyncio.get_running_loop()
        if not self.idle:
            _, made = await loop.create_connection(RawProtocol, "127.0.0.1", self.port)
            self.idle.append(made)
        connection = self.idle.pop()
        yield connection
        self.idle.append(connection)

    async def pieces(self, path):
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(QUESTION)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        loop = asyncio.get_running_loop()
        async with self._connection() as connection:
            connection.done = False
            connection.transport.write(head.encode() + b"\r\n" + QUESTION)
            while not connection.done or connection.parts:
                if connection.parts:
                    yield b"".join(connection.parts)
                    connection.parts.clear()
                else:
                    connection.waiter = loop.create_future()
                    await connection.waiter

    async def aclose(self):
        for connection in self.idle:
            connection.transport.abort()
        await asyncio.sleep(0.01)  # until the loop has closed the sockets


class PortClient:
    """Anything with core's `Transport` port."""

    def __init__(self, url, transport, client=None):
        self.url = url
        self.transport = transport
        self.client = client  # an injected client is its giver's to close

    async def pieces(self, path):
        from rbee_scheduler import HttpCall

        call = HttpCall(method="POST", url=self.url + path, headers=dict(HEADERS), body=QUESTION)
        response = await self.transport.open(call)
        assert response.status == 200
        while (data := await response.read()) is not None:
            yield data
        await response.aclose()

    async def aclose(self):
        await self.transport.aclose()
        if self.client is not None:
            await self.client.aclose()


def fast(url):
    from rbee_scheduler_gateway._http import FastTransport

    return PortClient(url, FastTransport())


def fast_httpx(url):
    import httpx

    from rbee_scheduler import HttpxTransport
    from rbee_scheduler_gateway._http import FastHttpxTransport

    client = httpx.AsyncClient(transport=FastHttpxTransport())
    return PortClient(url, HttpxTransport(client), client)


def core(url):
    from rbee_scheduler import HttpxTransport

    return PortClient(url, HttpxTransport())


CLIENTS = {"raw": RawClient, "fast": fast, "fast-httpx": fast_httpx, "httpx": core}
LOOPS = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}
PAIRS = [
    pytest.param(
        client,
        loop,
        id=f"{client}-{loop}",
        marks=pytest.mark.skipif(
            loop == "uvloop" and find_spec("uvloop") is None, reason="uvloop is not installed"
        ),
    )
    for client in CLIENTS
    for loop in LOOPS
    if (client, loop) != ("raw", "trio")
]


@pytest.fixture(scope="module")
def server():
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measured(benchmark, work, *, unit, rounds=3):
    """Run ``work``, which returns CPU seconds per unit, and keep the median of the rounds."""
    found = []
    quick = os.environ.get("RBEE_BENCH_QUICK") or benchmark.disabled
    benchmark.pedantic(lambda: found.append(work()), rounds=1 if quick else rounds)
    benchmark.extra_info[f"us_per_{unit}"] = round(statistics.median(found) * 1e6, 1)


async def requests(client, path, connections, each):
    """Return the CPU seconds of one request, with so many under way."""

    async def one(count):
        for _ in range(count):
            async for _piece in client.pieces(path):
                pass

    async def all_of(count):
        async with anyio.create_task_group() as tasks:
            for _ in range(connections):
                tasks.start_soon(one, count)

    try:
        await all_of(10)
        start = time.process_time()
        await all_of(each)
        return (time.process_time() - start) / connections / each
    finally:
        await client.aclose()


async def lockstep(client, url, streams, events):
    """Return the CPU seconds of one event, where none can come together with another."""
    ticker = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    ticker.sendall(b"GET /tick HTTP/1.1\r\nHost: x\r\n\r\n")
    got = 0
    start = 0.0
    spent = []

    async def one():
        nonlocal got, start
        async for _piece in client.pieces("/lockstep"):
            got += 1
            if got % streams == 0:
                turn = got // streams
                if turn == 20:
                    start = time.process_time()
                elif turn == events:
                    spent.append(time.process_time() - start)
                ticker.sendall(b"+" if turn < events else b".")

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(streams):
                tasks.start_soon(one)
        return spent[0] / (events - 20) / streams
    finally:
        ticker.close()
        await client.aclose()


def run(loop, function, *args):
    return anyio.run(function, *args, **LOOPS[loop])


@pytest.mark.parametrize("connections", [1, 64])
@pytest.mark.parametrize(("client", "loop"), PAIRS)
def test_small_request(benchmark, server, client, loop, connections):
    def work():
        each = (2_000 if connections == 1 else 100) // (20 if benchmark.disabled else 1)
        return run(loop, requests, CLIENTS[client](server), "/small", connections, each)

    measured(benchmark, work, unit="request")


@pytest.mark.parametrize(("client", "loop"), PAIRS)
def test_stream_of_16_events(benchmark, server, client, loop):
    def work():
        return run(
            loop, requests, CLIENTS[client](server), "/sixteen", 64, 3 if benchmark.disabled else 60
        )

    measured(benchmark, work, unit="request")


@pytest.mark.parametrize(("client", "loop"), PAIRS)
def test_lockstep_event(benchmark, server, client, loop):
    def work():
        return run(
            loop, lockstep, CLIENTS[client](server), server, 64, 40 if benchmark.disabled else 220
        )

    measured(benchmark, work, unit="event")


if __name__ == "__main__":
    if find_spec("uvloop") is not None:
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
