"""Faults of what is said: the status, the payloads, the lines of the event stream."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from rbee_scheduler.testing._fake_worker._fault import Fault
from rbee_scheduler.testing._fake_worker._reply import (
    Kind,
    Part,
    as_json,
    body_reply,
    error_object,
    error_reply,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rbee_scheduler.testing._fake_worker._reply import Reply
    from rbee_scheduler.testing._fake_worker._script import Script

_TERMINAL: Final = (Kind.FINISH, Kind.USAGE, Kind.DONE)
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def _failed(script: Script, status: int = 500) -> int:
    return status if script.status is None else script.status


def _redirect(_: Reply, script: Script) -> Reply:
    reply = body_reply(b"", status=_failed(script, 307), content_type="text/html")
    return attrs.evolve(reply, headers=(("Location", script.location), *script.headers))


def _error(
    body: Callable[[int], bytes], content_type: str | None
) -> Callable[[Reply, Script], Reply]:
    def fault(_: Reply, script: Script) -> Reply:
        status = _failed(script)
        reply = body_reply(body(status), status=status, content_type=content_type)
        return attrs.evolve(reply, headers=script.headers)

    return fault


def _error_json(_: Reply, script: Script) -> Reply:
    reply = error_reply(_failed(script), "server_error", "the worker broke, as scripted")
    return attrs.evolve(reply, headers=script.headers)


def _wrong_content_type(reply: Reply, _: Script) -> Reply:
    return attrs.evolve(reply, content_type="text/html; charset=utf-8")


def _at_token(change: Callable[[Part], bytes]) -> Callable[[Reply, Script], Reply]:
    """Make a fault that changes the payload at the token, or the body."""

    def fault(reply: Reply, script: Script) -> Reply:
        parts = list(reply.parts)
        places = [i for i, part in enumerate(parts) if part.kind in (Kind.TOKEN, Kind.BODY)]
        if places:
            place = places[min(script.fault_after, len(places) - 1)]
            parts[place] = attrs.evolve(parts[place], data=change(parts[place]))
        return attrs.evolve(reply, parts=tuple(parts))

    return fault


def _invalid_utf8(part: Part) -> bytes:
    place = part.data.rfind(part.text) if part.text else 0
    return part.data[:place] + b"\xff" + part.data[place:]


def _bad_json(part: Part) -> bytes:
    return part.data[: len(part.data) // 2]


def _wrong_shape(_: Part) -> bytes:
    return as_json({"choices": {"0": ["delta", None]}, "token": [], "job_id": {}})


def _no_done(reply: Reply, _: Script) -> Reply:
    return attrs.evolve(reply, parts=tuple(p for p in reply.parts if p.kind is not Kind.DONE))


def _two_terminal_events(reply: Reply, _: Script) -> Reply:
    again = (part for part in reply.parts if part.kind in _TERMINAL)
    return attrs.evolve(reply, parts=(*reply.parts, *again))


def _error_in_stream(reply: Reply, script: Script) -> Reply:
    if not reply.streamed:
        return _error_json(reply, script)
    body = as_json(error_object(500, "server_error", "the worker broke, as scripted"))
    kept, tokens = 0, 0
    while reply.parts[kept].kind not in _TERMINAL and tokens <= script.fault_after:
        tokens += reply.parts[kept].kind is Kind.TOKEN
        kept += tokens <= script.fault_after
    return attrs.evolve(reply, parts=(*reply.parts[:kept], Part(Kind.ERROR, body)))


def _lines(end: bytes) -> Callable[[Part], bytes]:
    """Make a writer of events with this line end. Data of several lines needs several fields."""

    def event(part: Part) -> bytes:
        lines = (b"data: " + line + end for line in part.data.split(b"\n"))
        return b"".join(lines) + end

    return event


plain_event: Final = _lines(b"\n")


def _two_data_lines(part: Part) -> bytes:
    if part.kind is not Kind.TOKEN:
        return plain_event(part)
    # After the brace of an object a line feed is white space: the JSON stays the same JSON.
    return plain_event(attrs.evolve(part, data=part.data[:1] + b"\n" + part.data[1:]))


def _with_fields(part: Part) -> bytes:
    before = b": ping\n\n:\nid: 7\nevent: message\nretry: 1500\nunknown: x\nunknown\n"
    return before + plain_event(part)


REPLY_FAULTS: Final[Mapping[Fault, Callable[[Reply, Script], Reply]]] = MappingProxyType(
    {
        Fault.REDIRECT: _redirect,
        Fault.ERROR_JSON: _error_json,
        Fault.ERROR_HTML: _error(lambda _: _HTML, "text/html"),
        Fault.ERROR_BINARY: _error(lambda _: bytes(range(256)), None),
        Fault.ERROR_EMPTY: _error(lambda _: b"", None),
        Fault.ERROR_ENDLESS: _error(lambda _: b"", None),  # the body: see _wire_faults
        Fault.WRONG_CONTENT_TYPE: _wrong_content_type,
        Fault.INVALID_UTF8: _at_token(_invalid_utf8),
        Fault.BAD_JSON: _at_token(_bad_json),
        Fault.WRONG_SHAPE: _at_token(_wrong_shape),
        Fault.NO_DONE: _no_done,
        Fault.TWO_TERMINAL_EVENTS: _two_terminal_events,
        Fault.ERROR_IN_STREAM: _error_in_stream,
    }
)
"""Faults of the reply: from the right one to the wrong one."""

EVENT_FAULTS: Final[Mapping[Fault, Callable[[Part], bytes]]] = MappingProxyType(
    {
        Fault.CRLF: _lines(b"\r\n"),
        Fault.CR: _lines(b"\r"),
        Fault.MULTI_LINE_DATA: _two_data_lines,
        Fault.COMMENTS_AND_FIELDS: _with_fields,
    }
)
"""Other ways to write an event. They are right: a client must read them."""
