"""What a body asks for: read once, kept as it came."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs

from rbee_scheduler import InferenceRequest, InvalidRequest, UnprocessableRequest
from rbee_scheduler_gateway._call import Call


__all__ = ["SURFACES", "Asked", "Surface", "read_asked"]


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

# Keys that a policy may read, with the same name in a request.
_SAMPLING = ("temperature", "top_p", "seed")


@attrs.frozen
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
        name = self.data["model"]
        if name == model:
            return self.body
        # In most bodies the name stands in one place, and the rest can stay byte for byte.
        found = re.findall(rb'"model"\s*:\s*"', self.body)
        if len(found) == 1:
            written = re.compile(rb'("model"\s*:\s*)' + re.escape(json.dumps(name).encode()))
            new = json.dumps(model).encode()
            body, count = written.subn(lambda match: match[1] + new, self.body)
            if count == 1:
                return body
        return json.dumps({**self.data, "model": model}, ensure_ascii=False).encode()


def read_asked(call: Call, surface: Surface, rng: Random, *, task: str = "") -> Asked:
    """Return what a call asks for.

    What the scheduler needs is checked; the rest is the worker's to judge.

    Args:
        call: The call.
        surface: The path it came by.
        rng: Makes the job's id.
        task: Task type instead of the surface's.

    Raises:
        InvalidRequest: The body is no JSON object, or a header makes no sense.
        UnprocessableRequest: A value is missing or out of range; the error names it.
    """
    data = call.json()
    if not isinstance(data, dict):
        raise InvalidRequest("the body is no JSON object", place="$")
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise UnprocessableRequest(
            "there is no model", place="$.model", hint="name one of GET /v1/models"
        )
    stream = data.get("stream", False)
    if stream is None:
        stream = False
    if not isinstance(stream, bool):
        raise UnprocessableRequest(f"stream is {stream!r}", place="$.stream", hint="true or false")
    known: dict[str, Any] = {key: data[key] for key in _SAMPLING if data.get(key) is not None}
    for key in surface.limits:
        if data.get(key) is not None:
            known["max_tokens"] = data[key]
            break
    stop = data.get("stop")
    if stop is not None:
        known["stop"] = (stop,) if isinstance(stop, str) else stop
    request = InferenceRequest(
        job_id=f"{rng.getrandbits(128):032x}",
        model=model,
        task_type=task or surface.task,
        tenant_id=call.identity.tenant_id,
        **_content(data, surface),
        **known,
        **_from_headers(call.exchange.headers),
    )
    return Asked(surface, request, data, call.exchange.body, stream)


def _content(data: Mapping[str, Any], surface: Surface) -> dict[str, Any]:
    """Return what is to be worked on, as a prompt or as messages."""
    content = data.get(surface.content)
    if not content:
        raise UnprocessableRequest(f"there is no {surface.content}", place=f"$.{surface.content}")
    if isinstance(content, str):
        return {"prompt": content}
    if isinstance(content, list) and isinstance(content[0], dict):
        return {"messages": content}
    # Several prompts, or token ids: a policy sees about as much text as there is.
    return {"prompt": json.dumps(content, ensure_ascii=False)}


def _from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what headers say of a request."""
    known: dict[str, Any] = {}
    for header, (name, read) in _HEADERS.items():
        text = headers.get(header)
        if text is not None:
            known[name] = read(header, text)
    return known


def _text(_: str, text: str) -> str:
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
        raise InvalidRequest(f"{text!r} is neither true nor false", place=header)
    return known[text.lower()]


_HEADERS = {
    "x-deadline-ms": ("deadline_ms", _milliseconds),
    "x-priority": ("priority", _text),
    "x-rbee-resume": ("resume", _flag),
    "x-rbee-strategy": ("strategy", _text),
    "x-session-id": ("session_id", _text),
}
