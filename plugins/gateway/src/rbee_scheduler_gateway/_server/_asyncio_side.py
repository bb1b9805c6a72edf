"""Connections on asyncio and uvloop: a protocol, so that a request costs no task."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Final, cast

from anyio.lowlevel import checkpoint

from rbee_scheduler_gateway._server._connection import Connection
from rbee_scheduler_gateway._server._roster import Roster


__all__ = ["AsyncioConnection", "accept_asyncio"]

_UNIX: Final = getattr(socket, "AF_UNIX", None)
_RESET: Final = struct.pack("ii", 1, 0)
# What waits for the end of a turn; a `write` beyond it goes out at once.
_SOON: Final = 64 * 1024
# Twice what asyncio asks of the kernel at a time; see `_http._asyncio_stream`.
_LARGE: Final = 512 * 1024


async def accept_asyncio(
    roster: Roster, sockets: Sequence[socket.socket], context: ssl.SSLContext | None
) -> Callable[[], None]:
    """Serve connections from now on; return what stops accepting them."""
    loop = asyncio.get_running_loop()
    bytes(_LARGE)  # lets glibc keep blocks of that size: 2.4 us instead of 16 for each read

    def connection() -> AsyncioConnection:
        return AsyncioConnection(roster, loop)

    servers: list[asyncio.Server] = []
    # The loop's own clock times the handshake, for it takes no other.
    handshake = None if context is None else roster.limits.head_seconds
    for sock in sockets:
        create = loop.create_unix_server if sock.family == _UNIX else loop.create_server
        servers.append(
            await create(connection, sock=sock, ssl=context, ssl_handshake_timeout=handshake)
        )

    def stop() -> None:
        for server in servers:
            server.close()

    return stop


class AsyncioConnection(Connection, asyncio.Protocol):
    """A connection on asyncio or uvloop.

    Args:
        roster: Where it is listed.
        loop: The running loop.
    """

    __slots__ = ("_drained", "_loop", "_size", "_soon", "_soon_size", "_transport", "_waiter")

    def __init__(self, roster: Roster, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(roster)
        self._loop = loop
        self._transport: asyncio.Transport
        self._drained: asyncio.Future[None] | None = None  # there while choked
        self._size = 0  # bytes the client had not taken when last asked
        self._soon: list[bytes] = []  # to be sent in this turn of the loop
        self._soon_size = 0
        self._waiter: asyncio.Future[None] | None = None  # of the task

    # ---- the event loop calls these ----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._roster.limits.write_buffer_bytes)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            # An answer in two writes is else held back until the client acknowledges the first.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else ""
        self.entered()

    data_received = Connection.received

    def eof_received(self) -> None:
        """Take the end; the transport then closes by itself, when all is sent."""
        self.ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop tells it
        """Take the end of the socket."""
        self.lost()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Let the handler wait."""
        self.choked = True
        self._drained = self._loop.create_future()
        self._size = self._transport.get_write_buffer_size()
        self.deadline = self._roster.clock.monotonic() + self._roster.limits.write_seconds

    def resume_writing(self) -> None:
        """Let the handler go on."""
        self.unchoked()
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # ---- see Connection ----------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """See `Connection`."""
        if self._soon:
            data = b"".join((*self._soon, data))
            self._soon.clear()
        self._write(data)

    def send_soon(self, data: bytes) -> None:
        """See `Connection`.

        A piece is a system call, 5 to 10 us of the 11 that it costs. The end of a stream
        mostly comes with its last piece, and bursts of events together.
        """
        soon = self._soon
        if soon:
            self._soon_size += len(data)
        else:
            self._soon_size = len(data)
            self._loop.call_soon(self._flush)
        soon.append(data)
        if self._soon_size > _SOON:
            self._flush()

    def _flush(self) -> None:
        if self._soon:
            data = b"".join(self._soon)
            self._soon.clear()
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            self.choked = True  # it broke, which the loop tells us in its next turn
        else:
            self._transport.write(data)

    async def drained(self) -> None:
        """See `Connection`."""
        if self._drained is None:
            await checkpoint()
        else:
            # Shielded: more than one may wait, and who is cancelled leaves the others alone.
            await asyncio.shield(self._drained)

    def progressing(self) -> bool:
        """See `Connection`."""
        size, self._size = self._size, self._transport.get_write_buffer_size()
        return 0 < self._size < size

    def pause(self) -> None:
        """See `Connection`."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """See `Connection`."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def hang_up(self, *, linger: bool) -> None:
        """See `Connection`."""
        transport = self._transport
        if transport.is_closing():
            return
        self._flush()
        self._size = transport.get_write_buffer_size()
        if not linger or self._gone or not transport.can_write_eof():
            transport.close()
            return
        if self._paused:
            self.resume()
        if not self._size:  # else the loop would half-close later, and log when it can't
            try:
                transport.write_eof()
            except OSError:  # reset meanwhile
                transport.abort()

    def cut(self, *, reset: bool) -> None:
        """See `Connection`."""
        transport = self._transport
        if reset and not transport.is_closing():
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    async def sleep(self) -> None:
        """See `Connection`."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def wake(self) -> None:
        """See `Connection`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
