"""The built-in server: requests in, answers out, on every event loop there is."""

import json
import logging

import anyio
import httpx
import pytest

from rbee_scheduler_gateway._server import ServerLimits


async def echo(exchange):
    """Answer with what was asked."""
    seen = {
        "method": exchange.method,
        "path": exchange.path,
        "query": exchange.query,
        "headers": dict(exchange.headers),
        "client": exchange.client,
        "body": exchange.body.decode(),
    }
    await exchange.respond(200, [(b"content-type", b"application/json")], json.dumps(seen).encode())


async def stream(exchange):
    """Answer in pieces."""
    await exchange.start(200, [(b"content-type", b"text/plain")])
    for piece in (b"one, ", b"", b"two, ", b"three"):
        await exchange.write(piece)
    await exchange.finish()


async def test_a_request_arrives_and_its_answer_too(built):
    async with built(echo) as running, httpx.AsyncClient() as client:
        answer = await client.post(f"{running.url}/v1/a%20b?x=1", content=b"hello")
        seen = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert "date" in answer.headers
        assert "server" not in answer.headers
        assert seen["headers"]["content-length"] == "5"
        assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/a b", "x=1")
        assert (seen["client"], seen["body"]) == ("127.0.0.1", "hello")


async def test_a_connection_serves_many_requests(built):
    async with built(echo) as running:
        client = await running.connect()
        for number in range(3):
            status, headers, body = await client.ask(f"/{number}")
            assert (status, json.loads(body)["path"]) == (200, f"/{number}")
            assert "connection" not in headers
        assert running.server.connections == 1


async def test_large_bodies_both_ways(built):
    async def mirror(exchange):
        await exchange.respond(200, [], exchange.body)

    body = bytes(range(256)) * 8192  # 2 MiB: far more than the buffers on the way
    async with built(mirror) as running, httpx.AsyncClient() as client:
        answer = await client.post(running.url, content=body)
        assert answer.content == body


async def test_a_chunked_request(built):
    async def pieces():
        yield b"one, "
        yield b"two"

    async with built(echo) as running, httpx.AsyncClient() as client:
        answer = await client.post(running.url, content=pieces())
        assert answer.json()["body"] == "one, two"


async def test_pipelined_requests_are_served_in_order_one_at_a_time(built):
    at_once = 0

    async def handler(exchange):
        nonlocal at_once
        at_once += 1
        assert at_once == 1
        await anyio.lowlevel.checkpoint()
        at_once -= 1
        await echo(exchange)

    async with built(handler) as running:
        client = await running.connect()
        request = "POST /{} HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"
        await client.send("".join(map(request.format, range(20))).encode())
        for number in range(20):
            _, _, body = await client.answer()
            assert json.loads(body)["path"] == f"/{number}"


async def test_more_pipelined_than_is_held_back(built):
    """Reading stops while the first is handled, and goes on afterwards."""
    released = anyio.Event()

    async def handler(exchange):
        await released.wait()
        await exchange.respond(200, [], exchange.body[:1])

    async with built(handler) as running:
        client = await running.connect()
        request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n" + b"x" * 60_000
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.send, request * 40)
            await anyio.wait_all_tasks_blocked()
            released.set()
            for _ in range(40):
                assert (await client.answer())[2] == b"x"


async def test_an_answer_in_pieces(built):
    async with built(stream) as running:
        client = await running.connect()
        for _ in range(2):
            status, headers, body = await client.ask()
            assert (status, body) == (200, b"one, two, three")
            assert headers["transfer-encoding"] == "chunked"


async def test_an_answer_in_pieces_for_http_1_0_ends_with_the_connection(built):
    async with built(stream) as running:
        client = await running.connect()
        await client.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b"one, two, three")
        assert "transfer-encoding" not in headers
        assert client.ended


async def test_http_1_0_may_keep_its_connection(built):
    async with built(echo) as running:
        client = await running.connect()
        await client.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "keep-alive"
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.rest() == b""


async def test_connection_close_is_obeyed(built):
    async with built(echo) as running:
        client = await running.connect()
        _, headers, _ = await client.ask(head=b"connection: close\r\n")
        assert headers["connection"] == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize("handler", [echo, stream])
async def test_head_has_no_body(built, handler):
    async with built(handler) as running:
        client = await running.connect()
        status, headers, _ = await client.ask(method="HEAD")
        assert status == 200
        assert int(headers.get("content-length", "1")) > 0
        await client.ask(method="HEAD")
        assert client.data == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(built, status):
    async def respond(exchange):
        await exchange.respond(status, [], b"")

    async def start(exchange):
        await exchange.start(status, [])
        await exchange.finish()

    for handler in (respond, start):
        async with built(handler) as running:
            client = await running.connect()
            for _ in range(2):
                found, headers, _ = await client.ask()
                assert (found, list(headers)) == (status, ["date"])


async def test_the_first_piece_goes_out_with_the_head(built):
    async def handler(exchange):
        await exchange.start(200, [])
        assert not exchange.started
        await exchange.write(b"first")
        assert exchange.started
        await exchange.finish()

    async with built(handler) as running:
        client = await running.connect()
        await client.ask()


async def test_a_head_that_was_not_sent_may_be_given_up(built):
    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.respond(404, [], b"no")

    async with built(handler) as running:
        client = await running.connect()
        assert (await client.ask())[::2] == (404, b"no")


