"""The exchange of the built-in server: one request, and its answer on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rbee_scheduler_gateway._exchange import Headers
from rbee_scheduler_gateway._server._answer import BODILESS, LAST_CHUNK, Answers, chunk
from rbee_scheduler_gateway._server._head import Head


if TYPE_CHECKING:
    from rbee_scheduler_gateway._server._connection import Connection

__all__ = ["ServedExchange"]

_END: Final = b"\r\n"
_CLOSE: Final = b"connection: close\r\n\r\n"
_KEEP: Final = b"connection: keep-alive\r\n\r\n"  # only 1.0 has to be told
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


class ServedExchange:
    """See `Exchange`.

    Until its first byte is sent an answer may be given up for another one: `respond` after a
    `start` whose head still waits for the first `write`.

    Args:
        connection: Where the answer goes.
        answers: Makes its head.
        head: Of the request.
        body: Of the request.
        client: Address of the peer.

    Attributes:
        ended: Whether the answer is whole.
        keep: Whether the connection lives on after it.
    """

    __slots__ = (
        "_answers",
        "_bodiless",
        "_chunked",
        "_connection",
        "_modern",
        "_waiting",
        "body",
        "client",
        "ended",
        "headers",
        "keep",
        "method",
        "path",
        "query",
        "started",
    )

    def __init__(
        self, connection: Connection, answers: Answers, head: Head, body: bytes, client: str
    ) -> None:
        self.method = head.method
        self.path = head.path
        self.query = head.query
        self.headers: Mapping[str, str] = head.headers
        self.body = body
        self.client = client
        self.started = False
        self.ended = False
        self.keep = head.keep
        self._modern = head.modern
        self._connection = connection
        self._answers = answers
        self._bodiless = head.method == "HEAD"
        self._chunked = False
        self._waiting = b""  # the head, until there is something to send it with

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a body of known length. See `Exchange`."""
        if self.started:
            raise RuntimeError("the exchange was answered already")
        if status in BODILESS:
            head = self._answers.head(status, headers, self._tail(b""))
            body = b""
        else:
            length = b"content-length: %d\r\n" % len(body)
            head = self._answers.head(status, headers, self._tail(length))
        self._waiting = b""
        self.started = self.ended = True
        connection = self._connection
        connection.send(head + body if body and not self._bodiless else head)
        if connection.choked:
            await connection.drained()

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer of unknown length. See `Exchange`."""
        if self.started or self._waiting:
            raise RuntimeError("the exchange was answered already")
        framing = b""
        if status in BODILESS:
            self._bodiless = True
        elif self._modern:
            framing = _CHUNKED
            self._chunked = not self._bodiless
        else:
            self.keep = False  # only the end of the connection ends this body
        self._waiting = self._answers.head(status, headers, self._tail(framing))

    async def write(self, data: bytes) -> None:
        """Send a piece of the body. See `Exchange`."""
        waiting = self._waiting
        if self.ended or not (self.started or waiting):
            raise RuntimeError("write goes between start and finish")
        if not data:
            return
        if self._chunked:
            data = chunk(data)
        elif self._bodiless:
            data = b""
        if waiting:
            data = waiting + data
            self._waiting = b""
            self.started = True
        connection = self._connection
        connection.send_soon(data)
        if connection.choked:
            await connection.drained()

    async def finish(self) -> None:
        """End the answer that `start` began. See `Exchange`."""
        if self.ended or not (self.started or self._waiting):
            raise RuntimeError("finish comes once, after start")
        data = self._waiting + (LAST_CHUNK if self._chunked else b"")
        self._waiting = b""
        self.started = self.ended = True
        connection = self._connection
        connection.send(data)
        if connection.choked:
            await connection.drained()

    @property
    def delimited(self) -> bool:
        """Whether a client can see that this answer is not whole when it breaks off."""
        return self._chunked

    def _tail(self, framing: bytes) -> bytes:
        """Return the server's headers, and the empty line after them."""
        if not self.keep or self._connection.last:
            self.keep = False
            return framing + _CLOSE
        return framing + (_END if self._modern else _KEEP)
