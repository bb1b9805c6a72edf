"""The built-in server: clients that are wrong, slow, too many, or gone."""

import json
import logging
import random
import socket
from contextlib import suppress

import anyio
import pytest

from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_gateway._server import ServerLimits


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def ok(exchange):
    await exchange.respond(200, [], b"ok")


class Held:
    """A handler that waits; tells how it ended."""

    def __init__(self):
        self.begun = anyio.Event()
        self.release = anyio.Event()
        self.over = anyio.Event()
        self.how = ""

    async def __call__(self, exchange):
        self.begun.set()
        try:
            await self.release.wait()
            await exchange.respond(200, [], b"ok")
            self.how = "answered"
        except anyio.get_cancelled_exc_class():
            self.how = "cancelled"
            raise
        finally:
            self.over.set()


async def flood(exchange):
    """Write for ever."""
    await exchange.start(200, [])
    while True:
        await exchange.write(bytes(64 * 1024))


# ---- malformed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nhost: a\n\n"),
        (400, b"GET /v1/%2e%2e/x HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, POST + b"transfer-encoding: chunked\r\n\r\nx\r\n"),
        (400, b"\x16\x03\x01\x02\x00"),
        (413, POST + b"content-length: 2001\r\n\r\n"),
        (414, b"GET /" + b"a" * 1024),
        (417, POST + b"expect: gold\r\ncontent-length: 1\r\n\r\n"),
        (431, GET[:-2] + b"x: " + b"a" * 1024),
        (501, POST + b"transfer-encoding: gzip, chunked\r\n\r\n"),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(built, status, data):
    called = []

    async def handler(exchange):
        called.append(exchange)
        await ok(exchange)

    async with built(handler, limits=ServerLimits(head_bytes=1024, body_bytes=2000)) as running:
        client = await running.connect()
        await client.send(data)
        found, headers, body = await client.answer()
        assert (found, headers["connection"]) == (status, "close")
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["error"].keys() == {"message", "type", "code"}
        assert await client.rest() == b""
        assert called == []
        assert (await (await running.connect()).ask())[0] == 200


async def test_what_follows_a_request_is_refused_after_its_answer(built):
    async with built(ok) as running:
        client = await running.connect()
        await client.send(GET + GET.lower() + GET)
        assert (await client.answer())[0] == 200
        assert (await client.answer())[0] == 400
        assert await client.rest() == b""


async def test_who_still_sends_reads_why_it_was_refused(built):
    """Closing at once would reset the connection, and the answer be lost."""
    async with built(ok) as running:
        client = await running.connect()
        async with anyio.create_task_group() as tasks:
            large = 64 * 1024 * 1024
            await client.send(POST + b"content-length: %d\r\n\r\n" % large)

            async def push():
                with suppress(anyio.BrokenResourceError):
                    for _ in range(64):
                        await client.send(bytes(64 * 1024))

            tasks.start_soon(push)
            assert (await client.answer())[0] == 413
            tasks.cancel_scope.cancel()


async def test_who_never_stops_sending_is_cut(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await client.send(b"nonsense\n")
        assert (await client.answer())[0] == 400
        await client.send(b"more")
        await clock.run_for(1)
        assert running.server.connections == 1
        await clock.run_for(2)
        assert running.server.connections == 0


async def test_noise_ends_nothing_but_its_own_connection(built):
    chance = random.Random(5)
    pieces = [GET, POST, b"\r\n", b"\n", b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n"]
    pieces += [b"content-length: 5\r\n\r\n", b"hello", b"0\r\n\r\n", b"HTTP/1.1", b"\0", b"\xff"]
    async with built(ok) as running:
        for _ in range(60):
            client = await running.connect()
            with suppress(anyio.BrokenResourceError):
                for _ in range(chance.randrange(6)):
                    await client.send(chance.choice([*pieces, chance.randbytes(9)]))
            await (client.reset() if chance.random() < 0.3 else client.aclose())
        assert (await (await running.connect()).ask())[0] == 200


# ---- slow ------------------------------------------------------------------------------


async def test_a_head_that_comes_byte_by_byte(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        for _ in range(9):
            await client.send(b"G")
            await clock.run_for(1)
        assert running.server.connections == 1
        await clock.run_for(2)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert await client.rest() == b""


async def test_a_client_that_never_says_a_word(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await clock.run_for(9)
        assert running.server.connections == 1
        await clock.run_for(2)
        assert await client.rest() == b""
        assert running.server.connections == 0


async def test_a_second_head_has_its_time_from_its_first_byte(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await client.ask()
        await clock.run_for(60)
        await client.send(b"GET")
        await clock.run_for(9)
        assert running.server.connections == 1
        await clock.run_for(2)
        assert (await client.answer())[0] == 408


async def test_an_idle_connection_is_closed(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await client.ask()
        await clock.run_for(74)
        await client.ask()
        await clock.run_for(74)
        assert running.server.connections == 1
        await clock.run_for(2)
        assert await client.rest() == b""


async def test_a_body_that_stops(built):
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await client.send(POST + b"content-length: 1000000\r\n\r\n" + bytes(500_000))
        await clock.run_for(59)
        assert running.server.connections == 1
        await clock.run_for(2)
        assert (await client.answer())[0] == 408


@pytest.mark.parametrize(
    ("size", "seconds", "status"), [(4, 61, 408), (2048, 121, 408), (8192, 130, 200)]
)
async def test_a_body_that_comes_too_slowly(built, size, seconds, status):
    """Without a word for a minute, or with fewer bytes than 4,096 a second."""
    clock = VirtualClock()
    async with built(ok, clock=clock) as running:
        client = await running.connect()
        await client.send(POST + b"content-length: %d\r\n\r\n" % (130 * size))
        for passed in range(seconds):
            assert running.server.connections == 1, passed
            await client.send(bytes(size))
            await clock.run_for(1)
        assert (await client.answer())[0] == status


async def test_who_does_not_read_makes_the_handler_wait_and_is_cut(built):
    clock = VirtualClock()
    written = 0
    over = anyio.Event()

    async def handler(exchange):
        nonlocal written
        try:
            await exchange.start(200, [])
            while True:
                await exchange.write(bytes(64 * 1024))
                written += 64 * 1024
        finally:
            over.set()

    limits = ServerLimits(write_buffer_bytes=128 * 1024)
    async with built(handler, clock=clock, limits=limits) as running:
        client = await running.connect()
        await client.send(GET)
        await clock.run_for(1)
        before = written
        await clock.run_for(30)
        assert written == before
        assert held(running) <= 128 * 1024 + 64 * 1024 + 64
        await clock.run_for(31 + 61)
        assert running.server.connections == 0
        await over.wait()


def held(running):
    """Bytes that the server keeps for its only client."""
    [connection] = running.server._roster._connections
    if hasattr(connection, "_unsent"):
        return len(connection._unsent)
    return connection._transport.get_write_buffer_size()


async def test_who_reads_slowly_is_served(built):
    clock = VirtualClock()
    size = 16 * 1024 * 1024

    async def handler(exchange):
        await exchange.respond(200, [], bytes(size))

    async with built(handler, clock=clock) as running:
        client = await running.connect()
        await client.send(GET)
        head = await client._until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        missing = size - len(client.data)
        while missing:
            await clock.run_for(20)
            for _ in range(40):
                if missing:
                    missing -= len(await client.stream.receive(65536))
        assert running.server.connections == 1


# ---- gone ------------------------------------------------------------------------------


async def close(client):
    await client.aclose()


async def reset(client):
    await client.reset()


async def half_close(client):
    await client.stream.send_eof()


LEAVING = pytest.mark.parametrize("leave", [close, reset, half_close])


@LEAVING
async def test_a_client_that_leaves_cancels_its_handler(built, leave):
    held = Held()
    async with built(held) as running:
        client = await running.connect()
        await client.send(GET)
        await held.begun.wait()
        assert running.server.active == 1
        await leave(client)
        await held.over.wait()
        assert held.how == "cancelled"


@LEAVING
async def test_a_client_that_leaves_in_the_middle_of_an_answer(built, leave):
    over = anyio.Event()

    async def handler(exchange):
        try:
            await exchange.start(200, [])
            await exchange.write(b"first")
            await anyio.sleep_forever()
        finally:
            over.set()

    async with built(handler) as running:
        client = await running.connect()
        await client.send(GET)
        await client._until(b"first")
        await leave(client)
        await over.wait()


@LEAVING
async def test_a_client_that_leaves_a_handler_that_only_writes(built, leave, caplog):
    over = anyio.Event()

    async def handler(exchange):
        try:
            await exchange.start(200, [])
            while True:
                await exchange.write(b"x")
                await anyio.lowlevel.checkpoint()
        finally:
            over.set()

    async with built(handler) as running:
        client = await running.connect()
        await client.send(GET)
        await client._until(b"\r\n\r\n")
        await leave(client)
        await over.wait()
    assert caplog.records == []


async def test_a_client_that_leaves_while_the_handler_waits_for_it_to_read(built):
    over = anyio.Event()

    async def handler(exchange):
        try:
            await flood(exchange)
        finally:
            over.set()

    async with built(handler) as running:
        client = await running.connect()
        await client.send(GET)
        await client._until(b"\r\n\r\n")
        await anyio.wait_all_tasks_blocked()
        await reset(client)
        await over.wait()


async def test_a_client_that_leaves_in_a_shielded_part(built):
    finished = anyio.Event()
    begun = anyio.Event()
    release = anyio.Event()

    async def handler(exchange):
        with anyio.CancelScope(shield=True):
            begun.set()
            await release.wait()
            await exchange.respond(200, [], b"too late")
            finished.set()
        await anyio.sleep_forever()

    async with built(handler) as running:
        client = await running.connect()
        await client.send(GET)
        await begun.wait()
        await close(client)
        await anyio.wait_all_tasks_blocked()
        release.set()
        await finished.wait()


async def test_after_its_answer_a_handler_goes_on_without_the_client(built):
    gone = anyio.Event()
    done = anyio.Event()

    async def handler(exchange):
        await exchange.respond(200, [], b"ok")
        await gone.wait()
        await anyio.lowlevel.checkpoint()
        done.set()

    async with built(handler) as running:
        client = await running.connect()
        await client.ask()
        await close(client)
        await anyio.wait_all_tasks_blocked()
        gone.set()
        await done.wait()


async def test_nobody_waits_for_a_closed_socket(anyio_backend_name):
    """trio remembers who asks about -1, and the next connection to be closed would fail."""
    if anyio_backend_name != "trio":
        pytest.skip("of trio")
    from rbee_scheduler_gateway._server._roster import Roster
    from rbee_scheduler_gateway._server._trio_side import TrioConnection

    roster = Roster(ok, ServerLimits(), VirtualClock(), logging.getLogger())
    for _ in range(2):
        sock, other = socket.socketpair()
        with sock, other:
            connection = TrioConnection(roster, sock, "")
            connection.abort()
            assert await connection._receive() == b""


async def test_two_tasks_of_a_handler_may_write(built):
    async def handler(exchange):
        await exchange.start(200, [])
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(exchange.write, bytes(4 * 1024 * 1024))
            with anyio.move_on_after(0):  # one that gives up leaves the others alone
                await exchange.write(bytes(4 * 1024 * 1024))
        await exchange.finish()

    async with built(handler) as running:
        client = await running.connect()
        assert len((await client.ask())[2]) == 16 * 1024 * 1024


# ---- too many --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["connections", "connections_per_client"])
async def test_one_connection_too_many(built, limit):
    async with built(ok, limits=ServerLimits(**{limit: 2})) as running:
        first, second = await running.connect(), await running.connect()
        await first.ask()
        await second.ask()
        third = await running.connect()
        status, headers, body = await third.answer()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert json.loads(body)["error"]["code"] == "TOO_MANY_CONNECTIONS"
        assert await third.rest() == b""
        assert running.server.connections == 2
        await first.aclose()
        while running.server.connections == 2:
            await anyio.lowlevel.checkpoint()
        fourth = await running.connect()
        assert (await fourth.ask())[0] == 200


async def test_far_too_many_are_closed_without_a_word(built, monkeypatch):
    from rbee_scheduler_gateway._server import _roster

    monkeypatch.setattr(_roster, "_REFUSED_AT_ONCE", 1)
    async with built(ok, limits=ServerLimits(connections=1)) as running:
        await (await running.connect()).ask()
        told = await running.connect()
        assert (await told.answer())[0] == 503
        assert await (await running.connect()).rest() == b""


# ---- the end ---------------------------------------------------------------------------


def accepts(running):
    with socket.socket() as probe:
        return probe.connect_ex(running.address) == 0


async def test_draining_closes_what_is_idle_and_finishes_what_is_not(built):
    held = Held()

    async def handler(exchange):
        await (held(exchange) if exchange.path == "/held" else ok(exchange))

    async with built(handler) as running:
        fresh, idle, busy, half = [await running.connect() for _ in range(4)]
        await idle.ask()
        await busy.send(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await half.send(b"GET / HTTP/1.1\r\n")
        await held.begun.wait()
        await anyio.wait_all_tasks_blocked()
        running.server.drain()
        running.server.drain()
        assert await fresh.rest() == b""
        assert await idle.rest() == b""
        while accepts(running):
            await anyio.lowlevel.checkpoint()
        await half.send(b"host: a\r\n\r\n")
        assert (await half.answer())[1]["connection"] == "close"
        held.release.set()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await busy.rest() == b""
        await running.server.wait_drained()
        assert held.how == "answered"


async def test_a_stream_is_finished_while_draining(built):
    release = anyio.Event()

    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"first, ")
        await release.wait()
        await exchange.write(b"last")
        await exchange.finish()

    async with built(handler) as running:
        client = await running.connect()
        await client.send(GET)
        while b"first" not in client.data:
            await client._more()
        running.server.drain()
        release.set()
        assert (await client.answer())[2] == b"first, last"
        assert await client.rest() == b""


async def test_cutting_cancels_what_is_left(built):
    held = Held()
    async with built(held) as running:
        client = await running.connect()
        await client.send(GET)
        await held.begun.wait()
        running.server.drain()
        running.server.cut()
        await running.server.wait_drained()
        assert held.how == "cancelled"
        with suppress(anyio.BrokenResourceError):
            assert await client.rest() == b""


async def test_cancelling_serve_closes_everything(built):
    held = Held()
    running = built(held)
    async with anyio.create_task_group() as tasks:
        await tasks.start(running.server.serve, running.sockets)
        stream = await anyio.connect_tcp(*running.address)
        await stream.send(GET)
        await held.begun.wait()
        tasks.cancel_scope.cancel()
    assert held.how == "cancelled"
    assert (running.server.connections, running.server.active) == (0, 0)
    await stream.aclose()
    assert not accepts(running)


async def test_draining_before_serving(built):
    running = built(ok)
    running.server.drain()
    await running.server.serve(running.sockets)
    await running.server.wait_drained()
