"""The feed tells what happens to those who listen, and costs nothing while nobody does."""

import json

import anyio
import pytest

from rbee_scheduler import Deployment, Plugins, Worker
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway import GatewayOptions
from rbee_scheduler_gateway._feed import WAITING


PROMPT = "the secret of the hive"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(memory):
    return lambda call: memory.stream(*completion(["a"]))


def parsed(exchange):
    found = []
    for block in exchange.answer.decode().split("\n\n")[:-1]:
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


class Listening:
    """One listener, as long as the block lasts."""

    def __init__(self, memory, site, **options):
        self.site = site
        self.exchange = memory.MemoryExchange("/v1/events", method="GET", **options)

    async def __aenter__(self):
        self.tasks = await anyio.create_task_group().__aenter__()
        self.tasks.start_soon(self.site.gateway.handle, self.exchange)
        await anyio.wait_all_tasks_blocked()
        return self.exchange

    async def __aexit__(self, *error):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(*error)


async def test_a_requests_life_is_told_without_its_prompt(memory):
    async with memory.open_site(told(memory)) as site, Listening(memory, site) as feed:
        await site.ask("/v1/completions", {"model": "bee", "prompt": PROMPT, "stream": True})
        await anyio.wait_all_tasks_blocked()
        events = [data for kind, data in parsed(feed) if kind == "request"]
        assert [event["kind"] for event in events] == [
            "admitted", "scheduled", "first_token", "outcome",
        ]  # fmt: skip
        assert events[1]["worker_id"] == "w0"
        assert events[1]["strategy"] == "best-score"
        assert events[-1]["outcome"]["kind"] == "success"
        assert PROMPT not in feed.answer.decode()


async def test_an_error_is_told_by_its_code_alone(memory):
    def quotes(call):
        return memory.whole({"error": f"can't continue {PROMPT}"}, 500)

    async with memory.open_site(quotes, workers=1) as site, Listening(memory, site) as feed:
        body = {"model": "bee", "prompt": PROMPT}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.clock.autojump)
            assert (await site.ask("/v1/completions", body)).status >= 500
            tasks.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        (last,) = [
            data for kind, data in parsed(feed) if kind == "request" and data["kind"] == "outcome"
        ]
        assert last["error"]
        assert last["outcome"]["kind"] == "error"
        assert PROMPT not in feed.answer.decode()


async def test_workers_that_come_and_leave_are_told(memory):
    async with (
        memory.open_site(told(memory), labels={"api_key": "k-secret"}) as site,
        Listening(memory, site) as feed,
    ):
        site.gateway.registry.drain("w0")
        site.gateway.registry.remove("w1")
        await anyio.wait_all_tasks_blocked()
        told_of = [data for kind, data in parsed(feed) if kind == "worker"]
        assert [(data["worker_id"], data["kind"]) for data in told_of] == [
            ("w0", "changed"), ("w1", "left"),
        ]  # fmt: skip
        assert told_of[0]["worker"]["status"] == "stopped"
        assert told_of[1]["worker"] is None
        assert "k-secret" not in feed.answer.decode()


async def test_numbers_come_each_second(memory):
    async with memory.open_site(told(memory)) as site, Listening(memory, site) as feed:
        assert [kind for kind, _ in parsed(feed)] == ["statistics"]
        await site.ask("/v1/completions", {"model": "bee", "prompt": "x", "stream": True})
        await site.clock.run_for(3)
        numbers = [data for kind, data in parsed(feed) if kind == "statistics"]
        assert len(numbers) == 4
        assert numbers[-1]["outcomes"] == {"success": 1}
        assert numbers[-1]["fleet"]["workers"] == 2


async def test_a_slow_listener_loses_the_oldest_and_is_told_how_many(memory):
    go = anyio.Event()

    async def slow(exchange):
        await go.wait()

    async with (
        memory.open_site(told(memory)) as site,
        Listening(memory, site, on_write=slow) as feed,
        Listening(memory, site) as quick,
    ):
        for _ in range(WAITING + 50):
            site.gateway.registry.drain("w0", draining=True)
            site.gateway.registry.drain("w0", draining=False)
            await anyio.lowlevel.checkpoint()
        go.set()
        await anyio.wait_all_tasks_blocked()
        lost = [data["count"] for kind, data in parsed(feed) if kind == "lost"]
        seen = sum(kind == "worker" for kind, _ in parsed(feed))
        assert sum(lost) + seen == 2 * (WAITING + 50)
        assert sum(kind == "worker" for kind, _ in parsed(quick)) == 2 * (WAITING + 50)


async def test_a_listener_stays_across_a_reload(memory):
    async with memory.open_site(told(memory)) as site:
        worker = Worker(id="w7", url="http://127.0.0.1:10007", model="bee")
        site.gateway._load = lambda: (Deployment(workers=(worker,)), GatewayOptions())
        site.gateway._load_plugins = lambda _: Plugins([])
        async with Listening(memory, site) as feed:
            await site.gateway.reload()
            await site.ask("/v1/completions", {"model": "bee", "prompt": "x", "stream": True})
            await anyio.wait_all_tasks_blocked()
            kinds = [data["kind"] for kind, data in parsed(feed) if kind == "request"]
            assert kinds.count("outcome") == 1
            came = [data["worker_id"] for kind, data in parsed(feed) if kind == "worker"]
            assert "w7" in came


async def test_nothing_is_subscribed_to_while_nobody_listens(memory):
    async with memory.open_site(told(memory)) as site:
        observer = site.gateway.scheduler._observer
        before = len(observer.listeners), len(site.gateway.registry._listeners)
        async with Listening(memory, site), Listening(memory, site):
            assert site.gateway.feed.listens
            assert len(observer.listeners) == before[0] + 1
        assert not site.gateway.feed.listens
        assert (len(observer.listeners), len(site.gateway.registry._listeners)) == before


async def test_a_service_that_stops_lets_its_listeners_go(memory):
    async with memory.open_site(told(memory)) as site, Listening(memory, site) as feed:
        site.gateway.stopping = True
        await site.clock.run_for(2)
        assert feed.ended


async def test_who_wants_only_the_head_gets_only_that(memory):
    async with memory.open_site(told(memory)) as site:
        head = await site.ask("/v1/events", method="HEAD")
        assert head.answer_headers["content-type"].startswith("text/event-stream")
