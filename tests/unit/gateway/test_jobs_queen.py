"""A gateway stands where a queen worker stands."""

import json

import anyio
import pytest

from rbee_scheduler import (
    InferenceRequest,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    WorkerRegistry,
)
from rbee_scheduler.testing._memory import MemoryResponse, completion


ASKED = {"prompt": "Once", "max_tokens": 5, "temperature": 0.5}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(memory):
    return lambda call: memory.stream(*completion(["a\n", "{", " c"]))


class ToGateway:
    """The transport of a scheduler whose worker is a gateway."""

    def __init__(self, memory, site, tasks):
        self.memory, self.site, self.tasks = memory, site, tasks
        self.calls = []

    async def open(self, call):
        self.calls.append((call.method, call.url))
        path = "/" + call.url.split("/", 3)[3]
        exchange = self.memory.MemoryExchange(path, call.body, method=call.method)
        if not path.endswith("/stream"):
            await self.site.gateway.handle(exchange)
            return MemoryResponse(
                [exchange.answer], status=exchange.status, headers=exchange.answer_headers
            )
        self.tasks.start_soon(self.site.gateway.handle, exchange)
        await exchange.written.wait()
        return _Live(exchange)

    async def aclose(self):
        pass


class _Live:
    """A response that is still being written."""

    close_delimited = False

    def __init__(self, exchange):
        self.exchange = exchange
        self.status = exchange.status
        self.headers = exchange.answer_headers
        self._read = 0

    async def read(self):
        while self._read == len(self.exchange.pieces):
            if self.exchange.ended:
                return None
            await anyio.lowlevel.checkpoint()
        self._read += 1
        return self.exchange.pieces[self._read - 1]

    async def aclose(self):
        pass


async def test_the_original_flow_ends_with_done(memory):
    async with memory.open_site(told(memory)) as site:
        taken = await site.ask("/v1/inference", ASKED)
        assert taken.status == 200
        assert taken.json().keys() == {"job_id", "sse_url"}
        stream = await site.ask(taken.json()["sse_url"], method="GET")
        *events, last = stream.events()
        assert last == "[DONE]"
        assert "".join(event.get("text", "") for event in events) == "a\n{ c"
        assert all(line.startswith(b"data: ") for line in stream.answer.split(b"\n") if line)


async def test_a_scheduler_whose_worker_is_the_gateway_gets_the_same_text(memory):
    async with memory.open_site(told(memory)) as site, anyio.create_task_group() as tasks:
        transport = ToGateway(memory, site, tasks)
        registry = WorkerRegistry()
        registry.add_url("http://gateway:80", model="bee", protocol="queen")
        scheduler = Scheduler(registry, [], transport=transport)
        request = InferenceRequest(job_id="j", model="bee", prompt="Once")
        async with scheduler.stream(request) as events:
            assert await events.text() == "a\n{ c"
        assert [method for method, _ in transport.calls] == ["POST", "GET"]


async def test_a_failure_below_is_a_failure_above(memory):
    async with (
        memory.open_site(lambda call: memory.whole({"no": 1}, 400)) as site,
        anyio.create_task_group() as tasks,
    ):
        registry = WorkerRegistry()
        registry.add_url("http://gateway:80", model="bee", protocol="queen")
        once = SchedulerConfig(retry=RetryConfig(max_attempts=1))
        scheduler = Scheduler(registry, [], once, transport=ToGateway(memory, site, tasks))
        async with scheduler.stream(
            InferenceRequest(job_id="j", model="bee", prompt="Once")
        ) as events:
            kinds = [event.type async for event in events]
        assert kinds[-1] == "error"
        assert kinds.count("error") == 1


async def test_cancel_answers_alike_whatever_there_is(memory):
    go = anyio.Event()
    began = anyio.Event()

    async def wait():
        began.set()
        await go.wait()

    async with memory.open_site(lambda call: memory.stream(wait)) as site:
        job_id = (await site.ask("/v1/inference", ASKED)).json()["job_id"]
        await began.wait()
        first = await site.ask("/v1/cancel", {"job_id": job_id})
        assert (first.status, first.json()["cancelled"]) == (200, True)
        while (await site.ask("/v1/cancel", {"job_id": job_id})).json()["cancelled"]:
            await anyio.wait_all_tasks_blocked()
        assert (await site.ask("/v1/cancel", {"job_id": "nobody"})).status == 200
        for wrong in ({}, {"job_id": 1}, {"job_id": "a", "x": 1}):
            assert (await site.ask("/v1/cancel", wrong)).status == 400
        stream = await site.ask(f"/v1/inference/{job_id}/stream", method="GET")
        assert stream.events()[-2]["error"]["code"] == "CANCELLED"
        assert stream.events()[-1] == "[DONE]"


async def test_among_several_models_one_must_be_named(memory):
    async with memory.open_site(told(memory)) as site:
        site.gateway.registry.add_url("http://127.0.0.1:10009", model="wasp")
        refused = await site.ask("/v1/inference", ASKED)
        assert (refused.status, refused.error()["param"]) == (422, "$.model")
        assert (await site.ask("/v1/inference", {**ASKED, "model": "bee"})).status == 200


async def test_text_stays_what_it_is_whatever_it_looks_like(memory):
    texts = ["[DONE]", '{"error": 1}', "\r\n", " ", "é\u2028"]
    async with memory.open_site(lambda call: memory.stream(*completion(texts))) as site:
        url = (await site.ask("/v1/inference", ASKED)).json()["sse_url"]
        stream = await site.ask(url, method="GET")
        lines = [line for line in stream.answer.split(b"\n") if line]
        found = [json.loads(line[6:]) for line in lines[:-1]]
        assert [event["text"] for event in found if event["type"] == "token"] == texts
