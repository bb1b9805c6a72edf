"""One request and its response: bodies, their ends, flow control, cancellation, time limits."""

import re

import anyio
import pytest

from rbee_scheduler import HttpResponse, Transport, WorkerTimeout
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._http import (
    CallRefused,
    ConnectFailed,
    ConnectionBroke,
    ConnectTimedOut,
    FastTransport,
    MalformedResponse,
)
from rbee_scheduler_gateway._http._byte_stream import HIGH_WATER


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def it_is_cores_transport(transport: FastTransport) -> Transport:
    """For mypy: the port is implemented as it is written."""
    return transport


async def test_the_port(serve, echo, open_transport):
    async with serve(echo) as server, open_transport() as transport:
        response: HttpResponse = await it_is_cores_transport(transport).open(server.call())
        assert response.status == 200
        assert response.headers == {"content-length": "2"}
        assert response.close_delimited is False
        assert [await response.read() for _ in range(3)] == [b"ok", None, None]
        await response.aclose()


async def test_what_is_sent(serve, open_transport, whole):
    seen = []

    async def handler(peer):
        seen.append(await peer.request())
        await peer.answer()

    async with serve(handler) as server, open_transport() as transport:
        call = server.call("/v1/completions?a=b", headers={"x-a": "1"}, body=b'{"a":1}')
        await whole(await transport.open(call))
        assert [
            b"POST /v1/completions?a=b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-a: 1\r\n"
            b'content-length: 7\r\n\r\n{"a":1}' % server.port
        ] == seen


async def test_headers(serve, open_transport):
    async def handler(peer):
        await peer.request()
        await peer.answer(head=b"X-A: 1 \r\nx-a:2\r\nContent-Type: text/plain; \xe9\r\n")

    async with serve(handler) as server, open_transport() as transport:
        headers = (await transport.open(server.call())).headers
        assert headers == {"x-a": "1, 2", "content-type": "text/plain; é", "content-length": "2"}
        assert "1, 2" == headers["X-A"] == headers.get("x-A")
        assert "x-b" not in headers
        assert len(headers) == 3
        assert headers.raw[1] == (b"x-a", b"2")
        assert "x-a" in repr(headers)


async def test_events_come_when_they_come(serve, open_transport):
    step = [anyio.Event() for _ in range(4)]

    async def handler(peer):
        await peer.request()
        await peer.send(CHUNKED)
        for number in range(3):
            await step[number].wait()
            await peer.send(b"3\r\n%d\r\n\r\n2\r\nab\r\n" % number)
        await step[3].wait()
        await peer.send(b"0\r\n\r\n")
        await peer.closed()

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        for number in range(3):
            step[number].set()
            assert b"%d\r\nab" % number == await response.read()
        step[3].set()
        assert await response.read() is None
        assert await response.read() is None
        assert not transport._pools[next(iter(transport._pools))]._busy


async def test_the_connection_ends_the_body(serve, open_transport, whole):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\n\r\nab")
        await peer.send(b"cd")

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        assert response.close_delimited
        assert await whole(response) == b"abcd"


@pytest.mark.parametrize("head", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_head(serve, open_transport, whole, head):
    async def handler(peer):
        request = await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n" % head)
        if request.startswith(b"HEAD"):
            await peer.closed()

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call(method="HEAD"))
        assert not response.close_delimited
        assert await whole(response) == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_no_body(serve, open_transport, whole, status):
    async def handler(peer):
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 %d X\r\n\r\n" % status)

    async with serve(handler) as server, open_transport() as transport:
        for _ in range(2):
            response = await transport.open(server.call())
            assert (status, b"") == (response.status, await whole(response))
        assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("data", "before"),
    [
        (CHUNKED + b"2\r\nab\r\nzz\r\n", b"ab"),
        (CHUNKED + b"2\r\nab\r\n", b"ab"),
        (CHUNKED + b"9\r\nab", b"ab"),
        (CHUNKED, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", None),
    ],
)
async def test_a_body_that_breaks_says_so_after_what_came(serve, open_transport, data, before):
    async def handler(peer):
        await peer.request()
        await peer.send(data)

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call("/here"))
        if before is not None:
            assert before == await response.read()
        for _ in range(2):  # and says it again
            with pytest.raises(
                (ConnectionBroke, MalformedResponse), match=re.escape(f"{server.url}/here: ")
            ):
                await response.read()
        await response.aclose()


