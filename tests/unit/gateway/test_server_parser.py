"""Requests from bytes: what is one, what is not, and what other parsers say about it."""

from contextlib import suppress
from itertools import pairwise

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rbee_scheduler_gateway._server import ServerLimits
from rbee_scheduler_gateway._server._parser import RequestParser
from rbee_scheduler_gateway._server._refused import Refused


LIMITS = ServerLimits(head_bytes=1024, header_count=16, body_bytes=4096)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def parse(data, limits=LIMITS):
    """All requests in ``data``: method, path, query, headers, body."""
    parser = RequestParser(limits)
    parser.hold(data)
    return rest_of(parser)


def rest_of(parser):
    found = []
    while (request := parser.take()) is not None:
        head, body = request
        found.append((head.method, head.path, head.query, head.headers, body))
    return found


# ---- what is a request -----------------------------------------------------------------


def test_a_request_and_its_parts():
    data = (
        b"POST /v1/models/a%2Fb?x=%20&y HTTP/1.1\r\nHost: example.org:8000\r\nX-A:1\r\n"
        b"x-a:\t2 \r\nX-Empty:\r\nX-Latin: caf\xe9\r\nContent-Length: 5\r\n\r\nhello"
    )
    headers = {
        "host": "example.org:8000",
        "x-a": "1, 2",
        "x-empty": "",
        "x-latin": "café",
        "content-length": "5",
    }
    assert parse(data) == [("POST", "/v1/models/a/b", "x=%20&y", headers, b"hello")]


