"""A queen worker and an OpenAI one serve one model, and the official client sees no difference."""

from contextlib import AsyncExitStack, asynccontextmanager

import openai
import pytest

from rbee_scheduler.testing import Dialect, FakeWorker, Fault, Gate, Script


MODEL = "tiny-bee"
TEXT = Script().text
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
PLAIN = {"model": MODEL, "prompt": "Hi"}
TOOLS = [{"type": "function", "function": {"name": "fly", "parameters": {"type": "object"}}}]

# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = [
    pytest.mark.usefixtures("nothing_left_to_the_garbage_collector"),
    # The client leaves its generators, and httpx's, to the collector, of which trio warns.
    pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx|httpcore):ResourceWarning"),
]


@asynccontextmanager
async def both(front, *dialects, script=None):
    """A gateway, a client of it, and its workers, whose kinds it finds out by itself."""
    dialects = dialects or (Dialect.QUEEN, Dialect.LLAMACPP)
    workers = [FakeWorker(script or Script(), dialect=each, model=MODEL) for each in dialects]
    round_robin = {"plugins": ["strategies"], "strategy": "round-robin"}
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        urls = [worker.url for worker in workers]
        at = await stack.enter_async_context(front.open_front(urls, **round_robin))
        client = openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key="none", max_retries=0)
        yield at, await stack.enter_async_context(client), workers


def posts(worker):
    return [seen.path for seen in worker.requests if seen.method == "POST"]


async def test_the_official_client_is_served_by_both(front):
    async with both(front) as (at, client, workers):
        assert [model.id async for model in client.models.list()] == [MODEL]
        served = set()
        for _ in range(2):
            raw = await client.chat.completions.with_raw_response.create(**CHAT)
            served.add(raw.headers["x-rbee-worker"])
            chat = raw.parse()
            (choice,) = chat.choices
            assert (chat.object, chat.model) == ("chat.completion", MODEL)
            assert (choice.message.role, choice.message.content) == ("assistant", TEXT)
            assert choice.finish_reason == "stop"
        for _ in range(2):
            plain = await client.completions.create(**PLAIN)
            assert (plain.object, plain.choices[0].text) == ("text_completion", TEXT)
        assert served == {"w0", "w1"}
        assert set(posts(workers[0])) == {"/v1/inference"}
        assert set(posts(workers[1])) == {"/v1/chat/completions", "/v1/completions"}
        await at.until_free()
        assert at.outcomes == {"success": 4}


async def test_the_official_client_streams_from_both(front):
    async with both(front) as (at, client, workers):
        for _ in range(2):
            async with await client.chat.completions.create(stream=True, **CHAT) as stream:
                events = [event async for event in stream]
            assert len({event.id for event in events}) == 1
            assert {event.object for event in events} == {"chat.completion.chunk"}
            assert events[0].choices[0].delta.role == "assistant"
            assert "".join(event.choices[0].delta.content or "" for event in events) == TEXT
            assert events[-1].choices[0].finish_reason == "stop"
        for _ in range(2):
            async with await client.completions.create(stream=True, **PLAIN) as stream:
                assert "".join([event.choices[0].text async for event in stream]) == TEXT
        await at.until_free()
        assert [len(posts(worker)) for worker in workers] == [2, 2]
        assert workers[0].cancels == []


async def test_what_only_one_kind_can_do_goes_to_that_kind(front):
    async with both(front) as (_, client, workers):
        for _ in range(3):
            await client.chat.completions.create(tools=TOOLS, **CHAT)
            await client.chat.completions.create(seed=7, **CHAT)
        assert [len(posts(worker)) for worker in workers] == [0, 6]


async def test_a_queen_worker_alone_says_what_it_lacks(front):
    async with both(front, Dialect.QUEEN) as (_, client, workers):
        with pytest.raises(openai.UnprocessableEntityError, match="express tools") as refused:
            await client.chat.completions.create(tools=TOOLS, **CHAT)
        with pytest.raises(openai.UnprocessableEntityError, match="express /v1/embeddings"):
            await client.embeddings.create(model=MODEL, input="Hi")
        assert refused.value.code == "UNPROCESSABLE_REQUEST"
        assert refused.value.param == "$.tools"
        assert posts(workers[0]) == []


async def test_a_client_that_leaves_cancels_the_job(front):
    held = Script(gate=Gate(after=2))
    async with both(front, Dialect.QUEEN, script=held) as (at, client, workers):
        async with await client.chat.completions.create(stream=True, **CHAT) as stream:
            assert (await anext(aiter(stream))).choices[0].delta.role == "assistant"
        await workers[0].wait_for_cancels()
        await at.until_free()
        assert len(workers[0].cancels) == 1
        assert at.outcomes == {"cancelled": 1}


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_HEADERS, Fault.ERROR_JSON, Fault.NO_DONE])
async def test_a_fault_of_one_is_made_good_by_the_other(front, fault):
    async with both(front) as (_, client, workers):
        workers[0].set_script(Script(fault=fault, fault_after=0))
        for _ in range(4):
            chat = await client.chat.completions.create(**CHAT)
            assert chat.choices[0].message.content == TEXT


async def test_a_cut_stream_is_an_error_of_the_client(front):
    cut = Script(fault=Fault.CLOSE_MID_STREAM, fault_after=2)
    async with both(front, Dialect.QUEEN, script=cut) as (at, client, _):
        texts = []
        with pytest.raises(openai.APIError) as error:
            async with await client.chat.completions.create(stream=True, **CHAT) as stream:
                texts += [event.choices[0].delta.content async for event in stream]
        assert error.value.code == "STREAM_READ_ERROR"
        await at.until_free()
        assert at.outcomes == {"error": 1}
