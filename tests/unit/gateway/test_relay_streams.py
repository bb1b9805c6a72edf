"""Streams: every byte at once and in order, one end, and nobody's slot held for nothing."""

import json
from itertools import pairwise

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbee_scheduler import (
    Hold,
    LimitsConfig,
    QueueConfig,
    RetryConfig,
    TimeoutConfig,
    WorkerCommunicationFailed,
)
from rbee_scheduler.testing._memory import MemoryResponse


URL = "/v1/chat/completions"
TIMEOUT = TimeoutConfig(first_token=30, idle=10, total=1000)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def cut():
    return WorkerCommunicationFailed("reset by peer")


def healthy(memory):
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    return (
        memory.chunk(None),
        memory.chunk("a [DONE] of"),
        b": ping\n\n",
        memory.chunk(' "usage" and "error"'),
        memory.chunk("", "stop"),
        memory.event({"choices": [], "usage": usage}),
        memory.DONE,
    )


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_healthy_stream_arrives_byte_for_byte(memory, data):
    sent = b"".join(healthy(memory))
    if data.draw(st.booleans(), label="crlf"):
        sent = sent.replace(b"\n", b"\r\n")
    if data.draw(st.booleans(), label="no blank line at the end"):
        sent = sent.rstrip(b"\r\n")
    places = data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=10, unique=True))
    edges = [0, *sorted(places), len(sent)]
    parts = [sent[a:b] for a, b in pairwise(edges)]
    async with memory.open_site(lambda _: memory.stream(*parts), workers=1) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.answer == sent
    assert all(piece.endswith((b"\n\n", b"\r\n\r\n")) for piece in got.pieces[:-1])
    (outcome,) = site.outcomes
    assert (outcome.kind, outcome.finish_reason, outcome.attempts) == ("success", "stop", 1)
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (7, 2)


async def test_each_event_goes_on_at_once(memory):
    """The second event does not come before the client has the first one."""

    async def once_the_client_has_it():
        while exchange.pieces != [first]:
            await exchange.written.wait()

    first = memory.chunk("a")
    exchange = memory.MemoryExchange(URL, memory.CHAT)
    steps = (first, once_the_client_has_it, memory.chunk("b", "stop"), memory.DONE)
    async with memory.open_site(lambda _: memory.stream(*steps)) as site:
        with anyio.fail_after(5):
            await site.gateway.handle(exchange)
    assert exchange.answer_headers["content-type"] == "text/event-stream"
    assert exchange.answer_headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("failing", ["refused", "500", "429", "cut", "empty", "pings 1.0", "error"])
async def test_the_next_worker_serves_when_one_fails_before_its_first_event(memory, failing):
    def answer(call):
        if ":10000/" not in call.url:
            return memory.stream(*healthy(memory))
        replies = {
            "refused": cut,
            "cut": lambda: memory.stream(b'data: {"cho', cut()),
            "empty": memory.stream,
            "pings 1.0": lambda: memory.stream(b": ping", close_delimited=True),
            "error": lambda: memory.stream(memory.event({"error": {"message": "out of memory"}})),
        }
        return replies.get(failing, lambda: memory.whole({}, int(failing)))()

    async with memory.open_site(answer) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.answer == b"".join(healthy(memory))
    assert got.answer_headers["x-rbee-worker"] == "w1"
    assert [outcome.attempts for outcome in site.outcomes] == [2]
    assert {reply.closed for reply in site.replies} == {1}


SHAPES = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/v1/completions", {"prompt": "Hi"}),
    ("/v1/responses", {"input": "Hi"}),
]


@pytest.mark.parametrize(("path", "body"), SHAPES)
@pytest.mark.parametrize("end", ["cut", "half an event", "1.0"])
async def test_a_cut_stream_ends_with_exactly_one_error_event(memory, path, body, end):
    half = b'data: {"choices": [{"del'
    ways = {"cut": (half, cut()), "half an event": (half,), "1.0": ()}
    first = memory.event({"choices": [{"index": 0, "delta": {"content": "a"}}]})

    def answer(_):
        return memory.stream(first, *ways[end], close_delimited=end == "1.0")

    async with memory.open_site(answer) as site:
        got = await site.ask(path, {"model": "bee", "stream": True} | body)
    assert got.status == 200
    assert got.answer.startswith(first)
    assert half not in got.answer
    assert got.answer.endswith(b"\n\n")
    (error,) = got.events()[1:]
    if path == "/v1/responses":
        assert got.answer[len(first) :].startswith(b"event: error\n")
        assert (error["type"], error["code"]) == ("error", "STREAM_READ_ERROR")
        assert error["message"]
    else:
        assert error["error"]["code"] == "STREAM_READ_ERROR"
        assert error["error"]["type"] == "server_error"
    assert len(site.asked) == 1
    assert [outcome.kind for outcome in site.outcomes] == ["error"]
    assert site.calls[0].error.code == "STREAM_READ_ERROR"
    assert site.in_flight == 0


