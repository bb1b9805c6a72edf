"""Accepting connections on trio."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from rbee_scheduler_gateway._server._roster import Roster
from rbee_scheduler_gateway._server._trio_side import TrioConnection
from rbee_scheduler_gateway._server._trio_tls import TrioTlsConnection


__all__ = ["accept_trio"]

# No descriptors or no memory: the connection waits in the kernel's queue until there are.
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE: Final = 0.1


async def accept_trio(
    roster: Roster, sockets: Sequence[socket.socket], context: ssl.SSLContext | None
) -> Callable[[], None]:
    """Serve connections from now on; return what stops accepting them."""
    for sock in sockets:
        sock.settimeout(0)
        roster.spawn(partial(_accept, roster, sock, context))

    def stop() -> None:
        for sock in sockets:
            if sock.fileno() >= 0:
                trio.lowlevel.notify_closing(sock)
                sock.close()

    return stop


async def _accept(roster: Roster, sock: socket.socket, context: ssl.SSLContext | None) -> None:
    while sock.fileno() >= 0:
        try:
            await trio.lowlevel.wait_readable(sock)
        except trio.ClosedResourceError:
            return
        try:
            while True:
                client, address = sock.accept()
                peer = address[0] if isinstance(address, tuple) else ""
                if sock.family in {socket.AF_INET, socket.AF_INET6}:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.settimeout(0)
                connection = (
                    TrioConnection(roster, client, peer)
                    if context is None
                    else TrioTlsConnection(roster, client, peer, context)
                )
                roster.spawn(connection.attend)
        except BlockingIOError:
            continue
        except OSError as failure:
            if failure.errno in _SCARCE:
                roster.logger.error("no connection can be accepted: %s", failure)  # noqa: TRY400 - the trace says nothing more
                await roster.clock.sleep(_PAUSE)
            # Any other is of the connection that was to be accepted, and is gone.
