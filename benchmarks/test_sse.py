"""What one event costs in the SSE decoder: divide by the number of events in the test's name."""

import pytest

from rbee_scheduler._sse import SseDecoder


EVENT = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" bee"}}],'
    b'"created":1760000000,"id":"chatcmpl-0123456789abcdef","model":"story",'
    b'"object":"chat.completion.chunk"}\n\n'
)
CALLS = 200  # per round: one call is too short for the clock


def per_event(benchmark, chunks, events):
    decoder = SseDecoder()

    def work():
        for _ in range(CALLS):
            for chunk in chunks:
                decoder.feed(chunk)

    assert events == sum(len(SseDecoder().feed(c)) for c in [b"".join(chunks)])
    benchmark.extra_info["events"] = CALLS * events
    benchmark(work)
    if benchmark.stats:  # absent with --benchmark-disable
        best = benchmark.stats.stats.min / CALLS / events
        benchmark.extra_info["us_per_event"] = round(best * 1e6, 3)


@pytest.mark.parametrize("events", [1, 20])
def test_events_per_chunk(benchmark, events):
    per_event(benchmark, [EVENT * events], events)


def test_an_event_in_two_chunks(benchmark):
    per_event(benchmark, [EVENT[:60], EVENT[60:]], 1)


def test_crlf_with_type_and_id(benchmark):
    event = b"event: token\r\nid: 7\r\n" + EVENT.replace(b"\n", b"\r\n")
    per_event(benchmark, [event], 1)


def test_dripped_byte_by_byte(benchmark):
    per_event(benchmark, [bytes([byte]) for byte in EVENT], 1)
