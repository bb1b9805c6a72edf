"""Answers as bytes: status lines, the Date header, heads and chunks."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from rbee_scheduler_gateway._exchange import Headers


__all__ = ["BODILESS", "LAST_CHUNK", "OURS", "Answers", "chunk"]

# Statuses without a body, and so without a length (RFC 9110 8.6).
BODILESS: Final = frozenset({204, 304})
LAST_CHUNK: Final = b"0\r\n\r\n"

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    499: "Client Closed Request",
}
# What decides where an answer ends, and whether another follows, is the server's to say.
OURS: Final = frozenset({b"connection", b"content-length", b"date", b"transfer-encoding"})


class Answers:
    r"""Makes the heads of answers.

    Args:
        now: Wall clock, ms since 1970.

    Example:
        >>> Answers(0.0).head(200, [(b"x-a", b"1")], b"\r\n").split(b"\r\n")[1:3]
        [b'date: Thu, 01 Jan 1970 00:00:00 GMT', b'x-a: 1']
    """

    __slots__ = ("_date", "_starts")

    def __init__(self, now: float) -> None:
        self._date = ""
        self._starts: dict[int, bytes] = {}
        self.tick(now)

    def tick(self, now: float) -> None:
        """Set the Date header; called each second, so that no answer asks for the time."""
        date = formatdate(now // 1000, usegmt=True)
        if date != self._date:
            self._date = date
            self._starts.clear()

    def head(self, status: int, headers: Headers, end: bytes) -> bytes:
        """Return the head of an answer.

        Args:
            status: 200 to 999.
            headers: The handler's.
            end: The server's own headers, and the empty line.

        Raises:
            ValueError: A header would not arrive as what it is, or is the server's to say.
        """
        head = self._starts.get(status) or self._start(status)
        for name, value in headers:
            if name in OURS:
                raise ValueError(f"the header {name.decode('latin-1')} is the server's to say")
            head += b"%b: %b\r\n" % (name, value)
        head += end
        # Each line ends once: any more, and a header holds a line break.
        ends = len(headers) + 2 + end.count(b"\n")
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            raise ValueError("a header holds a line break or NUL")
        return head

    def _start(self, status: int) -> bytes:
        if not 200 <= status <= 999:  # noqa: PLR2004 - final statuses of three digits
            raise ValueError(f"{status} is no status of a final answer")
        reason = _REASONS.get(status, "")
        start = f"HTTP/1.1 {status} {reason}\r\ndate: {self._date}\r\n".encode()
        self._starts[status] = start
        return start


def chunk(data: bytes) -> bytes:
    """Return ``data``, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
