"""The preflight: what a browser asks before it lets a page of another origin send a request."""

from __future__ import annotations

from collections.abc import Iterable

from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._refusals import MethodNotAllowed


__all__ = ["answer_preflight", "is_preflight"]

# What a page of an allowed origin may send.
_ALLOWED_HEADERS = (
    b"authorization, content-type, last-event-id, x-correlation-id, x-deadline-ms, x-priority, "
    b"x-rbee-resume, x-rbee-strategy, x-session-id"
)


def is_preflight(exchange: Exchange) -> bool:
    """Return whether a browser asks what a page may send."""
    return exchange.method == "OPTIONS" and "access-control-request-method" in exchange.headers


async def answer_preflight(call: Call, methods: Iterable[str]) -> None:
    """Tell a browser what a page of another origin may send.

    Raises:
        MethodNotAllowed: CORS is off for this origin, or not configured at all.
    """
    if len(call.common) == 1:  # the correlation id, and no CORS headers
        raise MethodNotAllowed("CORS is off for this origin", allowed=", ".join(methods))
    await call.respond(
        204,
        b"",
        (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", b"600"),
    )
