"""Faults of how it is said: framing, silence, and the end of the connection."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from rbee_scheduler.testing._fake_worker._fault import Fault
from rbee_scheduler.testing._fake_worker._payload_faults import (
    EVENT_FAULTS,
    REPLY_FAULTS,
    plain_event,
)
from rbee_scheduler.testing._fake_worker._steps import (
    Chunk,
    Drip,
    End,
    Endless,
    Hang,
    Head,
    LastChunk,
    Pause,
    Raw,
    framed,
    steps_of,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbee_scheduler.testing._fake_worker._reply import Reply
    from rbee_scheduler.testing._fake_worker._script import Script
    from rbee_scheduler.testing._fake_worker._steps import Step, Steps

    Treatment = Callable[[Steps, Script], Steps]

_T = TypeVar("_T")
_CHUNKED: Final = ("Transfer-Encoding", "chunked")
_MUCH: Final = 4096  # bytes that are announced and never come
_FIN: Final = End()
_RST: Final = End(reset=True)


def faulty_steps(reply: Reply, script: Script) -> Steps:
    """Write a reply as steps, with the script's fault in it."""
    fault = script.fault
    if fault is None:
        return _ended(steps_of(reply, plain_event), script)
    reply = REPLY_FAULTS.get(fault, _unchanged)(reply, script)
    steps = _ended(steps_of(reply, EVENT_FAULTS.get(fault, plain_event)), script)
    return _WIRE_FAULTS.get(fault, _unchanged)(steps, script)


def _unchanged(value: _T, _: Script) -> _T:
    return value


def _ended(steps: Steps, script: Script) -> Steps:
    return (*steps, _FIN) if script.close else steps


def _place(steps: Steps, script: Script) -> int:
    """Where a fault at the token strikes: before it, else after the last one or within the body."""
    for i in range(_head(steps), len(steps)):
        if steps[i] == Pause(script.fault_after):
            return i
    tokens = _tokens(steps)
    return tokens[-1] + 1 if tokens else len(_open(steps)) - 1


def _tokens(steps: Steps) -> list[int]:
    """Where the chunks of the tokens are."""
    return [i for i, step in enumerate(steps) if isinstance(step, Chunk) and step.token is not None]


def _head(steps: Steps) -> int:
    return next(i for i, step in enumerate(steps) if isinstance(step, Head))


def _open(steps: Steps) -> Steps:
    """Leave out what ends the body or the connection."""
    return tuple(step for step in steps if not isinstance(step, LastChunk | End))


def _instead(*steps: Step) -> Treatment:
    """Let these steps take the place of the whole reply; the gate before it stays."""
    return lambda _steps, _script: (Pause(), *steps)


def _first(*steps: Step) -> Treatment:
    return lambda rest, _script: (Pause(), *steps, *rest[1:])


def _after_head(*steps: Step) -> Treatment:
    return lambda whole, _script: (*whole[: _head(whole) + 1], *steps)


def _at_token(*steps: Step) -> Treatment:
    return lambda whole, script: (*whole[: _place(whole, script)], *steps)


def _drip(steps: Steps, _: Script) -> Steps:
    return tuple(Drip(step) for step in steps)


def _head_as(steps: Steps, *framing: tuple[str, str], version: str = "HTTP/1.1") -> Steps:
    return tuple(
        step.replace(*framing, version=version) if isinstance(step, Head) else step
        for step in steps
    )


def _chunked(steps: Steps) -> Steps:
    """Frame the body in chunks, also one that had a length."""
    if any(isinstance(step, LastChunk) for step in steps):
        return steps
    body = tuple(Chunk(step.data) if isinstance(step, Raw) else step for step in _open(steps))
    ends = (step for step in steps if isinstance(step, End))
    return (*_head_as(body, _CHUNKED), LastChunk(), *ends)


def _unchunked(steps: Steps) -> Steps:
    """Send the body without frames, also one that was chunked."""
    return tuple(Raw(step.data) if isinstance(step, Chunk) else step for step in _open(steps))


def _lying_chunk(frame: Callable[[bytes], bytes], *, then_close: bool) -> Treatment:
    """Frame the token's chunk otherwise."""

    def treatment(steps: Steps, script: Script) -> Steps:
        steps = _chunked(steps)
        places = _tokens(steps) or [i for i, step in enumerate(steps) if isinstance(step, Chunk)]
        place = places[min(script.fault_after, len(places) - 1)]
        chunk = steps[place]
        lie = Raw(frame(chunk.data)) if isinstance(chunk, Chunk) else chunk
        rest = () if then_close else steps[place + 1 :]
        return (*steps[:place], lie, *(step for step in rest if not isinstance(step, End)), _FIN)

    return treatment


