"""A gateway without sockets: clients and workers are objects of the test."""

import json
from contextlib import asynccontextmanager

import anyio

from rbee_scheduler import Deployment, Plugins, SchedulerConfig, Worker
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport
from rbee_scheduler_gateway import Gateway, GatewayOptions


class MemoryExchange:
    """A client's request; as strict as the servers' own exchanges.

    Args:
        body: Bytes, or what to write as JSON.
        on_write: Awaited after each piece: a slow client.
    """

    def __init__(
        self, path, body=b"", *, method="POST", headers=(), client="127.0.0.1", on_write=None
    ):
        self.method = method
        self.path, _, self.query = path.partition("?")
        self.headers = {"host": "127.0.0.1:8080", **dict(headers)}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.client = client
        self.started = False
        self.ended = False
        self.status = 0
        self.answer_headers = {}
        self.pieces = []
        self.written = anyio.Event()
        self.over = anyio.Event()
        self._on_write = on_write
        self._waiting = None

    async def respond(self, status, headers, body):
        assert not self.started
        self._head(status, headers)
        self.started = self.ended = True
        self.pieces.append(body)
        self.over.set()
        await self._taken()

    async def start(self, status, headers):
        assert not self.started
        assert self._waiting is None
        self._waiting = (status, headers)

    async def write(self, data):
        assert data
        assert not self.ended
        self._begin()
        self.pieces.append(bytes(data))
        self.written.set()
        self.written = anyio.Event()
        await self._taken()

    async def finish(self):
        assert not self.ended
        self._begin()
        self.ended = True
        self.over.set()
        await self._taken()

    def _begin(self):
        if not self.started:
            assert self._waiting is not None
            self._head(*self._waiting)
            self.started = True

    def _head(self, status, headers):
        self.status = status
        for name, value in headers:
            assert isinstance(name, bytes)
            assert name == name.lower()
            key = name.decode()
            assert key not in self.answer_headers, f"{key} is there twice"
            self.answer_headers[key] = value.decode("latin-1")

    async def _taken(self):
        if self._on_write is not None:
            await self._on_write(self)
        else:
            await anyio.lowlevel.checkpoint()

    @property
    def answer(self):
        return b"".join(self.pieces)

    def json(self):
        return json.loads(self.answer)

    def error(self):
        return self.json()["error"]

    def events(self):
        """The data of each event; JSON is read."""
        found = []
        for event in self.answer.replace(b"\r\n", b"\n").split(b"\n\n"):
            lines = [line for line in event.split(b"\n") if line.startswith(b"data:")]
            for line in lines:
                text = line[5:].strip()
                found.append("[DONE]" if text == b"[DONE]" else json.loads(text))
        return found


class Site:
    """A gateway, the transport below it, and what became of requests."""

    def __init__(self, gateway, transport, clock, replies):
        self.gateway = gateway
        self.transport = transport
        self.clock = clock
        self.replies = replies
        self.outcomes = []
        self.calls = []
        gateway.watchers.on_outcome.append(lambda _, __, outcome: self.outcomes.append(outcome))
        gateway.watchers.on_call.append(self.calls.append)

    async def ask(self, path, body=b"", **options):
        """Send a request; return its exchange, answered."""
        exchange = MemoryExchange(path, body, **options)
        await self.gateway.handle(exchange)
        assert exchange.ended
        return exchange

    @property
    def asked(self):
        """What workers were asked, without probes."""
        return [call for call in self.transport.calls if call.method == "POST"]

    @property
    def in_flight(self):
        return sum(worker.in_flight for worker in self.gateway.registry.snapshot().workers())


@asynccontextmanager
async def open_site(
    answer,
    *,
    workers=2,
    options=None,
    plugins=(),
    models=(),
    labels=None,
    fields=None,
    queens=(),
    **config,
):
    """Run a gateway over ``workers`` workers w0, w1, ... whose replies ``answer(call)`` makes.

    Those whose numbers are in ``queens`` speak the queen protocol.
    """

    async def reply(call):
        if call.method == "GET" and "/v1/inference/" not in call.url:  # a probe
            status = 200 if call.url.endswith("/health") else 404
            return MemoryResponse([b"{}"], status=status, headers={"content-type": "text/plain"})
        made = answer(call)
        if hasattr(made, "__await__"):
            made = await made
        if isinstance(made, Exception):
            raise made
        replies.append(made)
        return made

    replies = []
    clock = VirtualClock()
    transport = MemoryTransport(reply)
    fleet = tuple(
        Worker(
            id=f"w{n}",
            url=f"http://127.0.0.1:{10_000 + n}",
            labels=labels or {},
            **{
                "model": "bee",
                "protocol": "queen" if n in queens else "openai",
                **(fields or {}),
            },
        )
        for n in range(workers)
    )
    deployment = Deployment(scheduler=SchedulerConfig(**config), workers=fleet, models=models)
    async with Gateway(
        deployment,
        GatewayOptions(**(options or {})),
        load_plugins=lambda _: Plugins(list(plugins)),
        transport=transport,
        clock=clock,
    ) as gateway:
        yield Site(gateway, transport, clock, replies)


def stream(*steps, **options):
    """A worker's reply: an event stream."""
    return MemoryResponse(steps, **options)


def whole(body, status=200, **headers):
    """A worker's reply: a whole body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kinds = {"content-type": "application/json"}
    kinds |= {name.replace("_", "-"): value for name, value in headers.items()}
    return MemoryResponse([data], status=status, headers=kinds)


def event(value):
    """The bytes of one event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def chunk(text, reason=None, index=0):
    """One event of a chat."""
    delta = {"content": text} if text is not None else {}
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return event({"object": "chat.completion.chunk", "choices": [choice]})


def piece(text, reason=None):
    """One event of a plain completion."""
    return event({"choices": [{"index": 0, "text": text, "finish_reason": reason}]})


DONE = b"data: [DONE]\n\n"
CHAT = {"model": "bee", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
PLAIN = {"model": "bee", "stream": True, "prompt": "Hi"}
