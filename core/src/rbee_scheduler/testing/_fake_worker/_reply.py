"""What a protocol answers, before it is written in HTTP (and before anything is broken)."""

from __future__ import annotations

import json
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Any, Final

import attrs


if TYPE_CHECKING:
    from rbee_scheduler.testing._fake_worker._script import Script

JSON: Final = "application/json; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
EVENT_STREAM: Final = "text/event-stream"
_FIRST_ERROR: Final = 300


@unique
class Kind(Enum):
    """What a part of a reply is for."""

    ROLE = auto()  # the first event, which carries no text
    TOKEN = auto()
    FINISH = auto()
    USAGE = auto()
    DONE = auto()
    ERROR = auto()
    BODY = auto()  # the whole body of a reply that is no stream


@attrs.frozen
class Part:
    """The data of one event, or one whole body.

    Attributes:
        kind: What it is for.
        data: The payload; for an event without ``data:`` and line ends.
        text: The token's text as it stands in the payload; empty for other kinds.
    """

    kind: Kind
    data: bytes
    text: bytes = b""


@attrs.frozen(kw_only=True)
class Reply:
    """One reply.

    Attributes:
        status: The HTTP status.
        content_type: The media type.
        headers: Further headers.
        parts: The events of a stream, or one body.
        streamed: Whether the parts are events.
        tokens: How many tokens a reply that is no stream takes to make: the gate and the delay
            come before its first byte then, as with a real model.
    """

    status: int = 200
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    streamed: bool = False
    tokens: int = 0


def as_json(value: Any) -> bytes:
    """Write JSON as llama.cpp does: no spaces, UTF-8 unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def body_reply(value: Any, *, status: int = 200, content_type: str | None = None) -> Reply:
    """Make a reply of one body: bytes as they are, a str as text, anything else as JSON."""
    if isinstance(value, bytes):
        data, kind = value, "application/octet-stream"
    elif isinstance(value, str):
        data, kind = value.encode(), TEXT
    else:
        data, kind = as_json(value), JSON
    return Reply(status=status, content_type=content_type or kind, parts=(Part(Kind.BODY, data),))


def error_reply(status: int, kind: str, message: str) -> Reply:
    """Make an error as llama.cpp words it."""
    return body_reply(error_object(status, kind, message), status=status)


def error_object(status: int, kind: str, message: str) -> dict[str, Any]:
    """The error object of the OpenAI protocol, as llama.cpp fills it."""
    return {"error": {"code": status, "message": message, "type": kind}}


def scripted(reply: Reply, script: Script) -> Reply:
    """Replace in a protocol's reply what the script says otherwise."""
    status = reply.status if script.status is None else script.status
    if script.body is not None:
        reply = body_reply(script.body)
    elif status >= _FIRST_ERROR and reply.status < _FIRST_ERROR:
        reply = error_reply(status, "server_error", "scripted by the test")
    return attrs.evolve(
        reply,
        status=status,
        content_type=script.content_type or reply.content_type,
        headers=(*reply.headers, *script.headers),
    )
