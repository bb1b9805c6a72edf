"""Real llama.cpp behind the gateway, on a real socket, asked by the clients that people use."""

from collections import Counter

import anyio
import httpx
import openai
import pytest
from anyio import to_thread

from rbee_scheduler import RetryConfig
from rbee_scheduler.demo import STORY_TEXT, STORY_TOKENS, story_after


PROMPT = "Tell me a story!"
MODEL = "tiny-bee"
ENDLESS = 32_000
CHAT = [{"role": "user", "content": PROMPT}]
GREEDY = {"model": MODEL, "temperature": 0, "max_tokens": 200}

# Of what the collector finds, trio, asyncio and sockets warn; and warnings are errors.
pytestmark = pytest.mark.usefixtures("nothing_left_to_the_garbage_collector")


def urls(cluster):
    return [server.url for server in cluster]


def client_of(at):
    return openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key="none", max_retries=0)


async def direct(server, path, body):
    async with httpx.AsyncClient(base_url=server.url) as client:
        return (await client.post(path, json=body)).raise_for_status().json()


async def test_the_official_client(front, llama_cluster):
    async with front.open_front(urls(llama_cluster)) as at, client_of(at) as client:
        models = [model.id async for model in client.models.list()]
        one = await client.models.retrieve(MODEL)
        chat = await client.chat.completions.create(messages=CHAT, **GREEDY)
        plain = await client.completions.create(prompt=PROMPT, **GREEDY)
        raw = await client.chat.completions.with_raw_response.create(messages=CHAT, **GREEDY)
        responses = await client.responses.create(
            model=MODEL, input=PROMPT, temperature=0, max_output_tokens=200
        )
        await at.until_free()
        assert at.outcomes == {"success": 4}
    same = await direct(llama_cluster[0], "/v1/chat/completions", GREEDY | {"messages": CHAT})
    assert chat.choices[0].message.content == same["choices"][0]["message"]["content"] == STORY_TEXT
    assert (models, one.id) == ([MODEL], MODEL)
    assert plain.choices[0].text == STORY_TEXT
    assert chat.usage.completion_tokens == STORY_TOKENS
    assert raw.headers["x-rbee-worker"] in {"w0", "w1", "w2"}
    assert responses.output_text == STORY_TEXT


# The client leaves its generators, and httpx's, to the garbage collector, of which trio warns.
@pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx|httpcore):ResourceWarning")
async def test_the_official_client_streams(front, llama_cluster):
    async with front.open_front(urls(llama_cluster)) as at, client_of(at) as client:
        chat, usage = [], None
        async with await client.chat.completions.create(
            messages=CHAT, stream=True, stream_options={"include_usage": True}, **GREEDY
        ) as stream:
            async for event in stream:
                usage = event.usage or usage
                chat += [choice.delta.content or "" for choice in event.choices]
        plain = []
        async with await client.completions.create(prompt=PROMPT, stream=True, **GREEDY) as stream:
            async for event in stream:
                plain += [choice.text for choice in event.choices]
        said = []
        async with await client.responses.create(
            model=MODEL, input=PROMPT, temperature=0, max_output_tokens=200, stream=True
        ) as stream:
            async for event in stream:
                said += [event.delta] if event.type == "response.output_text.delta" else []
        await at.until_free()
        assert at.outcomes == {"success": 3}
    assert "".join(chat) == "".join(plain) == "".join(said) == STORY_TEXT
    assert usage.completion_tokens == STORY_TOKENS
    assert len(chat) >= STORY_TOKENS  # event by event, and not at once


async def test_the_official_clients_errors(front, llama_cluster):
    async with front.open_front(urls(llama_cluster)) as at, client_of(at) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.embeddings.create(model=MODEL, input="a")
        with pytest.raises(openai.BadRequestError) as too_long:
            await client.completions.create(model=MODEL, prompt=" once" * 4000, max_tokens=4)
        with pytest.raises(openai.InternalServerError) as unknown:
            await client.completions.create(model="wasp", prompt="a", max_tokens=4)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("wasp/small")
        await at.until_free()
    # The worker's own refusals, and not the gateway's words for them.
    assert 400 <= refused.value.status_code < 600
    assert too_long.value.body["type"] == "exceed_context_size_error"
    assert (unknown.value.status_code, unknown.value.code) == (503, "NO_WORKERS_AVAILABLE")


