"""The ASGI application: called directly, and under two servers on the loops they have."""

import json
import logging
import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from rbee_scheduler_gateway._asgi import asgi_app
from rbee_scheduler_gateway._server import ServerLimits


async def echo(exchange):
    seen = [exchange.method, exchange.path, exchange.query, dict(exchange.headers), exchange.client]
    await exchange.respond(
        200, [(b"content-type", b"application/json")], json.dumps(seen).encode() + exchange.body
    )


async def stream(exchange):
    await exchange.start(200, [(b"content-type", b"text/plain")])
    assert not exchange.started
    for piece in (b"one, ", b"", b"two"):
        await exchange.write(piece)
    assert exchange.started
    await exchange.finish()


def scope(**fields):
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "client": ("10.0.0.1", 1234),
    } | fields


class Side:
    """The server's side of one request."""

    def __init__(self, *messages):
        self.messages = list(messages) or [{"type": "http.request"}]
        self.sent = []
        self.left = anyio.Event()
        self.broken = False

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if self.broken:
            raise BrokenPipeError
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])

    @property
    def body(self):
        return b"".join(each["body"] for each in self.sent[1:])


async def call(handler, side, *, limits=None, **fields):
    await asgi_app(handler, limits=limits)(scope(**fields), side.receive, side.send)
    return side


async def test_a_request_in_parts_and_its_answer():
    parts = [
        {"type": "http.request", "body": b"one, ", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": False},
    ]
    headers = [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"caf\xe9")]
    side = await call(
        echo, Side(*parts), method="POST", path="/a b", query_string=b"x=1", headers=headers
    )
    expected = ["POST", "/a b", "x=1", {"x-a": "1, 2", "x-b": "café"}, "10.0.0.1"]
    assert side.body == json.dumps(expected).encode() + b"one, two"
    assert side.headers[b"content-length"] == b"%d" % len(side.body)
    assert [each.get("more_body") for each in side.sent] == [None, False]


async def test_an_answer_in_pieces():
    side = await call(stream, Side())
    assert [each.get("body") for each in side.sent] == [None, b"one, ", b"two", b""]
    assert [each.get("more_body") for each in side.sent] == [None, True, True, False]


async def test_head_has_no_body():
    side = await call(echo, Side(), method="HEAD")
    assert (side.body, int(side.headers[b"content-length"]) > 0) == (b"", True)


async def test_no_content_has_no_length():
    async def handler(exchange):
        await exchange.respond(204, [], b"")

    side = await call(handler, Side())
    assert (side.status, side.headers) == (204, {})


@pytest.mark.parametrize("path", ["/a/../b", "/..", "/a/./b", "/a\0", "/a\nb"])
async def test_paths_that_may_lead_elsewhere(path):
    assert (await call(echo, Side(), path=path)).status == 400


@pytest.mark.parametrize("length", [b"11", b"9" * 30, None])
async def test_a_body_beyond_the_limit(length):
    part = {"type": "http.request", "body": b"12345", "more_body": True}
    side = Side(part, part, part)
    headers = [] if length is None else [(b"content-length", length)]
    await call(echo, side, limits=ServerLimits(body_bytes=10), headers=headers)
    assert side.status == 413
    assert json.loads(side.body)["error"]["code"] == "PAYLOAD_TOO_LARGE"
    # A length that says so is enough.
    assert len(side.messages) == (3 if length else 0)


async def test_too_many_headers():
    headers = [(b"x-%d" % number, b"") for number in range(3)]
    side = await call(echo, Side(), limits=ServerLimits(header_count=2), headers=headers)
    assert side.status == 431


async def test_a_client_that_leaves_before_its_body_is_whole():
    part = {"type": "http.request", "body": b"1", "more_body": True}
    assert (await call(echo, Side(part, {"type": "http.disconnect"}))).sent == []


async def test_a_client_that_leaves_cancels_the_handler():
    side, over = Side(), anyio.Event()

    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"first")
        side.left.set()
        try:
            await anyio.sleep_forever()
        finally:
            over.set()

    await call(handler, side)
    assert over.is_set()


async def test_a_send_that_fails_cancels_the_handler(caplog):
    side = Side()
    reached = []

    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"first")
        side.broken = True
        reached.append(1)
        await exchange.write(b"second")
        reached.append(2)

    await call(handler, side)
    assert (reached, caplog.records) == ([1], [])


async def test_after_its_answer_a_handler_goes_on_without_the_client():
    side, done = Side(), []

    async def handler(exchange):
        await exchange.respond(200, [], b"")
        side.left.set()
        await anyio.wait_all_tasks_blocked()
        done.append(1)

    await call(handler, side)
    assert done == [1]


async def test_a_handler_that_fails(caplog):
    async def raising(exchange):
        raise ValueError("secret")

    async def nothing(exchange):
        pass

    async def splitting(exchange):
        await exchange.respond(200, [(b"x", b"1\r\ny: 2")], b"")

    async def framing(exchange):
        await exchange.respond(200, [(b"content-length", b"2")], b"")

    for handler in (raising, nothing, splitting, framing):
        side = await call(handler, Side())
        assert side.status == 500
        assert json.loads(side.body)["error"]["code"] == "INTERNAL"
        assert b"secret" not in side.body
    assert len(caplog.records) == 4


