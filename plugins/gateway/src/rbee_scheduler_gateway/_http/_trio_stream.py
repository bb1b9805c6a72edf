"""Byte streams on trio: a plain socket, and TLS through trio's own stream.

The plain one is a raw non-blocking socket and trio's readiness calls. trio's own `recv` first
tries, and on a stream of events there is nothing yet: a system call and an exception for each.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

import trio


__all__ = ["TrioStream", "TrioTlsStream", "open_trio"]

_CHUNK = 64 * 1024


async def open_trio(
    host: str, port: int, context: ssl.SSLContext | None
) -> TrioStream | TrioTlsStream:
    """Connect.

    Raises:
        OSError: No connection came about.
    """
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as failure:
        reasons = failure.__cause__  # trio's own error says only that all attempts failed
        if isinstance(reasons, ExceptionGroup):
            reasons = reasons.exceptions[0]
        raise (reasons if isinstance(reasons, OSError) else failure) from failure
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return TrioStream(socket.socket(fileno=stream.socket.detach()))
    # HTTPS servers close without saying so in TLS; `https_compatible` makes that an end.
    tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except trio.BrokenResourceError as broken:
        stream.socket.close()
        raise _as_os_error(broken) from broken
    except BaseException:
        stream.socket.close()
        raise
    return TrioTlsStream(tls, stream)


class TrioStream:
    """A plain connection on trio. See `ByteStream`.

    Args:
        sock: Connected.
    """

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._sock = sock

    @property
    def dead(self) -> bool:
        """Whether the server closed, or spoke unasked: one system call."""
        return _readable(self._sock.fileno())

    async def send(self, data: bytes) -> None:
        """Send all of ``data``; no checkpoint where the socket takes it at once."""
        view = memoryview(data)
        while view:
            try:
                sent = self._sock.send(view)
            except BlockingIOError:
                sent = 0
            view = view[sent:]
            if view:
                await self._until(trio.lowlevel.wait_writable)

    async def receive(self) -> bytes:
        """Return what came. See `ByteStream`."""
        while True:
            await self._until(trio.lowlevel.wait_readable)
            try:
                return self._sock.recv(_CHUNK)
            except BlockingIOError:
                continue  # a false alarm, as the kernel may give

    async def _until(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        # trio would register a closed socket's descriptor, -1, and never let go of it: whoever
        # comes next with a closed socket would be told that it is busy.
        if self._sock.fileno() < 0:
            raise _closed()
        try:
            await ready(self._sock)
        except trio.ClosedResourceError as closed:
            raise _closed() from closed

    def close(self) -> None:
        """Close at once."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    async def wait_closed(self) -> None:
        """Return: `close` has closed the socket."""
        await trio.lowlevel.checkpoint()


class TrioTlsStream:
    """A TLS connection on trio. See `ByteStream`.

    Args:
        tls: After its handshake.
        below: What it runs over.
    """

    __slots__ = ("_below", "_tls")

    def __init__(self, tls: trio.SSLStream[trio.SocketStream], below: trio.SocketStream) -> None:
        self._tls = tls
        self._below = below

    @property
    def dead(self) -> bool:
        """Whether the server closed, or spoke unasked: one system call."""
        return _readable(self._below.socket.fileno())

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. See `ByteStream`."""
        try:
            await self._tls.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
            raise _as_os_error(broken) from broken

    async def receive(self) -> bytes:
        """Return what came. See `ByteStream`."""
        try:
            return bytes(await self._tls.receive_some(_CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
            raise _as_os_error(broken) from broken

    def close(self) -> None:
        """Close at once, without TLS's goodbye: it could wait for a server that is stuck."""
        self._below.socket.close()

    async def wait_closed(self) -> None:
        """Return: `close` has closed the socket."""
        await trio.lowlevel.checkpoint()


def _readable(descriptor: int) -> bool:
    """Return whether there are bytes, an end or an error to read, without waiting."""
    if descriptor < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # 0.5 us; unlike select.select it takes descriptors beyond 1,023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _closed() -> OSError:
    return ConnectionAbortedError("the connection is closed")


def _as_os_error(broken: trio.BrokenResourceError | trio.ClosedResourceError) -> OSError:
    """Return the error below trio's, which says more."""
    cause = broken.__cause__
    return cause if isinstance(cause, OSError) else ConnectionAbortedError(str(broken))
