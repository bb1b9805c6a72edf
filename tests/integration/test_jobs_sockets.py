"""Jobs over real sockets: a client that vanishes comes back, and a scheduler stands in front."""

from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from rbee_scheduler import Deployment, InferenceRequest, Plugins, Scheduler, Worker, WorkerRegistry
from rbee_scheduler.testing import FakeWorker, Gate, Script
from rbee_scheduler_gateway import FastTransport, Gateway


JOB = {"model": "story", "prompt": "Once", "max_tokens": 9}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@asynccontextmanager
async def service(worker):
    """A gateway behind its own server; yields the gateway and its URL."""
    from rbee_scheduler_gateway._server import Server, listen

    workers = (Worker(id="w0", url=worker.url, model="story"),)
    async with Gateway(Deployment(workers=workers), load_plugins=lambda _: Plugins([])) as gateway:
        sockets = listen("127.0.0.1", 0)
        server = Server(gateway.handle)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, sockets)
            yield gateway, f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            gateway.end_all()
            server.drain()
            server.cut()


async def first_ids(url, path, count):
    """The first events' numbers; then the connection is dropped."""
    host, _, port = url.removeprefix("http://").partition(":")
    data = b""
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        while data.count(b"\nid: ") < count or not data.endswith(b"\n"):
            data += await stream.receive()
    return [int(line[4:]) for line in data.splitlines() if line.startswith(b"id: ")]


async def test_a_reader_that_vanishes_reads_on_where_it_was(anyio_backend):
    gate = Gate(after=2)
    async with (
        FakeWorker(Script(tokens=("a", "b", "c", "d"), gate=gate)) as worker,
        service(worker) as (_, url),
        httpx.AsyncClient(base_url=url) as client,
    ):
        job = (await client.post("/v1/jobs", json=JOB)).json()
        seen = await first_ids(url, job["events_url"], 3)
        gate.release()
        headers = {"last-event-id": str(seen[-1])}
        rest = (await client.get(job["events_url"], headers=headers)).text
        seen += [int(line[4:]) for line in rest.splitlines() if line.startswith("id: ")]
        shown = (await client.get(f"/v1/jobs/{job['job_id']}")).json()
        assert seen == list(range(1, shown["events"] + 1))
        assert shown["outcome"]["kind"] == "success"


async def test_a_scheduler_in_front_uses_the_gateway_as_a_queen_worker(anyio_backend):
    async with (
        FakeWorker(Script(tokens=(" a\n", "{b}", "[DONE]"))) as worker,
        service(worker) as (
            gateway,
            url,
        ),
    ):
        registry = WorkerRegistry()
        registry.add_url(url, model="story", protocol="queen")
        async with Scheduler(registry, [], transport=FastTransport()) as scheduler:
            request = InferenceRequest(job_id="front", model="story", prompt="Once", max_tokens=9)
            async with scheduler.stream(request) as events:
                assert await events.text() == " a\n{b}[DONE]"
        (job,) = gateway.jobs
        assert job.outcome.kind == "success"


async def test_a_caller_in_front_that_leaves_frees_the_worker_behind(anyio_backend):
    gate = Gate(after=1)
    async with (
        FakeWorker(Script(tokens=("a", "b"), gate=gate)) as worker,
        service(worker) as (gateway, url),
    ):
        registry = WorkerRegistry()
        registry.add_url(url, model="story", protocol="queen")
        async with Scheduler(registry, [], transport=FastTransport()) as scheduler:
            request = InferenceRequest(job_id="front", model="story", prompt="Once")
            async with scheduler.stream(request) as events:
                async for event in events:
                    if event.type == "token":
                        break
        await worker.wait_for_client_gone()
        (job,) = gateway.jobs
        await job.ring.wait(1_000)  # until it is closed
        assert job.error.code == "CANCELLED"
