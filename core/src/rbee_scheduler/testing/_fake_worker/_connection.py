"""One connection: requests in, steps out. The only room besides the worker that touches a socket.

Plain non-blocking sockets and anyio's readiness calls, instead of anyio's streams: a stream hides
when a byte leaves, and whether the connection ends with FIN or with RST, and these are what the
faults are about.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from rbee_scheduler.testing._fake_worker._board import Board
from rbee_scheduler.testing._fake_worker._request import BadRequest, RequestParser, SeenRequest
from rbee_scheduler.testing._fake_worker._script import PLAIN


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rbee_scheduler.testing._fake_worker._ledger import Ledger, SeenConnection
    from rbee_scheduler.testing._fake_worker._queen import Jobs
    from rbee_scheduler.testing._fake_worker._router import Answer

_CHUNK: Final = 64 * 1024


class Connection:
    """Serves one client until either side closes. It is the `Wire` that steps are taken on.

    Args:
        sock: Accepted, and non-blocking; closed by `serve`.
        seen: This connection's row in the ledger.
        ledger: Where requests and endings are noted.
        jobs: Where a stream can be found by its job, to be cancelled.
        answer: Finds the answer to a request.
        sleep: Waits for a script's delay.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        seen: SeenConnection,
        ledger: Ledger,
        jobs: Jobs,
        answer: Callable[[SeenRequest], Answer],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._sock = sock
        self._seen = seen
        self._ledger = ledger
        self._jobs = jobs
        self._answer = answer
        self._sleep = sleep
        self._parser = RequestParser()
        self._board = Board()
        self._whole = anyio.CancelScope()  # of everything this connection does
        self._reply = anyio.CancelScope()  # of the reply under way
        self._script = PLAIN
        self._gone = False  # the client closed
        self._ended = False  # we close
        self._reset = False  # and with RST

    async def serve(self) -> None:
        """Answer requests until the end of the connection, then close it."""
        try:
            with self._whole:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read)
                    await self._answer_all()
                    tasks.cancel_scope.cancel()
        finally:
            close(self._sock, reset=self._reset)

    def abort(self) -> None:
        """Reset the connection in the middle of whatever it does, as a killed process would."""
        self.end(reset=True)
        self._whole.cancel()

    async def _read(self) -> None:
        """Read all the time, also during a reply: this is how a client's leaving is noticed."""
        while not self._gone:
            await anyio.wait_readable(self._sock)
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            self._parser.feed(data)
            self._gone = not data
            self._board.change()
        self._ledger.left(self._seen)
        self._reply.cancel()

    async def _answer_all(self) -> None:
        while not self._ended and (request := await self._next_request()) is not None:
            await self._answer_one(request)

    async def _next_request(self) -> SeenRequest | None:
        while True:
            try:
                parsed = self._parser.next_request()
            except BadRequest as error:
                await self.send(f"HTTP/1.1 400 Bad Request\r\n\r\n{error}\n".encode())
                return None
            if parsed is not None:
                method, target, headers, body = parsed
                path, _, query = target.partition("?")
                return SeenRequest(
                    number=len(self._ledger.requests),
                    connection=self._seen.number,
                    method=method,
                    path=path,
                    query=query,
                    headers=headers,
                    body=body,
                )
            if self._gone:
                return None
            await self._board.next_change()

    async def _answer_one(self, request: SeenRequest) -> None:
        self._ledger.arrived(request)
        answer = self._answer(request)
        self._script = answer.script
        written = False
        with (
            self._ledger.working(inference=answer.inference),
            self._jobs.running(answer.job_id, self.cancel),
            anyio.CancelScope() as self._reply,
        ):
            if self._gone:  # at once after the request: it was seen, and nobody hears the answer
                self._reply.cancel()
            for step in answer.steps:
                await step.take(self)
            # No await since the last byte: a client that leaves now has had everything.
            written = True
        self._ledger.ended(self._seen, written=written, gone=self._gone)
        self._ended |= not written

    def cancel(self) -> None:
        """Stop the reply under way and close, as a worker does whose job was cancelled."""
        self._reply.cancel()

    async def send(self, data: bytes) -> None:
        """Send all the bytes; an endless reply gives way to others before each piece."""
        await checkpoint()
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
            except OSError:
                await self.hang()  # the client is gone; the reader sees it too, and ends this

    async def pause(self, token: int | None) -> None:
        """Wait at the gate, and before a token for the delay."""
        if self._script.gate is not None:
            await self._script.gate.hold(token)
        if token is not None and self._script.delay:
            await self.tick()

    async def tick(self) -> None:
        """Wait for the delay."""
        await self._sleep(self._script.delay)

    async def hang(self) -> None:
        """Do nothing until the client leaves."""
        await anyio.sleep_forever()

    def end(self, *, reset: bool) -> None:
        """Close after this step."""
        self._ended = True
        self._reset = reset


def close(sock: socket.socket, *, reset: bool) -> None:
    """Close with FIN, or with RST: what the kernel sends when nothing may linger."""
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
