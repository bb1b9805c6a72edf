"""Answers that are no stream: in the worker's own bytes, or one error that says why not."""

import json

import anyio
import pytest

from rbee_scheduler import (
    LimitsConfig,
    ModelInfo,
    QueueConfig,
    RetryConfig,
    TimeoutConfig,
    WorkerCommunicationFailed,
)
from rbee_scheduler.testing._memory import MemoryResponse


URL = "/v1/chat/completions"
ASK = {"model": "bee", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
ANSWER = {
    "choices": [{"index": 0, "finish_reason": "length", "message": {"content": "buzz"}}],
    "usage": USAGE,
}
REFUSED = WorkerCommunicationFailed("connection refused")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


async def test_bodies_go_through_untouched_both_ways(memory):
    asked = (
        b'{ "model" :"bee",\t"messages": [{"role":"user","content":[{"type":"image_url",'
        b'"image_url":{"url":"data:image/png;base64,AAAA"}}]}],\r\n "tools":[{"type":"function"}],'
        b'"logprobs": true, "n": 3, "unknown_field": {"a": 1.00, "a": 2}, '
        b'"emoji": "\xf0\x9f\x90\x9d"}'
    )
    answered = b' {"choices" : [ ], "strange": 1.000, "usage": null}\n'
    async with memory.open_site(lambda _: memory.whole(answered)) as site:
        got = await site.ask(URL, asked)
    assert got.answer == answered
    assert got.status == 200
    assert [(call.url, call.body) for call in site.asked] == [
        ("http://127.0.0.1:10000/v1/chat/completions", asked)
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "bee", "prompt": ["a", "b"]}),
        ("/v1/embeddings", {"model": "bee", "input": "a"}),
        ("/v1/responses", {"model": "bee", "input": [{"role": "user", "content": "Hi"}]}),
    ],
)
async def test_every_path_is_the_workers_own(memory, path, body):
    async with memory.open_site(lambda _: memory.whole({"ok": 1})) as site:
        got = await site.ask(path, body)
    assert got.json() == {"ok": 1}
    assert site.asked[0].url.endswith(path)


async def test_the_outcome_has_usage_and_the_reason(memory):
    async with memory.open_site(lambda _: memory.whole(ANSWER)) as site:
        await site.ask(URL, ASK)
    (outcome,) = site.outcomes
    assert (outcome.kind, outcome.finish_reason) == ("success", "length")
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (7, 5)
    assert site.in_flight == 0


async def test_an_alias_becomes_the_workers_name(memory):
    models = [ModelInfo(model_ref="bee", aliases=("buzz",))]
    body = b'{"messages":[{"role":"user","content":"buzz"}], "model" : "buzz"}'
    async with memory.open_site(lambda _: memory.whole(ANSWER), models=models) as site:
        await site.ask(URL, body)
    assert site.asked[0].body == body.replace(b': "buzz"}', b': "bee"}')


@pytest.mark.parametrize("status", [400, 404, 413, 422, 501])
async def test_a_workers_own_4xx_is_passed_on(memory, status):
    error = {"error": {"code": status, "type": "exceed_context_size_error", "n_ctx": 5}}
    async with memory.open_site(lambda _: memory.whole(error, status)) as site:
        got = await site.ask(URL, ASK)
    assert (got.status, got.json()) == (status, error)
    assert len(site.asked) == 1
    assert got.answer_headers["x-rbee-worker"] == "w0"
    (outcome,) = site.outcomes
    assert outcome.kind == "error"
    assert outcome.error.status == status
    assert site.gateway.registry.failures("w0") == 0


@pytest.mark.parametrize("status", [401, 403, 407])
async def test_that_the_gateways_own_key_is_refused_is_no_401_of_the_clients(memory, status):
    async with memory.open_site(lambda _: memory.whole({}, status)) as site:
        got = await site.ask(URL, ASK)
    assert (got.status, got.error()["code"]) == (502, "WORKER_ERROR")


def first_fails(memory, failure):
    def answer(call):
        return failure() if ":10000/" in call.url else memory.whole(ANSWER)

    return answer


@pytest.mark.parametrize(
    "failing",
    ["refused", "empty", "500", "503", "429", "408", "307", "html", "cut", "gzip", "long", "1.0"],
)
async def test_the_next_worker_serves_when_one_fails(memory, failing):
    cut = WorkerCommunicationFailed("closed")
    json_head = {"content-type": "application/json"}
    replies = {
        "refused": lambda: REFUSED,
        "empty": lambda: memory.whole(b""),
        "307": lambda: memory.whole(b"", 307, location="/elsewhere"),
        "html": lambda: memory.whole(b"<html>", 502, content_type="text/html"),
        "cut": lambda: MemoryResponse([b'{"choices": [', cut], headers=json_head),
        "gzip": lambda: memory.whole(b"\x1f\x8b", content_encoding="gzip"),
        "long": lambda: MemoryResponse([b"x" * 600, b"x" * 600], headers=json_head),
        "1.0": lambda: MemoryResponse([b'{"choices": ['], headers=json_head, close_delimited=True),
    }
    failure = replies.get(failing, lambda: memory.whole({}, int(failing)))

    limits = LimitsConfig(max_answer_bytes=1000)
    async with memory.open_site(first_fails(memory, failure), limits=limits) as site:
        got = await site.ask(URL, ASK)
    assert (got.status, got.json()) == (200, ANSWER)
    assert got.answer_headers["x-rbee-worker"] == "w1"
    assert [outcome.attempts for outcome in site.outcomes] == [2]
    assert {reply.closed for reply in site.replies} == {1}


