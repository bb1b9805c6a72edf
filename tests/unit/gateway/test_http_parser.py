"""The response parser: what it accepts, what it refuses, and what it says then."""

import pytest

from rbee_scheduler_gateway._http._failures import ConnectionBroke, MalformedResponse
from rbee_scheduler_gateway._http._limits import HttpLimits
from rbee_scheduler_gateway._http._parser import ResponseParser


OK = b"HTTP/1.1 200 OK\r\n"
ONE = OK + b"Content-Length: 1\r\n\r\na"


def parsed(*pieces, end=False, bodiless=False, **limits):
    parser = ResponseParser(HttpLimits(**limits))
    parser.begin(bodiless=bodiless)
    for piece in pieces:
        parser.feed(piece)
    if end:
        parser.end()
    return parser


def body(parser):
    return b"".join(parser.parts)


def test_a_response_with_a_length():
    parser = parsed(OK + b"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc")
    assert parser.status == 200
    assert parser.raw_headers == [(b"Content-Type", b"text/plain"), (b"Content-Length", b"3")]
    assert body(parser) == b"abc"
    assert (parser.complete, parser.keep_alive, parser.close_delimited) == (True, True, False)


def test_a_chunked_response_keeps_its_trailers_to_itself():
    parser = parsed(OK + b"Transfer-Encoding: Chunked \r\n\r\n1;x=y\r\na\r\n0\r\nTrail: er\r\n\r\n")
    assert parser.raw_headers == [(b"Transfer-Encoding", b"Chunked ")]
    assert (body(parser), parser.complete, parser.keep_alive) == (b"a", True, True)


