"""A request as the worker saw it, and the parser that makes it from bytes. No I/O here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD_END: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 64 * 1024


class BadRequest(ValueError):
    """The client's bytes are no request that the fake worker reads."""


@attrs.frozen(kw_only=True)
class SeenRequest:
    """One request.

    Attributes:
        number: Counts the worker's requests from 0.
        connection: The number of the connection that it came on.
        method: In upper case, as sent.
        path: Without the query.
        query: What followed the question mark, undecoded.
        headers: By lower-case name; values of repeated ones are joined by ``", "``.
        body: The bytes of the body.
    """

    number: int
    connection: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is empty.

        Raises:
            ValueError: It is no JSON.
        """
        return json.loads(self.body) if self.body else None


class RequestParser:
    """Takes bytes, gives (method, target, headers, body) for each whole request."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self._buffer += data

    def next_request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """Return the next request, None while it is not there as a whole.

        Raises:
            BadRequest: The bytes are no request, or of a kind that no client of ours sends.
        """
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise BadRequest("the head of the request does not end")
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequest(f"a header without colon: {line!r}")
            key = name.lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        if "transfer-encoding" in headers:
            raise BadRequest("a chunked request body: the fake worker reads Content-Length only")
        length = headers.get("content-length", "0")
        words = first.split(" ")
        if len(words) != len(("method", "target", "version")) or not length.isdecimal():
            raise BadRequest(f"no request: {first!r}, Content-Length {length!r}")
        start = end + len(_HEAD_END)
        stop = start + int(length)
        if len(self._buffer) < stop:
            return None
        body = bytes(self._buffer[start:stop])
        del self._buffer[:stop]
        return words[0], words[1], headers, body
