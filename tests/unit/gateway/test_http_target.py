"""From a URL and a call to the bytes of a request, and nothing smuggled into them."""

import pytest

from rbee_scheduler import HttpCall
from rbee_scheduler_gateway._http import CallRefused
from rbee_scheduler_gateway._http._connect import Origin
from rbee_scheduler_gateway._http._target import Target, parse_url


def encoded(url="http://w:8080/v1/x", method="POST", headers=None, body=b"{}"):
    _, authority, path, authorization = parse_url(url)
    target = Target(None, authority, path, authorization)
    call = HttpCall(method=method, url=url, headers=headers or {}, body=body)
    first, second = target.encode(call), target.encode(call)
    assert first == second  # made, and remembered
    return first


def test_a_request():
    assert encoded(headers={"x-a": "é"}) == (
        b"POST /v1/x HTTP/1.1\r\nhost: w:8080\r\nx-a: \xe9\r\ncontent-length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_no_length_without_a_body(method):
    assert encoded(method=method, body=b"") == (
        b"%b /v1/x HTTP/1.1\r\nhost: w:8080\r\n\r\n" % method.encode()
    )


def test_an_empty_body_has_a_length():
    assert encoded(body=b"").endswith(b"content-length: 0\r\n\r\n")


@pytest.mark.parametrize("name", ["content-length", "Content-Length", "transfer-encoding"])
def test_framing_is_not_the_callers(name):
    data = encoded(headers={name: "7", "x-a": "b"})
    assert data == (b"POST /v1/x HTTP/1.1\r\nhost: w:8080\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}")


def test_the_caller_may_name_the_host():
    data = encoded(headers={"Host": "other"}, method="GET", body=b"")
    assert data == b"GET /v1/x HTTP/1.1\r\nhost: other\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nevil: 1"},
        {"x": "a\nevil: 1"},
        {"x": "a\revil: 1"},
        {"x": "a\0"},
        {"x\r\nevil": "1"},
        {"x evil": "1"},
        {" x": "1"},
        {"x:": "1"},
        {"": "1"},
        {"x": "\u20ac"},
        {"host": "a\r\nevil: 1"},
    ],
)
def test_a_header_stays_one_header(headers):
    with pytest.raises(CallRefused):
        encoded(headers=headers)


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GET /\r\n", "get", "CONNECT"])
def test_a_method_stays_a_method(method):
    with pytest.raises(CallRefused):
        encoded(method=method)


def test_names_that_somebody_makes_up_do_not_fill_memory():
    target = Target(None, "w", "/")
    for number in range(1000):
        target.encode(HttpCall(method="GET", url="http://w/", headers={f"x-{number}": "a"}))
        target.encode(HttpCall(method=f"M{number}", url="http://w/"))
    assert len(target._known) <= 256
    assert len(target._starts) <= 16


URLS = {
    "http://w": (Origin("w", 80, secure=False), "w", "/"),
    "http://W.Example:80/": (Origin("w.example", 80, secure=False), "w.example", "/"),
    "https://w": (Origin("w", 443, secure=True), "w", "/"),
    "https://w:80/a?b=c&d#e": (Origin("w", 80, secure=True), "w:80", "/a?b=c&d"),
    "http://[::1]:8000/a": (Origin("::1", 8000, secure=False), "[::1]:8000", "/a"),
    "http://127.0.0.1:1/": (Origin("127.0.0.1", 1, secure=False), "127.0.0.1:1", "/"),
    'http://w/a b/é%20?q=ü "': (
        Origin("w", 80, secure=False),
        "w",
        "/a%20b/%C3%A9%20?q=%C3%BC%20%22",
    ),
    "http://büro/": (Origin("xn--bro-hoa", 80, secure=False), "xn--bro-hoa", "/"),
}


@pytest.mark.parametrize("url", URLS)
def test_urls(url):
    assert parse_url(url) == (*URLS[url], "")


def test_a_user_in_the_url_is_sent_as_basic_authorization():
    data = encoded("http://me:p%40ss@w/", method="GET", body=b"")
    assert data == b"GET / HTTP/1.1\r\nhost: w\r\nauthorization: Basic bWU6cEBzcw==\r\n\r\n"
    data = encoded("http://me@w/", method="GET", body=b"", headers={"authorization": "Bearer x"})
    assert data == b"GET / HTTP/1.1\r\nhost: w\r\nauthorization: Bearer x\r\n\r\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "w",
        "/v1",
        "ftp://w/",
        "http://",
        "http://w:99999/",
        "http://w:x/",
        "http://a b/",
        "http://[::1",
        "http://w\uff0fx/",
        "http://w\u2100x/",
        "http://" + "ü" * 300,
    ],
)
def test_no_urls(url):
    with pytest.raises(CallRefused):
        parse_url(url)
