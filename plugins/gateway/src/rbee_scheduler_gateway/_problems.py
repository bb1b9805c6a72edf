"""Errors as clients of the OpenAI API expect them: one shape, stable codes.

The official clients choose their exception by the HTTP status, and show ``message``; programs
compare ``code``, which is the upper-case code of core's error tree.
"""

from __future__ import annotations

import json
from math import ceil
from typing import Any

from rbee_scheduler import SchedulerError
from rbee_scheduler_gateway._exchange import Headers


__all__ = ["JSON", "problem_body", "problem_headers", "problem_of", "status_of"]

JSON = (b"content-type", b"application/json")

# The types of OpenAI's own errors, by status.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def problem_body(status: int, code: str, message: str, **details: Any) -> bytes:
    """Return the body of an error.

    Args:
        status: HTTP status; decides the error's ``type``.
        code: Stable upper-case code.
        message: What happened and what to do about it.
        **details: More members of the error, such as ``param``; those that are None are left out.

    Example:
        >>> problem_body(404, "NOT_FOUND", "no such path")
        b'{"error":{"message":"no such path","type":"not_found_error","code":"NOT_FOUND"}}'
    """
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004 - HTTP's own classes
    error = {"message": message, "type": kind, "code": code}
    error |= {name: value for name, value in details.items() if value is not None}
    return json.dumps({"error": error}, separators=(",", ":"), default=str).encode()


def status_of(error: SchedulerError) -> int:
    """Return the HTTP status that ``error`` is answered with."""
    return error.http_status


def problem_of(error: SchedulerError) -> bytes:
    """Return the body that tells of ``error``."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    return problem_body(
        status_of(error),
        error.code,
        message,
        param=error.place or None,
        retryable=error.retryable,
        worker_id=error.worker_id or None,
        retry_after=error.retry_after,
    )


def problem_headers(error: SchedulerError) -> Headers:
    """Return the headers that go with ``error``: its type, and when to try again."""
    if error.retry_after is None:
        return (JSON,)
    # Whole seconds, rounded up: a client that obeys must not be early.
    return (JSON, (b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
