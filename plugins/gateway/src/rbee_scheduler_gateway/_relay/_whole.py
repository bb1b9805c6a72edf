"""What all ways to a worker share: the head of a stream, and an answer that is none."""

from __future__ import annotations

import attrs

from rbee_scheduler_gateway._exchange import Headers


__all__ = ["STREAM", "STREAM_HEADERS", "Whole"]

STREAM = b"text/event-stream"
STREAM_HEADERS = (
    (b"content-type", STREAM),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events otherwise
)


@attrs.frozen
class Whole:
    """An answer that is no stream."""

    status: int
    body: bytes
    headers: Headers
