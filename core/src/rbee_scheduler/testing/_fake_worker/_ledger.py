"""What the worker saw, and how to wait for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from rbee_scheduler.testing._fake_worker._board import Board


if TYPE_CHECKING:
    from collections.abc import Iterator

    from rbee_scheduler.testing._fake_worker._request import SeenRequest


class SeenConnection:
    """One connection that was accepted.

    Attributes:
        number: Counts the worker's connections from 0.
        client_closed: Set when the client closed it (FIN or RST), whether during a reply or not.
            A half-closed connection counts as closed, as it does for llama.cpp.
            When the worker closes first, what the client does afterwards is not seen.
        cancelled: Whether the client closed it before its reply was written to the end.
    """

    __slots__ = ("cancelled", "client_closed", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.client_closed = anyio.Event()
        self.cancelled = False


class Ledger:
    """Counts and lists; each change wakes those who wait.

    Attributes:
        requests: All requests, in the order of their arrival.
        connections: All connections, in the order in which they were accepted.
        running: Inference replies under way.
        peak: The most that were under way at once.
        served: Replies written to the end.
        client_gone: Replies that the client did not wait for.
    """

    def __init__(self) -> None:
        self.requests: list[SeenRequest] = []
        self.connections: list[SeenConnection] = []
        self.running = 0
        self.peak = 0
        self.served = 0
        self.client_gone = 0
        self.board = Board()
        self._replies = 0

    @property
    def idle(self) -> bool:
        """Whether no reply of any kind is under way."""
        return not self._replies

    def connected(self) -> SeenConnection:
        """Note a connection."""
        connection = SeenConnection(len(self.connections))
        self.connections.append(connection)
        self.board.change()
        return connection

    def arrived(self, request: SeenRequest) -> None:
        """Note a request."""
        self.requests.append(request)
        self.board.change()

    @contextmanager
    def working(self, *, inference: bool) -> Iterator[None]:
        """Count a reply while it is under way."""
        self._replies += 1
        self.running += inference
        self.peak = max(self.peak, self.running)
        self.board.change()
        try:
            yield
        finally:
            self._replies -= 1
            self.running -= inference
            self.board.change()

    def left(self, connection: SeenConnection) -> None:
        """Note that the client closed its connection."""
        connection.client_closed.set()
        self.board.change()

    def ended(self, connection: SeenConnection, *, written: bool, gone: bool) -> None:
        """Note how a reply ended."""
        self.served += written
        if gone and not written:
            connection.cancelled = True
            self.client_gone += 1
        self.board.change()
