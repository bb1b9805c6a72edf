"""``X-Rbee-Resume: true``: a cut completion goes on elsewhere; its text is whole, and once."""

import json

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbee_scheduler import WorkerCommunicationFailed


URL = "/v1/completions"
ASKS = {"x-rbee-resume": "true"}
STORY = [" once", " upon", ' a "time"', " 🐝", " flew", " \\ over", "\n\n", " the", " farm", "."]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def teller(memory, cuts, way="cut"):
    """Workers that tell the story on from where the prompt ends; the first ones are cut."""
    left = list(cuts)

    def answer(call):
        asked = json.loads(call.body)
        told = asked["prompt"].removeprefix("Hi")
        done = next(n for n in range(len(STORY) + 1) if "".join(STORY[:n]) == told)
        most = asked.get("max_tokens", len(STORY))
        rest = STORY[done : done + most]
        events = [memory.piece(text) for text in rest]
        if left:
            kept = events[: left.pop(0)]
            error = memory.event({"error": {"message": "out of memory"}})
            ends = {
                "cut": (b": ping\n\n", b'data: {"choi', WorkerCommunicationFailed("reset")),
                "error": (error,),
                "half": (b'data: {"choices": [{"te',),
            }
            return memory.stream(*kept, *ends[way])
        reason = "stop" if done + most >= len(STORY) else "length"
        return memory.stream(*events, memory.piece("", reason), memory.DONE)

    return answer


def text_of(exchange):
    events = [event for event in exchange.events() if event != "[DONE]"]
    return "".join(choice["text"] for event in events for choice in event["choices"])


@pytest.mark.parametrize("way", ["cut", "error", "half"])
@given(cuts=st.lists(st.integers(1, 3), min_size=1, max_size=3))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_text_is_whole_and_exact_once(memory, way, cuts):
    async with memory.open_site(teller(memory, cuts, way), workers=4) as site:
        got = await site.ask(URL, memory.PLAIN, headers=ASKS)
    assert text_of(got) == "".join(STORY)
    assert got.events().count("[DONE]") == 1
    assert b"error" not in got.answer
    assert len(site.asked) == len(cuts) + 1
    (outcome,) = site.outcomes
    assert (outcome.kind, outcome.attempts) == ("success", len(cuts) + 1)
    assert site.in_flight == 0


async def test_text_in_any_form_of_event_is_known(memory):
    """Data in two lines, CRLF, comments, and what is no text of a completion."""
    said = (
        b': ping\r\n\r\nevent: x\r\ndata: {"choices":\r\ndata: [{"text": "a"}]}\r\n\r\n',
        b'data: {"id": 1}\r\n\r\ndata: {"choices": [7]}\r\n\r\n',
        b'data: {"choices": [{"text": "b"}, {"text": null}]}\r\n\r\n',
    )

    def answer(_):
        if len(site.asked) == 1:
            return memory.stream(*said, WorkerCommunicationFailed("reset"))
        return memory.stream(memory.piece("!", "stop"), memory.DONE)

    async with memory.open_site(answer) as site:
        got = await site.ask(URL, memory.PLAIN, headers=ASKS)
    assert json.loads(site.asked[1].body)["prompt"] == "Hiab"
    assert got.answer.startswith(b"".join(said))


async def test_as_many_tokens_as_were_asked_for(memory):
    body = {**memory.PLAIN, "max_tokens": 6}
    async with memory.open_site(teller(memory, [2])) as site:
        got = await site.ask(URL, body, headers=ASKS)
    assert text_of(got) == "".join(STORY[:6])
    assert [json.loads(call.body)["max_tokens"] for call in site.asked] == [6, 4]
    assert "max_tokens" not in memory.PLAIN


async def test_without_a_limit_none_is_made_up(memory):
    async with memory.open_site(teller(memory, [2])) as site:
        await site.ask(URL, memory.PLAIN, headers=ASKS)
    assert all("max_tokens" not in json.loads(call.body) for call in site.asked)


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({}, {}),
        ({"x-rbee-resume": "false"}, {}),
        (ASKS, {"n": 2}),
        (ASKS, {"best_of": 2}),
        (ASKS, {"echo": True}),
        (ASKS, {"suffix": "the end"}),
        (ASKS, {"max_tokens": 2}),
    ],
)
async def test_otherwise_a_cut_is_one_error_event(memory, headers, more):
    async with memory.open_site(teller(memory, [2])) as site:
        got = await site.ask(URL, memory.PLAIN | more, headers=headers)
    assert got.events()[-1]["error"]["code"] == "STREAM_READ_ERROR"
    assert len(got.events()) == 3
    assert len(site.asked) == 1


async def test_nobody_goes_on_in_a_chat(memory):
    reply = memory.chunk("a"), WorkerCommunicationFailed("reset")
    async with memory.open_site(lambda _: memory.stream(*reply)) as site:
        got = await site.ask("/v1/chat/completions", memory.CHAT, headers=ASKS)
    assert got.events()[-1]["error"]["code"] == "STREAM_READ_ERROR"
    assert len(site.asked) == 1


@pytest.mark.parametrize("second", ["4xx", "whole", "gone"])
async def test_when_nobody_can_go_on_there_is_one_error_event(memory, second):
    first = teller(memory, [2])

    def answer(call):
        if len(site.asked) == 1:
            return first(call)
        replies = {"4xx": memory.whole({}, 400), "whole": memory.whole({"choices": []})}
        return replies.get(second, WorkerCommunicationFailed("refused"))

    async with memory.open_site(answer) as site, anyio.create_task_group() as tasks:
        exchange = memory.MemoryExchange(URL, memory.PLAIN, headers=ASKS)
        tasks.start_soon(site.gateway.handle, exchange)
        await site.clock.run_for(600)
        assert exchange.ended
    events = exchange.events()
    assert [event for event in events if "error" in event] == events[-1:]
    assert len(events) == 3
    assert site.in_flight == 0


async def test_half_an_emoji_at_the_cut_goes_on(memory):
    """JSON may carry half of a surrogate pair; as UTF-8 it can't be written."""
    half = b'data: {"choices":[{"index":0,"text":"\\ud83d","finish_reason":null}]}\n\n'

    def answer(_):
        if len(site.asked) == 1:
            return memory.stream(half, WorkerCommunicationFailed("reset"))
        return memory.stream(memory.piece("!", "stop"), memory.DONE)

    async with memory.open_site(answer) as site:
        got = await site.ask(URL, memory.PLAIN, headers=ASKS)
    assert json.loads(site.asked[1].body)["prompt"] == "Hi\ud83d"
    assert got.events()[-1] == "[DONE]"
