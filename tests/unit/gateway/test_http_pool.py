"""Connections are kept, used again, noticed when dead, limited, and closed."""

import anyio
import pytest

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._http import ConnectFailed, ConnectionBroke, HttpLimits


def pool_of(transport):
    (pool,) = transport._pools.values()
    return pool


async def until_dead(transport):
    """Return once the transport could know that the server closed its idle connections."""
    while not all(connection.stream.dead for connection in pool_of(transport)._idle):
        await anyio.wait_all_tasks_blocked()


async def test_a_connection_is_used_again(serve, echo, open_transport, whole):
    async with serve(echo) as server, open_transport() as transport:
        for _ in range(3):
            response = await transport.open(server.call())
            assert await whole(response) == b"ok"
            await response.aclose()
            await response.aclose()  # again is fine
        assert len(server.peers) == 1
        assert len(pool_of(transport)._idle) == 1


async def test_a_small_answer_frees_its_connection_before_it_is_read(
    serve, echo, open_transport, whole
):
    async with serve(echo) as server, open_transport() as transport:
        responses = [await transport.open(server.call()) for _ in range(3)]
        assert len(server.peers) == 1
        assert [await whole(response) for response in responses] == [b"ok"] * 3


async def test_the_connection_used_last_is_used_next(serve, open_transport, whole):
    gate = anyio.Event()

    async def handler(peer):
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
            await gate.wait()
            await peer.send(b"%d" % peer.number)

    async with serve(handler) as server, open_transport() as transport:
        open_ = [await transport.open(server.call()) for _ in range(3)]
        gate.set()
        assert [await whole(response) for response in open_] == [b"0", b"1", b"2"]
        for _ in range(3):
            assert await whole(await transport.open(server.call())) == b"2"


async def test_idle_connections_are_counted(serve, echo, open_transport, whole):
    limits = HttpLimits(max_idle=2)
    gate = anyio.Event()
    left = 0

    async def handler(peer):
        nonlocal left
        await peer.request()
        await gate.wait()
        await peer.answer()
        await echo(peer)
        left += 1

    async with serve(handler) as server, open_transport(limits=limits) as transport:

        async def one():
            await whole(await transport.open(server.call()))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
            while len(server.peers) < 5:
                await anyio.wait_all_tasks_blocked()
            gate.set()
        assert len(pool_of(transport)._idle) == 2
        while left < 3:
            await anyio.wait_all_tasks_blocked()


async def test_an_old_connection_is_not_used(serve, echo, open_transport, whole):
    clock = VirtualClock()
    limits = HttpLimits(idle_seconds=4)
    async with serve(echo) as server, open_transport(clock=clock, limits=limits) as transport:
        await whole(await transport.open(server.call()))
        clock.advance(3.9)
        await whole(await transport.open(server.call()))
        assert len(server.peers) == 1
        clock.advance(4.1)
        await whole(await transport.open(server.call()))
        assert len(server.peers) == 2


async def test_prune_closes_what_is_old(serve, open_transport, whole):
    clock = VirtualClock()
    gone = anyio.Event()

    async def handler(peer):
        await peer.request()
        await peer.answer()
        await peer.closed()
        gone.set()

    async with serve(handler) as server, open_transport(clock=clock) as transport:
        await whole(await transport.open(server.call()))
        transport.prune()
        assert not pool_of(transport).empty
        clock.advance(4.1)
        transport.prune()
        assert pool_of(transport).empty
        await gone.wait()


@pytest.mark.parametrize("who", ["the call", "the response", "neither"])
async def test_connection_close(serve, open_transport, whole, who):
    async def handler(peer):
        while (request := await peer.request()) is not None:
            assert (b"connection: close" in request) == (who == "the call")
            await peer.answer(head=b"Connection: close\r\n" if who == "the response" else b"")

    headers = {"connection": "close"} if who == "the call" else {}
    async with serve(handler) as server, open_transport() as transport:
        for _ in range(2):
            assert await whole(await transport.open(server.call(headers=headers))) == b"ok"
        assert (1 if who == "neither" else 2) == len(server.peers)


@pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_connection_that_the_server_closed_is_noticed(
    serve, open_transport, whole, farewell
):
    async def handler(peer):
        await peer.request()
        await peer.answer()
        if farewell:
            await peer.send(farewell)

    async with serve(handler) as server, open_transport() as transport:
        for number in range(3):
            assert await whole(await transport.open(server.call())) == b"ok"
            await until_dead(transport)
            assert number + 1 == len(server.peers)
        assert pool_of(transport).take() is None


async def answered_then_ended(peer, *, reset):
    """Answer once, then take a request and close: the keep-alive race, lost."""
    await peer.request()
    await peer.answer()
    await peer.request()
    if reset:
        peer.reset()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_once_more_on_a_new_connection(serve, echo, open_transport, whole, *, reset, method):
    async def handler(peer):
        if peer.number == 0:
            await answered_then_ended(peer, reset=reset)
        else:
            await echo(peer)

    async with serve(handler) as server, open_transport() as transport:
        for _ in range(2):
            assert await whole(await transport.open(server.call(method=method))) == b"ok"
        assert len(server.peers) == 2


async def test_only_once_more(serve, open_transport, whole):
    async def handler(peer):
        await answered_then_ended(peer, reset=False) if peer.number == 0 else await peer.request()

    async with serve(handler) as server, open_transport() as transport:
        await whole(await transport.open(server.call()))
        with pytest.raises(ConnectionBroke, match="closed without a response"):
            await transport.open(server.call())
        assert len(server.peers) == 2


