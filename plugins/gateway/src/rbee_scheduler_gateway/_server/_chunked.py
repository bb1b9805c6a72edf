"""Chunked bodies (RFC 9112 7.1), with a bound on what is not body."""

from __future__ import annotations

import re
from typing import Final

from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._refused import Refused


__all__ = ["ChunkedBody"]

# 15 digits are 2^60. No space before the semicolon, nor after the size: llhttp and h11 differ.
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
# A size with its extensions; nobody uses these.
_LINE_BYTES: Final = 256


class ChunkedBody:
    r"""One chunked body, decoded as it comes.

    Args:
        limits: See `ServerLimits`.

    Attributes:
        body: What was decoded so far.

    Example:
        >>> chunked = ChunkedBody(ServerLimits())
        >>> rest = bytearray(b"5\r\nhello\r\n0\r\n\r\nGET")
        >>> chunked.decode(rest), bytes(chunked.body), bytes(rest)
        (True, b'hello', b'GET')
    """

    __slots__ = ("_framing", "_limits", "_missing", "_trailers", "body")

    def __init__(self, limits: ServerLimits) -> None:
        self.body = bytearray()
        self._limits = limits
        self._missing = 0  # bytes of the current chunk, with the CR LF that ends it
        self._framing = 0
        self._trailers = -1  # how many; negative before the last chunk

    def decode(self, buffer: bytearray) -> bool:
        """Take what is complete off the front of ``buffer``; return whether the body is.

        Raises:
            Refused: It is malformed, or beyond a limit.
        """
        at = 0
        try:
            while True:
                if self._missing:
                    at = self._chunk(buffer, at)
                    if self._missing:
                        return False
                end = buffer.find(b"\r\n", at, at + self._line_limit() + 2)
                if end < 0:
                    self._check_rest(buffer, at)
                    return False
                line, at = bytes(buffer[at:end]), end + 2
                self._spend(len(line) + 2)
                if self._trailers < 0:
                    self._begin(line)
                elif not line:
                    return True
                else:
                    self._trailer(line)
        finally:
            del buffer[:at]

    def _chunk(self, buffer: bytearray, at: int) -> int:
        """Move what is there of the current chunk to the body; return where it ends."""
        data = min(self._missing - 2, len(buffer) - at)
        if data > 0:
            self.body += memoryview(buffer)[at : at + data]
            self._missing -= data
            at += data
        if self._missing == 2 and len(buffer) - at >= 2:  # noqa: PLR2004 - CR LF
            if buffer[at : at + 2] != b"\r\n":
                raise Refused(400, "a chunk is longer than its size")
            self._missing = 0
            at += 2
        return at

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise Refused(400, "a chunk's size is no hexadecimal number")
        size = int(found[1], 16)
        if len(self.body) + size > self._limits.body_bytes:
            raise Refused(413, f"a body of more than {self._limits.body_bytes} bytes")
        if size:
            self._missing = size + 2
        else:
            self._trailers = 0

    def _trailer(self, line: bytes) -> None:
        """Check a trailer, and drop it: nothing here needs any (RFC 9110 6.5.1)."""
        self._trailers += 1
        if self._trailers > self._limits.header_count:
            raise Refused(431, f"more than {self._limits.header_count} trailers")
        if not _TRAILER.fullmatch(line):
            raise Refused(400, "a trailer is malformed")

    def _spend(self, count: int) -> None:
        # Chunks of one byte are 6 bytes and a turn of the loop above for each byte of body.
        self._framing += count
        if self._framing > self._limits.head_bytes + len(self.body):
            raise Refused(400, "more framing than body: send larger chunks")

    def _line_limit(self) -> int:
        return _LINE_BYTES if self._trailers < 0 else self._limits.head_bytes

    def _check_rest(self, buffer: bytearray, at: int) -> None:
        """Refuse an unfinished line that is too long, or that ended in another way."""
        if len(buffer) - at > self._line_limit():
            if self._trailers < 0:
                raise Refused(400, f"a chunk's size line is longer than {_LINE_BYTES} bytes")
            raise Refused(431, f"more than {self._limits.head_bytes} bytes of trailers")
        if b"\n" in buffer[at:]:
            raise Refused(400, "a line of a chunked body does not end with CR LF")
