"""The events of one request, for those who run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

from rbee_scheduler._events import Error, StreamEvent, Token


__all__ = ["EventStream"]


class EventStream:
    """Iterates over a request's events; made by `Scheduler.stream`."""

    __slots__ = ("_events",)

    def __init__(self, events: AsyncIterator[StreamEvent]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events

    def __anext__(self) -> Awaitable[StreamEvent]:
        return self._events.__anext__()

    async def text(self) -> str:
        """Return all of the generated text.

        Raises:
            SchedulerError: The request failed.
        """
        parts: list[str] = []
        async for event in self._events:
            if isinstance(event, Token):
                parts.append(event.text)
            elif isinstance(event, Error):
                raise event.error
        return "".join(parts)
