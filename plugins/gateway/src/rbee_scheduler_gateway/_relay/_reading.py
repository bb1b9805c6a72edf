"""Reading what a worker says: a stream piece by piece, and a body to its end."""

from __future__ import annotations

import json

from rbee_scheduler import Attempt, HttpResponse, StreamReadError, WorkerCommunicationFailed
from rbee_scheduler_gateway._relay._scan import StreamScan


__all__ = ["is_json", "next_piece", "read_all"]


async def next_piece(response: HttpResponse, scan: StreamScan) -> bytes | None:
    """Return what may go on to the client; None when the worker is through.

    Raises:
        StreamReadError: The stream was cut.
    """
    try:
        chunk = await response.read()
    except WorkerCommunicationFailed as failure:
        if scan.ended:  # all of the answer is here; only the end of its body is missing
            return None
        raise StreamReadError(failure.message) from failure
    if chunk is not None:
        return scan.feed(chunk)
    rest = scan.flush()
    # A body whose end can be told from a cut may end without [DONE], but not within an event.
    if not scan.ended and (response.close_delimited or not scan.events or scan.rest):
        raise StreamReadError("the connection closed before the stream's end")
    return rest or None


def is_json(body: bytes) -> bool:
    """Return whether ``body`` is JSON, and so not cut."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


async def read_all(response: HttpResponse, attempt: Attempt, idle: float, limit: int) -> bytes:
    """Return the body, or about its first ``limit`` bytes."""
    first = await response.read()
    if first is None:
        return b""
    second = await response.read()
    if second is None:  # all of it came at once, as small answers do
        return first
    body = bytearray(first)
    while second is not None and len(body) < limit:
        body += second
        attempt.expect(idle)
        second = await response.read()
    return bytes(body)
