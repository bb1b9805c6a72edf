"""The scheduler before real llama.cpp servers: to the letter, whatever dies in between."""

import importlib

import anyio
import httpx
import pytest

from rbee_scheduler import (
    InferenceRequest,
    RetryConfig,
    Scheduler,
    SchedulerConfig,
    StreamReadError,
    WorkerCommunicationFailed,
    WorkerRegistry,
)
from rbee_scheduler.demo import STORY_TEXT, STORY_TOKENS, story_after


ENDLESS = 32_000
PROMPT = "Tell me a story!"


# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


def request(n=0, **fields):
    options = {"model": "tiny-bee", "prompt": PROMPT, "max_tokens": 200, "temperature": 0}
    return InferenceRequest(job_id=f"job-{n}", **options | fields)


def scheduler_of(servers, *, client=None, slots=2, **config):
    registry = WorkerRegistry()
    for server in servers:
        registry.add_url(server.url, model="tiny-bee", slots=slots, implementation="llama-cpp")
    return Scheduler(registry, [], SchedulerConfig(**config), client=client)


async def run(scheduler, asked):
    async with scheduler.stream(asked) as events:
        return [event async for event in events]


def text_of(events):
    return "".join(event.text for event in events if event.type == "token")


@pytest.mark.parametrize("way", ["prompt", "messages"])
async def test_tells_the_exact_story(llama_cluster, way):
    chat = {"prompt": "", "messages": [{"role": "user", "content": PROMPT}]}
    async with scheduler_of(llama_cluster) as scheduler:
        events = await run(scheduler, request(**chat if way == "messages" else {}))
    assert text_of(events) == STORY_TEXT
    outcome = events[-1].outcome
    assert (outcome.kind, outcome.attempts, outcome.finish_reason) == ("success", 1, "stop")
    assert outcome.usage.completion_tokens == STORY_TOKENS
    kinds = [event.type for event in events]
    assert kinds == ["started", *["token"] * kinds.count("token"), "metrics", "end"]
    assert events[-2].values["predicted_n"] == STORY_TOKENS
    assert events[-1].data == "[DONE]"


async def test_the_seeds_usage(llama_cluster):
    lines = []
    async with scheduler_of(llama_cluster) as scheduler:
        result = await scheduler.schedule(request())
        outcome = await scheduler.execute_inference(result, request(), lines.append)
    assert outcome.worker_id == result.worker_id
    assert lines[-1] == "[DONE]"


async def cut_short(factory, model, sound, **fields):
    """Kill a server in the middle of its story; return all events, and the scheduler's last ones.

    A client that gets no CPU for 0.2 s finds the whole story told; then it is told again.
    """
    for _ in range(5):
        doomed = factory(model)
        async with scheduler_of([doomed, sound]) as scheduler:
            events = []
            async with scheduler.stream(request(**fields)) as stream:
                async for event in stream:
                    events.append(event)
                    if event.type == "token":
                        doomed.kill()
            following = await run(scheduler, request())
        if events[-1].outcome.attempts == 2 or events[-1].type == "error":
            return events, following
    raise AssertionError("five servers could not be killed in time")


async def test_goes_on_elsewhere_when_a_server_is_killed(
    llama_server_factory, slow_story_model, llama_cluster
):
    events, _ = await cut_short(
        llama_server_factory, slow_story_model, llama_cluster[0], resume=True
    )
    assert text_of(events) == STORY_TEXT
    started = [event for event in events if event.type == "started"]
    assert len(started) == 2
    before = text_of(events[: events.index(started[1])])
    assert before + story_after(PROMPT + before) == STORY_TEXT
    assert 0 < len(before) < len(STORY_TEXT)
    assert events[-1].outcome.kind == "success"


async def test_without_leave_to_resume_a_killed_server_is_one_error(
    llama_server_factory, slow_story_model, llama_cluster
):
    events, following = await cut_short(llama_server_factory, slow_story_model, llama_cluster[0])
    assert [event.type for event in events if event.type != "token"] == ["started", "error"]
    assert isinstance(events[-1].error, StreamReadError)
    assert STORY_TEXT.startswith(text_of(events))
    # The next request finds out that nobody listens, and is served elsewhere.
    assert text_of(following) == STORY_TEXT
    assert [event.type for event in following].count("started") == 2