async def test_a_new_connection_is_not_tried_again(serve, open_transport):
    async def handler(peer):
        await peer.request()

    async with serve(handler) as server, open_transport() as transport:
        with pytest.raises(ConnectionBroke, match="closed without a response"):
            await transport.open(server.call())
        assert len(server.peers) == 1


@pytest.mark.parametrize("byte", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_not_once_more_after_a_byte_of_the_response(serve, open_transport, whole, byte):
    async def handler(peer):
        await peer.request()
        await peer.answer()
        await peer.request()
        await peer.send(byte)

    async with serve(handler) as server, open_transport() as transport:
        await whole(await transport.open(server.call()))
        with pytest.raises(ConnectionBroke, match="closed inside the head"):
            await transport.open(server.call())
        assert len(server.peers) == 1


async def test_the_number_of_connections_is_limited(serve, echo, open_transport, whole):
    limits = HttpLimits(max_connections=2)
    busy = most = 0

    async def handler(peer):
        nonlocal busy, most
        while await peer.request() is not None:
            busy += 1
            most = max(most, busy)
            await anyio.wait_all_tasks_blocked()
            busy -= 1
            await peer.answer()

    async with serve(handler) as server, open_transport(limits=limits) as transport:
        done = []

        async def one():
            done.append(await whole(await transport.open(server.call())))

        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(one)
        assert done == [b"ok"] * 9
        assert 2 == most == len(server.peers)


async def test_a_connection_that_dies_makes_room(serve, open_transport, whole):
    async def handler(peer):
        await peer.request()
        await peer.answer(head=b"Connection: close\r\n")

    limits = HttpLimits(max_connections=1)
    async with serve(handler) as server, open_transport(limits=limits) as transport:

        async def one():
            assert await whole(await transport.open(server.call())) == b"ok"

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(one)
        assert len(server.peers) == 4


async def test_an_idle_connection_gives_way_to_a_new_one(serve, echo, open_transport, whole):
    async def handler(peer):
        await (answered_then_ended(peer, reset=False) if peer.number == 0 else echo(peer))

    limits = HttpLimits(max_connections=1)
    async with serve(handler) as server, open_transport(limits=limits) as transport:
        for _ in range(2):
            assert await whole(await transport.open(server.call())) == b"ok"


async def test_who_waits_for_a_turn_can_be_cancelled(serve, echo, open_transport, whole):
    gate = anyio.Event()

    async def handler(peer):
        await peer.request()
        await gate.wait()
        await peer.answer()
        await echo(peer)

    limits = HttpLimits(max_connections=1)
    async with serve(handler) as server, open_transport(limits=limits) as transport:
        scope = anyio.CancelScope()
        done = []

        async def one(scope):
            with scope:
                done.append(await whole(await transport.open(server.call())))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, anyio.CancelScope())
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(one, scope)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(one, anyio.CancelScope())
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert done == [b"ok"] * 2


async def test_a_turn_given_to_who_is_cancelled_at_that_moment_is_passed_on(
    serve, echo, open_transport, whole
):
    limits = HttpLimits(max_connections=1)
    async with serve(echo) as server, open_transport(limits=limits) as transport:
        held = await transport.open(server.call())  # complete: the connection is idle
        pool = pool_of(transport)
        connection = pool.take()
        scopes = [anyio.CancelScope(), anyio.CancelScope()]
        done = []

        async def one(scope):
            with scope:
                done.append(await whole(await transport.open(server.call())))

        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(one, scope)
                await anyio.wait_all_tasks_blocked()
            pool.put(connection)  # wakes the first one,
            scopes[0].cancel()  # who is gone when it comes to run
        assert len(done) >= 1
        await held.aclose()


async def test_aclose_ends_everything(serve, open_transport, whole):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await peer.closed()

    limits = HttpLimits(max_connections=2)
    async with serve(handler) as server, open_transport(limits=limits) as transport:
        response = await transport.open(server.call())
        assert await response.read() == b"ab"
        failures = []

        async def expect_failure(function, *args):
            with pytest.raises((ConnectFailed, ConnectionBroke)) as caught:
                await function(*args)
            failures.append(caught.type)

        async def open_and_read():
            await whole(await transport.open(server.call()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_failure, response.read)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(expect_failure, open_and_read)
            while len(server.peers) < 2:
                await anyio.wait_all_tasks_blocked()
            tasks.start_soon(expect_failure, open_and_read)  # waits for a turn
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()
        assert sorted([ConnectFailed, ConnectionBroke, ConnectionBroke], key=str) == sorted(
            failures, key=str
        )
        with pytest.raises(ConnectFailed, match="the transport is closed"):
            await transport.open(server.call())
        with pytest.raises(ConnectFailed, match="the transport is closed"):
            await transport.open(server.call("/another"))
        await transport.aclose()  # again is fine


async def test_workers_that_are_gone_are_forgotten(serve, echo, open_transport, whole, monkeypatch):
    monkeypatch.setattr("rbee_scheduler_gateway._http._transport._REMEMBERED", 3)
    async with serve(echo) as server, open_transport() as transport:
        for path in "abcdefgh":
            headers = {"connection": "close"}
            await whole(await transport.open(server.call(f"/{path}", headers=headers)))
        assert len(transport._targets) <= 3
        assert len(transport._pools) == 1
