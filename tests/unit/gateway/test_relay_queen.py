"""Queen workers behind the OpenAI API: its words to clients, their protocol to them."""

import json

import anyio
import pytest

from rbee_scheduler import LimitsConfig, QueueConfig, RetryConfig, TimeoutConfig, Worker
from rbee_scheduler._errors import WorkerCommunicationFailed
from rbee_scheduler.testing._memory import MemoryResponse


CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"
TIMEOUT = TimeoutConfig(first_token=30, idle=10, total=1000)
TOKENS = (b"once", b" upon", b'{"text": " a bee"}')
DONE = b"data: [DONE]\n\n"
USAGE = b'{"usage": {"prompt_tokens": 7, "completion_tokens": 3}}'
COUNTS = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
REFUSED = WorkerCommunicationFailed("connection refused")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(*texts):
    """The bytes of a queen worker's events."""
    return tuple(b"data: " + text + b"\n\n" for text in texts)


STORY = (*told(*TOKENS), DONE)


def queen(memory, *steps, **options):
    """A queen worker's replies: a job, its stream, and that it was cancelled."""

    def answer(call):
        path = "/" + call.url.split("/", 3)[3]
        if path == "/v1/inference":
            return memory.whole({"job_id": "7", "sse_url": "/v1/inference/7/stream"})
        if path == "/v1/cancel":
            return memory.whole({})
        assert path == "/v1/inference/7/stream"
        return memory.stream(*steps, **options)

    return answer


def first_and(first, others):
    """Replies of w0, and of all others."""
    return lambda call: (first if ":10000/" in call.url else others)(call)


def paths(site, worker=0):
    """What a worker was asked, probes left out."""
    base = f"http://127.0.0.1:{10_000 + worker}"
    calls = [call for call in site.transport.calls if call.url.startswith(base)]
    urls = [call.url.removeprefix(base) for call in calls]
    return [url for url in urls if url.startswith("/v1/") and url != "/v1/models"]


def jobs(site):
    """The bodies of all jobs that queen workers were given."""
    return [json.loads(call.body) for call in site.asked if call.url.endswith("/v1/inference")]


def text_of(events):
    choices = [c for e in events if e != "[DONE]" for c in e.get("choices", ())]
    return "".join(c["delta"].get("content", "") if "delta" in c else c["text"] for c in choices)


FLOW = ["/v1/inference", "/v1/inference/7/stream"]


# What is said to whom


async def test_a_chat_comes_as_chunks_of_one_answer(memory):
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        got = await site.ask(CHAT, memory.CHAT, headers={"x-correlation-id": "c7"})
        created = int(site.clock.now() / 1000)
    *chunks, done = got.events()
    choices = [chunk["choices"] for chunk in chunks]
    assert done == "[DONE]"
    assert [
        (choice["delta"], choice["finish_reason"]) for (choice,) in choices
    ] == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "once"}, None),
        ({"content": " upon"}, None),
        ({"content": " a bee"}, None),
        ({}, "stop"),
    ]  # fmt: skip
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["created"] for chunk in chunks} == {created}
    assert {chunk["model"] for chunk in chunks} == {"bee"}
    (answer_id,) = {chunk["id"] for chunk in chunks}
    assert answer_id.startswith("chatcmpl-")
    assert got.answer_headers["content-type"] == "text/event-stream"
    assert got.answer_headers["x-rbee-worker"] == "w0"
    assert paths(site) == FLOW
    assert site.asked[0].headers["x-correlation-id"] == "c7"
    (outcome,) = site.outcomes
    assert (outcome.kind, outcome.finish_reason, outcome.attempts) == ("success", "stop", 1)
    assert outcome.first_token_ms is not None
    assert (site.calls[0].pieces, site.in_flight) == (3, 0)
    assert {reply.closed for reply in site.replies} == {1}


