"""The connections to one origin."""

from __future__ import annotations

from collections import deque

import anyio

from rbee_scheduler import Clock
from rbee_scheduler_gateway._http._connect import Connector, Origin
from rbee_scheduler_gateway._http._connection import Connection
from rbee_scheduler_gateway._http._failures import ConnectFailed
from rbee_scheduler_gateway._http._limits import HttpLimits
from rbee_scheduler_gateway._http._parser import ResponseParser


__all__ = ["Pool"]


class Pool:
    """The connections to one origin: idle ones, busy ones, and who waits for one.

    The idle connection used last is used next: few stay warm, the others grow old and go.
    Old ones go when another is put back, or by `prune`: there is no task for it.

    Args:
        origin: Where to.
        connector: Opens connections.
        limits: See `HttpLimits`.
        clock: Source of time.

    Attributes:
        origin: The same.
    """

    __slots__ = (
        "_busy",
        "_clock",
        "_closed",
        "_connecting",
        "_connector",
        "_idle",
        "_limits",
        "_waiting",
        "origin",
    )

    def __init__(
        self, origin: Origin, connector: Connector, limits: HttpLimits, clock: Clock
    ) -> None:
        self.origin = origin
        self._connector = connector
        self._limits = limits
        self._clock = clock
        self._idle: deque[Connection] = deque()  # the oldest first
        self._busy: set[Connection] = set()
        self._connecting = 0
        self._waiting: deque[_Turn] = deque()  # only with `max_connections`
        self._closed = False

    @property
    def empty(self) -> bool:
        """Whether it has no connection, and nobody wants one."""
        return not (self._idle or self._busy or self._connecting or self._waiting)

    def take(self) -> Connection | None:
        """Return an idle connection that still lives, if there is one."""
        if not self._idle:
            return None
        oldest = self._clock.monotonic() - self._limits.idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and not connection.stream.dead:
                self._busy.add(connection)
                return connection
            connection.close()
        return None

    async def connect(self, limit: float | None) -> Connection:
        """Return a new connection, or one that came free when their number is limited.

        Args:
            limit: Seconds until it must stand; waiting for a turn does not count.

        Raises:
            ConnectFailed: No connection came about.
            ConnectTimedOut: Not within the limit.
        """
        self._check_open()
        if self._full:
            connection = await self._wait()
            if connection is not None:
                return connection
        else:
            self._connecting += 1
        try:
            stream = await self._connector.open(self.origin, limit)
        except BaseException:
            self._connecting -= 1
            self._give_turn()
            raise
        self._connecting -= 1
        connection = Connection(stream, ResponseParser(self._limits), self)
        self._busy.add(connection)
        if self._closed:
            connection.close()
            self._check_open()
        return connection

    def put(self, connection: Connection) -> None:
        """Take back a connection that can serve again."""
        if self._waiting:
            self._waiting.popleft().give(connection)  # stays busy
            return
        self._busy.discard(connection)
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        self.prune()

    def drop(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self._busy.discard(connection)
        self._give_turn()

    def prune(self) -> None:
        """Close the idle connections that are too many or too old."""
        idle = self._idle
        while len(idle) > self._limits.max_idle:
            idle.popleft().close()
        oldest = self._clock.monotonic() - self._limits.idle_seconds
        while idle and (idle[0].idle_since < oldest):
            idle.popleft().close()

    async def aclose(self) -> None:
        """Close all connections; whoever reads from one, or waits for one, gets an error."""
        self._closed = True
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        while self._waiting:
            self._connecting += 1
            self._waiting.popleft().give(None)
        for connection in connections:
            connection.close()
        for connection in connections:
            await connection.stream.wait_closed()

    # ---- their number is limited -------------------------------------------------------

    @property
    def _full(self) -> bool:
        most = self._limits.max_connections
        if most is None:
            return False
        return len(self._idle) + len(self._busy) + self._connecting >= most

    async def _wait(self) -> Connection | None:
        """Return a connection that came free, or None for the right to make one."""
        turn = _Turn()
        self._waiting.append(turn)
        try:
            await turn.given.wait()
            self._check_open()
        except BaseException:
            if not turn.given.is_set():
                self._waiting.remove(turn)
            elif turn.connection is not None:
                self.put(turn.connection)
            else:
                self._connecting -= 1
                self._give_turn()
            raise
        return turn.connection

    def _give_turn(self) -> None:
        """Let the one who waits longest make a connection."""
        if self._waiting and not self._full:
            self._connecting += 1
            self._waiting.popleft().give(None)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectFailed(f"no connection to {self.origin}: the transport is closed")


class _Turn:
    """Somebody's place in the line, and what was given to them."""

    __slots__ = ("connection", "given")

    def __init__(self) -> None:
        self.given = anyio.Event()
        self.connection: Connection | None = None

    def give(self, connection: Connection | None) -> None:
        self.connection = connection
        self.given.set()
