"""What a body asks for: read once, kept as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs

from rbee_scheduler import InferenceRequest, InvalidRequest, UnprocessableRequest
from rbee_scheduler._request import PRIORITIES
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._relay._alias import with_model


__all__ = ["SURFACES", "Asked", "Surface", "from_headers", "read_asked"]


@attrs.frozen
class Surface:
    """One path of the OpenAI API.

    Attributes:
        path: The path, here and at the worker.
        task: Task type of its requests.
        content: Key of what is to be worked on.
        limits: Keys of the most tokens to generate; the first one that is there counts.
    """

    path: str
    task: str
    content: str
    limits: tuple[str, ...] = ()


SURFACES = (
    Surface(
        "/v1/chat/completions", "text-gen", "messages", ("max_completion_tokens", "max_tokens")
    ),
    Surface("/v1/completions", "text-gen", "prompt", ("max_tokens",)),
    Surface("/v1/embeddings", "embedding", "input"),
    Surface("/v1/responses", "text-gen", "input", ("max_output_tokens",)),
)

# What a request is made from: only what it says itself has to be checked then.
_BLANK = InferenceRequest(job_id="blank", model="blank", prompt="blank")

# Keys that a policy may read, with the same name in a request.
_SAMPLING = ("temperature", "top_p", "seed")


@attrs.frozen(slots=False)
class Asked:
    """A client's request for inference.

    Attributes:
        surface: The path it came by.
        request: What the scheduler decides about.
        data: The body, read.
        body: The body as it came.
        stream: Whether the answer is to come as events.
    """

    surface: Surface
    request: InferenceRequest
    data: Mapping[str, Any]
    body: bytes
    stream: bool

    def body_for(self, model: str) -> bytes:
        """Return the body for a worker that calls the model ``model``; else it is untouched."""
        return self.body if self.data["model"] == model else with_model(self.body, model)


def read_asked(
    call: Call, surface: Surface, rng: Random, *, task: str = "", now: float = 0.0
) -> Asked:
    """Return what a call asks for.

    What the scheduler needs is checked; the rest is the worker's to judge.

    Args:
        call: The call.
        surface: The path it came by.
        rng: Makes the job's id.
        task: Task type instead of the surface's.
        now: Wall-clock ms at which it came; 0: the scheduler's clock will say.

    Raises:
        InvalidRequest: The body is no JSON object, or a header makes no sense.
        UnprocessableRequest: A value is missing or out of range; the error names it.
    """
    data = call.json()
    if not isinstance(data, dict):
        raise InvalidRequest("the body is no JSON object", place="$")
    model = data.get("model")
    if not isinstance(model, str) or not model or model.isspace():
        raise UnprocessableRequest(
            "there is no model", place="$.model", hint="name one of GET /v1/models"
        )
    stream = data.get("stream", False)
    if stream is None:
        stream = False
    if not isinstance(stream, bool):
        raise UnprocessableRequest(f"stream is {stream!r}", place="$.stream", hint="true or false")
    sound = {
        "job_id": f"{rng.getrandbits(128):032x}",
        "model": model,
        "task_type": task or surface.task,
        "tenant_id": call.identity.tenant_id,
        "created_at": now,
    }
    exchange = call.exchange
    known = _known(data, surface, exchange.headers)
    return Asked(surface, _BLANK.checked(sound, **known), data, exchange.body, stream)


def _known(data: Mapping[str, Any], surface: Surface, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what a request has to say of itself: fields of `InferenceRequest`, not checked."""
    known = _content(data, surface)
    for key in _SAMPLING:
        value = data.get(key)
        if value is not None:
            known[key] = value
    for key in surface.limits:
        limit = data.get(key)
        if limit is not None:
            # llama.cpp takes -1 for "no limit", vLLM 0 for "only the prompt's logprobs".
            if not isinstance(limit, int) or limit > 0:
                known["max_tokens"] = limit
            break
    stop = data.get("stop")
    if stop is not None:
        known["stop"] = (stop,) if isinstance(stop, str) else stop
    if not _HEADERS.keys().isdisjoint(headers):  # most requests have none of them
        known |= from_headers(headers)
    return known


def _content(data: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """Return what is to be worked on, as a prompt or as messages."""
    content = data.get(surface.content)
    if not content:
        raise UnprocessableRequest(f"there is no {surface.content}", place=f"$.{surface.content}")
    if isinstance(content, str):
        return {"prompt": content}
    if isinstance(content, list) and isinstance(content[0], dict):
        return {"prompt": "", "messages": content}
    # Several prompts, or token ids: a policy sees about as much text as there is.
    return {"prompt": json.dumps(content, ensure_ascii=False)}


def from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what headers say of a request."""
    known: dict[str, Any] = {}
    for header, (name, read) in _HEADERS.items():
        text = headers.get(header)
        if text is not None:
            known[name] = read(header, text)
    return known


def _text(_: str, text: str) -> str:
    return text


def _priority(header: str, text: str) -> str:
    if text not in PRIORITIES:
        raise InvalidRequest(
            f"{text!r} is no priority", place=header, hint=f"use {' or '.join(PRIORITIES)}"
        )
    return text


def _milliseconds(header: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e12:  # noqa: PLR2004 - 30 years
        raise InvalidRequest(
            f"{text!r} is no time", place=header, hint="give milliseconds, such as 30000"
        )
    return number


def _flag(header: str, text: str) -> bool:
    known = {"1": True, "true": True, "0": False, "false": False}
    if text.lower() not in known:
        raise InvalidRequest(
            f"{text!r} is neither true nor false", place=header, hint="use true or false"
        )
    return known[text.lower()]


_HEADERS = {
    "x-deadline-ms": ("deadline_ms", _milliseconds),
    "x-priority": ("priority", _priority),
    "x-rbee-resume": ("resume", _flag),
    "x-rbee-strategy": ("strategy", _text),
    "x-session-id": ("session_id", _text),
}