async def test_a_completion_comes_as_its_own_chunks(memory):
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        got = await site.ask(PLAIN, memory.PLAIN)
    *chunks, done = got.events()
    assert done == "[DONE]"
    assert [(chunk["choices"][0]["text"], chunk["object"]) for chunk in chunks] == [
        ("once", "text_completion"),
        (" upon", "text_completion"),
        (" a bee", "text_completion"),
        ("", "text_completion"),
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[0]["id"].startswith("cmpl-")
    assert jobs(site) == [{"prompt": "Hi", "max_tokens": 256, "temperature": 0.7}]


async def test_each_piece_goes_on_at_once(memory):
    """The second piece does not come before the client has the first one."""

    async def once_the_client_has_it():
        while not exchange.pieces:
            await exchange.written.wait()

    exchange = memory.MemoryExchange(PLAIN, memory.PLAIN)
    steps = (*told(b"a"), once_the_client_has_it, *told(b"b"), DONE)
    async with memory.open_site(queen(memory, *steps), queens=(0, 1)) as site:
        with anyio.fail_after(5):
            await site.gateway.handle(exchange)
    assert text_of(exchange.events()) == "ab"


@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_without_stream_it_is_one_answer(memory, path):
    body = (memory.CHAT if path == CHAT else memory.PLAIN) | {"stream": False}
    steps = (*told(*TOKENS, USAGE), DONE)
    async with memory.open_site(queen(memory, *steps), queens=(0, 1)) as site:
        got = await site.ask(path, body)
        created = int(site.clock.now() / 1000)
    answer = got.json()
    (choice,) = answer.pop("choices")
    text = choice["message"].pop("content") if path == CHAT else choice.pop("text")
    assert text == "once upon a bee"
    rest = {"message": {"role": "assistant"}} if path == CHAT else {}
    assert choice == {"index": 0, "logprobs": None, "finish_reason": "stop"} | rest
    prefix, kind = (
        ("chatcmpl-", "chat.completion") if path == CHAT else ("cmpl-", "text_completion")
    )
    assert answer.pop("id").startswith(prefix)
    assert answer == {"created": created, "model": "bee", "object": kind, "usage": COUNTS}
    assert got.answer_headers["content-type"] == "application/json"
    (outcome,) = site.outcomes
    assert (outcome.kind, outcome.usage.prompt_tokens) == ("success", 7)


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({"include_usage": True}, (USAGE,), [COUNTS]),
        ({"include_usage": True}, (), []),
        ({"include_usage": True}, (b'{"usage": {"prompt_tokens": 7}}',), []),
        ({"include_usage": False}, (USAGE,), []),
        (None, (USAGE,), []),
    ],
)
async def test_a_stream_tells_the_usage_when_asked_and_known(memory, options, given, expected):
    steps = (*told(*TOKENS, *given), DONE)
    async with memory.open_site(queen(memory, *steps), queens=(0, 1)) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "stream_options": options})
    found = [chunk for chunk in got.events() if "usage" in chunk]
    assert [chunk["usage"] for chunk in found] == expected
    assert [chunk["choices"] for chunk in found] == [[]] * len(expected)
    assert got.events()[-1] == "[DONE]"


@pytest.mark.parametrize("usage", [(), (USAGE,)])
@pytest.mark.parametrize(("limit", "reason"), [(3, "length"), (4, "stop")])
async def test_an_answer_as_long_as_it_may_be_ended_by_its_length(memory, limit, reason, usage):
    steps = (*told(*TOKENS, *usage), DONE)
    async with memory.open_site(queen(memory, *steps), queens=(0, 1)) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "max_completion_tokens": limit})
    assert got.events()[-2]["choices"][0]["finish_reason"] == reason
    assert jobs(site)[0]["max_tokens"] == limit
    assert site.outcomes[0].finish_reason == reason


async def test_an_answer_without_text_is_whole_too(memory):
    async with memory.open_site(queen(memory, DONE), queens=(0, 1)) as site:
        got = await site.ask(CHAT, memory.CHAT)
    assert [chunk == "[DONE]" or chunk["choices"][0]["delta"] for chunk in got.events()] == [
        {"role": "assistant", "content": ""}, {}, True,
    ]  # fmt: skip
    assert site.outcomes[0].kind == "success"


