"""The event stream grammar, case by case (HTML standard, "Interpreting an event stream")."""

import pytest

from rbee_scheduler._sse import LineTooLong, SseDecoder, SseEvent


def decode(*chunks, limit=1024):
    """All events of a stream that ends after these chunks."""
    decoder = SseDecoder(limit=limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.close()


def unfinished(data, **fields):
    return SseEvent(data, complete=False, **fields)


# name: (bytes of the whole stream, events)
GRAMMAR = {
    "nothing": (b"", []),
    "one event": (b"data: x\n\n", [SseEvent("x")]),
    "two events": (b"data: x\n\ndata: y\n\n", [SseEvent("x"), SseEvent("y")]),
    "CR ends": (b"data: x\r\rdata: y\r\r", [SseEvent("x"), SseEvent("y")]),
    "CRLF ends": (b"data: x\r\n\r\ndata: y\r\n\r\n", [SseEvent("x"), SseEvent("y")]),
    "mixed ends": (b"data: x\r\ndata: y\rdata: z\n\r\n", [SseEvent("x\ny\nz")]),
    "LF CR is two ends": (b"data: x\n\rdata: y\n\n", [SseEvent("x"), SseEvent("y")]),
    "only ASCII line ends": (
        "data: a\u2028b\x0bc\x0cd\x1ce\u0085f\n\n".encode(),
        [SseEvent("a\u2028b\x0bc\x0cd\x1ce\u0085f")],
    ),
    "lines of data": (b"data: x\ndata: y\ndata: z\n\n", [SseEvent("x\ny\nz")]),
    "no space": (b"data:x\n\n", [SseEvent("x")]),
    "one space of two": (b"data:  x\n\n", [SseEvent(" x")]),
    "a tab is no space": (b"data:\tx\n\n", [SseEvent("\tx")]),
    "space at the end": (b"data: x \n\n", [SseEvent("x ")]),
    "no colon": (b"data\n\n", [SseEvent("")]),
    "empty data": (b"data:\n\n", [SseEvent("")]),
    "two empty lines": (b"data\ndata\n\n", [SseEvent("\n")]),
    "colon in the value": (b"data: a: b:c\n\n", [SseEvent("a: b:c")]),
    "blank lines alone": (b"\n\n\r\n\r\r", []),
    "comment": (b": ping\n\n:\n\ndata: x\n: inside\ndata: y\n\n", [SseEvent("x\ny")]),
    "unknown field": (b"datum: 1\nDATA: 2\n data: 3\ndata : 4\ndata: x\n\n", [SseEvent("x")]),
    "type": (b"event: add\ndata: 1\n\ndata: 2\n\n", [SseEvent("1", "add"), SseEvent("2")]),
    "last type wins": (b"event: a\nevent: b\ndata: 1\n\n", [SseEvent("1", "b")]),
    "empty type": (b"event: a\nevent\ndata: 1\n\n", [SseEvent("1")]),
    "type without data": (b"event: add\n\ndata: 1\n\n", [SseEvent("1")]),
    "type after data": (b"data: 1\nevent: add\n\n", [SseEvent("1", "add")]),
    "id stays": (b"id: 7\ndata: 1\n\ndata: 2\n\n", [SseEvent("1", id="7"), SseEvent("2", id="7")]),
    "id emptied": (b"id: 7\ndata: 1\n\nid\ndata: 2\n\n", [SseEvent("1", id="7"), SseEvent("2")]),
    "id without data": (b"id: 7\n\ndata: 1\n\n", [SseEvent("1", id="7")]),
    "id with NUL": (b"id: 7\nid: 8\x00\ndata: 1\n\n", [SseEvent("1", id="7")]),
    "NUL in data": (b"data: a\x00b\n\n", [SseEvent("a\x00b")]),
    "BOM": (b"\xef\xbb\xbfdata: x\n\n", [SseEvent("x")]),
    "BOM before a blank line": (b"\xef\xbb\xbf\ndata: x\n\n", [SseEvent("x")]),
    "BOM alone": (b"\xef\xbb\xbf", []),
    "half a BOM": (b"\xef\xbb", []),
    "two BOMs": (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n", [SseEvent("y")]),
    "BOM later": (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [SseEvent("x")]),
    "several bytes": ("data: 蜜蜂 🐝\n\n".encode(), [SseEvent("蜜蜂 🐝")]),
    "cut after the data": (b"data: x\n\ndata: y", [SseEvent("x"), unfinished("y")]),
    "cut after the line": (b"data: x\n\ndata: y\n", [SseEvent("x"), unfinished("y")]),
    "cut after the CR": (b"data: y\r", [unfinished("y")]),
    "cut in a field": (b"event: e\nid: 1\ndata: y\nda", [unfinished("y", event="e", id="1")]),
    "cut in a comment": (b"data: x\n\n: pi", [SseEvent("x")]),
    "cut in a type": (b"event: e", []),
    "cut in the second line": (b"data: x\ndata: y", [unfinished("x\ny")]),
    "cut in a character": ("data: 蜂".encode()[:-1], [unfinished("\ufffd")]),
}
# The three streams that the standard itself explains.
GRAMMAR |= {
    "standard, stock ticker": (
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        [SseEvent("YHOO\n+2\n10")],
    ),
    "standard, four blocks": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
        [SseEvent("first event", id="1"), SseEvent("second event"), unfinished(" third event")],
    ),
    "standard, two empty events": (
        b"data\n\ndata\ndata\n\ndata:",
        [SseEvent(""), SseEvent("\n"), unfinished("")],
    ),
}
cases = pytest.mark.parametrize(("stream", "expected"), GRAMMAR.values(), ids=GRAMMAR.keys())


@cases
def test_in_one_chunk(stream, expected):
    assert expected == decode(stream)


@cases
def test_byte_by_byte(stream, expected):
    assert expected == decode(*(stream[i : i + 1] for i in range(len(stream))))


@cases
def test_cut_at_every_place(stream, expected):
    for i in range(len(stream) + 1):
        assert expected == decode(stream[:i], b"", stream[i:])


def test_an_event_is_handed_out_with_its_last_byte():
    decoder = SseDecoder()
    assert decoder.feed(b"data: x\r") == []
    assert [SseEvent("x")] == decoder.feed(b"\n\r")
    assert [SseEvent("y")] == decoder.feed(b"\ndata: y\n\n")


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"retry: 1500\n", 1500),
        (b"retry: 1500\nretry: 7\n", 7),
        (b"retry: 1500\nretry: -7\n", 1500),
        (b"retry: 1.5\n", None),
        (b"retry:\n", None),
        ("retry: \u0661\n".encode(), None),  # an Arabic digit is one for str.isdigit
        (b"retry: " + b"9" * 5000 + b"\n", None),  # int() refuses so many digits
        (b"", None),
    ],
)
def test_retry(stream, expected):
    decoder = SseDecoder(limit=10_000)
    decoder.feed(stream)
    assert expected == decoder.retry_ms


