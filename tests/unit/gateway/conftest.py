"""Servers of a few lines for the tests of the HTTP client, on every event loop there is."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

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


class Client:
    """A client of the built-in server that sends bytes as told and reads what comes."""

    def __init__(self, stream):
        self.stream = stream
        self.data = b""
        self.ended = False

    async def send(self, data):
        await self.stream.send(data)

    async def ask(self, path="/", method="GET", *, head=b"", body=b""):
        """Send a request, read the answer."""
        length = b"content-length: %d\r\n" % len(body) if body else b""
        line = f"{method} {path} HTTP/1.1\r\nhost: a\r\n".encode()
        await self.send(line + head + length + b"\r\n" + body)
        return await self.answer(bodiless=method == "HEAD")

    async def answer(self, *, bodiless=False):
        """The next answer: status, headers, body."""
        head = await self._until(b"\r\n\r\n")
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = dict(each.split(": ", 1) for each in lines)
        status = int(line.split(" ")[1])
        if bodiless or status in {100, 204, 304}:
            body = b""
        elif "content-length" in headers:
            body = await self._exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self._until(b"\r\n"), 16):
                body += (await self._exactly(size + 2))[:-2]
            assert await self._exactly(2) == b"\r\n"
        else:
            body = await self.rest()
        return status, headers, body

    async def rest(self):
        """All that comes until the server closes."""
        while await self._more():
            pass
        data, self.data = self.data, b""
        return data

    async def _until(self, mark):
        while mark not in self.data:
            assert await self._more(), f"closed after {self.data!r}"
        end = self.data.index(mark) + len(mark)
        found, self.data = self.data[:end], self.data[end:]
        return found

    async def _exactly(self, size):
        while len(self.data) < size:
            assert await self._more(), f"closed after {self.data!r}"
        found, self.data = self.data[:size], self.data[size:]
        return found

    async def _more(self):
        try:
            self.data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.ended = True
        return not self.ended

    async def aclose(self):
        await self.stream.aclose()

    @property
    def socket(self):
        return self.stream.extra(anyio.abc.SocketAttribute.raw_socket)

    async def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()


class Built:
    """The built-in server, running; nothing may be left of it at the end."""

    def __init__(self, handler, *, host="127.0.0.1", **options):
        from rbee_scheduler_gateway._server import Server, listen

        self.server = Server(handler, **options)
        self.sockets = listen(host, 0)
        self.address = self.sockets[0].getsockname()

    async def __aenter__(self):
        self.clients = []
        self.tasks = await anyio.create_task_group().__aenter__()
        await self.tasks.start(self.server.serve, self.sockets)
        return self

    async def __aexit__(self, kind, error, trace):
        for client in self.clients:
            await client.aclose()
        if kind is not None:
            self.tasks.cancel_scope.cancel()
        self.server.drain()
        self.server.cut()
        await self.tasks.__aexit__(kind, error, trace)
        assert self.server.connections == 0
        assert self.server.active == 0

    async def connect(self):
        client = Client(await anyio.connect_tcp(self.address[0], self.address[1]))
        self.clients.append(client)
        return client

    @property
    def url(self):
        return f"http://127.0.0.1:{self.address[1]}"


@pytest.fixture
def built():
    """Start the built-in server: ``async with built(handler) as running``."""
    return Built


def _beside(name):
    spec = spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def memory():
    """The module `memory_exchange`: a gateway whose clients and workers are objects."""
    return _beside("memory_exchange")


@pytest.fixture(scope="session")
def running():
    """The module `running_service`: a whole service, in front of fake workers."""
    return _beside("running_service")