async def test_messages_become_lines_of_role_and_text(memory):
    parts = [{"type": "text", "text": "Who"}, {"type": "text", "text": " are you?"}]
    messages = [
        {"role": "system", "content": "You are a bee."},
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": "Buzz.", "tool_calls": None, "refusal": None},
        {"role": "user", "content": parts},
    ]
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        await site.ask(CHAT, {**memory.CHAT, "messages": messages})
    assert jobs(site)[0]["prompt"] == (
        "system: You are a bee.\nuser: Hi\nassistant: Buzz.\nuser: Who are you?"
    )


async def test_the_options_it_has_go_over_and_those_that_ask_for_nothing_do_not(memory):
    said = {"max_tokens": 9, "temperature": 0, "top_p": 0.5, "top_k": 40}
    nothing = {
        "n": 1, "best_of": None, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "logprobs": False, "top_logprobs": 0, "stop": [], "seed": None, "tools": [], "echo": False,
        "tool_choice": "auto", "response_format": {"type": "text"}, "suffix": "", "user": "ann",
        "metadata": {"a": "b"}, "modalities": ["text"], "parallel_tool_calls": True,
    }  # fmt: skip
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        got = await site.ask(PLAIN, memory.PLAIN | said | nothing)
    assert got.status == 200
    assert jobs(site) == [{"prompt": "Hi", **said}]


@pytest.mark.parametrize("off", [0, -1])
async def test_a_top_k_that_is_off_is_left_out(memory, off):
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        await site.ask(PLAIN, {**memory.PLAIN, "top_k": off})
    assert "top_k" not in jobs(site)[0]


async def test_half_an_emoji_arrives_as_it_is(memory):
    steps = (*told(b'{"text": "\\ud83d"}', b'{"text": "\\udc1d"}'), DONE)
    async with memory.open_site(queen(memory, *steps), queens=(0, 1)) as site:
        streamed = await site.ask(CHAT, memory.CHAT)
        whole = await site.ask(CHAT, {**memory.CHAT, "stream": False})
    assert text_of(streamed.events()) == "\ud83d\udc1d"
    assert len(whole.json()["choices"][0]["message"]["content"]) in {1, 2}


# What the protocol does not have


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
LACKING = [
    (CHAT, {"tools": [{"type": "function"}]}, "$.tools"),
    (CHAT, {"tool_choice": "required"}, "$.tool_choice"),
    (CHAT, {"logprobs": True}, "$.logprobs"),
    (PLAIN, {"logprobs": 0}, "$.logprobs"),
    (CHAT, {"n": 2}, "$.n"),
    (CHAT, {"n": True}, "$.n"),
    (CHAT, {"stop": ["\n"]}, "$.stop"),
    (CHAT, {"seed": 7}, "$.seed"),
    (CHAT, {"response_format": {"type": "json_object"}}, "$.response_format"),
    (CHAT, {"frequency_penalty": 0.5}, "$.frequency_penalty"),
    (CHAT, {"min_p": 0.1}, "$.min_p"),
    (CHAT, {"x" * 1000: 0.1}, "$." + "x" * 100),
    (CHAT, {"top_k": "many"}, "$.top_k"),
    (CHAT, {"max_tokens": -1}, "$.max_tokens"),
    (CHAT, {"messages": [{"role": "user", "content": IMAGE}]}, "$.messages[0].content"),
    (CHAT, {"messages": [{"role": "tool", "content": "1", "tool_call_id": "a"}]},
     "$.messages[0].tool_call_id"),
    (CHAT, {"messages": [{"role": "assistant", "content": None}]}, "$.messages[0].content"),
    (CHAT, {"messages": "Hi"}, "$.messages"),
    (CHAT, {"messages": ["Hi"]}, "$.messages"),
    (PLAIN, {"prompt": ["a", "b"]}, "$.prompt"),
    (PLAIN, {"prompt": [1, 2]}, "$.prompt"),
    (PLAIN, {"echo": True}, "$.echo"),
    (PLAIN, {"suffix": "the end"}, "$.suffix"),
    ("/v1/embeddings", {"input": "Hi"}, "$.model"),
    ("/v1/responses", {"input": "Hi"}, "$.model"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more", "param"), LACKING)
async def test_what_no_worker_can_express_is_a_422_that_names_it(memory, path, more, param):
    bodies = {CHAT: memory.CHAT, PLAIN: memory.PLAIN}
    body = bodies.get(path, {"model": "bee"}) | more
    async with memory.open_site(queen(memory, *STORY), queens=(0, 1)) as site:
        got = await site.ask(path, body)
    error = got.error()
    assert (got.status, error["code"]) == (422, "UNPROCESSABLE_REQUEST")
    assert error["param"] == param
    assert (path if param == "$.model" else param.removeprefix("$.")) in error["message"]
    assert (site.asked, site.outcomes) == ([], [])


@pytest.mark.parametrize(("path", "more", "param"), LACKING)
async def test_what_some_workers_can_express_goes_to_those(memory, path, more, param):
    del param
    bodies = {CHAT: memory.CHAT, PLAIN: memory.PLAIN}
    body = bodies.get(path, {"model": "bee"}) | more
    answers = first_and(queen(memory, *STORY), lambda _: memory.whole({"ok": 1}))
    async with memory.open_site(answers, queens=(0,)) as site:
        for _ in range(3):
            got = await site.ask(path, body)
            assert (got.status, got.json()) == (200, {"ok": 1})
    assert paths(site) == []
    assert {call.body for call in site.asked} == {json.dumps(body).encode()}
    assert [(outcome.worker_id, outcome.attempts) for outcome in site.outcomes] == [("w1", 1)] * 3


async def test_many_queen_workers_do_not_hide_the_one_that_can(memory):
    """None of them counts as a try, of which a request has five."""
    answers = queen(memory, *STORY)

    def answer(call):
        return memory.whole({"ok": 1}) if ":10009/" in call.url else answers(call)

    async with memory.open_site(answer, workers=10, queens=range(9)) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "n": 2})
    assert got.json() == {"ok": 1}
    assert site.gateway.scheduler.statistics().retries == 0