async def test_the_official_blocking_client(front, llama_cluster):
    def ask(url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            whole = client.chat.completions.create(messages=CHAT, **GREEDY)
            with client.chat.completions.create(messages=CHAT, stream=True, **GREEDY) as stream:
                parts = [c.delta.content or "" for event in stream for c in event.choices]
            return whole.choices[0].message.content, "".join(parts)

    async with front.open_front(urls(llama_cluster)) as at:
        assert await to_thread.run_sync(ask, at.url) == (STORY_TEXT, STORY_TEXT)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it has no other
async def test_litellms_client(front, llama_cluster, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
    import litellm

    options = {"messages": CHAT, "temperature": 0, "max_tokens": 200, "api_key": "none"}
    async with front.open_front(urls(llama_cluster)) as at:
        options |= {"model": f"openai/{MODEL}", "api_base": f"{at.url}/v1"}
        whole = await litellm.acompletion(**options)
        parts = []
        async for event in await litellm.acompletion(stream=True, **options):
            parts += [event.choices[0].delta.content or ""]
        await litellm.close_litellm_async_clients()
        await at.until_free()
    assert whole.choices[0].message.content == "".join(parts) == STORY_TEXT


async def test_forty_clients_that_leave_free_all_slots(front, llama_server_factory, endless_model):
    servers = [llama_server_factory(endless_model, slots=4, context=4 * ENDLESS) for _ in range(2)]
    body = {"model": MODEL, "stream": True, "prompt": PROMPT, "max_tokens": ENDLESS}
    async with front.open_front(urls(servers)) as at:
        assert [w.slots for w in at.gateway.registry.snapshot().workers()] == [4, 4]
        seen = await at.many(40, 40, body, front.PLAIN, leave=True)
        assert Counter(one.status for one in seen) == {200: 40}
        await at.until_free()
        assert at.outcomes == {"cancelled": 40}
        async with httpx.AsyncClient() as client:
            with anyio.fail_after(20):
                for server in servers:
                    while any(
                        slot["is_processing"]
                        for slot in (await client.get(f"{server.url}/slots")).json()
                    ):
                        pass  # it answers between two tokens


async def test_a_worker_killed_and_restarted_under_load_fails_nothing_that_had_not_begun(
    front, llama_server_factory, llama_cluster
):
    doomed = llama_server_factory()
    body = GREEDY | {"stream": True, "prompt": PROMPT}
    servers = [doomed, *llama_cluster[:2]]
    options = {"retry": RetryConfig(max_attempts=8), "plugins": ["strategies"]}
    async with front.open_front(urls(servers), **options) as at:
        seen = []
        served = Counter()

        async def load():
            for _ in range(12):
                one = await at.ask(body, front.PLAIN, headers={"x-rbee-resume": "true"})
                served[one.headers["x-rbee-worker"]] += 1
                seen.append(one)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(load)
            await front.until(lambda: served["w0"] > 3)
            doomed.kill()
            await doomed.exited()
            again = await to_thread.run_sync(llama_server_factory)
            at.gateway.registry.add(front.worker_of(0, again.url, slots=2))
            before = served["w0"]
            await front.until(lambda: served["w0"] > before or len(seen) == 120)
        await at.until_free()
        assert Counter(one.kind for one in seen) == {"ok": 120}
        assert {one.text for one in seen} == {STORY_TEXT}
        assert at.outcomes == {"success": 120}


async def test_without_resume_only_what_had_begun_is_an_error_event(
    front, llama_server_factory, slow_story_model, llama_cluster
):
    doomed = llama_server_factory(slow_story_model, slots=2)
    body = GREEDY | {"stream": True, "messages": CHAT}
    async with front.open_front(urls([doomed, *llama_cluster[:1]]), plugins=["strategies"]) as at:
        seen = []

        async def one():
            seen.append(await at.ask(body))

        def begun():
            worker = at.gateway.registry.snapshot().worker("w0")
            return worker.in_flight == 2

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(one)
            await front.until(begun)
            doomed.kill()
        kinds = Counter(one.kind for one in seen)
        assert kinds["ok"] >= 6
        assert kinds["ok"] + kinds["error event"] == 8
        for one in seen:
            assert (one.text == STORY_TEXT) if one.kind == "ok" else STORY_TEXT.startswith(one.text)
        assert story_after(PROMPT) == STORY_TEXT


async def test_five_hundred_streams_at_once(front, llama_cluster):
    body = GREEDY | {"stream": True, "messages": CHAT, "max_tokens": 4}
    same = await direct(llama_cluster[0], "/v1/chat/completions", body | {"stream": False})
    async with front.open_front(urls(llama_cluster)) as at:
        seen = await at.many(500, 500, body)
        await at.until_free()
        assert Counter(one.kind for one in seen) == {"ok": 500}
        assert {one.text for one in seen} == {same["choices"][0]["message"]["content"]}
        assert at.outcomes == {"success": 500}
        assert at.gateway.scheduler.statistics().retries == 0
        assert {one.headers["x-rbee-worker"] for one in seen} == {"w0", "w1", "w2"}