def test_keep_alive_is_read_while_llhttp_knows_it():
    parser = parsed(OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na")
    assert (parser.complete, parser.keep_alive) == (True, False)


def test_one_parser_serves_response_after_response():
    parser = parsed(ONE)
    parser.parts.clear()
    parser.begin()
    assert (parser.ready, parser.touched, parser.complete) == (False, False, False)
    parser.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    assert (parser.status, body(parser), parser.keep_alive) == (404, b"no", True)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body(status):
    parser = parsed(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert (parser.complete, parser.keep_alive, parser.close_delimited) == (True, True, False)


def test_304_says_the_length_of_a_body_that_it_does_not_send():
    parser = parsed(b"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n")
    assert (parser.complete, body(parser)) == (True, b"")


def test_head_has_no_body_whatever_the_headers_say():
    parser = parsed(OK + b"Content-Length: 9\r\n\r\n", bodiless=True)
    assert (parser.status, parser.complete, parser.failure) == (200, True, None)
    assert not parser.keep_alive  # llhttp waits for nine bytes


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_the_end_of_the_connection_ends_a_body_without_length(version):
    parser = parsed(b"HTTP/%b 200 OK\r\n\r\nab" % version)
    assert (parser.close_delimited, parser.complete) == (True, False)
    parser.end()
    assert (parser.complete, parser.keep_alive, body(parser)) == (True, False, b"ab")


def test_http_1_0_may_be_kept_alive_when_it_says_so():
    parser = parsed(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na")
    assert parser.keep_alive


def test_informational_responses_are_skipped():
    parser = parsed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ONE)
    assert (parser.status, parser.raw_headers) == (200, [(b"Content-Length", b"1")])


def test_informational_responses_are_counted():
    early = b"HTTP/1.1 103 Early\r\n\r\n"
    assert parsed(early * 8 + ONE).complete
    failure = parsed(early * 9 + ONE).failure
    assert "more than 8 informational responses" in failure.message


REFUSED = {
    "length and chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": OK + b"Content-Length: +1\r\n\r\n",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "a length beyond 64 bits": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a coding within the chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a coding around the chunks": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "101": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "101 without upgrade": b"HTTP/1.1 101 Go\r\n\r\nabc",
    "1xx with a length": b"HTTP/1.1 150 X\r\nContent-Length: 1\r\n\r\na",
    "status 000": b"HTTP/1.1 000 X\r\nContent-Length: 1\r\n\r\na",
    "status of two digits": b"HTTP/1.1 20 X\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 1\r\n\r\na",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "white space first": b"\r\n" + ONE,
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 1\r\n\r\na",
    "a space before the colon": OK + b"X : a\r\n\r\n",
    "NUL in a header": OK + b"X: a\0b\r\n\r\n",
    "a header without name": OK + b": a\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_refused_heads(data, pieces):
    parser = parsed(*([data] if pieces == "whole" else (data[i : i + 1] for i in range(len(data)))))
    assert isinstance(parser.failure, MalformedResponse)
    assert parser.failure.message.startswith("the worker's answer is malformed: ")
    assert (parser.ready, parser.ended, parser.complete, parser.status) == (True, True, False, 0)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
BROKEN_BODIES = {
    "a size that is no number": b"0xZZ\r\n",
    "a negative size": b"-1\r\n",
    "a size beyond 64 bits": b"fffffffffffffffff\r\n",
    "a size and a space": b"1 \r\na\r\n",
    "a size and a bare line feed": b"1\na\n",
    "more than its size says": b"1\r\nab\r\n",
    "a length in the trailers": b"0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_came_before_a_broken_chunk_counts(data, at_once):
    parser = parsed(CHUNKED + data) if at_once else parsed(CHUNKED, data)
    assert (parser.status, body(parser)[:1]) == (200, b"a")
    assert (parser.complete, parser.ended) == (False, True)
    assert isinstance(parser.failure, MalformedResponse)


SURPLUS = {"garbage": b"XYZ", "a response": ONE, "HTTP": b"HTTP/1.1 200"}


@pytest.mark.parametrize("data", SURPLUS.values(), ids=SURPLUS)
def test_what_nobody_asked_for_costs_the_connection_and_not_the_response(data):
    parser = parsed(ONE + data)
    assert (body(parser), parser.complete, parser.failure) == (b"a", True, None)
    assert not parser.keep_alive


@pytest.mark.parametrize(
    ("came", "says"),
    [
        (b"", "without a response"),
        (b"HTT", "inside the head"),
        (OK, "inside the head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "inside the head"),
        (CHUNKED, "inside the body"),
        (OK + b"Content-Length: 2\r\n\r\na", "inside the body"),
    ],
)
def test_the_connection_ends_too_early(came, says):
    parser = parsed(*([came] if came else []), end=True)
    assert isinstance(parser.failure, ConnectionBroke)
    assert says in parser.failure.message
    assert parser.touched == bool(came)


def test_what_is_complete_stays_complete():
    parser = parsed(ONE, end=True)
    assert (parser.complete, parser.failure, parser.keep_alive) == (True, None, False)


@pytest.mark.parametrize("split", [1, 100, 10_000])
def test_a_head_has_a_limit(split):
    data = OK + b"X: " + b"x" * 1000 + b"\r\nContent-Length: 1\r\n\r\na"
    pieces = [data[i : i + split] for i in range(0, len(data), split)]
    assert parsed(*pieces, head_bytes=1100).complete
    failure = parsed(*pieces, head_bytes=1000).failure
    assert "more than 1000 bytes" in failure.message


def test_a_long_body_is_no_long_head():
    assert parsed(OK + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000, head_bytes=256).complete


def test_headers_are_counted():
    data = OK + b"X: y\r\n" * 9 + b"Content-Length: 1\r\n\r\na"
    assert parsed(data, header_count=10).complete
    assert "more than 9 headers" in parsed(data, header_count=9).failure.message


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"x" * 500, b"0\r\n" + b"Trailer: x\r\n" * 50],
    ids=["chunk extension", "trailers"],
)
def test_what_flows_without_a_body_has_a_limit(endless):
    pieces = [endless[i : i + 20] for i in range(0, len(endless), 20)]
    parser = parsed(CHUNKED, head_bytes=300)
    parser.parts.clear()
    for piece in pieces:
        parser.feed(piece)
    assert "more than 300 bytes without any of a body" in parser.failure.message


def test_sizes_and_bodies_in_turn_are_no_flow_without_a_body():
    parser = parsed(OK + b"Transfer-Encoding: chunked\r\n\r\n", head_bytes=256)
    for _ in range(1000):
        parser.feed(b"1\r\n")
        parser.feed(b"a")
        assert parser.parts.pop() == b"a"
        parser.feed(b"\r\n")
    assert parser.failure is None


def test_an_error_in_a_callback_is_not_swallowed():
    parser = ResponseParser(HttpLimits())

    class Keyboard:
        def __len__(self):
            raise KeyboardInterrupt

        def append(self, pair):
            pass

    parser.raw_headers = Keyboard()
    with pytest.raises(KeyboardInterrupt):
        parser.feed(ONE)
