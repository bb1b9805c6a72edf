"""What fits a queen worker: which requests of the OpenAI API its protocol can express.

It takes a prompt, ``max_tokens``, ``temperature``, ``top_p`` and ``top_k``, and answers text. A
request that asks for more is for other workers; silently leaving out what it asks for would be a
wrong answer. Only asked where there is a queen worker: other fleets pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rbee_scheduler import (
    InferenceRequest,
    NoWorkersAvailable,
    Snapshot,
    UnprocessableRequest,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler_gateway._relay._asked import Asked


__all__ = ["QUEEN", "filter_for", "fitting_request", "text_of"]

QUEEN = "queen"

FilterWorkers = Callable[[InferenceRequest, Sequence[Worker], Snapshot], Mapping[str, str]]

# Keys that go over, are checked below, or only label a request.
_SAID = frozenset(
    {
        "max_completion_tokens", "max_tokens", "messages", "metadata", "model", "prompt", "stream",
        "stream_options", "temperature", "top_k", "top_p", "user",
    }
)  # fmt: skip

# Other keys, and the values with which they ask for nothing; null always does.
_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0, 0.0),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0, 0.0),
    "response_format": ({"type": "text"},),
    "stop": ([],),
    "suffix": ("",),
    "tool_choice": ("auto", "none"),
    "tools": ([],),
    "top_logprobs": (0,),
}

_MESSAGE = frozenset({"role", "content", "name"})

# Longest part of a client's own key that an error repeats.
_LONGEST_KEY = 100

# "Off", as llama.cpp and vLLM write it.
_NO_TOP_K = (0, -1)


def filter_for(asked: Asked, registry: WorkerRegistry) -> FilterWorkers | None:
    """Return the filter that leaves queen workers out; None: it needs none.

    Args:
        asked: The request.
        registry: The workers.

    Raises:
        UnprocessableRequest: They can't serve the request, and only they have the model; the
            error names what they lack.
    """
    lacking = _lacking(asked) if QUEEN in registry.protocols else ""
    if not lacking:
        return None
    snapshot = registry.snapshot()
    workers = snapshot.with_model(snapshot.catalog.resolve(asked.request.model))
    if workers and all(worker.protocol == QUEEN for worker in workers):
        raise UnprocessableRequest(
            f"the workers of {asked.request.model!r} speak the queen protocol, which"
            f" can't express {lacking.removeprefix('$.')}",
            place=lacking if lacking.startswith("$") else "$.model",
            hint="leave it out, or add a worker that speaks the OpenAI protocol",
        )
    reason = f"it speaks the queen protocol, which can't express {lacking.removeprefix('$.')}"

    def leave_out(
        _: InferenceRequest, candidates: Sequence[Worker], __: Snapshot
    ) -> Mapping[str, str]:
        return {worker.id: reason for worker in candidates if worker.protocol == QUEEN}

    return leave_out


def fitting_request(asked: Asked, request: InferenceRequest) -> InferenceRequest:
    """Return ``request`` with all that a queen worker can be told of what was asked for.

    Raises:
        NoWorkersAvailable: It asks for more. Such a request gets to a queen worker only where
            the first one of all came while it waited.
    """
    if _lacking(asked):
        raise NoWorkersAvailable(
            "the worker that became free can't serve it", hint="try again", retry_after=1.0
        )
    changes: dict[str, Any] = {}
    top_k = asked.data.get("top_k")
    if top_k is not None and top_k not in _NO_TOP_K:
        changes["top_k"] = top_k
    if request.messages:
        changes["messages"] = tuple(
            {**message, "content": text_of(message.get("content"))} for message in request.messages
        )
    return request.changed(**changes)


def text_of(content: Any) -> str | None:
    """Return the content of a message as text; None when it is not all text.

    Example:
        >>> text_of([{"type": "text", "text": "Hello, "}, {"type": "text", "text": "bee"}])
        'Hello, bee'
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)


def _lacking(asked: Asked) -> str:
    """Return the JSON path (or the path) of what the queen protocol can't express; else empty."""
    content = asked.surface.content
    if content not in {"messages", "prompt"}:
        return asked.surface.path
    for key, value in asked.data.items():
        if value is not None and not _fits(key, value):
            return f"$.{key[:_LONGEST_KEY]}"
    if content == "messages":
        return _lacking_in(asked.request.messages)
    return "" if isinstance(asked.data["prompt"], str) else "$.prompt"


def _fits(key: str, value: Any) -> bool:
    if key in {"max_tokens", "max_completion_tokens"}:
        return isinstance(value, int) and value > 0  # "no limit" is none of its own
    if key == "top_k":
        return type(value) is int and (value > 0 or value in _NO_TOP_K)
    if key in _SAID:
        return True
    # True and 1 are equal, and not the same.
    return any(
        type(value) is type(nothing) and value == nothing for nothing in _NOTHING.get(key, ())
    )


def _lacking_in(messages: Sequence[Mapping[str, Any]]) -> str:
    if not messages:  # what came under that name is no list of them
        return "$.messages"
    for place, message in enumerate(messages):
        for key, value in message.items():
            if key not in _MESSAGE and value not in (None, [], ""):
                return f"$.messages[{place}].{key[:_LONGEST_KEY]}"
        if text_of(message.get("content")) is None:
            return f"$.messages[{place}].content"
    return ""
