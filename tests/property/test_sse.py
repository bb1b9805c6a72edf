"""Laws of the SSE decoder that hold for every stream of bytes."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from rbee_scheduler._sse import LineTooLong, SseDecoder


LIMIT = 24
PIECES = [
    b"data: ", b"data", b"data:", b"event: e", b"id: 1", b"id", b"retry: 5", b": c", b"\n", b"\r",
    b"\r\n", b"\n\n", b"x", b" ", b":", b"\xef", b"\xbb", b"\xbf", b"\xef\xbb\xbf", b"\xff",
    b"\x00", "蜂".encode(), b"x" * 20,
]  # fmt: skip
streams = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join),
    st.binary(max_size=80),
)


def run(chunks, decoder):
    """The events, then the error's text if there was one, then what else can be observed."""
    seen = []
    try:
        for chunk in chunks:
            seen += decoder.feed(chunk)
        seen += decoder.close()
    except LineTooLong as error:
        return [*seen, str(error)]
    return [*seen, decoder.last_event_id, decoder.retry_ms, decoder.replaced]


def split(stream, cuts):
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(places)]


@given(streams, st.lists(st.integers(0, 1000), max_size=12))
@example(b"data: x\r\n\r\n", [8])
@example(b"\xef\xbb\xbfdata: x\n\n", [1, 2])
@example(b"data: a\ndata: b\n\n" + b"x" * (LIMIT + 1), [3])
def test_the_same_events_however_the_bytes_are_split(stream, cuts):
    whole = run([stream], SseDecoder(limit=LIMIT))
    assert whole == run(split(stream, cuts), SseDecoder(limit=LIMIT))
    assert whole == run((bytes([byte]) for byte in stream), SseDecoder(limit=LIMIT))


def model(text):
    """The standard's algorithm, word for word, over the decoded text of a whole stream."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    *lines, last = text.split("\n")
    events, data, kind, last_id = [], "", "", ""
    for line, whole in [*((line, True) for line in lines), (last, False), ("", False)]:
        if not line:
            if data:
                events.append((data.removesuffix("\n"), kind or "message", last_id, whole))
            data = kind = ""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


@given(streams)
def test_the_same_events_as_the_standards_algorithm(stream):
    decoder = SseDecoder()
    text = stream.decode(errors="replace")
    assert model(text) == decoder.feed(stream) + decoder.close()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))))
def test_what_was_encoded_comes_back(lines):
    stream = "".join(f"data: {line}\n\n" for line in lines).encode()
    assert lines == [event.data for event in SseDecoder().feed(stream)]


@given(st.lists(st.binary(max_size=100), max_size=20), st.integers(1, 50))
def test_arbitrary_bytes_raise_nothing_but_line_too_long(chunks, limit):
    run(chunks, SseDecoder(limit=limit))


class Counting(bytearray):
    """A buffer that counts the bytes it copies."""

    copied = 0

    def __iadd__(self, other):
        self.copied += len(other)
        return super().__iadd__(other)

    def __add__(self, other):
        self.copied += len(self) + len(other)
        return super().__add__(other)

    def __getitem__(self, key):
        raise AssertionError("the buffer is appended to and emptied, never searched or sliced")


@given(streams.filter(bool), st.integers(1, 40), st.integers(1, 7))
def test_work_is_linear_however_slowly_the_bytes_drip(stream, times, step):
    stream *= times
    decoder = SseDecoder()
    buffer = decoder._pending = Counting()
    for i in range(0, len(stream), step):
        decoder.feed(stream[i : i + step])
    decoder.close()
    assert buffer is decoder._pending
    # Each byte is put into the buffer at most once and taken out at most once. What it is joined
    # with is the head of a chunk, that is copied once more.
    assert buffer.copied <= 3 * len(stream)


@given(st.integers(1, 3000), st.sampled_from([b"x", b"data", b"data: "]))
def test_one_endless_line_is_copied_once(length, prefix):
    decoder = SseDecoder()
    buffer = decoder._pending = Counting()
    for byte in prefix + b"x" * length:
        decoder.feed(bytes([byte]))
    assert len(prefix) + length == buffer.copied


@given(st.lists(st.sampled_from([b"x", b"data: x", b"data: x\n", b": x\n"]), max_size=200))
def test_what_is_kept_is_bounded_by_the_limit(chunks):
    decoder = SseDecoder(limit=LIMIT)
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            assert len(decoder._pending) <= LIMIT
            assert len(decoder._data or b"") <= LIMIT
    except LineTooLong:
        assert not decoder._pending