@pytest.mark.parametrize(
    ("target", "method", "path", "query", "host"),
    [
        ("/", "GET", "/", "", "a"),
        ("/a//b;c=1/", "GET", "/a//b;c=1/", "", "a"),
        ("/%C3%A9", "GET", "/é", "", "a"),
        ("/%252e%252e/x", "GET", "/%2e%2e/x", "", "a"),
        ("/a.b/..c/.d/e..", "GET", "/a.b/..c/.d/e..", "", "a"),
        ("/?/../..", "GET", "/", "/../..", "a"),
        ("http://b:81/x?y", "GET", "/x", "y", "b:81"),
        ("HTTPS://b", "GET", "/", "", "b"),
        ("http://b?y", "GET", "/", "y", "b"),
        ("*", "OPTIONS", "*", "", "a"),
    ],
)
def test_targets(target, method, path, query, host):
    [found] = parse(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (*found[1:3], found[3]["host"]) == (path, query, host)


@pytest.mark.parametrize(
    ("version", "wish", "keeps"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Keep-Alive, Close", False),
        ("1.1", "upgrade", True),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("1.0", "keep-alive, close", False),
    ],
)
def test_who_may_send_another_request(version, wish, keeps):
    parser = RequestParser(LIMITS)
    header = f"Connection: {wish}\r\n" if wish else ""
    parser.hold(f"GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n".encode())
    head, _ = parser.take()
    assert head.keep is keeps


def test_a_chunked_body_with_extensions_and_trailers():
    data = (
        CHUNKED + b"5;a=b\r\nhello\r\n0A\r\n, world..!\r\n0;x\r\nX-Sum: 1\r\n\r\n" + GET + b"\r\n"
    )
    [first, second] = parse(data)
    assert first[-1] == b"hello, world..!"
    assert "x-sum" not in first[3]
    assert second[0] == "GET"


def test_what_follows_a_request_is_not_parsed_before_it_is_asked_for():
    parser = RequestParser(LIMITS)
    parser.hold(GET + b"\r\n" + b"nonsense\n")
    assert parser.take()[0].method == "GET"
    assert parser.buffered == len(b"nonsense\n")
    with pytest.raises(Refused):
        parser.take()


def test_a_head_tells_that_its_body_is_awaited():
    parser = RequestParser(LIMITS)
    parser.hold(POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.take() is None
    assert (parser.head.patient, parser.received) == (True, 0)
    parser.hold(b"a")
    assert parser.take() is None
    assert parser.received == 1


def test_one_empty_line_before_a_request_is_skipped():
    assert [each[0] for each in parse(b"\r\n" + GET + b"\r\n")] == ["GET"]


# ---- what is not -----------------------------------------------------------------------

TE = b"Transfer-Encoding: "
CL = b"Content-Length: "

MALFORMED = {
    # framing that two programs may read differently
    "length and coding": (400, POST + CL + b"5\r\n" + TE + b"chunked\r\n\r\n0\r\n\r\n"),
    "coding and length": (400, POST + TE + b"chunked\r\n" + CL + b"5\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + CL + b"5\r\n" + CL + b"6\r\n\r\nhello"),
    "the same length twice": (400, POST + CL + b"5\r\n" + CL + b"5\r\n\r\nhello"),
    "lengths in a list": (400, POST + CL + b"5,5\r\n\r\nhello"),
    "length with a sign": (400, POST + CL + b"+5\r\n\r\nhello"),
    "negative length": (400, POST + CL + b"-5\r\n\r\nhello"),
    "length and more": (400, POST + CL + b" 5x\r\n\r\nhello"),
    "hexadecimal length": (400, POST + CL + b"0x5\r\n\r\nhello"),
    "length of other digits": (400, POST + CL + b"\xb2\r\n\r\nhe"),
    "no length": (400, POST + CL + b"\r\n\r\n"),
    "length with an underscore": (400, POST + CL + b"1_0\r\n\r\nhellohello"),
    "unknown coding": (400, POST + TE + b"xchunked\r\n\r\n"),
    "coding after chunked": (400, POST + TE + b"chunked, identity\r\n\r\n"),
    "chunked twice": (400, POST + TE + b"chunked, chunked\r\n\r\n"),
    "two codings": (400, POST + TE + b"chunked\r\n" + TE + b"identity\r\n\r\n"),
    "quoted coding": (400, POST + TE + b'"chunked"\r\n\r\n'),
    "no coding": (400, POST + TE + b"\r\n\r\n"),
    "coding with a vertical tab": (400, POST + TE + b"\x0bchunked\r\n\r\n"),
    "a coding we don't have": (501, POST + TE + b"gzip, chunked\r\n\r\n"),
    "coding in 1.0": (400, b"POST / HTTP/1.0\r\n" + TE + b"chunked\r\n\r\n0\r\n\r\n"),
    # lines
    "folded header": (400, GET + b"X: a\r\n b\r\n\r\n"),
    "folded coding": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n"),
    "folded first header": (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "space before the colon": (400, POST + b"Content-Length : 5\r\n\r\nhello"),
    "space before a name": (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "one bare line feed": (400, GET + b"X: a\nY: b\r\n\r\n"),
    "bare carriage return": (400, GET + b"X: a\rY: b\r\n\r\n"),
    "line of carriage return": (400, GET + b"\r\r\n\r\n"),
    "NUL in a value": (400, GET + b"X: a\0b\r\n\r\n"),
    "NUL in a name": (400, GET + b"X\0: a\r\n\r\n"),
    "control character": (400, GET + b"X: a\x01b\r\n\r\n"),
    "DEL": (400, GET + b"X: a\x7fb\r\n\r\n"),
    "no colon": (400, GET + b"X\r\n\r\n"),
    "no name": (400, GET + b": a\r\n\r\n"),
    "odd name": (400, GET + b"X(y): a\r\n\r\n"),
    "name beyond ASCII": (400, GET + b"X-\xe9: a\r\n\r\n"),
    "name that lower() makes ASCII": (400, POST + "\u212a: a\r\n\r\n".encode()),
    "two empty lines before": (400, b"\r\n\r\n" + GET + b"\r\n"),
    # host
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, GET + b"Host: b\r\n\r\n"),
    "the same host twice": (400, GET + b"host: a\r\n\r\n"),
    "two hosts in 1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    "hosts in a list": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "host with a user": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    # the request line
    "lower-case method": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "odd method": (400, b"GE<T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no method": (400, b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "tab": (400, b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "space in the target": (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "space at the end": (400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    "target beyond ASCII": (400, b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/0.9 with a version": (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/3": (505, b"GET / HTTP/3\r\nHost: a\r\n\r\n"),
    "HTTP/1.10": (400, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    "lower-case version": (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    "another protocol": (400, b"SSH-2.0-OpenSSH_9.2\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    # targets
    "CONNECT": (400, b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n"),
    "CONNECT with a path": (501, b"CONNECT / HTTP/1.1\r\nHost: b\r\n\r\n"),
    "authority": (400, b"GET b:443 HTTP/1.1\r\nHost: b\r\n\r\n"),
    "asterisk": (400, b"GET * HTTP/1.1\r\nHost: b\r\n\r\n"),
    "other scheme": (400, b"GET ftp://b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
    "absolute without host": (400, b"GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "absolute with a user": (400, b"GET http://u@b/x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: b\r\n\r\n"),
    "backslash": (400, b"GET /a\\..\\b HTTP/1.1\r\nHost: b\r\n\r\n"),
    "dots": (400, b"GET /v1/../x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "dots at the end": (400, b"GET /v1/.. HTTP/1.1\r\nHost: b\r\n\r\n"),
    "dot": (400, b"GET /v1/./x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "encoded dots": (400, b"GET /v1/%2e%2e/x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "encoded dot": (400, b"GET /v1/.%2E/x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "encoded slashes around dots": (400, b"GET /v1%2f..%2fx HTTP/1.1\r\nHost: b\r\n\r\n"),
    "dots of an absolute target": (400, b"GET http://b/../x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "bad escape": (400, b"GET /%zz HTTP/1.1\r\nHost: b\r\n\r\n"),
    "short escape": (400, b"GET /%4 HTTP/1.1\r\nHost: b\r\n\r\n"),
    "escape that is not UTF-8": (400, b"GET /%ff HTTP/1.1\r\nHost: b\r\n\r\n"),
    "overlong escape": (400, b"GET /%c0%ae%c0%ae/ HTTP/1.1\r\nHost: b\r\n\r\n"),
    "encoded NUL": (400, b"GET /a%00 HTTP/1.1\r\nHost: b\r\n\r\n"),
    "encoded line break": (400, b"GET /a%0d%0ab HTTP/1.1\r\nHost: b\r\n\r\n"),
    # chunks
    "no size": (400, CHUNKED + b"\r\n"),
    "size of other letters": (400, CHUNKED + b"g\r\n"),
    "size with a sign": (400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "size with 0x": (400, CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "space before a size": (400, CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    "space after a size": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "size beyond 64 bits": (400, CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "size line with a line feed": (400, CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    "extension with a line feed": (400, CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "extension with a carriage return": (400, CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "longer than its size": (400, CHUNKED + b"3\r\nhello\r\n0\r\n\r\n"),
    "shorter than its size": (400, CHUNKED + b"6\r\nhello\r\n0\r\n\r\n"),
    "chunk ends with a line feed": (400, CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    "long extension": (400, CHUNKED + b"5;" + b"a" * 256 + b"\r\nhello\r\n0\r\n\r\n"),
    "endless extension": (400, CHUNKED + b"5;" + b"a" * 300),
    "many small chunks": (400, CHUNKED + b"1;abcdef\r\na\r\n" * 300 + b"0\r\n\r\n"),
    "folded trailer": (400, CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n"),
    "trailer without a colon": (400, CHUNKED + b"0\r\nX\r\n\r\n"),
    "trailer with a line feed": (400, CHUNKED + b"0\r\nX: a\n\r\n"),
    "too many trailers": (431, CHUNKED + b"0\r\n" + b"X: a\r\n" * 17 + b"\r\n"),
    "trailers too long": (431, CHUNKED + b"0\r\nX: " + b"a" * 1100),
    # limits
    "many headers": (431, GET + b"X: a\r\n" * 17 + b"\r\n"),
    "long header": (431, GET + b"X: " + b"a" * 1024 + b"\r\n\r\n"),
    "endless header": (431, GET + b"X: " + b"a" * 1024),
    "long target": (414, b"GET /" + b"a" * 1024 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "endless target": (414, b"GET /" + b"a" * 1024),
    "long body": (413, POST + CL + b"4097\r\n\r\n"),
    "endless body": (413, POST + CL + b"9" * 40 + b"\r\n\r\n"),
    "long chunk": (413, CHUNKED + b"1001\r\n"),
    "long chunks": (413, CHUNKED + (b"800\r\n" + b"a" * 2048 + b"\r\n") * 2 + b"1\r\n"),
    "other expectation": (417, POST + b"Expect: gold\r\nContent-Length: 1\r\n\r\n"),
    "two expectations": (400, POST + b"Expect: 100-continue\r\n" * 2 + CL + b"1\r\n\r\n"),
}


@pytest.mark.parametrize(("status", "data"), MALFORMED.values(), ids=MALFORMED)
def test_refused(status, data):
    with pytest.raises(Refused) as refused:
        parse(data)
    assert refused.value.status == status
    assert str(refused.value)


@pytest.mark.parametrize(("status", "data"), MALFORMED.values(), ids=MALFORMED)
def test_refused_byte_by_byte(status, data):
    parser = RequestParser(LIMITS)
    seen = None
    for byte in data:
        parser.hold(bytes((byte,)))
        try:
            assert parser.take() is None
        except Refused as refused:
            seen = refused
            break
    assert seen is not None
    # A line that is too long is refused before its end tells more, and an HTTP/2 client
    # before it is done.
    assert seen.status == status


# ---- laws ------------------------------------------------------------------------------

TOKEN = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=8)
VALUE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12
)
SEGMENT = st.text("abz09-_~!$&'()*+,;=:@", max_size=6)
RESERVED = {"host", "content-length", "transfer-encoding", "expect", "connection", "upgrade"}


@st.composite
def requests(draw):
    """A valid request: bytes, and what it says."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]))
    path = "/" + "/".join(draw(st.lists(SEGMENT, max_size=3)))
    query = draw(st.text("ab=&%20/?", max_size=6))
    pairs = draw(
        st.lists(st.tuples(TOKEN, VALUE), max_size=4).filter(
            lambda pairs: not {name.lower() for name, _ in pairs} & RESERVED
        )
    )
    body = draw(st.binary(max_size=40))
    headers = {"host": "a"}
    for name, value in pairs:
        key, text = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    lines = [f"{method} {path}{'?' if query else ''}{query} HTTP/1.1", "Host: a"]
    lines += [f"{name}: {value}" for name, value in pairs]
    if draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        wire = b"".join(b"%x;e\r\n%b\r\n" % (len(part), part) for part in parts if part)
        wire += b"0\r\n" + draw(st.sampled_from([b"", b"X-T: 1\r\n"])) + b"\r\n"
        lines.append("Transfer-Encoding: chunked")
        headers["transfer-encoding"] = "chunked"
    else:
        wire = body
        lines.append(f"Content-Length: {len(body)}")
        headers["content-length"] = str(len(body))
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + wire
    return data, (method, path, query, headers, body)


@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2000), max_size=8))
def test_a_request_is_the_same_however_its_bytes_are_cut(made, cuts):
    data = b"".join(each for each, _ in made)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parser = RequestParser(LIMITS)
    found = []
    for start, end in pairwise(edges):
        parser.hold(data[start:end])
        found += rest_of(parser)
    assert found == [expected for _, expected in made]


PIECES = st.sampled_from(
    [data for _, data in MALFORMED.values()]
    + [GET, POST, CHUNKED, b"\r\n", b"\n", b"\r", b" ", b"\t", b"0\r\n\r\n", b"5\r\nhello\r\n"]
    + [
        CL + b"5\r\n",
        TE + b"chunked\r\n",
        b"hello",
        b":",
        b"\0",
        b"X: y\r\n",
        b"GET /a HTTP/1.0\r\n",
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=8).map(b"".join))
@example(GET + b"\r\n")
@example(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")
def test_what_is_accepted_two_other_parsers_read_the_same_way(data):
    try:
        found = parse(data)[:1]
    except Refused:
        parser = RequestParser(LIMITS)
        parser.hold(data)
        try:
            found = [parser.take()]
        except Refused:
            return
        if found == [None]:
            return
        head, body = found[0]
        found = [(head.method, head.path, head.query, head.headers, body)]
    if found:
        method, _, _, headers, body = found[0]
        for other in (by_httptools, by_h11):
            assert other(data) == (method, headers.get("content-length"), body), other


class Seen:
    """What httptools calls."""

    def __init__(self):
        self.headers = {}
        self.body = b""
        self.done = False

    def on_header(self, name, value):
        if not self.done:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_body(self, body):
        if not self.done:
            self.body += body

    def on_message_complete(self):
        if not self.done:
            self.done = True
            self.method = self.parser.get_method().decode()


def by_httptools(data):
    seen = Seen()
    seen.parser = httptools.HttpRequestParser(seen)
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):  # of what follows
        seen.parser.feed_data(data)
    assert seen.done
    return seen.method, seen.headers.get("content-length"), seen.body


def by_h11(data):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data.removeprefix(b"\r\n"))
    request = connection.next_event()
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    headers = {name.decode(): value.decode() for name, value in request.headers if name[0] == 99}
    return request.method.decode(), headers.get("content-length"), body
