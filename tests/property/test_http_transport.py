"""The HTTP client's laws: bytes may be cut anywhere, and connections are never mixed up."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import HttpCall, WorkerCommunicationFailed
from rbee_scheduler_gateway._http import FastTransport, HttpLimits
from rbee_scheduler_gateway._http._parser import ResponseParser


# ---- however the bytes are cut -------------------------------------------------------------

NAMES = st.sampled_from([b"X-A", b"Content-Type", b"Set-Cookie", b"x-very-long-name" * 4])
VALUES = st.from_regex(rb"\A[!-~][ -~\x80-\xff]{0,40}\Z")
BODIES = st.lists(st.binary(min_size=1, max_size=60), max_size=6)
EARLY = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\nLink: y\r\n\r\n"]),
    max_size=3,
)
DAMAGE = st.sampled_from([b"", b"\0", b"\r\n", b"zz\r\n", b"HTTP/1.1 200 OK\r\n", b"5\r\nab"])


@st.composite
def responses(draw):
    """Bytes of a response, and what is to be found in them."""
    status = draw(st.sampled_from([200, 200, 204, 404, 500]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    pieces = [] if status == 204 else draw(BODIES)
    framing = draw(st.sampled_from(["length", "chunks", "close"]))
    body = b"".join(pieces)
    if framing == "length" and status != 204:
        headers.append((b"Content-Length", b"%d" % len(body)))
    elif framing == "chunks" and status != 204:
        headers.append((b"Transfer-Encoding", b"chunked"))
    data = b"".join(draw(EARLY)) + b"HTTP/1.1 %d Reason\r\n" % status
    data += b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"
    if framing == "chunks" and status != 204:
        data += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        data += body
    return data, status, headers, body


def cut(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def parsed(pieces):
    """Status, headers, body, whether it is whole, and the kind of failure."""
    parser = ResponseParser(HttpLimits())
    body = b""
    for piece in pieces:
        if parser.ended:
            break
        parser.feed(piece)
        body += b"".join(parser.parts)
        parser.parts.clear()
    if not parser.ended:
        parser.end()
    return parser.status, parser.raw_headers, body, parser.complete, type(parser.failure)


@given(responses(), st.lists(st.integers(0, 5000), max_size=12))
def test_a_response_is_the_same_however_it_is_cut(response, places):
    data, status, headers, body = response
    assert (status, headers, body, True, type(None)) == parsed(cut(data, places))


@given(responses(), DAMAGE, st.integers(0, 5000), st.lists(st.integers(0, 5000), max_size=12))
def test_a_damaged_response_is_the_same_however_it_is_cut(response, damage, place, places):
    data = response[0]
    place %= len(data) + 1
    broken = data[:place] + damage + (data[place:] if len(damage) % 2 else b"")
    whole, in_pieces = parsed([broken] if broken else []), parsed(cut(broken, places))
    assert (whole[0], whole[2:]) == (in_pieces[0], in_pieces[2:])
    if whole[0]:
        assert whole[1] == in_pieces[1]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_garbage_never_raises(data, places):
    parsed(cut(data, places))
    parsed(cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data, places))


# ---- whoever is cancelled ------------------------------------------------------------------


class Wire:
    """A byte stream in memory to a server that answers each request with its path."""

    def __init__(self, world):
        self.world = world
        self.closed = False
        self.out = []
        self.served = 0
        self.users = 0
        world.wires.append(self)

    @property
    def dead(self):
        return self.closed or bool(self.out) or self.served >= self.world.lives

    async def _pause(self):
        self.users += 1
        assert self.users == 1, "two requests share a connection"
        try:
            for _ in range(self.world.pauses()):
                await checkpoint()
        finally:
            self.users -= 1

    async def send(self, data):
        await self._pause()
        if self.closed or self.served >= self.world.lives:
            raise ConnectionResetError("the server closed")
        assert not self.out, "the last response was not read to its end"
        path = data.split(b" ")[1]
        body = b"".join(b"%x\r\n%b\r\n" % (len(path), path) for _ in range(self.world.pauses()))
        self.out = [
            b"HTTP/1.1 200 OK\r\nTransfer-Enc",
            b"oding: chunked\r\n\r\n" + body[:9],
            body[9:] + b"0\r\n",
            b"\r\n",
        ]
        self.served += 1

    async def receive(self):
        await self._pause()
        return self.out.pop(0) if self.out else b""

    def close(self):
        self.closed = True

    async def wait_closed(self):
        await checkpoint()


class World:
    """Connects to `Wire`s; how long anything takes is drawn."""

    def __init__(self, delays, lives):
        self.delays = delays
        self.lives = lives
        self.wires = []
        self.drawn = 0

    def pauses(self):
        self.drawn += 1
        return self.delays[self.drawn % len(self.delays)]

    async def open(self, origin, limit):
        for _ in range(self.pauses()):
            await checkpoint()
        return Wire(self)


# What a caller does: how many reads, and after how many checkpoints it is cancelled.
CALLERS = st.lists(
    st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 12))), min_size=1, max_size=12
)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@given(
    callers=CALLERS,
    delays=st.lists(st.integers(0, 3), min_size=1, max_size=7),
    lives=st.integers(1, 4),
    most=st.one_of(st.none(), st.integers(1, 3)),
    max_idle=st.integers(0, 3),
)
async def test_connections_under_random_cancellations(
    anyio_backend, *, callers, delays, lives, most, max_idle
):
    world = World(delays, lives)
    transport = FastTransport(limits=HttpLimits(max_connections=most, max_idle=max_idle))
    transport._connector = world

    async def call(number, reads, cancelled_after):
        path = f"/{number}"
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                if cancelled_after is not None:
                    tasks.start_soon(cancel_after, scope, cancelled_after)
                try:
                    response = await transport.open(
                        HttpCall(method="GET", url=f"http://worker{path}")
                    )
                    got = b""
                    for _ in range(reads):
                        data = await response.read()
                        if data is None:
                            break
                        got += data
                    assert got.replace(path.encode(), b"") == b""
                    await response.aclose()
                except WorkerCommunicationFailed:
                    pass  # a second death in a row, which the next worker's try is for
                tasks.cancel_scope.cancel()

    async def cancel_after(scope, steps):
        for _ in range(steps):
            await checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        for number, (reads, cancelled_after) in enumerate(callers):
            tasks.start_soon(call, number, reads, cancelled_after)

    (pool,) = transport._pools.values()
    assert not pool._busy
    assert not pool._waiting
    assert pool._connecting == 0
    assert len(pool._idle) <= max_idle
    still_open = [wire for wire in world.wires if not wire.closed]
    assert {id(wire) for wire in still_open} == {id(held.stream) for held in pool._idle}
    if most is not None:
        assert len(still_open) <= most
    await transport.aclose()
    assert all(wire.closed for wire in world.wires)
    assert pool.empty