async def test_a_workers_own_error_event_is_the_only_one(memory):
    own = memory.event({"error": {"code": 500, "message": "out of memory"}})

    def answer(_):
        return memory.stream(memory.chunk("a"), own, cut())

    async with memory.open_site(answer) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.answer == memory.chunk("a") + own
    assert [outcome.kind for outcome in site.outcomes] == ["error"]
    assert "out of memory" in site.outcomes[0].error.message


async def test_a_connection_lost_after_the_finish_is_no_error(memory):
    sent = healthy(memory)[:5]
    async with memory.open_site(lambda _: memory.stream(*sent, cut())) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.answer == b"".join(sent)
    assert [outcome.kind for outcome in site.outcomes] == ["success"]


async def test_one_finish_of_two_choices_does_not_hide_a_cut(memory):
    sent = (memory.chunk("a"), memory.chunk("b", "stop", index=1))
    async with memory.open_site(lambda _: memory.stream(*sent, cut())) as site:
        got = await site.ask(URL, {**memory.CHAT, "n": 2})
    assert got.events()[-1]["error"]["code"] == "STREAM_READ_ERROR"


async def test_a_4xx_instead_of_a_stream_is_passed_on(memory):
    error = {"error": {"code": 400, "type": "exceed_context_size_error"}}
    async with memory.open_site(lambda _: memory.whole(error, 400)) as site:
        got = await site.ask(URL, memory.CHAT)
    assert (got.status, got.json()) == (400, error)


async def test_a_compressed_stream_is_left_for_the_next_worker(memory):
    def answer(call):
        headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
        if ":10000/" in call.url:
            return MemoryResponse([b"\x1f\x8b"], headers=headers)
        return memory.stream(*healthy(memory))

    async with memory.open_site(answer) as site:
        assert (await site.ask(URL, memory.CHAT)).answer == b"".join(healthy(memory))


async def running(memory, site, tasks, body=None, **options):
    """Start a request; return its exchange once it waits."""
    exchange = memory.MemoryExchange(URL, body or memory.CHAT, **options)
    tasks.start_soon(site.gateway.handle, exchange)
    await site.clock.run_for(0)
    return exchange


