"""Connections on trio: a reader and, once there is a request, a task for the handler.

The socket is used as it is, with trio's readiness calls: trio's own `recv` tries first, and
there is nothing yet.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio

from rbee_scheduler_gateway._server._connection import Connection, Phase
from rbee_scheduler_gateway._server._roster import Roster


__all__ = ["READ_BYTES", "TrioConnection"]

READ_BYTES: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)


class TrioConnection(Connection):
    """A plain connection on trio.

    Args:
        roster: Where it is listed.
        sock: Connected, not blocking.
        client: Address of the peer.
    """

    __slots__ = ("_flushed", "_hanging", "_resumed", "_size", "_sock", "_task", "_unsent")

    def __init__(self, roster: Roster, sock: socket.socket, client: str) -> None:
        super().__init__(roster)
        self.client = client
        self._sock = sock
        self._unsent = bytearray()
        self._size = 0  # bytes the client had not taken when last asked
        self._flushed: trio.Event | None = None  # there while somebody sends what is unsent
        self._hanging: bool | None = None  # whether to linger, once all is sent
        self._resumed: trio.Event | None = None  # there while reading is paused
        self._task: trio.lowlevel.Task | None = None  # asleep

    async def attend(self) -> None:
        """Read until the end."""
        try:
            if await self._greet():
                self.entered()
                await self._read()
        except Exception:  # a fault of this server must not end other clients' connections
            self._roster.logger.exception("a connection failed")
            self._close()
        except BaseException:
            self._close()
            raise

    async def _greet(self) -> bool:
        """Return whether the connection stands."""
        return True

    async def _read(self) -> None:
        while True:
            if self._resumed is not None:
                await self._resumed.wait()
            data = await self._receive()
            if not data:
                break
            self.received(data)
            if self._unsent and self._exchange is None:
                await self._flush()
        self.ended()
        if self._phase is Phase.LEAVING and not self._unsent:
            self._close()

    async def _receive(self) -> bytes:
        """Return what comes next; nothing at the end."""
        # trio must not be asked about a closed socket: it would remember who asked, for -1.
        while self._sock.fileno() >= 0:
            try:
                await trio.lowlevel.wait_readable(self._sock)
                return self._sock.recv(READ_BYTES)
            except BlockingIOError:
                continue  # a false alarm, as the kernel may give
            except (trio.ClosedResourceError, OSError):
                break
        return b""

    async def _push(self) -> None:
        """Send a part of what is unsent."""
        await trio.lowlevel.wait_writable(self._sock)
        del self._unsent[: self._sock.send(self._unsent)]

    async def _flush(self) -> None:
        """Send all that is unsent."""
        while self._unsent:
            if self._flushed is not None:
                await self._flushed.wait()
                continue
            self._flushed = trio.Event()
            try:
                await self._push()
            except BlockingIOError:
                continue
            except (trio.ClosedResourceError, trio.BrokenResourceError, OSError):
                self._close()
            finally:
                self._flushed.set()
                self._flushed = None
        if self._hanging is not None:
            self._finish(linger=self._hanging)
        self.unchoked()

    def _finish(self, *, linger: bool) -> None:
        """Close, all being sent."""
        if linger and not self._gone:
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            else:
                self.resume()
                return
        self._close()

    def _close(self) -> None:
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            self._unsent.clear()
            self.resume()
            self.lost()

    # ---- see Connection ----------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """See `Connection`."""
        if self._gone:
            return
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._close()
                return
            if sent == len(data):
                return
        self._unsent += memoryview(data)[sent:]
        self._choke()

    def _choke(self) -> None:
        self.choked = True
        self._size = len(self._unsent)
        self.deadline = self._roster.clock.monotonic() + self._roster.limits.write_seconds

    async def drained(self) -> None:
        """See `Connection`."""
        if self._unsent and not self._gone:
            await self._flush()
        else:
            await trio.lowlevel.checkpoint()

    def progressing(self) -> bool:
        """See `Connection`."""
        size, self._size = self._size, len(self._unsent)
        return 0 < self._size < size

    def pause(self) -> None:
        """See `Connection`."""
        self._resumed = trio.Event()

    def resume(self) -> None:
        """See `Connection`."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.set()

    def hang_up(self, *, linger: bool) -> None:
        """See `Connection`."""
        if self._unsent:
            self._hanging = linger
            self._size = len(self._unsent)
            self._roster.spawn(self._flush)
        else:
            self._finish(linger=linger)

    def cut(self, *, reset: bool) -> None:
        """See `Connection`."""
        if reset and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    async def sleep(self) -> None:
        """See `Connection`."""
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._forget_task)

    def _forget_task(self, _raise: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """See `Connection`."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)