async def test_it_waits_for_one_that_can_though_a_queen_worker_is_free(memory):
    release = anyio.Event()

    async def held(_):
        await release.wait()
        return memory.whole({"ok": 1})

    answers = first_and(queen(memory, *STORY), held)
    body = {**memory.CHAT, "n": 2}
    async with (
        memory.open_site(answers, queens=(0,), fields={"slots": 1}) as site,
        anyio.create_task_group() as tasks,
    ):
        exchanges = [memory.MemoryExchange(CHAT, body) for _ in range(2)]
        for exchange in exchanges:
            tasks.start_soon(site.gateway.handle, exchange)
        await site.clock.run_for(0)
        assert site.gateway.scheduler.statistics().queued == 1
        # One that it can serve is served meanwhile.
        assert text_of((await site.ask(CHAT, memory.CHAT)).events()) == "once upon a bee"
        release.set()
        for exchange in exchanges:
            await exchange.over.wait()
            assert exchange.json() == {"ok": 1}
    assert paths(site) == FLOW


async def test_when_those_that_can_are_away_it_is_a_503_that_says_why(memory):
    answers = first_and(queen(memory, *STORY), lambda _: memory.whole({"ok": 1}))
    async with memory.open_site(answers, queens=(0,)) as site:
        site.gateway.registry.drain("w1")
        got = await site.ask(CHAT, {**memory.CHAT, "tools": [{}]})
        assert (got.status, got.error()["code"]) == (503, "NO_WORKERS_AVAILABLE")
        assert "queen protocol, which can't express tools" in got.error()["message"]
        assert (await site.ask(CHAT, memory.CHAT)).status == 200
    assert paths(site) == FLOW


async def test_the_first_queen_worker_does_not_get_who_waited_for_another_kind(memory):
    """Nothing was filtered when the request began to wait: there was nothing to filter."""

    async def held(_):
        await anyio.sleep_forever()

    options = {"workers": 1, "fields": {"slots": 1}}
    async with memory.open_site(held, **options) as site, anyio.create_task_group() as tasks:
        first, second = (memory.MemoryExchange(CHAT, {**memory.CHAT, "n": 2}) for _ in range(2))
        tasks.start_soon(site.gateway.handle, first)
        await site.clock.run_for(0)
        tasks.start_soon(site.gateway.handle, second)
        await site.clock.run_for(0)
        late = Worker(id="late", url="http://127.0.0.1:10001", model="bee", protocol="queen")
        site.gateway.registry.add(late)
        await second.over.wait()
        assert (second.status, second.error()["retryable"]) == (503, True)
        assert second.answer_headers["retry-after"] == "1"
        assert site.gateway.registry.failures("late") == 0
        assert len(site.asked) == 1
        tasks.cancel_scope.cancel()