async def test_silence_before_the_first_event_sends_it_to_the_next_worker(memory):
    def answer(call):
        steps = [anyio.sleep_forever] if ":10000/" in call.url else healthy(memory)
        return memory.stream(*steps)

    async with (
        memory.open_site(answer, timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks)
        await site.clock.run_for(29.9)
        assert len(site.asked) == 1
        await site.clock.run_for(0.2)
        assert exchange.answer == b"".join(healthy(memory))
        assert site.replies[0].closed == 1


async def test_silence_between_events_ends_the_stream_after_1_to_1_5_times_the_limit(memory):
    def answer(_):
        return memory.stream(
            memory.chunk("a"), lambda: site.clock.sleep(9), memory.chunk("b"), anyio.sleep_forever
        )

    async with (
        memory.open_site(answer, timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks)
        await site.clock.run_for(9 + 9.9)
        assert exchange.answer == memory.chunk("a") + memory.chunk("b")
        assert not exchange.ended
        await site.clock.run_for(5.2)
        assert exchange.events()[-1]["error"]["code"] == "WORKER_TIMEOUT"
        assert exchange.ended
        assert site.in_flight == 0
    assert site.outcomes[0].kind == "timeout"


async def test_a_deadline_ends_a_stream_with_one_error_event(memory):
    def answer(_):
        return memory.stream(memory.chunk("a"), anyio.sleep_forever)

    async with memory.open_site(answer) as site, anyio.create_task_group() as tasks:
        exchange = await running(memory, site, tasks, headers={"x-deadline-ms": "2000"})
        await site.clock.run_for(2.1)
        assert [*exchange.events()][-1]["error"]["code"] == "DEADLINE_EXCEEDED"
        assert exchange.ended


async def test_a_queued_request_is_cancelled_by_its_id(memory):
    def answer(_):
        return memory.stream(memory.chunk("a"), anyio.sleep_forever)

    options = {"workers": 1, "fields": {"slots": 1}}
    async with memory.open_site(answer, **options) as site, anyio.create_task_group() as tasks:
        first = await running(memory, site, tasks)
        second = await running(memory, site, tasks)
        scheduler = site.gateway.scheduler
        assert scheduler.statistics().queued == 1
        streaming, queued = scheduler._active
        assert scheduler.cancel(queued)
        await second.over.wait()
        assert (second.status, second.error()["code"]) == (499, "CANCELLED")
        assert scheduler.cancel(streaming)
        await first.over.wait()
        assert first.events()[-1]["error"]["code"] == "CANCELLED"
        await site.clock.run_for(0)
        assert (site.in_flight, scheduler.statistics().queued) == (0, 0)
        assert [reply.closed for reply in site.replies] == [1]


async def test_a_queued_request_gives_up_in_time(memory):
    def answer(_):
        return memory.stream(memory.chunk("a"), anyio.sleep_forever)

    options = {"workers": 1, "fields": {"slots": 1}, "queue": QueueConfig(timeout=5)}
    async with memory.open_site(answer, **options) as site, anyio.create_task_group() as tasks:
        await running(memory, site, tasks)
        second = await running(memory, site, tasks)
        await site.clock.run_for(5.1)
        assert second.status in {429, 503}
        assert "retry-after" in second.answer_headers or second.error()["retryable"]
        assert site.outcomes[0].kind in {"timeout", "rejected"}
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("when", ["queued", "before the head", "streaming"])
async def test_a_client_that_leaves_frees_everything_at_once(memory, when):
    def answer(_):
        first = () if when == "before the head" else (memory.chunk("a"),)
        return memory.stream(*first, anyio.sleep_forever)

    options = {"workers": 1, "fields": {"slots": 1}}
    async with memory.open_site(answer, **options) as site, anyio.create_task_group() as others:
        if when == "queued":
            await running(memory, site, others)
        async with anyio.create_task_group() as tasks:
            exchange = await running(memory, site, tasks)
            tasks.cancel_scope.cancel()
        assert not exchange.ended
        assert site.outcomes[0].kind == "cancelled"
        assert site.in_flight == (when == "queued")
        assert site.gateway.scheduler.statistics().queued == 0
        if when != "queued":
            assert [reply.closed for reply in site.replies] == [1]
        others.cancel_scope.cancel()


async def test_a_slow_client_is_not_the_workers_fault(memory):
    reading = anyio.Event()

    async def slowly(exchange):
        if len(exchange.pieces) == 1:
            await reading.wait()

    def answer(_):
        return memory.stream(*healthy(memory))

    async with (
        memory.open_site(answer, timeout=TIMEOUT) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks, on_write=slowly)
        await site.clock.run_for(9)
        assert exchange.pieces == [memory.chunk(None)]
        assert len(site.replies) == 1
        await site.clock.run_for(20)
        assert [outcome.kind for outcome in site.outcomes] == ["cancelled"]
        assert site.replies[0].closed == 1
        assert site.in_flight == 0
        reading.set()


async def test_a_slow_client_stops_the_reading_of_its_worker(memory):
    reading = anyio.Event()
    read = []

    async def slowly(_):
        await reading.wait()

    def answer(_):
        steps = []
        for n in range(5):
            steps += [lambda n=n: note(n), memory.chunk("x" * 1000)]
        return memory.stream(*steps, memory.chunk("", "stop"), memory.DONE)

    async def note(n):
        read.append(n)

    async with memory.open_site(answer) as site, anyio.create_task_group() as tasks:
        exchange = await running(memory, site, tasks, on_write=slowly)
        assert read == [0]
        reading.set()
        await exchange.over.wait()
        assert read == [0, 1, 2, 3, 4]


async def test_a_worker_that_holds_on_after_done_costs_neither_answer_nor_outcome(memory):
    """It gets 5 s to end its body; then its connection is closed, and nobody is to blame."""

    def answer(_):
        return memory.stream(*healthy(memory), anyio.sleep_forever)

    timeout = TimeoutConfig(idle=1)
    async with (
        memory.open_site(answer, timeout=timeout) as site,
        anyio.create_task_group() as tasks,
    ):
        exchange = await running(memory, site, tasks)
        assert exchange.ended
        await site.clock.run_for(5.1)
        assert exchange.answer == b"".join(healthy(memory))
        assert [outcome.kind for outcome in site.outcomes] == ["success"]
        assert site.replies[0].closed == 1
        assert site.calls[0].error is None


@pytest.mark.parametrize("after", ["cut", "more"])
async def test_what_comes_after_done_is_nobodys(memory, after):
    more = (cut(),) if after == "cut" else (memory.chunk("more"), b": bye\n\n")
    async with memory.open_site(lambda _: memory.stream(*healthy(memory), *more)) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.answer == b"".join(healthy(memory))
    assert [outcome.kind for outcome in site.outcomes] == ["success"]


async def test_cancelled_after_done_is_a_success(memory):
    def answer(_):
        return memory.stream(*healthy(memory), anyio.sleep_forever)

    async with memory.open_site(answer) as site, anyio.create_task_group() as tasks:
        exchange = await running(memory, site, tasks)
        site.gateway.scheduler.cancel_all()
        await site.clock.run_for(0)
        assert exchange.answer == b"".join(healthy(memory))
        assert [outcome.kind for outcome in site.outcomes] == ["success"]
        assert site.calls[0].error is None


async def test_stopping_ends_streams_with_one_error_event(memory):
    def answer(_):
        return memory.stream(memory.chunk("a"), anyio.sleep_forever)

    async with memory.open_site(answer) as site, anyio.create_task_group() as tasks:
        exchange = await running(memory, site, tasks)
        site.gateway.end_all()
        await exchange.over.wait()
        assert exchange.events()[1:] == [exchange.events()[-1]]
        assert exchange.events()[-1]["error"]["code"] == "SHUTTING_DOWN"


async def test_tokens_are_counted_as_they_stream(memory):
    """An event with data is one token as far as the relay tells; comments and [DONE] are none."""
    counted = []

    async with memory.open_site(lambda _: memory.stream(*healthy(memory))) as site:
        real = Hold.streamed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Hold, "streamed", lambda self, tokens: (counted.append(tokens), real(self, tokens))
            )
            await site.ask(URL, memory.CHAT)
    assert counted == [1, 1, 0, 1, 1, 1, 0]
    assert site.outcomes[0].first_token_ms is not None


async def test_a_line_that_never_ends_does_not_fill_the_memory(memory):
    class Endless(MemoryResponse):
        sent = 0

        async def read(self):
            await anyio.lowlevel.checkpoint()
            self.sent += 1
            return b"data: x" if self.sent == 1 else b"x" * 65_536

    async def leave(exchange):
        if len(exchange.pieces) == 3:
            tasks.cancel_scope.cancel()
            await anyio.lowlevel.checkpoint()

    async with memory.open_site(lambda _: Endless()) as site, anyio.create_task_group() as tasks:
        exchange = memory.MemoryExchange(URL, memory.CHAT, on_write=leave)
        tasks.start_soon(site.gateway.handle, exchange)
    assert max(map(len, exchange.pieces)) < 2**20 + 70_000


async def test_a_refusal_that_never_ends_is_cut(memory):
    class Endless(MemoryResponse):
        sent = 0

        async def read(self):
            await anyio.lowlevel.checkpoint()
            self.sent += 65_536
            return b"x" * 65_536

    def answer(_):
        return Endless(status=500, headers={"content-type": "text/plain"})

    retry = RetryConfig(max_attempts=1)
    async with memory.open_site(answer, retry=retry) as site:
        got = await site.ask(URL, memory.CHAT)
    assert got.status == 502
    assert site.replies[0].sent <= 6 * 65_536
    assert site.replies[0].closed == 1


async def test_a_whole_answer_to_a_request_for_a_stream_is_passed_on(memory):
    body = {"choices": [{"finish_reason": "stop"}]}
    limits = LimitsConfig(max_answer_bytes=1000)
    async with memory.open_site(lambda _: memory.whole(body), limits=limits) as site:
        got = await site.ask(URL, memory.CHAT)
    assert json.loads(got.answer) == body
