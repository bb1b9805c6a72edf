"""One connection: a byte stream, and the responses that come over it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._http._byte_stream import ByteStream
from rbee_scheduler_gateway._http._failures import told
from rbee_scheduler_gateway._http._parser import ResponseParser


if TYPE_CHECKING:
    from rbee_scheduler_gateway._http._pool import Pool

__all__ = ["Connection"]


class Connection:
    """One connection, at work on at most one request.

    Args:
        stream: Connected.
        parser: Of this connection alone.
        pool: Where it came from.

    Attributes:
        idle_since: Monotonic second since when the pool has it.
        parser: See `ResponseParser`.
        stream: See `ByteStream`.
        used: Whether it has served a request, and may have been closed since.
    """

    __slots__ = ("_pool", "_reusable", "idle_since", "parser", "stream", "used")

    def __init__(self, stream: ByteStream, parser: ResponseParser, pool: Pool) -> None:
        self.stream = stream
        self.parser = parser
        self.idle_since = 0.0
        self._pool = pool
        self.used = False
        self._reusable = True

    async def ask(self, request: bytes, *, bodiless: bool, last: bool) -> None:
        """Send a request; return when the parser is `ready`.

        Args:
            request: Head and body.
            bodiless: Whether it is a HEAD request.
            last: Whether it asks for the connection to be closed.
        """
        parser = self.parser
        parser.begin(bodiless=bodiless)
        self._reusable = not last
        try:
            try:
                await self.stream.send(request)
            except OSError:
                # It may have answered (413) before it closed: see what it said.
                self._reusable = False
            while not parser.ready:
                await self.fill()
        except BaseException:
            self.close()
            raise

    async def fill(self) -> None:
        """Give the parser what comes next. The caller closes when this raises."""
        try:
            data = await self.stream.receive()
        except OSError as broken:
            self.parser.lose(f"the connection broke: {told(broken)}")
            return
        if data:
            self.parser.feed(data)
        else:
            self.parser.end()

    def release(self) -> None:
        """Give the connection back when its response is complete, else close it."""
        if self._reusable and self.parser.keep_alive and not self.stream.dead:
            self.used = True
            self._pool.put(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once, for good."""
        self._reusable = False
        self._pool.drop(self)
        with suppress(OSError):
            self.stream.close()
