"""Each fault does on the wire what it says: asserted with a raw socket, byte for byte."""

import json
import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from rbee_scheduler._sse import SseDecoder
from rbee_scheduler.testing._fake_worker import (
    Dialect,
    FakeWorker,
    Fault,
    Gate,
    Script,
    Usage,
    __all__,
)


FIN, RST = "FIN", "RST"
TOKENS = ("a", "b", "c")


class Client:
    """A client that understands nothing: bytes out, bytes in, and how it ended."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.ending = None

    async def send(self, method, path, body=None):
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.sock.sendall(head.encode() + payload)

    async def receive(self):
        await anyio.wait_readable(self.sock)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            self.ending = RST
            return
        self.ending = None if data else FIN
        self.data += data

    async def until(self, end):
        while end not in self.data:
            await self.receive()
            assert self.ending is None, (end, self.data, self.ending)
        return self.data

    async def all(self):
        while self.ending is None:
            await self.receive()
        return self.data

    async def nothing_more(self):
        """Everybody waits, and no byte is on its way (loopback delivers at once)."""
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            self.sock.recv(1)

    def close(self, *, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@asynccontextmanager
async def connect(worker):
    sock = socket.create_connection((worker.host, worker.port))
    sock.settimeout(0)
    try:
        yield Client(sock)
    finally:
        sock.close()


STREAM = {"model": "m", "prompt": "x", "stream": True}
WHOLE = {"model": "m", "prompt": "x"}


async def exchange(script, body=STREAM, **options):
    """Head, body, ending of one plain completion on a connection of its own."""
    async with FakeWorker(script, **options) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", body)
        head, _, rest = (await client.all()).partition(b"\r\n\r\n")
        await worker.wait_until_idle()
        assert worker.client_gone == 0
    return head.decode(), rest, client.ending


def payload(text, **more):
    choice = {"finish_reason": None, "index": 0, "text": text} | more
    common = {"created": 1760000000, "id": "cmpl-0", "model": "m", "object": "text_completion"}
    return json.dumps(common | {"choices": [choice]}, separators=(",", ":")).encode()


def event(text):
    return b"data: " + payload(text) + b"\n\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(raw):
    """The chunks of a body, as strictly as h11; and what follows the last one."""
    found = []
    while True:
        size, end, rest = raw.partition(b"\r\n")
        assert end, "the body ends without its last chunk"
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n", "the chunk's size lies"
        if length == 0:
            return found, rest[2:]
        found.append(rest[:length])
        raw = rest[length + 2 :]


def body_of(raw):
    found, rest = chunks(raw)
    assert rest == b""
    return b"".join(found)


def texts(events):
    """What the events say, shortened to the text where it is a token."""
    found = []
    for item in events:
        try:
            found.append(json.loads(item.data)["choices"][0]["text"])
        except (ValueError, KeyError, TypeError):
            found.append(item.data)
    return found


def decoded(raw):
    decoder = SseDecoder()
    return decoder.feed(body_of(raw)) + decoder.close()


# The faults of a stream that ends. Each check gets head, raw body and ending; the fault is at the
# token "b".
STREAM_CHECKS = {}
HANGS = {}
ENDLESS = {}
ELSEWHERE = {
    Fault.REFUSE,
    Fault.RESET_AT_ONCE,
    Fault.SLOW_DRIP,
}


def check(fault, table=STREAM_CHECKS):
    def add(function):
        table[fault] = function
        return function

    return add


@check(Fault.CLOSE_BEFORE_HEADERS)
def _(head, raw, ending):
    assert (head, raw, ending) == ("", b"", FIN)


@check(Fault.RESET_BEFORE_HEADERS)
def _(head, raw, ending):
    assert (head, raw, ending) == ("", b"", RST)


@check(Fault.CLOSE_BEFORE_FIRST_TOKEN)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert (raw, ending) == (b"", FIN)


@check(Fault.CLOSE_MID_STREAM)
def _(head, raw, ending):
    assert (chunk(event("a")), FIN) == (raw, ending)


@check(Fault.RESET_MID_STREAM)
def _(head, raw, ending):
    assert (chunk(event("a")), RST) == (raw, ending)


@check(Fault.CHUNK_TOO_BIG)
def _(head, raw, ending):
    lie = b"%x\r\n%b\r\n" % (len(event("b")) + 4096, event("b"))
    assert raw.startswith(chunk(event("a")) + lie + chunk(event("c")))
    assert ending == FIN
    assert len(raw) < len(event("a")) + 4096  # what is announced never comes


@check(Fault.CHUNK_TOO_SMALL)
def _(head, raw, ending):
    lie = b"%x\r\n%b\r\n" % (len(event("b")) // 2, event("b"))
    assert raw.startswith(chunk(event("a")) + lie + chunk(event("c")))
    assert ending == FIN


@check(Fault.CHUNK_GARBAGE)
def _(head, raw, ending):
    assert raw.startswith(chunk(event("a")) + b"0xZZ\r\n" + event("b"))
    assert ending == FIN


@check(Fault.CHUNK_TRUNCATED)
def _(head, raw, ending):
    half = event("b")[: len(event("b")) // 2]
    assert chunk(event("a")) + b"%x\r\n%b" % (len(event("b")), half) == raw
    assert ending == FIN


@check(Fault.NO_LAST_CHUNK)
def _(head, raw, ending):
    assert raw.endswith(chunk(b"data: [DONE]\n\n"))
    assert ending == FIN


def length_of(head):
    assert "transfer-encoding" not in head.lower()
    return head.split("Content-Length: ")[1].split("\r\n")[0]


@check(Fault.LENGTH_TOO_BIG)
def _(head, raw, ending):
    assert raw.startswith(event("a") + event("b"))
    assert raw.endswith(b"data: [DONE]\n\n")
    assert (str(len(raw) + 4096), FIN) == (length_of(head), ending)


@check(Fault.LENGTH_TOO_SMALL)
def _(head, raw, ending):
    assert raw.endswith(b"data: [DONE]\n\n")
    assert (str(len(raw) // 2), FIN) == (length_of(head), ending)


@check(Fault.LENGTH_GARBAGE)
def _(head, raw, ending):
    assert (length_of(head), ending) == ("many", FIN)


@check(Fault.GARBAGE_HEAD)
def _(head, raw, ending):
    assert (head, raw, ending) == ("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"", FIN)


@check(Fault.HUGE_HEADERS)
def _(head, raw, ending):
    assert len(head) > 256 * 1024
    assert head.startswith("HTTP/1.1 200 OK\r\nX-Huge-0: xxx")
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.INFORMATIONAL)
def _(head, raw, ending):
    assert head == "HTTP/1.1 100 Continue"
    early, rest = raw.split(b"\r\n\r\n", 1)
    assert early == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload"
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@check(Fault.HTTP_1_0)
def _(head, raw, ending):
    assert head == "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream"
    assert raw.startswith(event("a") + event("b") + event("c"))
    assert ending == FIN


@check(Fault.REDIRECT)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 307 Temporary Redirect\r\n")
    assert "\r\nLocation: /elsewhere\r\n" in head
    assert raw == b""


@check(Fault.ERROR_JSON)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json")
    assert json.loads(raw)["error"]["code"] == 500


@check(Fault.ERROR_HTML)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\n")
    assert raw.startswith(b"<html>")


@check(Fault.ERROR_BINARY)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 500 ")
    assert bytes(range(256)) == raw


@check(Fault.ERROR_EMPTY)
def _(head, raw, ending):
    assert head.startswith("HTTP/1.1 500 ")
    assert (length_of(head), raw) == ("0", b"")


@check(Fault.WRONG_CONTENT_TYPE)
def _(head, raw, ending):
    assert "\r\nContent-Type: text/html; charset=utf-8\r\n" in head
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.INVALID_UTF8)
def _(head, raw, ending):
    assert chunks(raw)[0][1] == event("b").replace(b'"b"', b'"\xffb"')
    assert texts(decoded(raw))[:3] == ["a", "\ufffdb", "c"]


@check(Fault.CRLF)
def _(head, raw, ending):
    assert body_of(raw).count(b"\n") == body_of(raw).count(b"\r\n") == 2 * 5
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.CR)
def _(head, raw, ending):
    assert (body_of(raw).count(b"\n"), body_of(raw).count(b"\r")) == (0, 2 * 5)
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.MULTI_LINE_DATA)
def _(head, raw, ending):
    assert chunks(raw)[0][0].startswith(b'data: {\ndata: "created":')
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.COMMENTS_AND_FIELDS)
def _(head, raw, ending):
    for line in (b": ping\n\n", b"\nevent: message\n", b"\nid: 7\n", b"\nretry: 1500\n"):
        assert body_of(raw).count(line) == 5
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.BOM)
def _(head, raw, ending):
    assert body_of(raw).startswith(b"\xef\xbb\xbfdata: ")
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))


@check(Fault.NO_DONE)
def _(head, raw, ending):
    assert [*TOKENS, ""] == texts(decoded(raw))


@check(Fault.TWO_TERMINAL_EVENTS)
def _(head, raw, ending):
    assert [*TOKENS, "", "[DONE]", "", "[DONE]"] == texts(decoded(raw))


@check(Fault.ERROR_IN_STREAM)
def _(head, raw, ending):
    first, second = decoded(raw)
    assert texts([first]) == ["a"]
    assert json.loads(second.data)["error"]["type"] == "server_error"


@check(Fault.BAD_JSON)
def _(head, raw, ending):
    broken = decoded(raw)[1].data.encode()
    assert payload("b").startswith(broken)
    assert len(broken) == len(payload("b")) // 2
    assert texts(decoded(raw))[2:] == ["c", "", "[DONE]"]


@check(Fault.WRONG_SHAPE)
def _(head, raw, ending):
    assert isinstance(json.loads(decoded(raw)[1].data)["choices"], dict)


@pytest.mark.parametrize("fault", STREAM_CHECKS, ids=lambda fault: fault.name)
async def test_fault_of_a_stream(fault):
    head, raw, ending = await exchange(Script(tokens=TOKENS, fault=fault, close=True))
    STREAM_CHECKS[fault](head, raw, ending)
    assert ending is not None


# The faults that a client must end itself: what has come when everybody waits.
HANGS = {
    Fault.SILENCE_BEFORE_HEADERS: b"",
    Fault.SILENCE_AFTER_HEADERS: b"\r\n\r\n",
    Fault.SILENCE_MID_STREAM: b"\r\n\r\n" + chunk(event("a")),
}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("fault", HANGS, ids=lambda fault: fault.name)
async def test_silence_until_the_client_leaves(fault, reset):
    script = Script(tokens=TOKENS, fault=fault)
    async with FakeWorker(script) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        await worker.wait_for_requests(1)
        await client.until(HANGS[fault])
        await client.nothing_more()
        assert client.data.endswith(HANGS[fault])
        assert (worker.running, worker.client_gone) == (1, 0)
        client.close(reset=reset)
        seen = await worker.wait_for_close(0)
        await worker.wait_for_client_gone()
        assert seen.cancelled
        await worker.wait_until_idle()
        assert worker.running == 0


ENDLESS = {
    Fault.ENDLESS_LINE: chunk(event("a")) + chunk(b"data: x") + chunk(b"x" * 4096) * 50,
    Fault.ENDLESS_COMMENTS: chunk(event("a")) + chunk(b": still thinking\n\n") * 50,
    Fault.ERROR_ENDLESS: chunk(b"error " * 1024) * 50,
}


@pytest.mark.parametrize("fault", ENDLESS, ids=lambda fault: fault.name)
async def test_endless_until_the_client_leaves(fault):
    script = Script(tokens=TOKENS, fault=fault)
    async with FakeWorker(script) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        head, _, raw = (await client.until(ENDLESS[fault])).partition(b"\r\n\r\n")
        assert raw.startswith(ENDLESS[fault])
        assert head.startswith(b"HTTP/1.1 500" if fault is Fault.ERROR_ENDLESS else b"HTTP/1.1 200")
        client.close()
        await worker.wait_for_client_gone()


async def test_an_endless_reply_waits_for_a_client_that_does_not_read():
    script = Script(fault=Fault.ENDLESS_LINE)
    async with FakeWorker(script) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        await worker.wait_for_requests(1)
        await anyio.wait_all_tasks_blocked()  # the buffers of the kernel are full
        client.close()
        await worker.wait_for_client_gone()


async def test_refuse_from_the_start():
    async with FakeWorker(Script(fault=Fault.REFUSE)) as worker:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((worker.host, worker.port))
        worker.set_script(Script())
        worker.listen()
        async with connect(worker) as client:
            await client.send("GET", "/health")
            await client.until(b'{"status":"ok"}')


async def test_refuse_at_a_request():
    async with FakeWorker() as worker, connect(worker) as client:
        worker.enqueue(Script(fault=Fault.REFUSE))
        await client.send("POST", "/v1/completions", STREAM)
        assert await client.all() == b""
        assert client.ending == RST
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((worker.host, worker.port))


async def test_open_connections_outlive_a_refusal():
    async with FakeWorker() as worker, connect(worker) as client:
        await client.send("GET", "/health")
        await client.until(b'{"status":"ok"}')
        worker.refuse()
        worker.refuse()
        await client.send("GET", "/props")
        await client.until(b'"total_slots":2')
        worker.listen()
        worker.listen()
        async with connect(worker) as other:
            await other.send("GET", "/health")
            await other.until(b'{"status":"ok"}')


async def test_reset_at_once():
    async with FakeWorker() as worker:
        worker.enqueue(Script(fault=Fault.RESET_AT_ONCE))
        async with connect(worker) as client:
            assert (await client.all(), client.ending) == (b"", RST)
        async with connect(worker) as client:  # it was for one connection
            await client.send("GET", "/health")
            await client.until(b'{"status":"ok"}')
        assert len(worker.requests) == 1
        assert len(worker.connections) == 2


async def test_reset_at_once_by_default_and_on_an_open_connection():
    async with FakeWorker() as worker, connect(worker) as client:
        await client.send("GET", "/health")
        await client.until(b'{"status":"ok"}')
        worker.set_script(Script(fault=Fault.RESET_AT_ONCE))
        await client.send("POST", "/v1/completions", STREAM)
        await client.all()
        assert client.ending == RST
        async with connect(worker) as other:
            assert (await other.all(), other.ending) == (b"", RST)


async def test_slow_drip_sends_single_bytes_paced_by_the_injected_sleep():
    allowed, slept = anyio.Semaphore(0), []

    async def sleep(seconds):
        slept.append(seconds)
        await allowed.acquire()

    script = Script(tokens=("a",), fault=Fault.SLOW_DRIP, delay=0.25)
    async with FakeWorker(script, sleep=sleep) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        for length in range(1, 9):
            while len(client.data) < length:
                await client.receive()
            await client.nothing_more()
            assert b"HTTP/1.1"[:length] == client.data
            allowed.release()
        client.close()
        await worker.wait_for_client_gone()
    assert set(slept) == {0.25}


async def test_slow_drip_says_all_in_the_end():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    script = Script(tokens=TOKENS, fault=Fault.SLOW_DRIP, close=True)
    head, raw, ending = await exchange(script, sleep=sleep)
    assert [*TOKENS, "", "[DONE]"] == texts(decoded(raw))
    assert len(slept) == len(head) + 4 + len(raw)
    assert ending == FIN


def test_every_fault_is_asserted_here():
    tables = [set(STREAM_CHECKS), set(HANGS), set(ENDLESS), ELSEWHERE]
    assert set(Fault) == set().union(*tables)
    assert len(Fault) == sum(map(len, tables))


@pytest.mark.parametrize(
    "fault",
    sorted(set(STREAM_CHECKS) - {Fault.INFORMATIONAL, Fault.GARBAGE_HEAD}, key=lambda f: f.name),
    ids=lambda fault: fault.name,
)
async def test_the_same_faults_in_a_whole_reply(fault):
    script = Script(tokens=TOKENS, fault=fault, close=True)
    plain = (await exchange(attrs_less(script), WHOLE))[1]
    _, raw, ending = await exchange(script, WHOLE)
    half = plain[: len(plain) // 2]
    before_body = {
        Fault.CLOSE_BEFORE_HEADERS,
        Fault.RESET_BEFORE_HEADERS,
        Fault.CLOSE_BEFORE_FIRST_TOKEN,
        Fault.REDIRECT,
        Fault.ERROR_EMPTY,
    }
    expected = {
        Fault.CLOSE_MID_STREAM: half,
        Fault.RESET_MID_STREAM: half,
        Fault.BAD_JSON: half,
        Fault.LENGTH_TOO_BIG: plain,
        Fault.LENGTH_TOO_SMALL: plain,
        Fault.HTTP_1_0: plain,
        Fault.CRLF: plain,
        Fault.BOM: chunk(b"\xef\xbb\xbf") + chunk(half) + chunk(plain[len(half) :]) + b"0\r\n\r\n",
        Fault.NO_LAST_CHUNK: chunk(half) + chunk(plain[len(half) :]),
    } | dict.fromkeys(before_body, b"")
    if fault in expected:
        assert expected[fault] == raw
    resets = {Fault.RESET_BEFORE_HEADERS, Fault.RESET_MID_STREAM}
    assert ending == (RST if fault in resets else FIN)


def attrs_less(script):
    return Script(tokens=script.tokens, close=script.close)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 99])
async def test_where_the_fault_strikes(after):
    script = Script(tokens=TOKENS, fault=Fault.CLOSE_MID_STREAM, fault_after=after)
    _, raw, _ = await exchange(script)
    assert b"".join(chunk(event(text)) for text in TOKENS[:after]) == raw
    script = Script(tokens=TOKENS, fault=Fault.ERROR_IN_STREAM, fault_after=after, close=True)
    _, raw, _ = await exchange(script)
    assert [*TOKENS[:after]] == texts(decoded(raw))[:-1]


@pytest.mark.parametrize("tokens", [(), ("",), ("\n", '"', "蜂")])
@pytest.mark.parametrize("fault", STREAM_CHECKS, ids=lambda fault: fault.name)
async def test_faults_of_odd_tokens(fault, tokens):
    _, _, ending = await exchange(Script(tokens=tokens, fault=fault, close=True))
    assert ending is not None


# The protocols, without fault.


async def test_chat_stream():
    async with FakeWorker(Script(tokens=TOKENS, close=True)) as worker, connect(worker) as client:
        ask = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
        await client.send("POST", "/v1/chat/completions?x=1", ask)
        head, _, raw = (await client.all()).partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/event-stream",
        "Transfer-Encoding: chunked",
    ]
    *events, done = (item.data for item in decoded(raw))
    assert done == "[DONE]"
    first, *tokens, last, usage = map(json.loads, events)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert [t["choices"][0]["delta"] for t in tokens] == [{"content": text} for text in TOKENS]
    assert last["choices"] == [{"finish_reason": "stop", "index": 0, "delta": {}}]
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    (request,) = worker.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/chat/completions", "x=1")
    assert request.json == ask
    assert request.headers["host"] == "x"


async def test_whole_chat_and_a_second_request_on_the_same_connection():
    script = Script(tokens=TOKENS, usage=Usage(prompt_tokens=1, completion_tokens=9))
    async with FakeWorker(script) as worker, httpx.AsyncClient(base_url=worker.url) as client:
        for _ in range(2):
            reply = await client.post("/v1/chat/completions", json={"model": "m"})
            assert reply.json()["choices"][0]["message"]["content"] == "abc"
            assert reply.json()["usage"]["total_tokens"] == 10
        assert [request.connection for request in worker.requests] == [0, 0]


async def test_httpx_reads_a_stream():
    async with FakeWorker() as worker, httpx.AsyncClient() as client:
        reply = await client.post(f"{worker.url}/v1/completions", json=STREAM)
    assert [*Script().tokens, "", "[DONE]"] == texts(SseDecoder().feed(reply.content))
    assert Script().text == "".join(Script().tokens)


@pytest.mark.parametrize("body", [STREAM, WHOLE])
async def test_close_or_keep_alive(body):
    async with FakeWorker(Script(tokens=TOKENS)) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", body)
        await client.until(b"0\r\n\r\n" if body is STREAM else b"}}")
        await client.nothing_more()
        kept = client.data.replace(b"cmpl-0", b"cmpl-1")
        worker.enqueue(Script(tokens=TOKENS, close=True))
        client.data = b""
        await client.send("POST", "/v1/completions", body)
        assert kept == await client.all()
        assert client.ending == FIN


async def test_status_body_and_headers_as_scripted():
    script = Script(status=429, headers=[("Retry-After", "3")], close=True)
    head, raw, _ = await exchange(script)
    assert head.startswith("HTTP/1.1 429 Too Many Requests\r\n")
    assert "\r\nRetry-After: 3\r\n" in head
    assert json.loads(raw)["error"]["code"] == 429
    head, raw, _ = await exchange(Script(status=299, body="no", close=True))
    assert head.startswith("HTTP/1.1 299 Unknown\r\nContent-Type: text/plain")
    assert raw == b"no"
    head, raw, _ = await exchange(Script(body=b"\x00", content_type="image/png", close=True))
    assert "Content-Type: image/png" in head
    head, raw, _ = await exchange(Script(status=502, fault=Fault.ERROR_HTML, close=True))
    assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")


async def test_scripts_are_drawn_in_order_and_then_by_function():
    def by_prompt(request):
        return Script(tokens=(request.json["prompt"],))

    async with FakeWorker(by_prompt) as worker, httpx.AsyncClient(base_url=worker.url) as client:
        worker.enqueue(Script(tokens=("1",)), Script(tokens=("2",)))
        seen = []
        for _ in range(3):
            await client.get("/health")  # draws none
            reply = await client.post("/v1/completions", json=WHOLE)
            seen.append(reply.json()["choices"][0]["text"])
    assert seen == ["1", "2", "x"]


async def test_queen():
    script = Script(tokens=("Hel", "lo", '{"t": 1}', "two\nlines"))
    async with (
        FakeWorker(script, dialect=Dialect.QUEEN) as worker,
        httpx.AsyncClient(base_url=worker.url) as client,
    ):
        reply = await client.post("/v1/inference", json={"prompt": "x", "max_tokens": 3})
        assert reply.json() == {"job_id": "job-0", "sse_url": "/v1/inference/job-0/stream"}
        stream = await client.get(reply.json()["sse_url"])
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.text == (
            'data: Hel\n\ndata: lo\n\ndata: {"t": 1}\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n'
        )
        for _ in range(2):
            cancel = await client.post("/v1/cancel", json={"job_id": "job-0"})
            assert cancel.status_code == 200
        assert worker.cancels == ["job-0", "job-0"]
        await worker.wait_for_cancels(2)
        assert (await client.get("/v1/inference/job-9/stream")).status_code == 404
        assert (await client.post("/v1/inference", json={})).status_code == 400
        assert (await client.post("/v1/inference", content=b"{")).status_code == 400
        assert (await client.post("/v1/cancel", json=[])).status_code == 400
        assert (await client.post("/v1/completions", json=WHOLE)).status_code == 404


async def test_a_cancel_call_ends_the_stream():
    gate = Gate(after=1)
    script = Script(tokens=TOKENS, gate=gate)
    async with FakeWorker(script, dialect=Dialect.QUEEN) as worker, connect(worker) as client:
        await client.send("POST", "/v1/inference", {"prompt": "x"})
        await client.until(b"/stream")
        await client.send("GET", "/v1/inference/job-0/stream")
        await gate.wait_for(1)
        async with connect(worker) as other:
            await other.send("POST", "/v1/cancel", {"job_id": "job-0"})
            await other.until(b"cancelled")
        assert (await client.all()).endswith(chunk(b"data: a\n\n"))
        assert client.ending == FIN
        await worker.wait_until_idle()
        assert worker.client_gone == 0


@pytest.mark.parametrize("on_submit", [True, False])
async def test_the_queens_fault_on_either_reply(on_submit):
    script = Script(status=503, on_submit=on_submit)
    async with (
        FakeWorker(script, dialect=Dialect.QUEEN) as worker,
        httpx.AsyncClient(base_url=worker.url) as client,
    ):
        first = await client.post("/v1/inference", json={"prompt": "x"})
        second = await client.get("/v1/inference/job-0/stream")
    assert (503, 200) if on_submit else (first.status_code, second.status_code) == (200, 503)


PROBES = {
    Dialect.LLAMACPP: {"/health", "/v1/models", "/metrics", "/slots", "/props"},
    Dialect.VLLM: {"/health", "/v1/models", "/metrics"},
    Dialect.QUEEN: {"/health", "/info"},
}


@pytest.mark.parametrize("dialect", Dialect)
async def test_probes(dialect):
    gate = Gate()
    worker = FakeWorker(Script(gate=gate), dialect=dialect, info={"device": "cuda:1"}, slots=3)
    async with worker, httpx.AsyncClient(base_url=worker.url) as client, connect(worker) as busy:
        if dialect is not Dialect.QUEEN:
            await busy.send("POST", "/v1/completions", STREAM)
            await gate.wait_for()
        replies = {path: await client.get(path) for path in set().union(*PROBES.values())}
        found = {path for path, reply in replies.items() if reply.status_code == 200}
        assert PROBES[dialect] == found
        if dialect is Dialect.LLAMACPP:
            assert replies["/health"].json() == {"status": "ok"}
            assert replies["/v1/models"].json()["data"][0]["id"] == "story"
            assert "\nllamacpp:requests_processing 1\n" in replies["/metrics"].text
            assert [s["is_processing"] for s in replies["/slots"].json()] == [True, False, False]
            assert replies["/props"].json()["total_slots"] == 3
        elif dialect is Dialect.VLLM:
            assert replies["/health"].content == b""
            series = 'vllm:num_requests_running{engine="0",model_name="story"} 1\n'
            assert series in replies["/metrics"].text
        else:
            assert replies["/health"].text == "ok"
            info = replies["/info"].json()
            assert (worker.url, "cuda:1", "ready") == (info["url"], info["device"], info["status"])


async def test_a_path_with_a_script_of_its_own():
    paths = {
        "/health": Script(status=503),
        "/props": Script(headers=[("X-Test", "1")]),
        "/own": Script(body={"a": 1}),
    }
    async with (
        FakeWorker(paths=paths) as worker,
        httpx.AsyncClient(base_url=worker.url) as client,
    ):
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/props")).headers["x-test"] == "1"
        assert (await client.get("/props")).json()["total_slots"] == 2
        assert (await client.get("/own")).json() == {"a": 1}


@pytest.mark.parametrize("content", [b"{", b"[]"])
async def test_a_bad_body_is_answered_as_llamacpp_does(content):
    async with FakeWorker() as worker, httpx.AsyncClient() as client:
        reply = await client.post(f"{worker.url}/v1/completions", content=content)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x" * 70_000,
    ],
)
async def test_what_is_no_request(request_bytes):
    async with FakeWorker() as worker, connect(worker) as client:
        client.sock.sendall(request_bytes)
        assert (await client.all()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert not worker.requests


async def test_a_request_in_pieces_and_two_at_once():
    async with FakeWorker() as worker, connect(worker) as client:
        for byte in b"GET /health HTTP/1.1\r\nX: 1\r\nX: 2\r\n\r\n":
            client.sock.send(bytes([byte]))
            await anyio.lowlevel.checkpoint()
        await client.until(b'{"status":"ok"}')
        client.sock.sendall(b"GET /health HTTP/1.1\r\n\r\nGET /props HTTP/1.1\r\n\r\n")
        await client.until(b"total_slots")
        assert [r.path for r in worker.requests] == ["/health", "/health", "/props"]
        assert worker.requests[0].headers["x"] == "1, 2"
        assert worker.requests[0].json is None


# Gates, counts and waiting.


async def test_a_gate_holds_many_replies_at_one_token():
    gate = Gate(after=2)
    async with (
        FakeWorker(Script(tokens=TOKENS, gate=gate)) as worker,
        connect(worker) as one,
        connect(worker) as two,
    ):
        for client in (one, two):
            await client.send("POST", "/v1/completions", STREAM)
        await gate.wait_for(2)
        await worker.wait_for_requests(2, path="/v1/completions")
        assert (worker.running, worker.peak, gate.held) == (2, 2, 2)
        for client in (one, two):
            await client.until(b'"text":"b"')
            await client.nothing_more()
        gate.step()
        while gate.held > 1:
            await anyio.lowlevel.checkpoint()
        gate.release()
        for client in (one, two):
            await client.until(b"0\r\n\r\n")
        await worker.wait_until_idle()
        assert (worker.running, worker.peak, gate.held) == (0, 2, 0)


async def test_stepping_through_a_stream():
    gate = Gate(after=1, every=True)
    async with FakeWorker(Script(tokens=TOKENS, gate=gate)) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        for text in (b"a", b"b", b"c"):
            await client.until(b'"text":"%b"' % text)
            await client.nothing_more() if text != b"c" else None
            gate.step()
        await client.until(b"0\r\n\r\n")


@pytest.mark.parametrize("body", [STREAM, WHOLE])
async def test_a_gate_before_the_headers(body):
    gate = Gate(after=None)
    async with FakeWorker(Script(gate=gate, close=True)) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", body)
        await gate.wait_for()
        await client.nothing_more()
        assert client.data == b""
        gate.release()
        assert (await client.all()).startswith(b"HTTP/1.1 200")


async def test_the_delay_is_slept_before_each_token():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    await exchange(Script(tokens=TOKENS, delay=0.5, close=True), sleep=sleep)
    await exchange(Script(tokens=TOKENS, delay=0.5, close=True), WHOLE, sleep=sleep)
    assert slept == [0.5] * 6


async def test_a_client_that_leaves_between_requests_cancels_nothing():
    async with FakeWorker() as worker:
        async with connect(worker) as client:
            await client.send("POST", "/v1/completions", STREAM)
            await client.until(b"0\r\n\r\n")
        await worker.connections[0].client_closed.wait()
        assert not worker.connections[0].cancelled
        assert worker.client_gone == 0


async def test_a_client_that_leaves_at_once_after_its_request():
    async with FakeWorker(Script(fault=Fault.SILENCE_BEFORE_HEADERS)) as worker:
        for reset in (False, True):
            async with connect(worker) as client:
                await client.send("POST", "/v1/completions", STREAM)
                client.close(reset=reset)
        for number in (0, 1):
            await worker.wait_for_close(number)
        await worker.wait_for_client_gone(2)
        assert [request.json for request in worker.requests] == [STREAM, STREAM]


async def test_kill_resets_and_refuses():
    gate = Gate(after=1)
    async with FakeWorker(Script(tokens=TOKENS, gate=gate)) as worker, connect(worker) as client:
        await client.send("POST", "/v1/completions", STREAM)
        await client.until(chunk(event("a")))
        worker.kill()
        await client.all()
        assert client.ending == RST
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((worker.host, worker.port))
        await worker.wait_until_idle()
        assert (worker.running, worker.client_gone) == (0, 0)


async def test_leaving_the_worker_closes_everything_and_keeps_the_tests_own_error():
    worker = FakeWorker(Script(fault=Fault.SILENCE_AFTER_HEADERS))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the blocks are the subject
        async with worker, connect(worker) as client:
            await client.send("POST", "/v1/completions", STREAM)
            await client.until(b"\r\n\r\n")
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((worker.host, worker.port))


async def test_cancelled_from_outside():
    with anyio.CancelScope() as scope:
        worker = FakeWorker(Script(fault=Fault.SILENCE_AFTER_HEADERS))
        async with worker, connect(worker) as client:
            await client.send("POST", "/v1/completions", STREAM)
            await client.until(b"\r\n\r\n")
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()


async def test_a_script_function_that_fails_is_not_hidden():
    def broken(request):
        raise LookupError(request.path)

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with FakeWorker(broken) as worker, connect(worker) as client:
            await client.send("POST", "/v1/completions", STREAM)
            await anyio.sleep_forever()


async def test_two_hundred_at_once():
    gate = Gate()
    async with FakeWorker(Script(gate=gate)) as worker, anyio.create_task_group() as tasks:

        async def one():
            async with connect(worker) as client:
                await client.send("POST", "/v1/completions", STREAM)
                await client.until(b"0\r\n\r\n")

        for _ in range(200):
            tasks.start_soon(one)
        await gate.wait_for(200)
        assert worker.peak == 200
        gate.release()


def test_public_names_are_sorted():
    assert sorted(__all__) == __all__
