"""The OpenAI protocol as llama.cpp speaks it: chat and plain completions, streamed and whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from rbee_scheduler.testing._fake_worker._reply import (
    EVENT_STREAM,
    Kind,
    Part,
    Reply,
    as_json,
    body_reply,
    error_reply,
    scripted,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rbee_scheduler.testing._fake_worker._request import SeenRequest
    from rbee_scheduler.testing._fake_worker._script import Script

# A fixed moment, so that replies are the same byte for byte in every run.
_CREATED: Final = 1_760_000_000


@attrs.frozen
class _Dialect:
    """Where chat and plain completions differ."""

    id: str
    chunk_object: str
    whole_object: str
    first: dict[str, Any] | None  # the choice of the first event, which has no text
    delta: Callable[[str], dict[str, Any]]
    empty: dict[str, Any]  # what the choice of the last event has for a text
    whole: Callable[[str], dict[str, Any]]


_CHAT: Final = _Dialect(
    id="chatcmpl-",
    chunk_object="chat.completion.chunk",
    whole_object="chat.completion",
    # `null`, not "": llama.cpp does so, and clients that add it to a str fail there.
    first={"delta": {"role": "assistant", "content": None}},
    delta=lambda text: {"delta": {"content": text}},
    empty={"delta": {}},
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
)
_PLAIN: Final = _Dialect(
    id="cmpl-",
    chunk_object="text_completion",
    whole_object="text_completion",
    first=None,
    delta=lambda text: {"text": text},
    empty={"text": ""},
    whole=lambda text: {"text": text},
)


def chat_reply(model: str, request: SeenRequest, script: Script) -> Reply:
    """Answer POST /v1/chat/completions."""
    return _reply(_CHAT, model, request, script)


def completion_reply(model: str, request: SeenRequest, script: Script) -> Reply:
    """Answer POST /v1/completions."""
    return _reply(_PLAIN, model, request, script)


def _reply(dialect: _Dialect, model: str, request: SeenRequest, script: Script) -> Reply:
    try:
        options = request.json
    except ValueError as error:
        return error_reply(400, "invalid_request_error", f"the body is no JSON: {error}")
    if not isinstance(options, dict):
        return error_reply(400, "invalid_request_error", "the body is no object")
    common = {
        "created": _CREATED,
        "id": f"{dialect.id}{request.number}",
        "model": options.get("model", model),
    }
    if options.get("stream"):
        with_usage = bool((options.get("stream_options") or {}).get("include_usage"))
        parts = tuple(_events(dialect, common, script, with_usage=with_usage))
        reply = Reply(content_type=EVENT_STREAM, parts=parts, streamed=True)
    else:
        choice = _choice(dialect.whole(script.text), script.finish_reason)
        whole = common | {
            "object": dialect.whole_object,
            "choices": [choice],
            "usage": _usage(script),
        }
        reply = attrs.evolve(body_reply(whole), tokens=len(script.tokens))
    return scripted(reply, script)


def _events(
    dialect: _Dialect, common: dict[str, Any], script: Script, *, with_usage: bool
) -> Iterator[Part]:
    def data(*choices: dict[str, Any], **more: Any) -> bytes:
        return as_json(common | {"object": dialect.chunk_object, "choices": choices} | more)

    if dialect.first:
        yield Part(Kind.ROLE, data(_choice(dialect.first)))
    for token in script.tokens:
        yield Part(Kind.TOKEN, data(_choice(dialect.delta(token))), as_json(token)[1:-1])
    timings = {"cache_n": 0, "predicted_n": len(script.tokens), "predicted_per_second": 100.0}
    yield Part(Kind.FINISH, data(_choice(dialect.empty, script.finish_reason), timings=timings))
    if with_usage:
        yield Part(Kind.USAGE, data(usage=_usage(script)))
    yield Part(Kind.DONE, b"[DONE]")


def _choice(content: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"finish_reason": finish_reason, "index": 0} | content


def _usage(script: Script) -> dict[str, int]:
    usage = script.usage
    made = usage.completion_tokens
    completion = len(script.tokens) if made is None else made
    return {
        "completion_tokens": completion,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens + completion,
    }