async def test_a_reset_is_no_end(serve, open_transport):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        await gate.wait()
        peer.reset()

    gate = anyio.Event()
    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        assert await response.read() == b"ab"
        gate.set()
        with pytest.raises(ConnectionBroke, match="ConnectionResetError"):
            await response.read()


async def test_garbage(serve, open_transport):
    async def handler(peer):
        await peer.request()
        await peer.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")

    async with serve(handler) as server, open_transport() as transport:
        with pytest.raises(MalformedResponse, match=r"no HTTP/1 response but b'SSH-2\.0"):
            await transport.open(server.call())


async def test_an_answer_before_the_whole_request_was_read(serve, open_transport, whole):
    async def handler(peer):
        await peer.stream.receive(100)
        await peer.answer(b"too large")
        # Closing with bytes unread makes the kernel send a reset.

    async with serve(handler) as server, open_transport() as transport:
        body = b"x" * 20_000_000
        try:
            assert await whole(await transport.open(server.call(body=body))) == b"too large"
        except ConnectionBroke:
            pass  # the reset was faster than the answer: as with every client
        else:
            assert transport._pools[next(iter(transport._pools))].empty


async def test_a_large_request_waits_for_the_server(serve, open_transport, whole):
    gate = anyio.Event()
    seen = []

    async def handler(peer):
        await gate.wait()
        seen.append(await peer.request())
        await peer.answer()

    body = b"0123456789" * 800_000
    async with serve(handler) as server, open_transport() as transport:

        async def one():
            await whole(await transport.open(server.call(body=body)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert seen[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("who", ["the server", "aclose"])
async def test_the_connection_breaks_under_a_large_request(serve, open_transport, who):
    gate = anyio.Event()

    async def handler(peer):
        await gate.wait()
        peer.reset()

    async with serve(handler) as server, open_transport() as transport:

        async def one():
            with pytest.raises(ConnectionBroke):
                await transport.open(server.call(body=b"x" * 8_000_000))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            while not server.peers:
                await anyio.wait_all_tasks_blocked()
            if who == "aclose":
                await transport.aclose()
            gate.set()


async def test_closed_while_connecting(serve, echo, open_transport, monkeypatch):
    async with serve(echo) as server, open_transport() as transport:
        connect = transport._connector.open

        async def slowly(*args):
            stream = await connect(*args)
            await gate.wait()
            return stream

        gate = anyio.Event()
        monkeypatch.setattr(transport._connector, "open", slowly)

        async def one():
            with pytest.raises(ConnectFailed, match="the transport is closed"):
                await transport.open(server.call())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            while not server.peers:
                await anyio.wait_all_tasks_blocked()
            await transport.aclose()
            gate.set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_reader_that_stalls_stops_reading_from_the_socket(serve, open_transport):
    piece = b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000)
    sent = 0

    async def handler(peer):
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(piece)
            sent += 1

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        stream = response._connection.stream
        while not stream._paused:
            await anyio.wait_all_tasks_blocked()
        held = stream._size
        assert HIGH_WATER <= held <= HIGH_WATER + 256 * 1024
        for _ in range(50):
            await anyio.wait_all_tasks_blocked()
        assert held == stream._size
        stopped_at = sent
        for _ in range(50):
            assert len(await response.read()) <= HIGH_WATER + 256 * 1024
        while sent == stopped_at:  # it goes on
            await response.read()
        await response.aclose()


async def test_a_flood_is_read_piece_by_piece(serve, open_transport):
    async def handler(peer):
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000))

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        total = 0
        while total < 5_000_000:
            data = await response.read()
            assert 0 < len(data) <= HIGH_WATER + 256 * 1024
            total += len(data)
        await response.aclose()


