"""Any httpx.AsyncClient over our connections, and core's executor over any httpx client."""

import gzip

import anyio
import httpx
import pytest

from rbee_scheduler import HttpxTransport
from rbee_scheduler_gateway import _http
from rbee_scheduler_gateway._http import FastHttpxTransport, FastTransport


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def client(**options):
    return httpx.AsyncClient(transport=FastHttpxTransport(), trust_env=False, **options)


async def test_requests_over_one_connection(serve, echo):
    async with serve(echo) as server, client() as http:
        for _ in range(2):
            response = await http.post(server.url, json={"a": 1})
            assert (
                response.status_code,
                response.reason_phrase,
                response.text,
            ) == (200, "OK", "ok")
        assert len(server.peers) == 1


async def test_what_is_sent(serve):
    seen = []

    async def handler(peer):
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.answer()

    async def body():
        yield b"a"
        yield b"b"

    async with serve(handler) as server, client(headers={"user-agent": "me"}) as http:
        await http.post(f"{server.url}/p?q=1", content=body(), headers=[("X-A", "1"), ("X-A", "2")])
        http.cookies.set("c", "1")
        await http.get(server.url)
    assert seen[0].startswith(b"POST /p?q=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    for line in (b"user-agent: me", b"x-a: 1, 2", b"content-length: 2"):
        assert b"\r\n%b\r\n" % line in seen[0]
    assert b"transfer-encoding" not in seen[0]
    assert seen[0].endswith(b"\r\n\r\nab")
    assert b"\r\ncookie: c=1\r\n" in seen[1]


async def test_headers_and_status_as_they_came(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(
            b"HTTP/1.1 404 Nope\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )

    async with serve(handler) as server, client() as http:
        response = await http.get(server.url)
        assert response.status_code == 404
        assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert dict(http.cookies) == {"a": "1", "b": "2"}


async def test_redirects_and_compression_are_httpxs(serve):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 307 X\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
        assert (await peer.request()).startswith(b"GET /there HTTP/1.1")
        await peer.answer(gzip.compress(b"packed"), head=b"Content-Encoding: gzip\r\n")
        await peer.closed()

    async with serve(handler) as server, client(follow_redirects=True) as http:
        assert (await http.get(server.url)).text == "packed"


async def test_a_stream_left_half_way(serve):
    left = anyio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nab\r\n")
        await peer.closed()
        left.set()

    async with serve(handler) as server, client() as http:
        async with http.stream("GET", server.url) as response:
            assert response.status_code == 200
        await left.wait()


async def hang(peer):
    await peer.request()
    await peer.closed()


async def hang_in_the_body(peer):
    await peer.request()
    await peer.send(CHUNKED + b"2\r\nab\r\n")
    await peer.closed()


async def garbage(peer):
    await peer.request()
    await peer.send(b"no http")


async def close(peer):
    await peer.request()


async def cut(peer):
    await peer.request()
    await peer.send(CHUNKED + b"2\r\nab\r\n")


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (hang, httpx.ReadTimeout),
        (hang_in_the_body, httpx.ReadTimeout),
        (garbage, httpx.RemoteProtocolError),
        (close, httpx.RemoteProtocolError),
        (cut, httpx.RemoteProtocolError),
    ],
)
async def test_errors(serve, handler, error):
    async with serve(handler) as server, client(timeout=httpx.Timeout(None, read=0.05)) as http:
        with pytest.raises(error) as caught:
            await http.get(server.url)
        assert server.url in str(caught.value.request.url)


async def test_errors_before_a_connection(serve, echo, monkeypatch):
    async with serve(echo) as server, client() as http:
        url = server.url
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(url, headers={"x": "a\r\nb"})
    async with client() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)

        async def for_ever(*_):
            await anyio.sleep_forever()

        for room, name in (("_asyncio_stream", "open_asyncio"), ("_trio_stream", "open_trio")):
            monkeypatch.setattr(f"rbee_scheduler_gateway._http.{room}.{name}", for_ever)
        with pytest.raises(httpx.ConnectTimeout):
            await http.get(url, timeout=httpx.Timeout(None, connect=0.01))


async def test_a_shared_transport_stays_open(serve, echo, open_transport, whole):
    async with serve(echo) as server, open_transport() as transport:
        async with httpx.AsyncClient(transport=FastHttpxTransport(transport)) as http:
            await http.get(server.url)
        assert await whole(await transport.open(server.call())) == b"ok"
        assert len(server.peers) == 1


async def test_core_takes_an_httpx_client_over_it(serve, echo, whole):
    async with serve(echo) as server, client() as http:
        response = await HttpxTransport(http).open(server.call())
        assert await whole(response) == b"ok"
        await response.aclose()


def test_httpx_is_only_imported_for_the_adapter():
    assert _http.FastHttpxTransport is FastHttpxTransport
    assert sorted(_http.__all__) == _http.__all__
    assert _http.FastTransport is FastTransport
    with pytest.raises(AttributeError, match="'Fast'"):
        _ = _http.Fast
