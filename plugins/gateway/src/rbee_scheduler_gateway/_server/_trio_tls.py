"""TLS connections on trio, through trio's own stream."""

from __future__ import annotations

import socket
import ssl

import trio

from rbee_scheduler_gateway._server._roster import Roster
from rbee_scheduler_gateway._server._trio_side import READ_BYTES, TrioConnection


__all__ = ["TrioTlsConnection"]


class TrioTlsConnection(TrioConnection):
    """A TLS connection on trio.

    Args:
        roster: Where it is listed.
        sock: Connected, not blocking.
        client: Address of the peer.
        context: The server's certificate.
    """

    __slots__ = ("_stream",)

    def __init__(
        self, roster: Roster, sock: socket.socket, client: str, context: ssl.SSLContext
    ) -> None:
        super().__init__(roster, sock, client)
        # Clients close without saying so in TLS; `https_compatible` makes that an end.
        below = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._stream = trio.SSLStream(below, context, server_side=True, https_compatible=True)

    async def _greet(self) -> bool:
        """Return whether the connection stands."""
        with self._roster.clock.move_on_after(self._roster.limits.head_seconds):
            try:
                await self._stream.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            else:
                return True
        self._close()
        return False

    async def _receive(self) -> bytes:
        """Return what comes next; nothing at the end."""
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _push(self) -> None:
        """Send a part of what is unsent."""
        data = bytes(self._unsent[:READ_BYTES])
        try:
            await self._stream.send_all(data)
        except trio.Cancelled:
            self._close()  # in the middle of a record: nothing more can be sent
            raise
        del self._unsent[: len(data)]

    def send(self, data: bytes) -> None:
        """See `Connection`."""
        if not self._gone:
            self._unsent += data
            self._choke()

    def _finish(self, *, linger: bool) -> None:  # noqa: ARG002 - of plain sockets
        """Close: TLS has no half-closed connections."""
        self._close()
