"""Servers of a few lines for the tests of the HTTP client, on every event loop there is."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from importlib.util import find_spec

import anyio
import pytest

from rbee_scheduler import HttpCall


BACKENDS = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("trio", {}), id="trio"),
    pytest.param(
        ("asyncio", {"use_uvloop": True}),
        id="uvloop",
        marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed"),
    ),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream, number):
        self.stream = stream
        self.number = number
        self.data = b""

    async def request(self):
        """The next request, whole; None when the client closed."""
        while b"\r\n\r\n" not in self.data:
            if not await self._more():
                return None
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        while len(self.data) < length:
            if not await self._more():
                return None
        body, self.data = self.data[:length], self.data[length:]
        return head + b"\r\n\r\n" + body

    async def _more(self):
        try:
            self.data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        return True

    async def send(self, data):
        await self.stream.send(data)

    async def answer(self, body=b"ok", *, head=b""):
        await self.send(
            b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
        )

    async def closed(self):
        """Return once the client has closed; what it still sends is thrown away."""
        while await self._more():
            pass

    def reset(self):
        sock = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Server:
    """Serves each connection with one function of its `Peer`."""

    def __init__(self, handler):
        self.handler = handler
        self.peers = []
        self.listener = None

    async def __aenter__(self):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.listener = listener
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.tasks = await anyio.create_task_group().__aenter__()
        self.tasks.start_soon(listener.serve, self._serve)
        return self

    async def __aexit__(self, kind, error, trace):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(None, None, None)
        await self.listener.aclose()

    async def _serve(self, stream):
        peer = Peer(stream, len(self.peers))
        self.peers.append(peer)
        try:
            async with stream:
                await self.handler(peer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client was faster

    def call(self, path="/", method="POST", **fields):
        fields.setdefault("body", b"{}" if method == "POST" else b"")
        return HttpCall(method=method, url=self.url + path, **fields)


@pytest.fixture
def serve():
    """Start a server: ``async with serve(handler) as server``."""
    return Server


async def keep_answering(peer):
    while await peer.request() is not None:
        await peer.answer()


@pytest.fixture
def echo():
    """A handler that answers every request with ``ok``."""
    return keep_answering


async def read_all(response):
    parts = []
    while (data := await response.read()) is not None:
        assert data
        parts.append(data)
    return b"".join(parts)


@pytest.fixture
def whole():
    """Read a response to its end."""
    return read_all


@asynccontextmanager
async def closing_transport(**options):
    from rbee_scheduler_gateway._http import FastTransport

    transport = FastTransport(**options)
    try:
        yield transport
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()
        for pool in transport._pools.values():
            assert pool.empty, "a connection was left behind"


@pytest.fixture
def open_transport():
    """Make a transport that is closed, and found empty, at the end."""
    return closing_transport