def _lying_length(lie: Callable[[int], str]) -> Treatment:
    def treatment(steps: Steps, _: Script) -> Steps:
        body = _unchunked(steps)
        length = sum(len(step.data) for step in body if isinstance(step, Raw))
        return (*_head_as(body, ("Content-Length", lie(length))), _FIN)

    return treatment


def _http_1_0(steps: Steps, _: Script) -> Steps:
    return (*_head_as(_unchunked(steps), version="HTTP/1.0"), _FIN)


def _huge_headers(steps: Steps, _: Script) -> Steps:
    many = tuple((f"X-Huge-{i}", "x" * 4096) for i in range(64))
    return tuple(
        attrs.evolve(step, headers=(*many, *step.headers)) if isinstance(step, Head) else step
        for step in steps
    )


def _bom(steps: Steps, _: Script) -> Steps:
    steps = _chunked(steps)
    return (*steps[: _head(steps) + 1], Chunk(b"\xef\xbb\xbf"), *steps[_head(steps) + 1 :])


def _endless(data: bytes, *, begin: bytes = b"") -> Treatment:
    def treatment(steps: Steps, script: Script) -> Steps:
        steps = _chunked(steps)
        return (*steps[: _place(steps, script)], Chunk(begin or data), Endless(framed(data)))

    return treatment


def _endless_body(steps: Steps, _: Script) -> Steps:
    steps = _chunked(steps)
    return (*steps[: _head(steps) + 1], Endless(framed(b"error " * 1024)))


_WIRE_FAULTS: Final[Mapping[Fault, Treatment]] = MappingProxyType(
    {
        Fault.REFUSE: _instead(_RST),  # that the port is closed too is the worker's part
        Fault.RESET_AT_ONCE: _instead(_RST),
        Fault.CLOSE_BEFORE_HEADERS: _instead(_FIN),
        Fault.RESET_BEFORE_HEADERS: _instead(_RST),
        Fault.SILENCE_BEFORE_HEADERS: _instead(Hang()),
        Fault.SILENCE_AFTER_HEADERS: _after_head(Hang()),
        Fault.SILENCE_MID_STREAM: _at_token(Hang()),
        Fault.SLOW_DRIP: _drip,
        Fault.CLOSE_BEFORE_FIRST_TOKEN: _after_head(_FIN),
        Fault.CLOSE_MID_STREAM: _at_token(_FIN),
        Fault.RESET_MID_STREAM: _at_token(_RST),
        Fault.CHUNK_TOO_BIG: _lying_chunk(
            lambda data: b"%x\r\n%b\r\n" % (len(data) + _MUCH, data), then_close=False
        ),
        Fault.CHUNK_TOO_SMALL: _lying_chunk(
            lambda data: b"%x\r\n%b\r\n" % (len(data) // 2, data), then_close=False
        ),
        Fault.CHUNK_GARBAGE: _lying_chunk(lambda data: b"0xZZ\r\n%b\r\n" % data, then_close=False),
        Fault.CHUNK_TRUNCATED: _lying_chunk(
            lambda data: b"%x\r\n%b" % (len(data), data[: len(data) // 2]), then_close=True
        ),
        Fault.NO_LAST_CHUNK: lambda steps, _: (*_open(_chunked(steps)), _FIN),
        Fault.LENGTH_TOO_BIG: _lying_length(lambda length: str(length + _MUCH)),
        Fault.LENGTH_TOO_SMALL: _lying_length(lambda length: str(length // 2)),
        Fault.LENGTH_GARBAGE: _lying_length(lambda _: "many"),
        Fault.GARBAGE_HEAD: _instead(Raw(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), _FIN),
        Fault.HUGE_HEADERS: _huge_headers,
        Fault.INFORMATIONAL: _first(
            Head(100, ()), Head(103, (("Link", "</style.css>; rel=preload"),))
        ),
        Fault.HTTP_1_0: _http_1_0,
        Fault.ERROR_ENDLESS: _endless_body,
        Fault.ENDLESS_LINE: _endless(b"x" * 4096, begin=b"data: x"),
        Fault.ENDLESS_COMMENTS: _endless(b": still thinking\n\n"),
        Fault.BOM: _bom,
    }
)
"""From the right steps to the wrong ones. Every treatment keeps the gate before the reply first."""