def test_the_last_id_is_known_without_an_event():
    decoder = SseDecoder()
    decoder.feed(b"id: 7\n")
    assert decoder.last_event_id == "7"


@pytest.mark.parametrize(
    ("data", "text", "replaced"),
    [
        (b"a\xffb", "a\ufffdb", 1),
        (b"\xc3\xc3", "\ufffd\ufffd", 2),
        (b"\xf0\x9f\x90", "\ufffd", 1),  # a bee, cut short
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd", 3),  # a surrogate
        ("\ufffd".encode() + b"\xff", "\ufffd\ufffd", 1),  # only the second is ours
        (b"\xf0" + "\ufffd".encode(), "\ufffd\ufffd", 1),
        ("\ufffd".encode(), "\ufffd", 0),
    ],
)
def test_invalid_utf8_is_replaced_and_counted(data, text, replaced):
    decoder = SseDecoder()
    assert [SseEvent(text)] == decoder.feed(b"data: " + data + b"\n\n")
    assert replaced == decoder.replaced


def test_invalid_utf8_never_eats_the_line_end():
    assert [SseEvent("\ufffd"), SseEvent("y")] == decode(b"data: \xf0\n\ndata: y\n\n")


def test_invalid_utf8_in_other_fields():
    decoder = SseDecoder()
    events = decoder.feed(b"\xff: \xff\nevent: \xff\nid: \xff\ndata: x\n\n")
    assert [SseEvent("x", "\ufffd", "\ufffd")] == events
    assert decoder.replaced == 2


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_may_be_as_long_as_the_limit(end):
    line = b"data: " + b"x" * 26
    assert [SseEvent("x" * 26)] == decode(line + end + end, limit=32)
    assert [SseEvent("x" * 26)] == decode(*(line[i : i + 1] for i in range(32)), end, end, limit=32)


