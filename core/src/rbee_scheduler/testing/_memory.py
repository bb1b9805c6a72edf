"""A transport without a network: for tests of what must hold whatever workers do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from anyio.lowlevel import checkpoint

from rbee_scheduler._transport import HttpCall


__all__ = ["MemoryResponse", "MemoryTransport", "Step", "completion"]

Step = bytes | Exception | Callable[[], Awaitable[object]]
"""What a response does next: give bytes, break, or wait for something."""

_EVENT_STREAM = {"content-type": "text/event-stream"}


def completion(texts: Iterable[str], *, done: bool = True) -> Iterator[bytes]:
    """Yield a plain completion as a server streams it, event by event.

    Args:
        texts: The tokens.
        done: Whether it ends as it should; else it just stops.
    """
    for text in texts:
        yield _event(json.dumps({"choices": [{"text": text}]}))
    if done:
        yield _event(json.dumps({"choices": [{"text": "", "finish_reason": "stop"}]}))
        yield _event("[DONE]")


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


class MemoryResponse:
    """A response that was written down before.

    Args:
        steps: What it does, one step after the other.
        status: HTTP status.
        headers: Header names (lower case) and values.
        close_delimited: Whether only the end of the connection ends the body.
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        status: int = 200,
        headers: Mapping[str, str] = _EVENT_STREAM,
        close_delimited: bool = False,
    ) -> None:
        self._steps = iter(steps)
        self.status = status
        self.headers = headers
        self.close_delimited = close_delimited
        self.closed = 0

    async def read(self) -> bytes | None:
        """Return the next bytes; None at the end."""
        for step in self._steps:
            await checkpoint()
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await step()
        await checkpoint()
        return None

    async def aclose(self) -> None:
        """Count that it was closed."""
        self.closed += 1
        await checkpoint()


class MemoryTransport:
    """Answers calls with `MemoryResponse`s; a `Transport`.

    Args:
        answer: Called with each call; returns the response, or raises what a transport
            raises. It may wait.

    Attributes:
        calls: All calls so far.
        responses: All responses so far.
    """

    def __init__(self, answer: Callable[[HttpCall], Awaitable[MemoryResponse]]) -> None:
        self._answer = answer
        self.calls: list[HttpCall] = []
        self.responses: list[MemoryResponse] = []

    async def open(self, call: HttpCall) -> MemoryResponse:
        """Return the response to ``call``."""
        self.calls.append(call)
        await checkpoint()
        response = await self._answer(call)
        self.responses.append(response)
        return response

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
        await checkpoint()
