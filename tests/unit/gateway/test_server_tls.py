"""The built-in server: TLS, and where it listens."""

import socket
import ssl
import sys

import anyio
import httpx
import pytest
import trustme

from rbee_scheduler import ConfigError
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._server import Server, listen


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def mirror(exchange):
    if exchange.path == "/stream":
        await exchange.start(200, [])
        for start in range(0, len(exchange.body), 100_000):
            await exchange.write(exchange.body[start : start + 100_000])
        await exchange.finish()
    else:
        await exchange.respond(200, [], exchange.body)


async def secured(running, context):
    """Let the next connection speak TLS."""
    client = await running.connect()
    client.stream = await anyio.streams.tls.TLSStream.wrap(
        client.stream, hostname="127.0.0.1", ssl_context=context, standard_compatible=False
    )
    return client


@pytest.mark.parametrize("path", ["/", "/stream"])
async def test_bodies_through_tls(built, server_context, client_context, path):
    body = bytes(range(256)) * 4096
    async with (
        built(mirror, ssl_context=server_context) as running,
        httpx.AsyncClient(verify=client_context) as client,
    ):
        url = running.url.replace("http", "https") + path
        for _ in range(2):
            assert (await client.post(url, content=body)).content == body
        assert running.server.connections == 1


async def test_100_continue_and_a_refusal_through_tls(built, server_context, client_context):
    async with built(mirror, ssl_context=server_context) as running:
        client = await secured(running, client_context)
        await client.send(
            b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n"
        )
        assert (await client.answer())[0] == 100
        await client.send(b"x")
        assert (await client.answer())[::2] == (200, b"x")
        await client.send(b"nonsense\n")
        assert (await client.answer())[0] == 400
        assert await client.rest() == b""


async def test_a_client_without_tls_gets_nothing(built, server_context, client_context):
    async with built(mirror, ssl_context=server_context) as running:
        plain = await running.connect()
        await plain.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"HTTP" not in await plain.rest()
        assert (await (await secured(running, client_context)).ask())[0] == 200


async def test_a_client_that_leaves_through_tls(built, server_context, client_context):
    begun, over = anyio.Event(), anyio.Event()

    async def handler(exchange):
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            over.set()

    async with built(handler, ssl_context=server_context) as running:
        client = await secured(running, client_context)
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await begun.wait()
        await client.aclose()
        await over.wait()


async def test_who_does_not_read_through_tls_is_cut(built, server_context, client_context):
    clock = VirtualClock()
    over = anyio.Event()

    async def handler(exchange):
        try:
            await exchange.start(200, [])
            while True:
                await exchange.write(bytes(64 * 1024))
        finally:
            over.set()

    async with built(handler, ssl_context=server_context, clock=clock) as running:
        client = await secured(running, client_context)
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await clock.run_for(200)
        await over.wait()
        assert running.server.connections == 0


async def test_a_handshake_that_never_comes_holds_nothing_up(built, server_context):
    async with built(mirror, ssl_context=server_context) as running:
        await running.connect()
        await anyio.wait_all_tasks_blocked()


# ---- listening -------------------------------------------------------------------------


def test_a_port_in_use():
    [first] = listen("127.0.0.1", 0)
    with first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match="another port") as refused:
            listen("127.0.0.1", port)
    assert refused.value.place == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("127.0.0.1", 65_536, "no port"),
        ("127.0.0.1", -1, "no port"),
        ("no.such.host.invalid", 0, "no address for the host"),
        ("a" * 300, 0, "no address for the host"),
        ("192.0.2.1", 0, "address of this machine"),
    ],
)
def test_an_address_that_can_not_be_had(host, port, says):
    with pytest.raises(ConfigError, match=says):
        listen(host, port)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="needs SO_REUSEPORT")
def test_a_port_is_shared_on_request():
    [first] = listen("127.0.0.1", 0, reuse_port=True)
    [second] = listen("127.0.0.1", first.getsockname()[1], reuse_port=True)
    with first, second:
        assert first.getsockname() == second.getsockname()


def test_all_addresses_of_a_host_have_the_same_port():
    sockets = listen("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert len({sock.family for sock in sockets}) == len(sockets)
    finally:
        for sock in sockets:
            sock.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_ipv6(built):
    async def handler(exchange):
        await exchange.respond(200, [], exchange.client.encode())

    try:
        running = built(handler, host="::1")
    except ConfigError:
        pytest.skip("no IPv6 on this machine")
    async with running:
        assert (await (await running.connect()).ask())[2] == b"::1"


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")
async def test_a_unix_socket(tmp_path):
    async def handler(exchange):
        await exchange.respond(200, [], exchange.client.encode() + b"ok")

    path = tmp_path / "s"
    listen(f"unix:{path}", 0)[0].close()  # leaves its file behind, as a killed process does
    for _ in range(2):
        server = Server(handler)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, listen(f"unix:{path}", 0))
            with pytest.raises(ConfigError, match="another"):
                listen(f"unix:{path}", 0)
            async with await anyio.connect_unix(path) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                data = b""
                while b"\r\n\r\nok" not in data:
                    data += await stream.receive()
            server.drain()