async def test_a_dry_run_leaves_them_out_as_well(memory):
    answers = queen(memory, *STORY)
    async with memory.open_site(answers, queens=(0,)) as site:
        plain = await site.ask("/v1/route", memory.CHAT)
        tools = await site.ask("/v1/route", {**memory.CHAT, "tools": [{}]})
    assert (plain.json()["worker_id"], tools.json()["worker_id"]) == ("w0", "w1")
    assert "can't express tools" in tools.answer.decode()


# Faults


def failing(memory, how):
    """Replies of a queen worker that fails before its first piece of text."""
    submit = {
        "refused": lambda: REFUSED,
        "500": lambda: memory.whole({}, 500),
        "no job": lambda: memory.whole({"ok": 1}),
        "no json": lambda: memory.whole(b"<html>"),
        "elsewhere": lambda: memory.whole({"job_id": "7", "sse_url": "http://evil/s"}),
        "cut job": lambda: MemoryResponse(
            [b'{"job', REFUSED], headers={"content-type": "application/json"}
        ),
    }
    follow = {
        "stream refused": lambda: REFUSED,
        "stream 503": lambda: memory.whole({}, 503),
        "cut": lambda: memory.stream(b"data: on", REFUSED),
        "empty": memory.stream,
        "error": lambda: memory.stream(*told(b'{"error": "out of memory"}')),
        "started, error": lambda: memory.stream(
            *told(b'{"type": "started"}', b'{"error": {"message": "out of memory"}}')
        ),
        "gzip": lambda: memory.stream(
            b"\x1f", headers={"content-type": "text/event-stream", "content-encoding": "gzip"}
        ),
    }
    sound = queen(memory)

    def answer(call):
        if call.url.endswith("/v1/inference") and how in submit:
            return submit[how]()
        if call.url.endswith("/stream"):
            return follow[how]()
        return sound(call)

    return answer, how in follow or how == "elsewhere"


FAILURES = [
    "refused", "500", "no job", "no json", "elsewhere", "cut job", "stream refused", "stream 503",
    "cut", "empty", "error", "started, error", "gzip",
]  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", FAILURES)
async def test_the_next_worker_serves_when_one_fails_before_its_first_piece(memory, how, stream):
    answer, has_job = failing(memory, how)
    answers = first_and(answer, queen(memory, *STORY))
    async with memory.open_site(answers, queens=(0, 1)) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "stream": stream})
    if stream:
        assert text_of(got.events()) == "once upon a bee"
        assert got.events().count("[DONE]") == 1
    else:
        assert got.json()["choices"][0]["message"]["content"] == "once upon a bee"
    assert got.answer_headers["x-rbee-worker"] == "w1"
    assert [(outcome.kind, outcome.attempts) for outcome in site.outcomes] == [("success", 2)]
    assert ("/v1/cancel" in paths(site)) == has_job  # nobody wants that job any more
    assert {reply.closed for reply in site.replies} == {1}
    assert site.in_flight == 0


async def test_workers_of_both_kinds_stand_in_for_each_other(memory):
    healthy = memory.chunk("buzz", "stop") + memory.DONE

    def openai(_):
        return memory.stream(healthy)

    async with memory.open_site(
        first_and(failing(memory, "error")[0], openai), queens=(0,)
    ) as site:
        assert (await site.ask(CHAT, memory.CHAT)).answer == healthy

    def broken(_):
        return memory.whole({}, 500)

    async with memory.open_site(first_and(broken, queen(memory, *STORY)), queens=(1,)) as site:
        assert text_of((await site.ask(CHAT, memory.CHAT)).events()) == "once upon a bee"