async def test_an_answer_of_exactly_the_limit_is_passed_on(memory):

    body = b"[" + b" " * 998 + b"]"
    limits = LimitsConfig(max_answer_bytes=1000)
    async with memory.open_site(lambda _: memory.whole(body), limits=limits, workers=1) as site:
        assert (await site.ask(URL, ASK)).answer == body


async def test_when_all_workers_fail_the_last_error_is_the_answer(memory):

    retry = RetryConfig(max_attempts=2)
    async with memory.open_site(lambda _: memory.whole({"e": 1}, 500), retry=retry) as site:
        got = await site.ask(URL, ASK)
    error = got.error()
    assert (got.status, error["code"], error["type"]) == (502, "WORKER_ERROR", "server_error")
    assert error["retryable"] is True
    assert "500" in error["message"]


async def test_a_whole_answer_may_take_longer_than_a_first_token(memory):
    """A model that writes 2,000 tokens at 10 a second is silent for 200 s."""

    def slow(_):
        return MemoryResponse(
            [lambda: site.clock.sleep(300), json.dumps(ANSWER).encode()],
            headers={"content-type": "application/json"},
        )

    timeout = TimeoutConfig(first_token=10, idle=5, total=400)
    async with memory.open_site(slow, timeout=timeout) as site, anyio.create_task_group() as tasks:
        exchange = memory.MemoryExchange(URL, ASK)
        tasks.start_soon(site.gateway.handle, exchange)
        await site.clock.run_for(301)
        assert exchange.json() == ANSWER


async def test_a_deadline_ends_the_wait_for_an_answer(memory):
    def silent(_):
        return MemoryResponse([anyio.sleep_forever], headers={"content-type": "application/json"})

    async with memory.open_site(silent) as site, anyio.create_task_group() as tasks:
        exchange = memory.MemoryExchange(URL, ASK, headers={"x-deadline-ms": "1500"})
        tasks.start_soon(site.gateway.handle, exchange)
        await site.clock.run_for(1.4)
        assert not exchange.ended
        await site.clock.run_for(0.2)
        assert (exchange.status, exchange.error()["code"]) == (504, "DEADLINE_EXCEEDED")
        assert exchange.error()["type"] == "timeout_error"
        assert site.replies[-1].closed == 1
        assert site.in_flight == 0
    assert site.outcomes[0].kind == "timeout"


async def test_a_slow_client_of_a_whole_answer_holds_no_slot(memory):
    reading = anyio.Event()

    async def slowly(_):
        await reading.wait()

    async with (
        memory.open_site(lambda _: memory.whole(ANSWER)) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = memory.MemoryExchange(URL, ASK, on_write=slowly)
        tasks.start_soon(site.gateway.handle, exchange)
        await exchange.over.wait()
        assert site.in_flight == 0
        assert site.outcomes[0].kind == "success"
        reading.set()


async def test_a_client_that_leaves_frees_the_slot_at_once(memory):
    def silent(_):
        return MemoryResponse([anyio.sleep_forever], headers={"content-type": "application/json"})

    async with memory.open_site(silent) as site:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.gateway.handle, memory.MemoryExchange(URL, ASK))
            await anyio.wait_all_tasks_blocked()
            assert site.in_flight == 1
            tasks.cancel_scope.cancel()
        assert site.in_flight == 0
        assert site.replies[-1].closed == 1
        assert [outcome.kind for outcome in site.outcomes] == ["cancelled"]


async def test_without_a_worker_for_the_model_the_error_says_so(memory):
    async with memory.open_site(lambda _: memory.whole(ANSWER)) as site:
        got = await site.ask(URL, {**ASK, "model": "wasp"})
    assert (got.status, got.error()["code"]) == (503, "NO_WORKERS_AVAILABLE")
    assert got.error()["type"] == "service_unavailable_error"
    assert "wasp" in got.error()["message"]
    assert [outcome.kind for outcome in site.outcomes] == ["rejected"]


async def test_when_all_slots_are_taken_and_nobody_may_wait_it_is_429(memory):

    def silent(_):
        return MemoryResponse([anyio.sleep_forever], headers={"content-type": "application/json"})

    options = {"queue": QueueConfig(capacity=0), "fields": {"slots": 1}, "workers": 1}
    async with memory.open_site(silent, **options) as site, anyio.create_task_group() as tasks:
        tasks.start_soon(site.gateway.handle, memory.MemoryExchange(URL, ASK))
        await anyio.wait_all_tasks_blocked()
        got = await site.ask(URL, ASK)
        assert (got.status, got.error()["type"]) == (429, "rate_limit_error")
        assert got.error()["code"] == "CAPACITY_EXCEEDED"
        assert [outcome.kind for outcome in site.outcomes] == ["rejected"]
        tasks.cancel_scope.cancel()
