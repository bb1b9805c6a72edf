"""Requests that never reach a handler, and what their clients are told."""

from __future__ import annotations

from typing import Final

from rbee_scheduler_gateway._problems import problem_body


__all__ = ["Refused"]

# The codes of what HTTP itself refuses, by status.
_CODES: Final = {
    400: "BAD_REQUEST",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    414: "URI_TOO_LONG",
    417: "EXPECTATION_FAILED",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL",
    501: "NOT_IMPLEMENTED",
    503: "TOO_MANY_CONNECTIONS",
    505: "HTTP_VERSION_NOT_SUPPORTED",
}


class Refused(Exception):
    """Ends a connection: what came is no request, an ambiguous one, or beyond a limit.

    Args:
        status: HTTP status.
        message: What is wrong, and what would be right.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def body(self) -> bytes:
        """Return the answer's body, in the shape of all our errors."""
        return problem_body(self.status, _CODES[self.status], str(self))