async def test_100_continue(built):
    async with built(echo) as running:
        client = await running.connect()
        expect = b"expect: 100-continue\r\n"
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + expect + b"content-length: 5\r\n\r\n")
        assert (await client.answer())[0] == 100
        await client.send(b"hello")
        status, _, body = await client.answer()
        assert (status, json.loads(body)["body"]) == (200, "hello")
        # A body that is there already is not asked for.
        assert (await client.ask(method="POST", head=expect, body=b"hello"))[0] == 200


async def test_an_upgrade_is_answered_without_upgrading(built):
    async with built(echo) as running:
        client = await running.connect()
        upgrade = b"connection: upgrade, keep-alive\r\nupgrade: websocket\r\n"
        for _ in range(2):
            status, headers, _ = await client.ask(head=upgrade)
            assert status == 200
            assert "upgrade" not in headers


async def test_so_many_requests_for_a_connection(built):
    async with built(echo, limits=ServerLimits(requests_per_connection=2)) as running:
        client = await running.connect()
        assert "connection" not in (await client.ask())[1]
        assert (await client.ask())[1]["connection"] == "close"
        assert await client.rest() == b""


# ---- handlers that fail ----------------------------------------------------------------


async def test_a_handler_that_raises_is_a_500(built, caplog):
    async def handler(exchange):
        raise ValueError("secret")

    async with built(handler) as running:
        client = await running.connect()
        status, headers, body = await client.ask("/x")
        assert (status, headers["connection"]) == (500, "close")
        assert json.loads(body)["error"]["code"] == "INTERNAL"
        assert b"secret" not in body
        assert await client.rest() == b""
    [record] = caplog.records
    assert record.getMessage() == "the handler of GET /x failed"
    assert isinstance(record.exc_info[1], ValueError)


async def test_a_handler_that_does_not_answer_is_a_500(built, caplog):
    async def nothing(exchange):
        pass

    async def beginning(exchange):
        await exchange.start(200, [])

    for handler in (nothing, beginning):
        async with built(handler) as running:
            assert (await (await running.connect()).ask())[0] == 500
    assert len(caplog.records) == 2


async def test_an_answer_that_breaks_off_is_seen_to(built, caplog):
    async def raising(exchange):
        await exchange.start(200, [])
        await exchange.write(b"some")
        raise ValueError

    async def ending(exchange):
        await exchange.start(200, [])
        await exchange.write(b"some")

    for handler in (raising, ending):
        async with built(handler) as running, httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(running.url)
            raw = await running.connect()
            await raw.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await raw.rest()).endswith(b"4\r\nsome\r\n")


async def test_an_answer_for_http_1_0_that_breaks_off_is_seen_to(built, caplog):
    async def handler(exchange):
        await exchange.start(200, [])
        await exchange.write(b"some")
        await seen.wait()
        raise ValueError

    seen = anyio.Event()
    async with built(handler) as running:
        client = await running.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        while not client.data.endswith(b"some"):
            await client._more()
        seen.set()
        with pytest.raises(anyio.BrokenResourceError):
            await client.stream.receive()


async def test_what_a_handler_does_after_its_answer_is_its_own(built, caplog):
    async def handler(exchange):
        await exchange.respond(200, [], b"whole")
        raise ValueError

    async with built(handler) as running:
        client = await running.connect()
        assert (await client.ask())[::2] == (200, b"whole")
        assert await client.rest() == b""
    assert len(caplog.records) == 1


async def test_a_stray_cancellation_is_a_failure_like_others(built, caplog, anyio_backend_name):
    if anyio_backend_name != "asyncio":
        pytest.skip("trio has no cancellation without a scope")
    import asyncio

    async def handler(exchange):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with built(handler) as running:
        assert (await (await running.connect()).ask())[0] == 500
        assert (await (await running.connect()).ask())[0] == 500


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"1\r\nx-b: 2")],
        [(b"x-a", b"1\n")],
        [(b"x-a", b"1\rx-b: 2")],
        [(b"x-a\r\n\r\n", b"1")],
        [(b"x-a", b"\0")],
        [(b"content-length", b"1")],
        [(b"transfer-encoding", b"gzip")],
        [(b"connection", b"close")],
    ],
)
async def test_headers_that_would_not_arrive_as_they_are(built, caplog, headers):
    async def handler(exchange):
        await exchange.respond(200, headers, b"")

    async with built(handler) as running:
        assert (await (await running.connect()).ask())[0] == 500
    assert isinstance(caplog.records[0].exc_info[1], ValueError)


async def test_an_exchange_is_answered_once(built, caplog):
    caplog.set_level(logging.CRITICAL)

    async def respond(exchange):
        await exchange.respond(200, [], b"")

    async def start(exchange):
        await exchange.start(200, [])

    async def write(exchange):
        await exchange.write(b"x")

    async def finish(exchange):
        await exchange.finish()

    wrong = [
        (write,),
        (finish,),
        (start, start),
        (respond, respond),
        (respond, start),
        (respond, write),
        (respond, finish),
        (start, write, start),
        (start, write, respond),
        (start, finish, write),
        (start, finish, finish),
    ]
    for steps in wrong:
        refused = []

        async def handler(exchange, steps=steps, refused=refused):
            *fine, last = steps
            for step in fine:
                await step(exchange)
            try:
                await last(exchange)
            except RuntimeError as error:
                refused.append(error)

        async with built(handler) as running:
            client = await running.connect()
            await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            await client.rest()
        assert len(refused) == 1, steps