@pytest.mark.parametrize("end", ["cut", "half", "error", "1.0"])
@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_a_cut_stream_ends_with_exactly_one_error_event(memory, path, end):
    ways = {
        "cut": (REFUSED,),
        "half": (b"data: up",),
        "error": told(b'{"error": "oom"}'),
        "1.0": (),
    }
    steps = (*told(b"once"), *ways[end])
    answers = queen(memory, *steps, close_delimited=end == "1.0")
    body = memory.CHAT if path == CHAT else memory.PLAIN
    async with memory.open_site(answers, queens=(0, 1)) as site:
        got = await site.ask(path, body)
        events = got.events()
        assert text_of(events[:-1]) == "once"
        code = "WORKER_ERROR" if end == "error" else "STREAM_READ_ERROR"
        assert events[-1]["error"]["code"] == code
        assert sum("error" in event for event in events) == 1
        assert "[DONE]" not in events
        assert paths(site) == [*FLOW, "/v1/cancel"]
        assert [outcome.kind for outcome in site.outcomes] == ["error"]
        assert site.calls[0].error.code == code
        assert site.in_flight == 0


async def test_a_connection_lost_before_the_end_of_a_whole_answer_is_no_answer(memory):
    answers = queen(memory, *told(b"once"), REFUSED)
    retry = RetryConfig(max_attempts=2)
    async with memory.open_site(answers, queens=(0, 1), retry=retry) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "stream": False})
    assert (got.status, got.error()["code"]) == (502, "STREAM_READ_ERROR")


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_workers_own_refusal_is_passed_on_in_the_apis_shape(memory, status, stream):
    async with memory.open_site(
        lambda _: memory.whole({"why": "too long"}, status), queens=(0, 1)
    ) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "stream": stream})
    assert (got.status, got.error()["code"]) == (status, "WORKER_ERROR")
    assert "too long" in got.error()["message"]
    assert got.answer_headers["x-rbee-worker"] == "w0"
    assert len(site.asked) == 1
    assert [outcome.kind for outcome in site.outcomes] == ["error"]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_that_it_refuses_the_gateway_is_no_status_of_the_clients(memory, status):
    async with memory.open_site(lambda _: memory.whole({}, status), queens=(0, 1)) as site:
        got = await site.ask(CHAT, memory.CHAT)
    assert (got.status, got.error()["code"]) == (502, "WORKER_ERROR")


async def test_a_whole_answer_has_a_limit(memory):
    answers = first_and(queen(memory, *told(*[b"x" * 300] * 4), DONE), queen(memory, *STORY))
    limits = LimitsConfig(max_answer_bytes=1000)
    async with memory.open_site(answers, queens=(0, 1), limits=limits) as site:
        got = await site.ask(CHAT, {**memory.CHAT, "stream": False})
    assert got.json()["choices"][0]["message"]["content"] == "once upon a bee"
    assert paths(site) == [*FLOW, "/v1/cancel"]


# Time, and leaving


async def running(memory, site, tasks, body=None, path=CHAT, **options):
    """Start a request; return its exchange once it waits."""
    exchange = memory.MemoryExchange(path, body or memory.CHAT, **options)
    tasks.start_soon(site.gateway.handle, exchange)
    await site.clock.run_for(0)
    return exchange


