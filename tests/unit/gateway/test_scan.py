"""What can be told from a stream's bytes as they pass; nothing of them may change or get lost."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import Usage
from rbee_scheduler_gateway._relay import StreamScan, usage_in
from rbee_scheduler_gateway._relay._scan import LONGEST, reason_in


# What text may hold that looks like a mark of the protocol.
TRAPS = [
    "[DONE]", "data: [DONE]", "\n\ndata: [DONE]\n\n", '"usage"', '{"usage": {"prompt_tokens": 9}}',
    '"finish_reason":"stop"', '{"error": 1}', "event: error", "\r\n\r\n", "response.completed",
    '"type":"response.completed"', "\u2028", "\x85", "\\", '"',
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(TRAPS))


def usage_of(prompt, completion):
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def dumps(value, ascii_only=True):
    return json.dumps(value, ensure_ascii=ascii_only).encode()


def chunk(text, reason=None, index=0, **more):
    choice = {"index": index, "delta": {"content": text}, "finish_reason": reason}
    return dumps({"choices": [choice], **more}, ascii_only=False)


@st.composite
def streams(draw, ends=("\n", "\r\n")):
    """Whole streams: any text, pings, usage or not, either line end."""
    end = draw(st.sampled_from(ends)).encode()
    null = {"usage": None} if draw(st.booleans()) else {}
    events = []
    texts = draw(st.lists(TEXTS, min_size=1, max_size=6))
    for text in texts:
        if draw(st.booleans()):
            events.append(b": ping")
        events.append(b"data: " + chunk(text, **null))
    events.append(b"data: " + chunk("", "length", **null))
    if draw(st.booleans()):
        usage = {"prompt_tokens": 7, "completion_tokens": len(texts)}
        events.append(b"data: " + dumps({"choices": [], "usage": usage}))
    events.append(b"data: [DONE]")
    return (end * 2).join(events) + end * 2, len(texts), b'"completion_tokens"' in events[-2]


def split(data, places):
    places = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


def is_whole(data):
    return data.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


@given(streams(), st.lists(st.integers(0, 5000), max_size=12))
def test_any_chunking_comes_out_byte_for_byte_in_whole_events(made, places):
    data, texts, usage = made
    scan = StreamScan()
    out = []
    fresh = 0
    for part in split(data, places):
        passed = scan.feed(part)
        assert not passed or is_whole(passed)
        assert bool(passed) or scan.fresh == 0
        fresh += scan.fresh
        out.append(passed)
        assert not scan.failed
    assert b"".join(out) + scan.flush() == data
    assert scan.done
    assert scan.ended
    assert scan.events == fresh == texts + 1 + usage
    if usage:
        assert scan.usage == Usage(prompt_tokens=7, completion_tokens=texts)


@given(streams(), st.lists(st.integers(0, 5000), max_size=12), st.integers(0, 5000))
def test_a_stream_is_not_taken_for_ended_before_its_finish(made, places, cut):
    data, _, _ = made
    finish = data.index(b'"finish_reason": "length"')
    scan = StreamScan()
    for part in split(data[: cut % finish], places):
        scan.feed(part)
    assert not scan.ended
    assert not scan.done
    assert scan.finish_reason == ""


@given(streams())
def test_the_finish_is_found_when_each_event_is_a_chunk(made):
    data, _, _ = made
    scan = StreamScan()
    end = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    for part in data.split(end)[:-1]:
        scan.feed(part + end)
    assert scan.finish_reason == "length"


def test_what_is_whole_goes_on_at_once():
    scan = StreamScan()
    one, two = b"data: 1\n\n", b"data: 2\n\n"
    assert scan.feed(one) == one
    assert scan.feed(b"data: 2") == b""
    assert scan.feed(b"\n") == b""
    assert scan.feed(b"\ndata: 3") == two
    assert scan.rest == b"data: 3"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_specification(end):
    scan = StreamScan()
    event = b"data: " + chunk("a") + end * 2
    assert scan.feed(event) == event
    last = b"data: [DONE]" + end * 2
    assert scan.feed(last) == last
    assert scan.done


def test_an_end_without_blank_line_is_passed_on():
    for last in (b"data: [DONE]", b"data: [DONE]\n", b"data: " + chunk("b"), b": bye\n"):
        scan = StreamScan()
        scan.feed(b"data: " + chunk("a") + b"\n\n" + last)
        assert scan.flush() == last
        assert scan.rest == b""


def test_half_an_event_at_the_end_is_kept():
    for last in (b"da", b"data: ", b'data: {"choices": [', b"event: x\n", b"data: [DO"):
        scan = StreamScan()
        scan.feed(b"data: " + chunk("a") + b"\n\n" + last)
        assert scan.flush() == b""
        assert scan.rest == last
        assert not scan.ended


def test_comments_are_no_tokens():
    scan = StreamScan()
    scan.feed(b": ping\n\n:\n\n")
    assert (scan.fresh, scan.events) == (0, 0)
    scan.feed(b": ping\n\ndata: " + chunk("a") + b"\n\n")
    assert (scan.fresh, scan.events) == (1, 1)


def test_an_event_that_never_ends_is_passed_on_in_pieces():
    scan = StreamScan()
    assert scan.feed(b"data: " + b"x" * LONGEST) != b""
    assert scan.rest == b""


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"code":500,"message":"out of memory"}}',
        b'data:{"error": "slot unavailable"}',
        b'data: { "error" : {"message": "m"}}',
        b'error: {"code":500}',
        b'event: error\ndata: {"type":"error"}',
        b'data: {"object":"error","message":"m","code":40001}',
    ],
)
def test_errors_of_workers_are_known(event):
    scan = StreamScan()
    scan.feed(b"data: " + chunk("a") + b"\n\n")
    assert not scan.failed
    scan.feed(event + b"\n\n")
    assert scan.failed
    assert scan.ended
    scan.feed(b"data: [DONE]\n\n")
    assert scan.last_words == " ".join(event.decode().split())


@pytest.mark.parametrize("text", TRAPS)
def test_text_is_no_error_no_end_and_no_usage(text):
    scan = StreamScan()
    scan.feed(b"data: " + chunk(text, error=None) + b"\n\n")
    scan.feed(b'data: {"error": null, "choices": []}\n\n')
    assert (scan.failed, scan.ended, scan.usage) == (False, False, Usage())


def test_one_of_several_choices_that_ends_does_not_end_the_stream():
    scan = StreamScan(choices=2)
    scan.feed(b"data: " + chunk("a", "stop", index=1) + b"\n\n")
    assert not scan.ended
    scan.feed(b"data: [DONE]\n\n")
    assert scan.ended


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_how_the_responses_api_ends(kind):
    usage = {"input_tokens": 3, "output_tokens": 4}
    body = dumps({"type": f"response.{kind}", "response": {"usage": usage}})
    for event in (f"event: response.{kind}\ndata: ".encode() + body, b"data: " + body):
        scan = StreamScan()
        scan.feed(b"event: response.created\ndata: {}\n\n")
        assert not scan.ended
        scan.feed(event + b"\n\n")
        assert scan.ended
        assert scan.usage == Usage(prompt_tokens=3, completion_tokens=4)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b"{}", Usage()),
        (b'{"usage": null}', Usage()),
        (b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', usage_of(1, 2)),
        (b'{"usage":{"completion_tokens": 2}}', usage_of(None, 2)),
        (b'{"timings":{"prompt_n":1,"predicted_n":2}}', usage_of(1, 2)),
        # llama.cpp: the timings leave out what was cached.
        (b'{"usage":{"prompt_tokens":9,"completion_tokens":2},"timings":{"prompt_n":1}}',
         usage_of(9, 2)),
        (b'{"usage":{"input_tokens":1,"output_tokens":2},"metadata":{"usage":"x"}}',
         usage_of(1, 2)),
        (b'{"usage":{"prompt_tokens":1},"x":{"usage":{"prompt_tokens":5}}}', usage_of(5, None)),
    ],
)  # fmt: skip
def test_usage_as_servers_write_it(body, usage):
    assert usage_in(body) == usage


def test_the_reason_of_a_whole_answer():
    assert reason_in(dumps({"choices": [{"finish_reason": "tool_calls"}], "usage": {}})) == (
        "tool_calls"
    )
    assert reason_in(dumps({"choices": [{"message": '"finish_reason":"stop"'}]})) == ""
