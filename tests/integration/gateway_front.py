"""A gateway on a real socket, and a client that counts what it sees as a user would."""

import json
from collections import Counter
from contextlib import asynccontextmanager, suppress

import anyio

from rbee_scheduler import Deployment, Plugins, SchedulerConfig, Worker
from rbee_scheduler_gateway import Gateway, GatewayOptions
from rbee_scheduler_gateway._server import Server, listen


CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"


class Front:
    """A running gateway.

    Attributes:
        port: Where it listens.
        outcomes: How many requests for inference ended in which way.
    """

    def __init__(self, gateway, server, port):
        self.gateway = gateway
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.outcomes = Counter()
        gateway.watchers.on_outcome.append(self._count)

    def _count(self, _, __, outcome):
        self.outcomes[outcome.kind] += 1

    @property
    def in_flight(self):
        return sum(worker.in_flight for worker in self.gateway.registry.snapshot().workers())

    async def ask(self, body, path=CHAT, *, headers=(), leave=False):
        """Return what the client sees: the status, and the events or the body."""
        data = json.dumps(body).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items())
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{lines}"
            f"content-length: {len(data)}\r\n\r\n"
        )
        received = bytearray()
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(head.encode() + data)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while not (leave and b"data:" in received):
                    received += await stream.receive()
        return Seen(bytes(received))

    async def many(self, total, at_once, body, path=CHAT, **options):
        """Send ``total`` requests, ``at_once`` of them at a time; return what clients saw."""
        seen = []
        numbers = iter(range(total))

        async def go_on():
            for _ in numbers:
                one = await self.ask(body, path, **options)
                seen.append(one)

        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(go_on)
        return seen

    async def until_free(self):
        """Return once no request is under way."""
        await until(lambda: not self.in_flight and not self.server.active)


class Seen:
    """What a client saw of an answer.

    Attributes:
        status: HTTP status; 0 when there was none.
        body: The body, without its chunks.
        whole: Whether the body ended as HTTP says.
    """

    def __init__(self, received):
        head, _, body = received.partition(b"\r\n\r\n")
        self.status = int(head[9:12] or 0)
        self.headers = dict(
            line.split(": ", 1) for line in head.decode("latin-1").lower().split("\r\n")[1:]
        )
        if self.headers.get("transfer-encoding") == "chunked":
            self.body, self.whole = _dechunked(body)
        else:
            self.body = body
            self.whole = len(body) == int(self.headers.get("content-length", -1))

    @property
    def events(self):
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [line if line == b"[DONE]" else json.loads(line) for line in lines]

    @property
    def text(self):
        events = [event for event in self.events if event != b"[DONE]"]
        choices = [choice for event in events for choice in event.get("choices", ())]
        return "".join(
            choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices
        )

    @property
    def kind(self):
        """One word for it, as the rivals' matrix has them."""
        if self.status != 200:
            return str(self.status)
        if not self.whole:
            return "broken"
        events = self.events
        ends = [event for event in events if event == b"[DONE]" or "error" in event]
        if len(ends) != 1 or ends[0] != events[-1]:
            return "silent" if not ends else "several ends"
        return "ok" if ends[0] == b"[DONE]" else "error event"


def _dechunked(body):
    parts = []
    while True:
        size, mark, rest = body.partition(b"\r\n")
        if not mark:
            return b"".join(parts), False
        length = int(size, 16)
        if not length:
            return b"".join(parts), rest == b"\r\n"
        parts.append(rest[:length])
        body = rest[length + 2 :]


async def until(true):
    """Return once ``true()`` holds; turn after turn, for sockets tell nobody else."""
    with anyio.fail_after(20):
        while not true():
            await anyio.lowlevel.checkpoint()


def worker_of(n, url, **fields):
    return Worker(id=f"w{n}", url=url, **{"model": "tiny-bee"} | fields)


@asynccontextmanager
async def open_front(urls, *, plugins=(), options=None, fields=None, **config):
    """Run a gateway over the workers at ``urls``."""
    workers = tuple(worker_of(n, url, **(fields or {})) for n, url in enumerate(urls))
    deployment = Deployment(scheduler=SchedulerConfig(**config), workers=workers)
    sockets = listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    async with Gateway(
        deployment,
        GatewayOptions(port=port, **(options or {})),
        load_plugins=lambda _: Plugins(list(plugins)),
    ) as gateway:
        server = Server(gateway.handle)
        failure = None
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, sockets)
            try:
                yield Front(gateway, server, port)
            except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                failure = error
            server.drain()
            server.cut()
        if failure is not None:
            raise failure