@pytest.mark.parametrize("stream", [True, False])
async def test_silence_before_the_first_event_sends_it_to_the_next_worker(memory, stream):
    answers = first_and(queen(memory, anyio.sleep_forever), queen(memory, *STORY))
    async with (
        memory.open_site(answers, queens=(0, 1), timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks, {**memory.CHAT, "stream": stream})
        await site.clock.run_for(29.9)
        assert not paths(site, 1)
        await site.clock.run_for(0.2)
        assert exchange.ended
        assert b"once" in exchange.answer
        assert paths(site) == [*FLOW, "/v1/cancel"]


async def test_silence_between_events_ends_the_stream_with_one_error_event(memory):
    steps = (*told(b"once"), lambda: site.clock.sleep(9), *told(b" upon"), anyio.sleep_forever)
    async with (
        memory.open_site(queen(memory, *steps), queens=(0, 1), timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks)
        await site.clock.run_for(9 + 9.9)
        assert not exchange.ended
        await site.clock.run_for(5.2)
        assert exchange.ended
        assert exchange.events()[-1]["error"]["code"] == "WORKER_TIMEOUT"
        assert site.outcomes[0].kind == "timeout"
        assert site.in_flight == 0


async def test_a_whole_answer_may_take_as_long_as_its_worker_goes_on(memory):
    steps = []
    for _ in range(40):
        steps += [lambda: site.clock.sleep(9), *told(b"x")]
    async with (
        memory.open_site(queen(memory, *steps, DONE), queens=(0, 1), timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks, {**memory.CHAT, "stream": False})
        await site.clock.run_for(361)
        assert exchange.json()["choices"][0]["message"]["content"] == "x" * 40


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("way", ["leaves", "is cancelled", "is late", "service stops"])
async def test_a_worker_is_told_when_nobody_waits_any_more(memory, way, stream):
    answers = queen(memory, *told(b"once"), anyio.sleep_forever)
    codes = {
        "is cancelled": "CANCELLED",
        "is late": "DEADLINE_EXCEEDED",
        "service stops": "SHUTTING_DOWN",
    }
    headers = {"x-deadline-ms": "2000"} if way == "is late" else {}
    async with memory.open_site(answers, queens=(0, 1)) as site:
        async with anyio.create_task_group() as tasks:
            body = {**memory.CHAT, "stream": stream}
            exchange = await running(memory, site, tasks, body, headers=headers)
            assert site.in_flight == 1
            if way == "leaves":
                tasks.cancel_scope.cancel()
            elif way == "is cancelled":
                (job_id,) = site.gateway.scheduler._active
                assert site.gateway.scheduler.cancel(job_id)
            elif way == "is late":
                await site.clock.run_for(2.1)
            else:
                site.gateway.end_all()
            if way != "leaves":
                await exchange.over.wait()
        assert paths(site) == [*FLOW, "/v1/cancel"]
        assert json.loads(site.asked[-1].body) == {"job_id": "7"}
        assert site.in_flight == 0
        assert {reply.closed for reply in site.replies} == {1}
    if way == "leaves":
        assert not exchange.ended
    else:
        error = exchange.events()[-1]["error"] if stream else exchange.error()
        assert error["code"] == codes[way]
    kind = "timeout" if way == "is late" else "cancelled"
    assert [outcome.kind for outcome in site.outcomes] == [kind]


async def test_a_client_that_leaves_while_the_job_is_handed_in_leaves_nothing(memory):
    async def never(_):
        await anyio.sleep_forever()

    async with memory.open_site(never, queens=(0, 1)) as site:
        async with anyio.create_task_group() as tasks:
            await running(memory, site, tasks)
            tasks.cancel_scope.cancel()
        assert paths(site) == ["/v1/inference"]
        assert site.in_flight == 0
        assert [outcome.kind for outcome in site.outcomes] == ["cancelled"]


async def test_a_queued_request_that_leaves_asks_no_worker(memory):
    answers = queen(memory, anyio.sleep_forever)
    options = {"workers": 1, "queens": (0,), "fields": {"slots": 1}}
    async with memory.open_site(answers, **options) as site, anyio.create_task_group() as others:
        await running(memory, site, others)
        async with anyio.create_task_group() as tasks:
            await running(memory, site, tasks)
            tasks.cancel_scope.cancel()
        assert paths(site) == FLOW
        others.cancel_scope.cancel()


async def test_the_time_a_client_takes_is_not_its_workers_silence(memory):
    """The client takes 9 of 10 s for the first piece; then the worker has 10 of its own."""
    reading = anyio.Event()

    async def slowly(exchange):
        if len(exchange.pieces) == 1:
            await reading.wait()

    steps = (*told(b"a"), lambda: site.clock.sleep(9), *told(b"b"), DONE)
    async with (
        memory.open_site(queen(memory, *steps), queens=(0, 1), timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks, on_write=slowly)
        await site.clock.run_for(9)
        reading.set()
        await site.clock.run_for(9.1)
        assert text_of(exchange.events()) == "ab"
        assert [outcome.kind for outcome in site.outcomes] == ["success"]


async def test_a_client_that_takes_nothing_is_cancelled_and_no_worker_blamed(memory):
    reading = anyio.Event()

    async def slowly(exchange):
        if len(exchange.pieces) == 1:
            await reading.wait()

    async with (
        memory.open_site(queen(memory, *STORY), queens=(0, 1), timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        await running(memory, site, tasks, on_write=slowly)
        await site.clock.run_for(29)
        assert [outcome.kind for outcome in site.outcomes] == ["cancelled"]
        assert site.gateway.registry.failures("w0") == 0
        assert site.in_flight == 0
        reading.set()


async def test_a_slow_client_of_a_whole_answer_holds_no_slot(memory):
    reading = anyio.Event()

    async def slowly(_):
        await reading.wait()

    answers = queen(memory, *STORY)
    async with memory.open_site(answers, queens=(0, 1)) as site, anyio.create_task_group() as tasks:
        body = {**memory.CHAT, "stream": False}
        exchange = await running(memory, site, tasks, body, on_write=slowly)
        assert exchange.ended
        assert site.in_flight == 0
        reading.set()


async def test_when_all_are_full_and_nobody_may_wait_it_is_429(memory):
    answers = queen(memory, anyio.sleep_forever)
    options = {"workers": 1, "queens": (0,), "fields": {"slots": 1}}
    async with (
        memory.open_site(answers, queue=QueueConfig(capacity=0), **options) as site,
        anyio.create_task_group() as tasks,
    ):
        await running(memory, site, tasks)
        got = await site.ask(CHAT, memory.CHAT)
        assert (got.status, got.error()["code"]) == (429, "CAPACITY_EXCEEDED")
        tasks.cancel_scope.cancel()


# Going on after a cut


RESUME = {"x-rbee-resume": "true"}


@pytest.mark.parametrize("limit", [None, 6])
async def test_a_cut_completion_goes_on_at_another_queen_worker(memory, limit):
    answers = first_and(
        queen(memory, *told(b" once", b" upon"), REFUSED), queen(memory, *told(b" a time"), DONE)
    )
    body = memory.PLAIN | ({} if limit is None else {"max_tokens": limit})
    async with memory.open_site(answers, queens=(0, 1)) as site:
        got = await site.ask(PLAIN, body, headers=RESUME)
    events = got.events()
    assert text_of(events) == " once upon a time"
    assert len({event["id"] for event in events[:-1]}) == 1
    assert [event for event in events if event == "[DONE]"] == events[-1:]
    asked = [(job["prompt"], job["max_tokens"]) for job in jobs(site)]
    assert asked == [("Hi", limit or 256), ("Hi once upon", 4 if limit else 256)]
    assert [(outcome.kind, outcome.attempts) for outcome in site.outcomes] == [("success", 2)]


@pytest.mark.parametrize("first", ["queen", "openai"])
async def test_a_cut_completion_goes_on_at_a_worker_of_the_other_kind(memory, first):
    def openai(*events):
        return lambda _: memory.stream(*events)

    if first == "queen":
        rest = openai(memory.piece(" a time", "stop"), memory.DONE)
        answers = first_and(queen(memory, *told(b" once", b" upon"), REFUSED), rest)
    else:
        cut = openai(memory.piece(" once"), memory.piece(" upon"), REFUSED)
        answers = first_and(cut, queen(memory, *told(b" a time"), DONE))
    async with memory.open_site(answers, queens=(0,) if first == "queen" else (1,)) as site:
        got = await site.ask(PLAIN, {**memory.PLAIN, "max_tokens": 9}, headers=RESUME)
    assert text_of(got.events()) == " once upon a time"
    assert got.events()[-1] == "[DONE]"
    last = next(call for call in reversed(site.asked) if not call.url.endswith("/v1/cancel"))
    asked = json.loads(last.body)
    assert (asked["prompt"], asked["max_tokens"]) == ("Hi once upon", 7)


async def test_nobody_goes_on_in_a_chat(memory):
    answers = queen(memory, *told(b"once"), REFUSED)
    async with memory.open_site(answers, queens=(0, 1)) as site:
        got = await site.ask(CHAT, memory.CHAT, headers=RESUME)
    assert got.events()[-1]["error"]["code"] == "STREAM_READ_ERROR"
    assert paths(site, 1) == []
