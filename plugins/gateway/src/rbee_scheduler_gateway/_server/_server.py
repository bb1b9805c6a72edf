"""The built-in HTTP/1.1 server, on asyncio, uvloop and trio."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskStatus

from rbee_scheduler import Clock, SystemClock
from rbee_scheduler_gateway._exchange import Handler
from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._loop import on_trio
from rbee_scheduler_gateway._server._roster import Roster


__all__ = ["Server"]


class Server:
    """An HTTP/1.1 server: connections in, exchanges to a handler.

    Each connection has one task, which calls the handler for one request after the other, so
    context variables that a handler sets are still set for the connection's next request. The
    handler is cancelled when its client closes, or half-closes, the connection before the
    answer is whole. While more than 64 KiB wait behind a request (a client that pipelines),
    nothing is read and so the client's leaving is not noticed before something is written.

    A handler that raises, or returns without an answer, is logged with its traceback. The
    client is told 500 if nothing was sent yet; else its connection is closed in a way that
    shows that the answer is not whole.

    Example::

        async def hello(exchange: Exchange) -> None:
            await exchange.respond(200, [(b"content-type", b"text/plain")], b"hello")

        server = Server(hello)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, listen("127.0.0.1", 8000))
            ...
            server.drain()  # answers under way are finished; `serve` then returns

    Args:
        handler: Called with each request.
        limits: What a client may take.
        clock: Source of time. The TLS handshake on asyncio is timed by the loop itself.
        logger: Gets failures of the handler.
        ssl_context: Makes it HTTPS.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
        logger: logging.Logger | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._roster = Roster(
            handler,
            limits or ServerLimits(),
            clock or SystemClock(),
            logger or logging.getLogger(__name__),
        )
        self._ssl_context = ssl_context
        self._stop: Callable[[], None] | None = None

    @property
    def connections(self) -> int:
        """How many connections there are, idle ones too."""
        return len(self._roster)

    @property
    def active(self) -> int:
        """How many requests are being handled."""
        return self._roster.active

    async def serve(
        self,
        sockets: Sequence[socket.socket],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `drain` was called and the last connection is gone; once per server.

        Cancelling it closes all connections at once.

        Args:
            sockets: From `listen`; they are closed at the end.
            task_status: Told when connections are accepted.
        """
        roster = self._roster
        async with anyio.create_task_group() as tasks:
            roster.spawn = tasks.start_soon
            try:
                self._stop = await self._accept(sockets)
                tasks.start_soon(roster.watch)
                task_status.started()
                if roster.draining:
                    self.drain()
                await roster.empty.wait()
            finally:
                self.drain()
                self.cut()
                with anyio.CancelScope(shield=True):
                    await roster.empty.wait()
                tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """Accept nothing more, close idle connections, and the others after their answer.

        More than once is fine. Call it where the server runs, not from another thread.
        """
        if self._stop is not None:
            self._stop()
        self._roster.drain()

    def cut(self) -> None:
        """Close all connections at once, and cancel their handlers. `drain` comes first."""
        self._roster.cut()

    async def wait_drained(self) -> None:
        """Wait until `drain` was called and the last connection is gone."""
        await self._roster.empty.wait()

    async def _accept(self, sockets: Sequence[socket.socket]) -> Callable[[], None]:
        if on_trio():
            from rbee_scheduler_gateway._server._trio_accept import accept_trio

            return await accept_trio(self._roster, sockets, self._ssl_context)
        from rbee_scheduler_gateway._server._asyncio_side import accept_asyncio

        return await accept_asyncio(self._roster, sockets, self._ssl_context)
