"""The head of a request, by the grammar of RFC 9112 and nothing more lenient.

One expression for the request line and one for the header lines, and every line has to be one
of them: what no rule names is refused, instead of a list of what other parsers let pass.
httptools does not serve here: it reads all requests that came at once and can't be told to
stop after the first, so a pipelining client decides how much is parsed and kept. Its
parser, and h11's, are asked in the tests instead: what is accepted here they read alike.
"""

from __future__ import annotations

import re
from typing import Final

from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._refused import Refused
from rbee_scheduler_gateway._server._target import split_target


__all__ = ["CHUNKED", "Head", "check_line", "check_start", "parse_head"]

CHUNKED: Final = -1

_LINE: Final = re.compile(r"([A-Z]{1,32}) ([!-~]+) HTTP/1\.([01])\r\n")
_START: Final = re.compile(rb"[A-Z]{1,32}(?: [!-~]*(?: [!-~]*)?)?")
_VERSION: Final = re.compile(r" HTTP/(?!1\.[01])[0-9](?:\.[0-9])?\Z")
# RFC 9110 5.5: a value is visible ASCII, space, tab, and what is not ASCII. The anchor keeps
# a search from skipping a part of a line; the count of lines, from skipping a whole one.
_HEADERS: Final = re.compile(
    r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n", re.MULTILINE
)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")

# What two programs may read differently when it comes twice.
_ONCE: Final = frozenset({"content-length", "expect", "host", "transfer-encoding"})


class Head:
    """A request without its body.

    Attributes:
        method: Upper case.
        path: See `split_target`.
        query: As it came.
        headers: Names in lower case; repeated ones joined by ``", "``.
        length: Bytes of the body that follows, or `CHUNKED`.
        modern: Whether the client speaks HTTP/1.1, not 1.0.
        keep: Whether the client may send another request afterwards.
    """

    __slots__ = ("headers", "keep", "length", "method", "modern", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        *,
        modern: bool,
        length: int,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.modern = modern
        self.length = length
        wish = headers.get("connection")
        self.keep = modern if wish is None else _keeps(wish, modern=modern)

    @property
    def patient(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        return self.modern and "expect" in self.headers


def parse_head(text: str, limits: ServerLimits) -> Head:
    r"""Return the head of a request.

    Args:
        text: All lines with their ends, without the empty one; Latin-1.
        limits: See `ServerLimits`.

    Raises:
        Refused: It is malformed, ambiguous, or beyond a limit.

    Example:
        >>> head = parse_head("GET /v1/models HTTP/1.1\r\nHost: a\r\n", ServerLimits())
        >>> head.method, head.path, head.headers, head.length
        ('GET', '/v1/models', {'host': 'a'}, 0)
    """
    line = _LINE.match(text)
    if line is None:
        check_line(text.partition("\r\n")[0])
        raise Refused(400, "the request line is malformed")
    method, target, minor = line.groups()
    found = _HEADERS.findall(text, line.end())
    if len(found) != text.count("\n") - 1:
        raise Refused(400, "a header line is malformed, or does not end with CR LF")
    if len(found) > limits.header_count:
        raise Refused(431, f"more than {limits.header_count} headers")
    headers = {name.lower(): value.strip(" \t") for name, value in found}
    if len(headers) != len(found):
        headers = _join(found)
    modern = minor == "1"
    _check_host(headers.get("host"), modern=modern)
    path, query, authority = split_target(method, target)
    if method == "CONNECT":
        raise Refused(501, "this is no proxy: CONNECT is not served")
    if authority:  # RFC 9112 3.2.2: it overrides the header
        headers["host"] = authority
        _check_host(authority, modern=True)
    if "transfer-encoding" in headers:
        length = _check_coding(headers, modern=modern)
    else:
        length = _length(headers.get("content-length"), limits)
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise Refused(417, "the only expectation served is 100-continue")
    return Head(method, path, query, headers, modern=modern, length=length)


def check_start(data: bytes) -> None:
    """Refuse the first bytes of what can't become a request line: TLS, for one.

    Args:
        data: Without a line's end.

    Raises:
        Refused: It can't.
    """
    if not _START.fullmatch(data):
        raise Refused(400, "a request begins with a method in upper case, and a target")


def check_line(line: str) -> None:
    """Refuse what is no request line, without its end; say what is wrong.

    Raises:
        Refused: It is none.
    """
    if _LINE.fullmatch(f"{line}\r\n"):
        return
    if not _START.fullmatch(line.encode("latin-1")):
        raise Refused(400, "a request begins with a method in upper case, and a target")
    if _VERSION.search(line):
        raise Refused(505, "this server speaks HTTP/1.1 and HTTP/1.0")
    raise Refused(400, "a request line is a method, a target and HTTP/1.1")


def _join(found: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in ((name.lower(), value.strip(" \t")) for name, value in found):
        if name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise Refused(400, f"more than one header {name}")
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers


def _check_host(host: str | None, *, modern: bool) -> None:
    if host is None:
        if modern:
            raise Refused(400, "HTTP/1.1 needs a header Host")
    elif not _HOST.fullmatch(host):
        raise Refused(400, "the host is malformed")


def _check_coding(headers: dict[str, str], *, modern: bool) -> int:
    if "content-length" in headers:
        raise Refused(400, "both Transfer-Encoding and Content-Length")
    if not modern:
        raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
    codings = [coding.strip(" \t") for coding in headers["transfer-encoding"].lower().split(",")]
    if codings == ["chunked"]:
        return CHUNKED
    # RFC 9112 6.1 and 6.3: a coding we don't know is 501; a body without an end, 400.
    if codings.count("chunked") == 1 and codings[-1] == "chunked" and all(codings):
        raise Refused(501, "the only Transfer-Encoding served is chunked")
    raise Refused(400, "Transfer-Encoding must be chunked")


def _length(text: str | None, limits: ServerLimits) -> int:
    if text is None:
        return 0
    if not _LENGTH.fullmatch(text):
        if text.isascii() and text.isdigit():
            raise Refused(413, f"a body of more than {limits.body_bytes} bytes")
        raise Refused(400, "Content-Length is no number")
    length = int(text)
    if length > limits.body_bytes:
        raise Refused(413, f"a body of more than {limits.body_bytes} bytes")
    return length


def _keeps(wish: str, *, modern: bool) -> bool:
    wishes = {option.strip(" \t") for option in wish.lower().split(",")}
    return "close" not in wishes and (modern or "keep-alive" in wishes)
