"""TLS on all event loops, with an authority made for the test."""

import socket
import ssl

import anyio
import pytest
import trustme

from rbee_scheduler import HttpCall
from rbee_scheduler_gateway._http import ConnectFailed, ConnectionBroke, ConnectTimedOut


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TlsServer:
    """Over a raw socket, served by anyio."""

    def __init__(self, authority, handler, name="localhost"):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self.context)
        self.handler = handler
        self.connections = 0

    async def __aenter__(self):
        self.listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = self.listener.extra(anyio.abc.SocketAttribute.local_port)
        self.url = f"https://localhost:{port}/"
        self.tasks = await anyio.create_task_group().__aenter__()
        self.tasks.start_soon(self.listener.serve, self._serve)
        return self

    async def __aexit__(self, *_):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(None, None, None)
        await self.listener.aclose()

    async def _serve(self, stream):
        self.connections += 1
        try:
            async with stream:
                tls = await anyio.streams.tls.TLSStream.wrap(
                    stream, server_side=True, ssl_context=self.context, standard_compatible=False
                )
                await self.handler(tls)
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            pass  # the client did not like us, or is gone


async def answer_all(tls):
    while data := await tls.receive():
        body = b"%d" % len(data)
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def call(server, **fields):
    return HttpCall(method="GET", url=server.url, **fields)


async def test_a_call_and_another(authority, client_context, open_transport, whole):
    async with (
        TlsServer(authority, answer_all) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        for _ in range(3):
            response = await transport.open(call(server))
            assert (response.status, int(await whole(response)) > 10) == (200, True)
        assert server.connections == 1


async def test_a_long_stream(authority, client_context, open_transport, whole):
    async def handler(tls):
        await tls.receive()
        await tls.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            await tls.send(b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000))
        await tls.send(b"0\r\n\r\n")

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        assert len(await whole(await transport.open(call(server)))) == 5_000_000


async def test_a_large_request(authority, client_context, open_transport, whole):
    async def handler(tls):
        seen = 0
        while seen < 3_000_000:
            seen += len(await tls.receive())
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        assert await whole(await transport.open(call(server, body=b"x" * 3_000_000))) == b"ok"


async def test_an_unknown_authority(authority, open_transport):
    async with (
        TlsServer(authority, answer_all) as server,
        open_transport(ssl_context=ssl.create_default_context()) as transport,
    ):
        with pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await transport.open(call(server))


async def test_the_default_context_trusts_no_unknown_authority(authority, open_transport):
    async with TlsServer(authority, answer_all) as server, open_transport() as transport:
        assert transport._connector._context is None  # made when it is needed
        for _ in range(2):
            with pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await transport.open(call(server))
        assert transport._connector._context is transport._connector._tls()


async def test_another_name(authority, client_context, open_transport):
    async with (
        TlsServer(authority, answer_all, name="elsewhere.example") as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        with pytest.raises(ConnectFailed, match="localhost"):
            await transport.open(call(server))


async def test_no_tls_on_the_other_side(client_context, open_transport, serve, echo):
    async def handler(peer):
        await peer.stream.receive()
        await peer.answer()

    async with (
        serve(handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        with pytest.raises(ConnectFailed, match="no connection to https://127"):
            await transport.open(HttpCall(method="GET", url=server.url.replace("http", "https")))


async def test_the_handshake_is_within_the_time_limit(client_context, open_transport):
    # Listens, and never accepts: the kernel makes the connection, and nobody speaks TLS.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        async with open_transport(ssl_context=client_context) as transport:
            with pytest.raises(ConnectTimedOut):
                await transport.open(HttpCall(method="GET", url=url, connect_timeout=0.05))


async def test_an_end_without_goodbye_within_the_body(authority, client_context, open_transport):
    async def handler(tls):
        await tls.receive()
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        response = await transport.open(call(server))
        assert await response.read() == b"ab"
        with pytest.raises(ConnectionBroke):
            await response.read()


async def test_a_connection_that_the_server_closed(
    authority, client_context, open_transport, whole
):
    async def handler(tls):
        await tls.receive()
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        for _ in range(3):
            assert await whole(await transport.open(call(server))) == b"ok"
        assert server.connections == 3


async def test_aclose_while_reading(authority, client_context, open_transport):
    async def handler(tls):
        await tls.receive()
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await tls.receive()

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        response = await transport.open(call(server))
        assert await response.read() == b"ab"

        async def one():
            with pytest.raises(ConnectionBroke):
                await response.read()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()


async def test_aclose_while_sending(authority, client_context, open_transport):
    async def handler(tls):
        receiving.set()
        await anyio.sleep_forever()

    receiving = anyio.Event()
    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):

        async def one():
            with pytest.raises(ConnectionBroke):
                await transport.open(call(server, body=b"x" * 8_000_000))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await receiving.wait()
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()


async def test_cancelled_in_a_body(authority, client_context, open_transport):
    async def handler(tls):
        await tls.receive()
        await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await tls.receive()

    async with (
        TlsServer(authority, handler) as server,
        open_transport(ssl_context=client_context) as transport,
    ):
        response = await transport.open(call(server))
        assert await response.read() == b"ab"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await response.read()
        assert scope.cancelled_caught