async def test_an_answer_that_breaks_off_is_not_ended(caplog):
    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"first")
        raise ValueError("no more")

    side = Side()
    with pytest.raises(ValueError, match="no more"):
        await call(handler, side)
    assert side.sent[-1]["more_body"] is True


async def test_an_exchange_is_answered_once(caplog):
    refused = []

    async def handler(exchange):
        for step in (exchange.finish(), exchange.write(b"x")):
            with pytest.raises(RuntimeError):
                await step
            refused.append(1)
        await exchange.respond(200, [], b"")
        for step in (
            exchange.respond(200, [], b""),
            exchange.start(200, []),
            exchange.write(b"x"),
            exchange.finish(),
        ):
            with pytest.raises(RuntimeError):
                await step
            refused.append(1)

    assert (await call(handler, Side())).status == 200
    assert len(refused) == 6


async def test_websockets_are_refused():
    side = Side()
    await asgi_app(echo)({"type": "websocket"}, side.receive, side.send)
    assert side.sent == [{"type": "websocket.close", "code": 1000}]


async def test_an_unknown_scope():
    with pytest.raises(RuntimeError, match="carrier"):
        await asgi_app(echo)({"type": "carrier pigeon"}, None, None)


# ---- lifespan --------------------------------------------------------------------------


async def live(lifespan):
    side = Side({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    app = asgi_app(echo, lifespan=lifespan)
    await app({"type": "lifespan"}, side.receive, side.send)
    return side.sent


async def test_the_lifespan_is_entered_and_left():
    steps = []

    @asynccontextmanager
    async def lifespan():
        steps.append("entered")
        async with anyio.create_task_group():
            yield
        steps.append("left")

    complete = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert await live(lifespan) == complete
    assert steps == ["entered", "left"]
    assert await live(None) == complete


async def test_a_start_that_fails_is_told():
    @asynccontextmanager
    async def lifespan():
        raise ValueError("no workers")
        yield

    assert await live(lifespan) == [
        {"type": "lifespan.startup.failed", "message": "ValueError: no workers"}
    ]


async def test_an_end_that_fails_is_told():
    @asynccontextmanager
    async def lifespan():
        yield
        raise ValueError("stuck")

    side = Side({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    app = asgi_app(echo, lifespan=lifespan)
    with pytest.raises(ValueError, match="stuck"):
        await app({"type": "lifespan"}, side.receive, side.send)
    assert side.sent[-1] == {"type": "lifespan.shutdown.failed", "message": "ValueError: stuck"}


# ---- under real servers ----------------------------------------------------------------


@asynccontextmanager
async def under_uvicorn(app):
    import uvicorn

    config = uvicorn.Config(app, log_config=None, lifespan="on", http="httptools", access_log=False)
    server = uvicorn.Server(config)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [sock])
            while not server.started:
                await anyio.lowlevel.checkpoint()
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            server.should_exit = True


@asynccontextmanager
async def under_hypercorn(app, backend):
    from hypercorn.config import Config

    if backend == "trio":
        from hypercorn.trio import serve
    else:
        from hypercorn.asyncio import serve
    config = Config()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config.bind = [f"fd://{sock.fileno()}"]
        config.accesslog = config.errorlog = None
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: serve(app, config, shutdown_trigger=stop.wait))
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            stop.set()
        sock.detach()  # hypercorn has closed it


@pytest.fixture(params=["uvicorn", "hypercorn"])
def under(request, anyio_backend_name, anyio_backend):
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    if request.param == "uvicorn":
        if anyio_backend_name == "trio":
            pytest.skip("uvicorn has no trio")
        return under_uvicorn
    if anyio_backend[1]:
        pytest.skip("hypercorn's uvloop is its asyncio")
    return lambda app: under_hypercorn(app, anyio_backend_name)


async def test_requests_and_streams(under):
    async def handler(exchange):
        await (stream(exchange) if exchange.path == "/stream" else echo(exchange))

    async with under(asgi_app(handler)) as url, httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/a%20b?x=1", content=b"hello")
        assert answer.status_code == 200
        assert answer.text.endswith("hello")
        assert json.loads(answer.text.removesuffix("hello"))[:3] == ["POST", "/a b", "x=1"]
        assert (await client.get(f"{url}/stream")).text == "one, two"
        assert (await client.head(url)).text == ""


async def test_a_large_body_is_refused(under):
    app = asgi_app(echo, limits=ServerLimits(body_bytes=10))
    async with under(app) as url, httpx.AsyncClient() as client:
        assert (await client.post(url, content=b"12345678901")).status_code == 413


async def test_an_answer_that_breaks_off_is_seen_to(under, caplog):
    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"first")
        raise ValueError

    async with under(asgi_app(handler)) as url, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)


async def test_a_client_that_leaves(under):
    over = anyio.Event()

    async def handler(exchange):
        try:
            await exchange.start(200, [])
            await exchange.write(b"first")
            await anyio.sleep_forever()
        finally:
            over.set()

    async with under(asgi_app(handler)) as url:
        async with await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2])) as client:
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            data = b""
            while b"first" not in data:
                data += await client.receive()
        await over.wait()
