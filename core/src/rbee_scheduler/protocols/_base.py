"""What the executor asks of a protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import attrs

from rbee_scheduler._errors import UnprocessableRequest
from rbee_scheduler._outcome import Usage
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._transport import HttpCall
from rbee_scheduler._worker import Worker


__all__ = ["Piece", "WorkerProtocol", "base_url", "json_body", "json_headers"]

# What a job's id may have in a header as it is; the rest (controls, spaces, what is not
# ASCII) is percent-encoded, so that no id breaks a request, or the next one.
_IN_HEADERS = "!#$&'()*+,/:;=?@[]{}|^`<>"


@attrs.frozen
class Piece:
    """What one event of a worker's stream says.

    Attributes:
        data: The event's data as it came.
        text: Generated text; empty when it holds none.
        done: Whether the stream is complete.
        finish_reason: Why the worker ended, where it says.
        usage: Token counts, where it gives them.
        values: Other numbers it gives, such as llama.cpp's ``timings``.
    """

    data: str
    text: str = ""
    done: bool = False
    finish_reason: str = ""
    usage: Usage | None = None
    values: Mapping[str, Any] | None = None


class WorkerProtocol(Protocol):
    """One request put to one worker."""

    def submit(self, worker: Worker, request: InferenceRequest) -> HttpCall:
        """Return the call that starts the request.

        Raises:
            UnprocessableRequest: JSON can't hold it.
        """
        ...

    def follow(self, worker: Worker, answer: bytes) -> HttpCall | None:
        """Return the call that opens the event stream, from the answer to `submit`.

        None: the answer to `submit` is the stream itself, and ``answer`` is not read.

        Raises:
            ParseError: The answer makes no sense.
        """
        ...

    def parse(self, data: str) -> Piece:
        """Return what one event of the stream says.

        Raises:
            ParseError: It makes no sense.
            WorkerError: It is an error.
        """
        ...

    def parse_answer(self, body: bytes) -> Piece:
        """Return what an answer says that is whole instead of a stream.

        Raises:
            ParseError: It makes no sense.
            WorkerError: It is an error.
        """
        ...

    def cancel(self, worker: Worker) -> HttpCall | None:
        """Return the call that tells the worker to stop, where the protocol has one."""
        ...


def base_url(worker: Worker) -> str:
    """Return the worker's URL without a slash at its end."""
    return worker.url.rstrip("/")


def json_body(value: Mapping[str, Any]) -> bytes:
    """Return ``value`` as JSON.

    Raises:
        UnprocessableRequest: JSON can't hold it; only messages are unchecked so far.
    """
    try:
        # Half a surrogate pair is no text, and no UTF-8: it is sent as a question mark.
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as problem:
        raise UnprocessableRequest(
            f"messages hold what JSON can't: {problem}", place="$.messages"
        ) from None


def json_headers(worker: Worker, request: InferenceRequest, *, close: bool) -> dict[str, str]:
    """Return the headers of a JSON call that answers with an event stream.

    Args:
        worker: Where it goes; its label ``api_key`` becomes the bearer token.
        request: What it is for; its id is sent on as the correlation id.
        close: Whether to ask for the connection to be closed after the answer.
    """
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        # A compressed stream could not be relayed as it comes.
        "accept-encoding": "identity",
        "x-correlation-id": quote(request.job_id, _IN_HEADERS),
    }
    if close:
        headers["connection"] = "close"
    if key := worker.labels.get("api_key"):
        headers["authorization"] = f"Bearer {key}"
    return headers
