"""Server-sent events, as this service sends them: written once, kept whole, read by many."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from rbee_scheduler import Clock
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._refusals import EventsLost


if TYPE_CHECKING:
    from rbee_scheduler_gateway._call import Call


__all__ = ["PING", "PING_SECONDS", "EventRing", "Kept", "begin_events", "follow", "sse", "to_json"]

# Proxies cut connections that keep silent, mostly after a minute.
PING_SECONDS: Final = 15.0
PING: Final = b": ping\n\n"

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events otherwise
)

# Events that go out in one piece: what a slow reader holds beside the ring is bounded by it.
_AT_ONCE: Final = 256


async def begin_events(call: Call) -> bool:
    """Begin an answer of events; return False where only its head is wanted, which was sent.

    A reload does not wait for such an answer: it may last for days.
    """
    call.let_go()
    if call.exchange.method == "HEAD":
        await call.respond(200, b"", *_HEADERS)
        return False
    await call.start(200, *_HEADERS)
    return True


class Kept(NamedTuple):
    """One event: its number from 1, its type, and its data as JSON."""

    number: int
    kind: str
    data: bytes


# Made once: json.dumps makes one for each call that asks for other than the usual.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)


def to_json(value: Any) -> bytes:
    """Return ``value`` as JSON on one line, as an event's data must be."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


def sse(event: Kept) -> bytes:
    r"""Return an event as it is sent; number 0 has no id.

    Example:
        >>> sse(Kept(7, "token", b'{"text":"Hi"}'))
        b'id: 7\nevent: token\ndata: {"text":"Hi"}\n\n'
    """
    body = b"event: %b\ndata: %b\n\n" % (event.kind.encode(), event.data)
    return b"id: %d\n%b" % (event.number, body) if event.number else body


class EventRing:
    """The latest events of one job; each reader reads at its own pace, and none is waited for.

    Args:
        capacity: How many are kept.

    Attributes:
        closed: Whether the last event is there.
        last: Number of the latest event; 0: none yet.
    """

    __slots__ = ("_capacity", "_events", "_news", "_readers", "closed", "last")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events: list[Kept] = []
        self._news = anyio.Event()
        self._readers = 0
        self.closed = False
        self.last = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> int:
        """Number of the oldest event that is kept."""
        return self.last - len(self._events) + 1

    def add(self, kind: str, data: bytes, *, last: bool = False) -> None:
        """Add an event; readers that wait are woken.

        Args:
            kind: Its type.
            data: Its data, JSON on one line.
            last: Whether no other follows.
        """
        event = Kept(self.last + 1, kind, data)
        if len(self._events) < self._capacity:
            self._events.append(event)
        else:
            self._events[self.last % self._capacity] = event
        self.last += 1
        self.closed = last
        if self._readers:
            self._news.set()
            self._news = anyio.Event()

    def since(self, number: int, most: int = _AT_ONCE) -> Sequence[Kept]:
        """Return the events after ``number``, at most ``most`` of them.

        Raises:
            EventsLost: The next one is no longer kept.
        """
        if number < self.first - 1:
            raise EventsLost(
                f"event {number + 1} is no longer kept",
                hint=f"the oldest one is {self.first}: read on with ?after={self.first - 1}, "
                "or raise job_buffer_events",
            )
        end = min(self.last, number + most)
        return [self._events[n % self._capacity] for n in range(number, end)]

    async def wait(self, number: int) -> None:
        """Return once there is an event after ``number``."""
        self._readers += 1
        try:
            while self.last <= number and not self.closed:
                await self._news.wait()
        finally:
            self._readers -= 1


async def follow(
    exchange: Exchange,
    ring: EventRing,
    after: int,
    *,
    clock: Clock,
    render: Callable[[Kept], bytes] = sse,
) -> None:
    """Send the events after ``after`` to a client until the last one.

    One that reads so slowly that the ring overtakes it is told, with an event without an id.

    Args:
        exchange: Its answer has begun.
        ring: The events.
        after: Number of the last event that the client has.
        clock: Source of time, for pings.
        render: Makes bytes of an event.
    """
    while True:
        try:
            events = ring.since(after)
        except EventsLost as lost:
            await exchange.write(render(Kept(0, "error", to_json(lost.to_dict()))))
            return
        if events:
            await exchange.write(b"".join(map(render, events)))
            after = events[-1].number
        elif ring.closed:
            return
        else:
            with clock.move_on_after(PING_SECONDS) as scope:
                await ring.wait(after)
            if scope.cancelled_caught:
                await exchange.write(PING)
