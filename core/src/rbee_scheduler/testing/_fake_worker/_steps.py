"""A reply as the steps that put it on the wire, in order.

A reply without fault is ``Pause, Head, Chunk, Pause, Chunk, ..., LastChunk``. A fault of the wire
is a function from steps to steps: nothing else has to know about it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import attrs

from rbee_scheduler.testing._fake_worker._reply import Kind


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rbee_scheduler.testing._fake_worker._reply import Part, Reply


class Wire(Protocol):
    """What a step needs of the connection."""

    async def send(self, data: bytes) -> None:
        """Send all the bytes."""

    async def pause(self, token: int | None) -> None:
        """Wait at the script's gate and for its delay."""

    async def tick(self) -> None:
        """Wait for the script's delay."""

    async def hang(self) -> None:
        """Wait until the client leaves; does not return."""

    def end(self, *, reset: bool) -> None:
        """Make this the last step: then close with FIN or RST."""


@attrs.frozen
class Pause:
    """Before token number ``token``; None: before the reply."""

    token: int | None = None

    async def take(self, wire: Wire) -> None:
        await wire.pause(self.token)


@attrs.frozen
class Head:
    """The status line and the headers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    version: str = "HTTP/1.1"

    def replace(self, *headers: tuple[str, str], version: str = "HTTP/1.1") -> Head:
        """Return a head with other framing: ``headers`` in place of what says where it ends."""
        framing = ("transfer-encoding", "content-length", "connection")
        kept = (pair for pair in self.headers if pair[0].lower() not in framing)
        return attrs.evolve(self, headers=(*kept, *headers), version=version)

    async def take(self, wire: Wire) -> None:
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = (f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"{self.version} {self.status} {reason}\r\n{''.join(lines)}\r\n"
        await wire.send(head.encode("latin-1"))


@attrs.frozen
class Chunk:
    """One chunk of a chunked body; ``token`` is the number of the token in it, if one is."""

    data: bytes
    token: int | None = None

    async def take(self, wire: Wire) -> None:
        await wire.send(framed(self.data))


@attrs.frozen
class LastChunk:
    """The end of a chunked body."""

    async def take(self, wire: Wire) -> None:
        await wire.send(b"0\r\n\r\n")


@attrs.frozen
class Raw:
    """Bytes as they are: of a body with a length, or of a fault."""

    data: bytes

    async def take(self, wire: Wire) -> None:
        await wire.send(self.data)


@attrs.frozen
class Endless:
    """The same bytes again and again, until the client leaves."""

    data: bytes

    async def take(self, wire: Wire) -> None:
        while True:
            await wire.send(self.data)


@attrs.frozen
class Hang:
    """Nothing, until the client leaves."""

    async def take(self, wire: Wire) -> None:
        await wire.hang()


@attrs.frozen
class Drip:
    """Another step's bytes, one by one."""

    step: Step

    async def take(self, wire: Wire) -> None:
        await self.step.take(_Dripping(wire))


@attrs.frozen
class End:
    """Close the connection: with FIN, or with RST."""

    reset: bool = False

    async def take(self, wire: Wire) -> None:
        wire.end(reset=self.reset)


Step = Pause | Head | Chunk | LastChunk | Raw | Endless | Hang | Drip | End
Steps = tuple[Step, ...]


@attrs.frozen
class _Dripping:
    """A wire that sends byte by byte."""

    _wire: Wire

    async def send(self, data: bytes) -> None:
        for byte in data:
            await self._wire.send(bytes([byte]))
            await self._wire.tick()

    async def pause(self, token: int | None) -> None:
        await self._wire.pause(token)

    async def tick(self) -> None:
        await self._wire.tick()

    async def hang(self) -> None:
        await self._wire.hang()

    def end(self, *, reset: bool) -> None:
        self._wire.end(reset=reset)


def framed(data: bytes) -> bytes:
    """Return the data as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def steps_of(reply: Reply, event: Callable[[Part], bytes]) -> Steps:
    """Write a reply as steps.

    Args:
        reply: What to say.
        event: Writes one part of a stream as the lines of an event.
    """
    kind = ("Content-Type", reply.content_type)
    if reply.streamed:
        head = Head(reply.status, (kind, *reply.headers, ("Transfer-Encoding", "chunked")))
        return (Pause(), head, *_stream(reply.parts, event), LastChunk())
    body = b"".join(part.data for part in reply.parts)
    head = Head(reply.status, (kind, *reply.headers, ("Content-Length", str(len(body)))))
    pauses = (Pause(token) for token in range(reply.tokens))
    half = len(body) // 2  # in two pieces, so that a fault can strike within
    return (Pause(), *pauses, head, Raw(body[:half]), Raw(body[half:]))


def _stream(parts: Iterable[Part], event: Callable[[Part], bytes]) -> Iterable[Step]:
    token = 0
    for part in parts:
        if part.kind is Kind.TOKEN:
            yield Pause(token)
            yield Chunk(event(part), token)
            token += 1
        else:
            yield Chunk(event(part))
