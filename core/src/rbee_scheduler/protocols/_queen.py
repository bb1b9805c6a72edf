"""The queen protocol: submit a job, then follow its event stream.

POST {worker}/v1/inference answers ``{job_id, sse_url}``; GET {worker}{sse_url} streams
lines ``data: <text or JSON>`` and ends with ``data: [DONE]``; POST /v1/cancel ``{job_id}``
stops a job and may be sent twice.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from rbee_scheduler._errors import ParseError, WorkerError
from rbee_scheduler._outcome import Usage
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._transport import HttpCall
from rbee_scheduler._worker import Worker
from rbee_scheduler.protocols._base import Piece, base_url, json_body, json_headers


__all__ = ["QueenProtocol"]

DONE = "[DONE]"


class QueenProtocol:
    """The protocol of the queen-rbee system's own workers."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._job_id = ""

    def submit(self, worker: Worker, request: InferenceRequest) -> HttpCall:
        """Return the call that hands in the job."""
        body: dict[str, Any] = {
            "prompt": request.prompt or _flat(request),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
        }
        for name in ("top_p", "top_k"):
            value = getattr(request, name)
            if value is not None:
                body[name] = value
        self._headers = json_headers(worker, request, close=True)
        return HttpCall(
            method="POST",
            url=f"{base_url(worker)}/v1/inference",
            headers=self._headers,
            body=json_body(body),
        )

    def follow(self, worker: Worker, answer: bytes) -> HttpCall | None:
        """Return the call that opens the job's event stream."""
        try:
            value = json.loads(answer)
            job_id, sse_url = value["job_id"], value["sse_url"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ParseError(
                f"the worker answered {answer[:80]!r} instead of job_id and sse_url"
            ) from None
        if not isinstance(job_id, str) or not isinstance(sse_url, str):
            raise ParseError("the worker's job_id and sse_url are no strings")
        self._job_id = job_id
        # A path goes to the end of the worker's URL, which may have one of its own.
        url = base_url(worker) + sse_url if sse_url.startswith("/") else sse_url
        try:
            elsewhere = urlsplit(url)[:2] != urlsplit(worker.url)[:2]
        except ValueError:
            elsewhere = True
        if elsewhere:
            # A worker may not send us, with its key, to another host.
            raise ParseError(f"the worker's sse_url leads elsewhere: {sse_url[:80]!r}")
        return HttpCall(method="GET", url=url, headers=self._headers)

    def parse(self, data: str) -> Piece:
        """Return what one event of the stream says: text, or JSON that holds some."""
        if data == DONE:
            return Piece(data, done=True)
        if data.startswith("{"):
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                return Piece(data, data)  # text that happens to begin with a brace
            if isinstance(value, dict):
                return _piece(data, value)
        return Piece(data, data)

    def parse_answer(self, body: bytes) -> Piece:
        """Refuse: a queen worker's events only come as a stream."""
        raise ParseError(f"the worker answered {body[:80]!r} instead of an event stream")

    def cancel(self, worker: Worker) -> HttpCall | None:
        """Return the call that stops the job, once it was accepted."""
        if not self._job_id:
            return None
        return HttpCall(
            method="POST",
            url=f"{base_url(worker)}/v1/cancel",
            headers=self._headers,
            body=json.dumps({"job_id": self._job_id}).encode(),
        )


def _piece(data: str, value: dict[str, Any]) -> Piece:
    if value.get("error") is not None:
        error = value["error"]
        message = error.get("message", error) if isinstance(error, dict) else error
        raise WorkerError(str(message)[:500], status=200)
    for name in ("text", "token", "content"):
        if isinstance(value.get(name), str):
            return Piece(data, value[name])
    usage = value.get("usage")
    if isinstance(usage, dict):
        counts = {
            name: usage[name]
            for name in ("prompt_tokens", "completion_tokens")
            if type(usage.get(name)) is int
        }
        return Piece(data, usage=Usage(**counts))
    # Compared one by one: what a worker sends may be unhashable.
    if value.get("type") in ("metrics", "started", "queued"):
        return Piece(data, values=value)
    return Piece(data, data)  # JSON that the model itself wrote


def _flat(request: InferenceRequest) -> str:
    """Return chat messages as plain text, for a protocol that knows no roles."""
    return "\n".join(f"{m.get('role', '')}: {m.get('content', '')}" for m in request.messages)