@pytest.mark.parametrize("when", ["connecting", "before the head", "in the body"])
async def test_cancellation_closes_the_connection(serve, open_transport, when):
    left = anyio.Event()

    async def handler(peer):
        await peer.request()
        if when == "in the body":
            await peer.send(CHUNKED + b"2\r\nab\r\n")
        await peer.closed()
        left.set()

    async with serve(handler) as server, open_transport() as transport:
        with anyio.CancelScope() as scope:
            if when == "connecting":
                scope.cancel()
            else:
                server.tasks.start_soon(cancel_when_blocked, scope, server)
            response = await transport.open(server.call())
            assert await response.read() == b"ab"
            await response.read()
        assert scope.cancelled_caught
        if when == "in the body":
            with pytest.raises(ConnectionBroke, match="a read was cancelled before its end"):
                await response.read()
            await response.aclose()
        assert transport._pools[next(iter(transport._pools))].empty
        if when != "connecting":
            await left.wait()


async def cancel_when_blocked(scope, server):
    while not server.peers:
        await anyio.wait_all_tasks_blocked()
    await anyio.wait_all_tasks_blocked()
    await anyio.wait_all_tasks_blocked()
    scope.cancel()


async def test_a_response_closed_half_way_closes_the_connection(serve, open_transport):
    left = anyio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nab\r\n")
        await peer.closed()
        left.set()

    async with serve(handler) as server, open_transport() as transport:
        response = await transport.open(server.call())
        await response.aclose()
        await response.aclose()
        await left.wait()
        with pytest.raises(ConnectionBroke, match="the response was closed before its end"):
            await response.read()


async def test_nobody_listens(open_transport, serve, echo):
    async with serve(echo) as server:
        call = server.call()
    async with open_transport() as transport:
        with pytest.raises(ConnectFailed, match=rf"no connection to {server.url}: .*Refused"):
            await transport.open(call)


async def test_no_such_name(open_transport, serve, echo):
    async with serve(echo) as server, open_transport() as transport:
        call = server.call()
        for host in ("name.invalid", "x" * 70):
            with pytest.raises(ConnectFailed, match="no connection to"):
                await transport.open(type(call)(method="GET", url=f"http://{host}:1/"))
        with pytest.raises(CallRefused):
            await transport.open(type(call)(method="GET", url="ftp://w/"))


async def test_connecting_has_a_time_limit(serve, echo, open_transport, monkeypatch):
    clock = VirtualClock()
    async with serve(echo) as server, open_transport(clock=clock) as transport:

        async def for_ever(*_):
            await anyio.sleep_forever()

        for room, name in (("_asyncio_stream", "open_asyncio"), ("_trio_stream", "open_trio")):
            monkeypatch.setattr(f"rbee_scheduler_gateway._http.{room}.{name}", for_ever)
        caught = []

        async def one():
            with pytest.raises(ConnectTimedOut, match=r"within 2.5 s") as info:
                await transport.open(server.call(connect_timeout=2.5))
            caught.append(info.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            clock.advance(2.4)
            await anyio.wait_all_tasks_blocked()
            assert not caught
            clock.advance(0.2)
        assert isinstance(caught[0], WorkerTimeout)


async def test_the_head_may_have_a_time_limit(serve, open_transport):
    clock = VirtualClock()

    async def handler(peer):
        await peer.request()
        asked.set()
        await peer.closed()
        left.set()

    asked, left = anyio.Event(), anyio.Event()
    async with serve(handler) as server, open_transport(clock=clock) as transport:

        async def one():
            with pytest.raises(WorkerTimeout, match="no response within 3 s"):
                await transport.open(server.call(), head_limit=3)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await asked.wait()
            clock.advance(3.1)
            await left.wait()


async def test_two_origins_have_two_pools(serve, echo, open_transport, whole):
    async with serve(echo) as one, serve(echo) as two, open_transport() as transport:
        for server in (one, two, one, two):
            await whole(await transport.open(server.call()))
        assert (len(one.peers), len(two.peers)) == (1, 1)