async def test_a_server_that_was_killed_before(llama_server_factory):
    doomed = llama_server_factory()
    doomed.kill()
    await doomed.exited()
    retry = RetryConfig(max_attempts=1)
    async with scheduler_of([doomed], retry=retry) as scheduler:
        events = await run(scheduler, request())
    assert type(events[-1].error) is WorkerCommunicationFailed


async def test_two_hundred_streams_at_once(llama_cluster):
    told = {}

    async def one(scheduler, n):
        asked = request(n, prompt=f"{PROMPT} {n}")
        events = await run(scheduler, asked)
        told[n] = (text_of(events), events[-1].outcome)

    async with scheduler_of(llama_cluster) as scheduler, anyio.create_task_group() as tasks:
        for n in range(200):
            tasks.start_soon(one, scheduler, n)
    assert {text for text, _ in told.values()} == {STORY_TEXT}
    assert len(told) == 200
    # That llama.cpp closes after each stream never costs a retry.
    assert scheduler.statistics().retries == 0
    assert {outcome.attempts for _, outcome in told.values()} == {1}
    workers = scheduler.registry.snapshot().workers()
    assert {worker.in_flight for worker in workers} == {0}
    served = [sum(o.worker_id == w.id for _, o in told.values()) for w in workers]
    assert all(share > 0 for share in served)


async def test_one_stream_after_the_other_never_costs_a_retry(llama_cluster):
    """A pooled client meets the closing server here: 11 times in 16,000 requests."""
    async with scheduler_of(llama_cluster[:1]) as scheduler:
        for n in range(150):
            assert (await run(scheduler, request(n, max_tokens=2)))[-1].type == "end"
        assert scheduler.statistics().retries == 0


async def idle_slots(client):
    return [not slot["is_processing"] for slot in (await client.get("/slots")).json()]


async def until_slots(client, wanted):
    """Ask until it is so; each question is answered between two tokens, so it can't spin."""
    with anyio.fail_after(30):
        while await idle_slots(client) != wanted:
            pass


@pytest.mark.parametrize("way", ["break", "cancel", "scope"])
async def test_giving_up_frees_the_slot(llama_server_factory, endless_model, way):
    server = llama_server_factory(endless_model, slots=1, context=ENDLESS)
    asked = request(max_tokens=ENDLESS)
    async with (
        scheduler_of([server], slots=1) as scheduler,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        with anyio.CancelScope() as scope:
            async with scheduler.stream(asked) as events:
                async for event in events:
                    if event.type != "token":
                        continue
                    await until_slots(client, [False])
                    if way == "break":
                        break
                    if way == "scope":
                        scope.cancel()
                    scheduler.cancel(asked.job_id)
        await until_slots(client, [True])
        assert scheduler.registry.snapshot().workers()[0].in_flight == 0
        assert scheduler.statistics().outcomes == {"cancelled": 1}


async def test_an_injected_client(llama_cluster):
    async with httpx.AsyncClient() as client, scheduler_of(llama_cluster, client=client) as at:
        assert text_of(await run(at, request())) == STORY_TEXT
        assert not client.is_closed


async def test_an_injected_httpx2_client(llama_cluster):
    try:
        httpx2 = importlib.import_module("httpx2")
    except ModuleNotFoundError:
        pytest.skip("httpx2 is not installed")
    async with httpx2.AsyncClient() as client, scheduler_of(llama_cluster, client=client) as at:
        assert text_of(await run(at, request())) == STORY_TEXT


async def test_a_prompt_that_no_worker_takes_is_not_tried_twice(llama_cluster):
    async with scheduler_of(llama_cluster) as scheduler:
        events = await run(scheduler, request(prompt="word " * 5000))
    assert [event.type for event in events] == ["started", "error"]
    assert events[-1].error.status == 400
    assert "exceed" in events[-1].error.message
