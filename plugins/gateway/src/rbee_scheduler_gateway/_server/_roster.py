"""The roster: who is connected, how many more may come, and who has been too slow."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import anyio

from rbee_scheduler import Clock
from rbee_scheduler_gateway._exchange import Handler
from rbee_scheduler_gateway._server._answer import Answers
from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._refused import Refused


if TYPE_CHECKING:
    from rbee_scheduler_gateway._server._connection import Connection

__all__ = ["Roster"]

_TICK: Final = 1.0
# Connections beyond the limit that are told so; further ones are closed without a word.
_REFUSED_AT_ONCE: Final = 256


class Roster:
    """All connections of a server, and what they share.

    Args:
        handler: Answers requests.
        limits: See `ServerLimits`.
        clock: Source of time.
        logger: Gets failures of handlers.

    Attributes:
        active: How many requests are being handled.
        answers: Makes the heads of answers.
        draining: Whether no connection may live on after its answer.
        spawn: Starts a task that the server waits for.
    """

    def __init__(
        self, handler: Handler, limits: ServerLimits, clock: Clock, logger: logging.Logger
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.answers = Answers(clock.now())
        self.active = 0
        self.draining = False
        self.empty = anyio.Event()
        self.spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many connections there are, refused ones aside."""
        return len(self._connections)

    def enter(self, connection: Connection) -> Refused | None:
        """Take a new connection; return what to tell it when there are too many."""
        client = connection.client
        limits = self.limits
        if self.draining:  # it was accepted, or shook hands, while the listeners were closed
            self._refused.add(connection)
            connection.abort()
            return None
        most = limits.connections_per_client
        if len(self._connections) >= limits.connections:
            refused = Refused(503, f"more than {limits.connections} connections; try again later")
        elif most is not None and client and self._by_client[client] >= most:
            refused = Refused(503, f"more than {most} connections from {client}; reuse them")
        else:
            self._connections.add(connection)
            self._by_client[client] += 1
            return None
        if len(self._refused) < _REFUSED_AT_ONCE:
            self._refused.add(connection)
        else:
            connection.abort()
        return refused

    def leave(self, connection: Connection) -> None:
        """Forget a connection whose socket is closed and whose handler has returned."""
        if connection in self._connections:
            self._connections.remove(connection)
            client = connection.client
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
        self._refused.discard(connection)
        self._note_empty()

    def drain(self) -> None:
        """Close what is idle, and everything else after its answer."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.drain()
        self._note_empty()

    def cut(self) -> None:
        """Close everything at once."""
        for connection in (*self._connections, *self._refused):
            connection.abort()

    async def watch(self) -> None:
        """End connections whose time is over, for ever."""
        while True:
            await self.clock.sleep(_TICK)
            self.answers.tick(self.clock.now())
            now = self.clock.monotonic()
            for connection in (*self._connections, *self._refused):
                if connection.deadline <= now:
                    connection.expire(now)

    def _note_empty(self) -> None:
        if self.draining and not self._connections and not self._refused:
            self.empty.set()
