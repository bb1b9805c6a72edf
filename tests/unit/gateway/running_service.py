"""A whole service in this process: the built-in server, a gateway, and fake workers behind it."""

import json
from contextlib import asynccontextmanager

import anyio
import httpx

from rbee_scheduler import Deployment, QueueConfig, SchedulerConfig, Worker
from rbee_scheduler_gateway import Gateway, GatewayOptions
from rbee_scheduler_gateway._server import listen
from rbee_scheduler_gateway._service import Service


CHAT = {"model": "story", "messages": [{"role": "user", "content": "A story!"}]}
STREAM = {**CHAT, "stream": True}
URL = "/v1/chat/completions"


class Running:
    """A service that runs, and clients of it."""

    def __init__(self, service, port, client):
        self.service = service
        self.gateway = service.gateway
        self.port = port
        self.client = client
        self.ended = anyio.Event()

    async def ask(self, body=CHAT, path=URL):
        return await self.client.post(path, json=body)

    async def stream(self, answers, *, started=None):
        """Ask for a stream; put what came into ``answers``."""
        async with self.client.stream("POST", URL, json=STREAM) as response:
            text = ""
            async for piece in response.aiter_text():
                text += piece
                if started is not None:
                    started.set()
        answers.append(text)

    def status(self):
        return self.gateway.scheduler.statistics()


def deployment_of(*workers, capacity=-1, **more):
    """A deployment with fake workers, and no plugins."""
    fleet = tuple(Worker(id=f"w{n}", url=worker.url) for n, worker in enumerate(workers))
    config = SchedulerConfig(queue=QueueConfig(capacity=capacity))
    return Deployment(scheduler=config, workers=fleet, plugins=(), **more)


@asynccontextmanager
async def open_service(*workers, deployment=None, load=None, files=None, clock=None, **options):
    """Run a service in front of fake workers."""
    gateway = Gateway(
        deployment or deployment_of(*workers), GatewayOptions(**options), load=load, clock=clock
    )
    async with gateway, anyio.create_task_group() as tasks:
        service = Service(gateway, files=files)
        sockets = listen("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30, trust_env=False
        ) as client:
            running = Running(service, port, client)

            async def run(*, task_status):
                await service.run(sockets, task_status=task_status)
                running.ended.set()

            await tasks.start(run)
            yield running
            service.cut()


def events(text):
    """The data of each event; JSON is read."""
    found = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def content(text):
    """The text of a stream of a chat."""
    parts = [event for event in events(text) if event != "[DONE]" and "choices" in event]
    return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)


def errors(text):
    """The codes of the errors of a stream."""
    return [event["error"]["code"] for event in events(text) if "error" in event]
