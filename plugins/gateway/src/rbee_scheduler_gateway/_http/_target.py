"""A URL that is called again and again: where it leads, and how its requests begin."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from rbee_scheduler import HttpCall
from rbee_scheduler_gateway._http._connect import Origin
from rbee_scheduler_gateway._http._failures import CallRefused
from rbee_scheduler_gateway._http._pool import Pool


__all__ = ["Target", "parse_url"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2

_HOST: Final = re.compile(r"[a-z0-9._~-]+")

# Written by `encode` itself: a caller's length that lies would let the server read the rest
# of the body as another request.
_OURS: Final = frozenset({"content-length", "host", "transfer-encoding"})

_WITH_BODY: Final = frozenset({"PATCH", "POST", "PUT"})
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~?"
_METHODS: Final = 16


def parse_url(url: str) -> tuple[Origin, str, str, str]:
    """Return a URL's origin, Host header, path with query, and Authorization header if any.

    Raises:
        CallRefused: It is no absolute http or https URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as wrong:
        raise CallRefused(f"{url!r} is no URL: {wrong}") from wrong
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CallRefused(f"{url!r} is no http or https URL with a host")
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    try:
        host = parts.hostname if ":" in parts.hostname else _ascii_host(parts.hostname)
    except UnicodeError as wrong:
        raise CallRefused(f"{url!r} has no valid host name: {wrong}") from wrong
    origin = Origin(host, usual if port is None else port, secure)
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        path = f"{path}?{quote(parts.query, safe=_PATH_SAFE + '[]')}"
    authority = shown if origin.port == usual else f"{shown}:{origin.port}"
    user = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        user = f"Basic {b64encode(pair.encode()).decode()}"
    return origin, authority, path, user


def _ascii_host(host: str) -> str:
    """Return a host name as it is sent: IDNA may make a slash of what only looks like one."""
    name = host if host.isascii() else host.encode("idna").decode("ascii")
    if not _HOST.fullmatch(name):
        raise UnicodeError("characters that no host name has")
    return name


class Target:
    """A URL, its pool, and the first lines of its requests, made once.

    Args:
        pool: Of the URL's origin.
        authority: The Host header.
        path: Path and query, percent-encoded.
        authorization: For a URL with a user and a password.

    Attributes:
        pool: The same.
    """

    __slots__ = ("_authority", "_authorization", "_known", "_path", "_starts", "pool")

    def __init__(self, pool: Pool, authority: str, path: str, authorization: str = "") -> None:
        self.pool = pool
        self._authority = authority
        self._path = path
        self._authorization = authorization
        self._starts: dict[str, str] = {}
        self._known: set[str] = set()  # header names in lower case, found valid

    def encode(self, call: HttpCall) -> bytes:
        """Return the bytes of a request.

        Raises:
            CallRefused: A method or a header would not arrive as what it is.
        """
        headers = call.headers
        method = call.method
        start = self._starts.get(method) or self._start(method)
        if not self._known.issuperset(headers):
            headers = self._learn(headers)
        if not _OURS.isdisjoint(headers) or self._authorization:
            start, headers = self._sort_out(start, headers)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        body = call.body
        length = f"content-length: {len(body)}\r\n" if body or method in _WITH_BODY else ""
        text = f"{start}{''.join(lines)}{length}\r\n"
        # Each line ends once: any more, and a value holds a line break. Cheaper (0.2 us) than
        # a look at every value.
        ends = 3 + len(lines) + (length != "")
        if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
            raise CallRefused(f"a header for {self._authority} holds a line break or NUL")
        try:
            head = text.encode("latin-1")
        except UnicodeEncodeError as wrong:
            raise CallRefused(f"a header for {self._authority} is not Latin-1: {wrong}") from wrong
        return head + body if body else head

    def _start(self, method: str) -> str:
        # Methods are case-sensitive, and the answer to CONNECT has no body but a tunnel.
        if not _TOKEN.fullmatch(method) or method != method.upper() or method == "CONNECT":
            raise CallRefused(f"{method!r} is no HTTP method for a worker")
        start = f"{method} {self._path} HTTP/1.1\r\nhost: {self._authority}\r\n"
        if len(self._starts) < _METHODS:
            self._starts[method] = start
        return start

    def _learn(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers with their names in lower case; remember good names."""
        if not all(map(_TOKEN.fullmatch, headers)):
            raise CallRefused(f"no header name: {_first_bad(headers)!r}")
        lowered = {name.lower(): value for name, value in headers.items()}
        if len(self._known) < 256:  # noqa: PLR2004 - whoever makes up names can't fill memory
            self._known.update(lowered)
        return lowered

    def _sort_out(self, start: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Take out what `encode` writes, let a caller's Host stand, add the authorization."""
        kept = {name: value for name, value in headers.items() if name not in _OURS}
        if self._authorization:
            kept.setdefault("authorization", self._authorization)
        if "host" in headers:
            line, end, _ = start.partition("\r\n")
            start = f"{line}{end}host: {headers['host']}{end}"
        return start, kept


def _first_bad(names: Iterable[str]) -> str:
    return next(name for name in names if not _TOKEN.fullmatch(name))
