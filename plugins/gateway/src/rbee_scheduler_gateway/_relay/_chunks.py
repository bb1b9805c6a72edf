"""The OpenAI API's words for an answer that a worker gave in words of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from rbee_scheduler import InferenceRequest, Usage
from rbee_scheduler_gateway._relay._asked import Asked


__all__ = ["Wording"]

DONE = b"data: [DONE]\n\n"


@attrs.frozen
class _Form:
    """How one path words an answer.

    Attributes:
        prefix: Begins its ids.
        event: Kind of its events.
        whole: Kind of an answer that is no stream.
        begin: What the first event's choice holds; None: there is no such event.
        piece: Makes what the choice of a piece of text holds.
        end: What the last event's choice holds.
        all: Makes what the choice of a whole answer holds.
    """

    prefix: str
    event: str
    whole: str
    begin: Mapping[str, Any] | None
    piece: Callable[[str], Mapping[str, Any]]
    end: Mapping[str, Any]
    all: Callable[[str], Mapping[str, Any]]


_FORMS = {
    "/v1/chat/completions": _Form(
        prefix="chatcmpl-",
        event="chat.completion.chunk",
        whole="chat.completion",
        begin={"delta": {"role": "assistant", "content": ""}},
        piece=lambda text: {"delta": {"content": text}},
        end={"delta": {}},
        all=lambda text: {"message": {"role": "assistant", "content": text}},
    ),
    "/v1/completions": _Form(
        prefix="cmpl-",
        event="text_completion",
        whole="text_completion",
        begin=None,
        piece=lambda text: {"text": text},
        end={"text": ""},
        all=lambda text: {"text": text},
    ),
}


class Wording:
    """Words one answer; each worker that has a part in it gets the same id and time.

    Args:
        asked: What the client asked for.
        request: The request as the scheduler took it: it knows when it came.
    """

    __slots__ = ("_form", "_head", "_wants_usage")

    def __init__(self, asked: Asked, request: InferenceRequest) -> None:
        self._form = _FORMS[asked.surface.path]
        self._head = {
            "id": self._form.prefix + request.job_id,
            "created": int(request.created_at / 1000),
            "model": asked.data["model"],
        }
        options = asked.data.get("stream_options")
        self._wants_usage = isinstance(options, dict) and options.get("include_usage") is True

    def begin(self) -> bytes:
        """Return the event that goes before the first piece; empty where there is none."""
        return b"" if self._form.begin is None else self._event(self._form.begin)

    def piece(self, text: str) -> bytes:
        """Return the event of a piece of text."""
        return self._event(self._form.piece(text))

    def end(self, reason: str, usage: Usage) -> bytes:
        """Return the events that end a stream: the reason, the usage where it is known, [DONE]."""
        events = self._event(self._form.end, reason)
        counts = _counts(usage)
        if self._wants_usage and counts is not None:
            events += self._data({"choices": [], "usage": counts})
        return events + DONE

    def whole(self, text: str, reason: str, usage: Usage) -> bytes:
        """Return an answer that is no stream."""
        choice = {"index": 0, **self._form.all(text), "logprobs": None, "finish_reason": reason}
        answer = {**self._head, "object": self._form.whole, "choices": [choice]}
        counts = _counts(usage)
        if counts is not None:
            answer["usage"] = counts
        return json.dumps(answer, separators=(",", ":")).encode()

    def _event(self, part: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": reason}
        return self._data({"choices": [choice]})

    def _data(self, part: Mapping[str, Any]) -> bytes:
        event = {**self._head, "object": self._form.event, **part}
        # As ASCII: a worker's JSON may hold half an emoji.
        return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _counts(usage: Usage) -> dict[str, int] | None:
    """Return the counts as the API has them; None where the worker did not give them both."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if prompt is None or completion is None:
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