@pytest.mark.parametrize("tail", [b"", b"\n", b"\n\ndata: y\n\n"])
@pytest.mark.parametrize("prefix", [b"data: ", b":", b""])
def test_a_longer_line_is_refused(prefix, tail):
    with pytest.raises(LineTooLong, match=r"a line .* more than 32 bytes"):
        SseDecoder(limit=32).feed(prefix.ljust(33, b"x") + tail)


def test_an_endless_line_is_refused_at_the_limit_and_its_bytes_are_dropped():
    decoder = SseDecoder(limit=32)
    for _ in range(32):
        decoder.feed(b"x")
    with pytest.raises(LineTooLong):
        decoder.feed(b"x")
    assert not decoder._pending


def test_events_before_the_fault_come_first():
    decoder = SseDecoder(limit=32)
    stream = b"data: a\ndata: b\n\ndata: c\n\n" + b"x" * 33
    assert [SseEvent("a\nb"), SseEvent("c")] == decoder.feed(stream)
    with pytest.raises(LineTooLong):
        decoder.feed(b"data: y\n\n")
    with pytest.raises(LineTooLong):
        decoder.close()


def test_a_fault_can_come_to_light_at_the_end():
    decoder = SseDecoder(limit=8)
    decoder.feed(b"data: 12\ndata: 34\ndata:567")
    with pytest.raises(LineTooLong, match=r"the data of one event .* more than 8 bytes"):
        decoder.close()


def test_the_data_of_one_event_may_be_as_large_as_the_limit():
    assert [SseEvent("123\n567\n9")] == decode(b"data: 123\ndata: 567\ndata: 9\n\n", limit=9)
    with pytest.raises(LineTooLong, match="the data of one event"):
        decode(b"data: 123\ndata: 567\ndata: 90\n\n", limit=9)


def test_empty_data_lines_count_too():
    decoder = SseDecoder(limit=100)
    with pytest.raises(LineTooLong):
        decoder.feed(b"data\n" * 102)


def test_the_limit_is_for_each_event():
    assert len(decode(b"data: 123\ndata: 567\n\n" * 50, limit=9)) == 50


def test_the_callers_own_error():
    class OwnError(Exception):
        pass

    with pytest.raises(OwnError, match="more than 4 bytes"):
        SseDecoder(limit=4, error=OwnError).feed(b"12345")


def test_closing_twice_delivers_once():
    decoder = SseDecoder()
    decoder.feed(b"data: x")
    assert [unfinished("x")] == decoder.close()
    assert decoder.close() == []


def test_a_closed_decoder_takes_nothing():
    decoder = SseDecoder()
    decoder.close()
    with pytest.raises(RuntimeError, match="closed"):
        decoder.feed(b"data: x\n\n")


def test_an_event_cannot_be_changed():
    with pytest.raises(AttributeError):
        SseEvent("x").data = "y"
