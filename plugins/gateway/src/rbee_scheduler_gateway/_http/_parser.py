"""HTTP/1 responses from bytes: llhttp, and the strictness that it leaves to its user.

llhttp (through httptools) refuses a Content-Length beside a Transfer-Encoding, two lengths,
bare line feeds and folded headers by itself. What it lets pass, and this room does not, stands
in `on_headers_complete`. The callbacks' names are httptools'.
"""

from __future__ import annotations

from typing import Final

import httptools

from rbee_scheduler_gateway._http._failures import ConnectionBroke, MalformedResponse, told
from rbee_scheduler_gateway._http._limits import HttpLimits


__all__ = ["ResponseParser"]

# llhttp takes RTSP/, ICE/, HTTP/0.9 and HTTP/2.0 for a status line as well.
_START: Final = b"HTTP/1."

_FIRST_FINAL: Final = 200
_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})


class _Refused(Exception):
    """Ends a callback, and with it llhttp's work on this connection."""


class ResponseParser:
    """The responses of one connection, one after the other.

    `begin` before each request, then `feed` what comes, or `end` at the end of the
    connection, until `ready` (the head is there, or never will be) and then until `ended`.
    Nothing here raises: what is wrong ends up in `failure`, after the parts that came before
    it, so that a body that breaks in the middle is the same however its bytes are cut.

    Args:
        limits: See `HttpLimits`.

    Attributes:
        touched: Whether a byte of the response has come.
        ready: Whether `status` and `raw_headers` are there, or `failure` is.
        ended: Whether nothing more is to come: the response is `complete`, or `failure` says
            why it is not.
        complete: Whether the response is whole.
        keep_alive: Whether, once complete, the connection can serve another request.
        failure: What is wrong.
        close_delimited: Whether only the end of the connection ends the body.
        parts: What has come of the body and was not taken yet; always the same list.
        raw_headers: Names and values as they came.
        status: The status code.
    """

    __slots__ = (
        "_bodiless",
        "_feed",
        "_idle_bytes",
        "_informational",
        "_limits",
        "_llhttp",
        "_start",
        "close_delimited",
        "complete",
        "ended",
        "failure",
        "keep_alive",
        "on_body",
        "parts",
        "raw_headers",
        "ready",
        "status",
        "touched",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.parts: list[bytes] = []
        self.on_body = self.parts.append  # C calls C: no Python frame for a piece of body
        self._llhttp = httptools.HttpResponseParser(self)  # resets itself after a response
        self._feed = self._llhttp.feed_data
        self.begin()

    def begin(self, *, bodiless: bool = False) -> None:
        """Expect the next response; ``bodiless``: it answers a HEAD request."""
        self._bodiless = bodiless
        self._idle_bytes = 0
        self._informational = 0
        self._start: bytes | None = b""
        self.touched = self.ready = self.ended = self.complete = False
        self.keep_alive = self.close_delimited = False
        self.failure: ConnectionBroke | MalformedResponse | None = None
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.status = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self.ended:
            self.keep_alive = False
            return
        if self._start is not None:
            data = self._check_start(data)
        self._idle_bytes += len(data)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(error)
        if self.parts:
            self._idle_bytes = 0
        elif self._idle_bytes > self._limits.head_bytes and not self.ended:
            self._fail(f"more than {self._limits.head_bytes} bytes without any of a body")

    def end(self) -> None:
        """Take the end of the connection."""
        if self.ready and self.close_delimited:
            self.complete = self.ended = True
        elif self.ready:
            self.lose("the connection was closed inside the body")
        elif self.touched:
            self.lose("the connection was closed inside the head")
        else:
            self.lose("the connection was closed without a response")

    def lose(self, why: str) -> None:
        """Take a broken connection."""
        if not self.ended:
            self.failure = ConnectionBroke(why)
            self.ready = self.ended = True
        self.keep_alive = False

    # ---- llhttp calls these ------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second response where one was asked for."""
        if self.complete:
            raise _Refused("a response that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if not self.ready:
            self.raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Judge the head.

        Raises:
            _Refused: It is ambiguous, or not what was asked for.
        """
        headers = self.raw_headers
        limits = self._limits
        if len(headers) > limits.header_count:
            raise _Refused(f"more than {limits.header_count} headers")
        length = chunked = False
        for name, value in headers:
            size = len(name)  # sorts out nearly all names without another object
            if size == 17 and name.lower() == b"transfer-encoding":  # noqa: PLR2004 - the name's length
                if chunked or value.strip(b" \t").lower() != b"chunked":
                    # RFC 9112 6.1: "gzip, chunked" would reach the client compressed, and
                    # in "chunked, gzip" only the end of the connection ends the body.
                    raise _Refused(f"Transfer-Encoding is {value[:40]!r}")
                chunked = True
            elif size == 14 and name.lower() == b"content-length":  # noqa: PLR2004 - the name's length
                length = True
        status = self._llhttp.get_status_code()
        if status < _FIRST_FINAL:
            self._skip_informational(status, framed=length or chunked)
            return
        self.status = status
        self.ready = True
        if self._idle_bytes > limits.head_bytes:  # of the body's bytes too, perhaps
            self._check_size()
        self._idle_bytes = 0
        if self._bodiless:
            # llhttp can't be told that a length is not followed by a body: never used again.
            self.complete = self.ended = True
            raise _Refused("the end of a response without body")
        self.close_delimited = not (length or chunked or status in _BODILESS)

    def on_message_complete(self) -> None:
        """Note the end, and whether the connection lives on (llhttp forgets it after this)."""
        if self.ready:
            self.keep_alive = self._llhttp.should_keep_alive()
            self.complete = self.ended = True

    # ---- judging -----------------------------------------------------------------------

    def _check_start(self, data: bytes) -> bytes:
        """Return what came so far once it is enough to know the protocol, else nothing."""
        self.touched = True
        assert self._start is not None  # noqa: S101 - the caller looked
        data = self._start + data
        if _START.startswith(data[: len(_START)]):
            self._start = data if len(data) < len(_START) else None
        else:
            self._fail(f"no HTTP/1 response but {data[:40]!r}")
        return b"" if self._start is not None else data

    def _check_size(self) -> None:
        size = sum(len(name) + len(value) + 4 for name, value in self.raw_headers)
        if size > self._limits.head_bytes:
            raise _Refused(f"more than {self._limits.head_bytes} bytes of headers")

    def _skip_informational(self, status: int, *, framed: bool) -> None:
        self._informational += 1
        if status < 100 or status == _SWITCHING or framed:  # noqa: PLR2004 - HTTP's own classes
            raise _Refused(f"status {status}, which makes no sense here")
        if self._informational > self._limits.informational:
            raise _Refused(f"more than {self._limits.informational} informational responses")
        self.raw_headers = []

    def _refuse(self, error: Exception) -> None:
        if self.complete:  # the response is whole; what follows it is not our business
            self.keep_alive = False
        else:
            why = error.__context__
            if why is not None and not isinstance(why, _Refused):
                raise why  # httptools catches even a KeyboardInterrupt
            self._fail(str(why) if why is not None else told(error))

    def _fail(self, why: str) -> None:
        self.failure = MalformedResponse(f"the worker's answer is malformed: {why}")
        self.ready = self.ended = True
        self.keep_alive = False
