"""The OpenAI protocol: llama.cpp, vLLM, SGLang, Ollama, LM Studio and their kin.

What real servers do differently, and this room allows for: no ``[DONE]``; a first chat
chunk with ``content: null``; a usage chunk with ``choices: []``; llama.cpp's native
``content`` and ``stop`` at the top level; an ``error`` object in the middle of a stream;
a whole JSON answer to a request for a stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from rbee_scheduler._errors import ParseError, WorkerError
from rbee_scheduler._outcome import Usage
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._transport import HttpCall
from rbee_scheduler._worker import Worker
from rbee_scheduler.protocols._base import Piece, base_url, json_body, json_headers


__all__ = ["OpenAIProtocol"]

DONE = "[DONE]"

# Servers that keep a connection alive after a stream. llama.cpp says that it does and
# closes (11 failures in 16,000 requests of a pooled client; none with Connection: close),
# so a server must be known good before its connections are used again.
_KEEPS_ALIVE = frozenset({"vllm", "sglang", "ollama"})

# Options sent under the same name, when they are set.
_OPTIONS = ("top_p", "top_k", "seed", "repetition_penalty")


class OpenAIProtocol:
    """POST /v1/completions, or /v1/chat/completions for messages; the answer is the stream."""

    def submit(self, worker: Worker, request: InferenceRequest) -> HttpCall:
        """Return the call that starts the request."""
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for name in _OPTIONS:
            value = getattr(request, name)
            if value is not None:
                body[name] = value
        if request.stop:
            body["stop"] = list(request.stop)
        if request.messages:
            path = "/v1/chat/completions"
            body["messages"] = [dict(message) for message in request.messages]
        else:
            path = "/v1/completions"
            body["prompt"] = request.prompt
        return HttpCall(
            method="POST",
            url=base_url(worker) + path,
            headers=json_headers(worker, request, close=worker.implementation not in _KEEPS_ALIVE),
            body=json_body(body),
        )

    def follow(self, worker: Worker, answer: bytes) -> HttpCall | None:  # noqa: ARG002 - the protocol's signature
        """Return None: the answer to `submit` is the stream."""
        return None

    def parse(self, data: str) -> Piece:
        """Return what one event of the stream says."""
        if data == DONE:
            return Piece(data, done=True)
        return _piece(data, _object(data))

    def parse_answer(self, body: bytes) -> Piece:
        """Return what a whole ``application/json`` answer says."""
        text = body.decode("utf-8", "replace")
        piece = _piece(text, _object(text))
        return attrs.evolve(piece, done=True)

    def cancel(self, worker: Worker) -> HttpCall | None:  # noqa: ARG002 - the protocol's signature
        """Return None: closing the connection is the way to cancel."""
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ParseError(f"the worker sent no JSON: {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise ParseError(f"the worker sent no JSON object: {text[:80]!r}")
    return value


def _piece(data: str, chunk: dict[str, Any]) -> Piece:
    if chunk.get("error") is not None:
        raise _worker_error(chunk["error"])
    choices = chunk.get("choices")
    text: Any = None
    reason: Any = None
    done = False
    if isinstance(choices, list):
        if choices:
            choice = choices[0]
            if not isinstance(choice, dict):
                raise ParseError(f"the worker sent an unknown choice: {data[:80]!r}")
            text = _text(choice)
            reason = choice.get("finish_reason")
    elif "content" in chunk or "stop" in chunk:  # llama.cpp's own /completion
        text = chunk.get("content")
        done = chunk.get("stop") is True
        reason = chunk.get("stop_type") if done else None
    elif "usage" not in chunk and "object" not in chunk:
        raise ParseError(f"the worker sent an unknown event: {data[:80]!r}")
    if text is not None and not isinstance(text, str):
        raise ParseError(f"the worker sent text of an unknown kind: {data[:80]!r}")
    return Piece(
        data,
        text or "",
        done,
        reason if isinstance(reason, str) else "",
        _usage(chunk.get("usage")),
        chunk["timings"] if isinstance(chunk.get("timings"), dict) else None,
    )


def _text(choice: Mapping[str, Any]) -> Any:
    """Return the text of a choice: of a completion, a chat chunk or a chat answer."""
    for inner in ("delta", "message"):
        if isinstance(choice.get(inner), dict):
            return choice[inner].get("content")
    return choice.get("text")


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    counts = [value.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (c if type(c) is int and c >= 0 else None for c in counts)
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def _worker_error(error: Any) -> WorkerError:
    message, status = error, 200
    if isinstance(error, dict):
        message = error.get("message", error)
        code = error.get("code", error.get("status"))
        status = code if type(code) is int and 400 <= code < 600 else 200  # noqa: PLR2004 - HTTP's own classes
    return WorkerError(str(message)[:500], status=status)
