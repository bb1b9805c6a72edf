"""A decoder for server-sent events that does no I/O: bytes in, events out.

The grammar is the WHATWG one (HTML standard, section 9.2, "Server-sent events"), which is wider
than what model servers send on a good day: a line may end in LF, CR or CRLF, a chunk of the
transport may end anywhere, also between the two bytes of a CRLF or inside a byte order mark.

Theory of operation
-------------------
The token path meets one shape nearly always: one or a few whole events per chunk. The decoder is
fast there because of its structure, not because of a second code path:

* ``bytes.splitlines`` knows exactly the three line ends of the grammar (``str.splitlines`` knows
  eight more) and runs in C, so Python code runs once per line and never once per byte.
* Only what follows the last line end of a chunk is kept. It waits in a ``bytearray``, which grows
  in amortised constant time: a server that drips single bytes costs linear work, and its memory
  is the line's own size. (A list of chunks would hold a 34-byte object for each byte dripped.)
* Splitting before decoding is sound: CR, LF, colon and space are ASCII, and no byte of a
  multi-byte UTF-8 sequence is. An invalid sequence never swallows an ASCII byte either.
* The byte order mark can only begin the first line, so it is cut off there. No state waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple


if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LineTooLong", "SseDecoder", "SseEvent"]

DEFAULT_LIMIT: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_CLOSED: Final = "closed"
_CR: Final = 13
_LF: Final = 10
# A delay of 10**15 ms is 31,000 years; int() refuses 4,301 digits with a ValueError.
_RETRY_DIGITS: Final = 15


class LineTooLong(ValueError):
    """A line, or the data of one event, is larger than the decoder's limit."""


class SseEvent(NamedTuple):
    """One event of the stream.

    A named tuple and not an attrs class because one is made per token: 0.16 us against 0.45 us
    for a frozen attrs class with the same fields (CPython 3.11).

    Attributes:
        data: The ``data:`` lines, joined by LF.
        event: The type; ``"message"`` where the server named none.
        id: The last ``id:`` seen so far in the stream, this event's or an earlier one's.
        complete: False when the stream ended before the blank line that ends an event.
    """

    data: str
    event: str = "message"
    id: str = ""
    complete: bool = True


