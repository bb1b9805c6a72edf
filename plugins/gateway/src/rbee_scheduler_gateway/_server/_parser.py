"""Bytes in, requests out: without a socket, one request at a time."""

from __future__ import annotations

import re
from typing import Final

from rbee_scheduler_gateway._server._chunked import ChunkedBody
from rbee_scheduler_gateway._server._head import (
    CHUNKED,
    Head,
    check_line,
    check_start,
    parse_head,
)
from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._refused import Refused


__all__ = ["RequestParser"]

_CR: Final = 13
_BARE: Final = re.compile(rb"(?<!\r)\n|\r[^\n]")
# Of an unfinished request line; more would be looked at again with each byte that comes.
_START_BYTES: Final = 64


class RequestParser:
    r"""The requests of one connection, one after the other.

    It parses no further than the end of a request: what came behind it stays as bytes until
    somebody asks for the next one, so a client that pipelines costs the bytes it sent.

    Args:
        limits: See `ServerLimits`.

    Attributes:
        head: Of the request whose body is still coming.

    Example:
        >>> parser = RequestParser(ServerLimits())
        >>> parser.hold(b"GET / HTTP/1.1\r\nHost: a\r\n")
        >>> parser.take()
        >>> parser.hold(b"\r\n")
        >>> head, body = parser.take()
        >>> head.path, body
        ('/', b'')
    """

    __slots__ = ("_buffer", "_chunked", "_limits", "_lined", "_seen", "head")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        # `bytes` as they came while a request comes whole, which spares a copy.
        self._buffer: bytes | bytearray = b""
        self._seen = 0  # no end of a head begins before
        self._lined = False  # whether the request line of an unfinished head was checked
        self._chunked: ChunkedBody | None = None
        self.head: Head | None = None

    @property
    def buffered(self) -> int:
        """How many bytes came that were not parsed."""
        return len(self._buffer)

    @property
    def received(self) -> int:
        """How many bytes of the body came so far."""
        return len(self._buffer if self._chunked is None else self._chunked.body)

    def hold(self, data: bytes) -> None:
        """Keep what came."""
        if not self._buffer:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data

    def take(self) -> tuple[Head, bytes] | None:
        """Return the next request if it is whole; ``head`` then tells what is there of it.

        Raises:
            Refused: What came is no request. Nothing more can be parsed.
        """
        head = self.head
        if head is None:
            if not self._buffer:
                return None
            head = self._take_head()
            if head is None:
                return None
        length = head.length
        if length == 0:
            self.head = None
            return head, b""
        if length == CHUNKED:
            body = self._take_chunked()
        elif length <= len(self._buffer):
            body = self._cut(length, length)
        else:
            body = None
        if body is None:
            self.head = head
            return None
        self.head = None
        return head, body

    def _take_head(self) -> Head | None:
        buffer = self._buffer
        if buffer[0] == _CR:  # RFC 9112 2.2: an empty line before a request is skipped; one
            if len(buffer) <= 2 and b"\r\n".startswith(buffer):  # noqa: PLR2004 - CR LF
                return None
            if buffer[:2] == b"\r\n":
                self._cut(0, 2)
                buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._seen, self._limits.head_bytes)
        if end < 0:
            self._check_part(buffer)
            self._seen = max(0, len(buffer) - 3)
            return None
        self._seen = 0
        self._lined = False
        return parse_head(str(self._cut(end + 2, end + 4), "latin-1"), self._limits)

    def _take_chunked(self) -> bytes | None:
        if self._chunked is None:
            self._chunked = ChunkedBody(self._limits)
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        if not self._chunked.decode(self._buffer):
            return None
        body = bytes(self._chunked.body)
        self._chunked = None
        return body

    def _cut(self, count: int, gone: int) -> bytes:
        """Return the first ``count`` bytes, and let the first ``gone`` go."""
        buffer = self._buffer
        if gone == len(buffer):
            self._buffer = b""
            return bytes(buffer if count == gone else buffer[:count])
        front = bytes(buffer[:count])
        if isinstance(buffer, bytearray):
            del buffer[:gone]
        else:
            self._buffer = bytearray(memoryview(buffer)[gone:])
        return front

    def _check_part(self, buffer: bytes | bytearray) -> None:
        """Refuse at once what can't become a head, instead of waiting for its end."""
        most = self._limits.head_bytes
        if len(buffer) >= most:
            if buffer.find(b"\r\n", 0, most) >= 0:
                raise Refused(431, f"a head of more than {most} bytes")
            raise Refused(414, f"a request line of more than {most} bytes")
        if _BARE.search(buffer, self._seen):
            raise Refused(400, "a line does not end with CR LF")
        if self._lined:
            return
        end = buffer.find(b"\r\n")
        if end < 0:
            check_start(bytes(buffer[:_START_BYTES].removesuffix(b"\r")))
        else:
            check_line(str(buffer[:end], "latin-1"))
            self._lined = True