class SseDecoder:
    r"""Turns the bytes of one event stream into events, wherever the bytes are cut.

    Example:
        >>> decoder = SseDecoder()
        >>> decoder.feed(b"data: Hel")
        []
        >>> decoder.feed(b"lo\n\ndata: [DONE]")
        [SseEvent(data='Hello', event='message', id='', complete=True)]
        >>> decoder.close()
        [SseEvent(data='[DONE]', event='message', id='', complete=False)]

    Args:
        limit: The most bytes that one line may have (its end not counted), and that the data of
            one event may have (the LF between its lines counted). Bounds the decoder's memory.
        error: Makes the exception for a stream beyond the limit, from a message.

    Attributes:
        last_event_id: The value of the last ``id:`` field.
        retry_ms: The value of the last valid ``retry:`` field, None before the first.
        replaced: How many replacement characters stand for invalid UTF-8 so far.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_error",
        "_limit",
        "_over",
        "_pending",
        "_type",
        "last_event_id",
        "replaced",
        "retry_ms",
    )

    def __init__(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        error: Callable[[str], Exception] = LineTooLong,
    ) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.replaced = 0
        self._limit = limit
        self._error = error
        self._pending = bytearray()  # what followed the last line end
        self._data: bytearray | bytes | None = None  # of the event being read; None: no data line
        self._type = "message"  # of the event being read
        self._after_cr = False  # the last byte was a CR: an LF that follows belongs to it
        self._begun = False  # the first line is behind us
        self._over = ""  # why no more bytes are taken, once that is so

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes of the stream.

        Args:
            chunk: Any number of bytes, cut anywhere.

        Returns:
            The events that these bytes completed, in order.

        Raises:
            LineTooLong: (or what ``error`` makes) A line or an event is beyond the limit. Events
                that came before it are returned first, and the error is raised by the next call:
                so the caller sees the same sequence however the bytes were cut.
            RuntimeError: The decoder was closed.
        """
        if self._over:
            self._check()
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        lines = chunk.splitlines()
        rest = b""
        if chunk[-1] != _LF:
            self._after_cr = chunk[-1] == _CR
            if not self._after_cr:
                rest = lines.pop()
        if lines and (self._pending or not self._begun or len(chunk) > self._limit):
            lines = self._completed(lines)
        events = self._take(lines) if lines else []
        if rest and not self._over:
            self._pending += rest
            if len(self._pending) > self._limit:
                self._give_up("a line")
        if not events:
            self._check()
        return events

    def close(self) -> list[SseEvent]:
        """Take the end of the stream.

        The standard discards an event that no blank line ended. Real servers cut the connection
        right after their last ``data:`` line, so it is delivered, marked ``complete=False``: it
        is for the caller to judge whether it says enough.

        Returns:
            No event or one, unfinished. Nothing when the decoder was closed before.

        Raises:
            LineTooLong: (or what ``error`` makes) As for ``feed``.
        """
        if self._over == _CLOSED:
            return []
        self._check()
        events = self._take(self._completed([b""])) if self._pending else []
        self._check()
        if self._data is not None:
            events.append(self._event(self._data, complete=False))
        self._data = None
        self._over = _CLOSED
        return events

    def _completed(self, lines: list[bytes]) -> list[bytes]:
        """Put what is pending before the first line, and keep the lines before a too long one."""
        if self._pending:
            lines[0] = bytes(self._pending + lines[0])
            self._pending.clear()
        for index, line in enumerate(lines):
            if len(line) > self._limit:
                self._give_up("a line")
                lines = lines[:index]
                break
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def _take(self, lines: list[bytes]) -> list[SseEvent]:
        """Interpret whole lines: the one loop of the token path."""
        data = self._data
        events: list[SseEvent] = []
        for line in lines:
            if not line:
                if data is not None:
                    events.append(self._event(data))
                    data = None
                self._type = "message"
                continue
            # A comment has an empty name, which is no field; so is a name that nobody knows.
            name, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if name != b"data":
                self._field(name, value)
            elif data is None:
                data = value
            else:
                data = _joined(data, value)
                if len(data) > self._limit:
                    self._give_up("the data of one event")
                    break
        self._data = data
        return events

    def _field(self, name: bytes, value: bytes) -> None:
        """Interpret a field that is not ``data``."""
        if name == b"event":
            self._type = self._text(value) or "message"
        elif name == b"id":
            if b"\0" not in value:
                self.last_event_id = self._text(value)
        elif name == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
            self.retry_ms = int(value)

    def _event(self, data: bytes | bytearray, *, complete: bool = True) -> SseEvent:
        return SseEvent(self._text(data), self._type, self.last_event_id, complete)

    def _text(self, value: bytes | bytearray) -> str:
        """Decode; replace what is invalid, and count it."""
        try:
            return value.decode()
        except UnicodeDecodeError:
            text = value.decode(errors="replace")
        # A replacement character that the server sent itself is no fault. Its first byte can only
        # begin a sequence, so the bytes are found exactly where the decoder finds them.
        self.replaced += text.count("\ufffd") - value.count(b"\xef\xbf\xbd")
        return text

    def _give_up(self, what: str) -> None:
        self._over = (
            f"{what} of the event stream has more than {self._limit} bytes; "
            "the server is broken or hostile, or the limit is too low for it"
        )
        self._pending.clear()

    def _check(self) -> None:
        if self._over == _CLOSED:
            raise RuntimeError("this SseDecoder is closed; use a new one for each stream")
        if self._over:
            raise self._error(self._over)


def _joined(data: bytes | bytearray, value: bytes) -> bytearray:
    """Add one more ``data:`` line to an event's data, in amortised constant time per byte."""
    joined = bytearray(data) if isinstance(data, bytes) else data
    joined += b"\n"
    joined += value
    return joined
