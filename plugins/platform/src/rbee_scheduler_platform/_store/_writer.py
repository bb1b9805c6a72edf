"""The writer: all changes of one process, in groups that share a transaction.

Making a transaction durable costs as much for 256 operations as for one. So operations are
posted; a task hands all that have come meanwhile to a thread, and while that thread waits for
the disk the next group gathers. With one caller the group is one operation; with 32 it is 32.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import anyio
from anyio import to_thread

from rbee_scheduler_platform._errors import StoreError, StoreUnavailable
from rbee_scheduler_platform._store._database import Database, Operation


__all__ = ["GROUP", "Ticket", "Writer"]

T = TypeVar("T")

# Most operations of one transaction: 256 share 99.6 % of its cost, and take some 10 ms.
GROUP = 256


class Ticket(Generic[T]):
    """An operation on its way: ``await ticket`` returns its result once it is durable.

    Attributes:
        done: Whether it is durable, or has failed.
    """

    __slots__ = ("_awaited", "_error", "_event", "_result", "done", "operation")

    def __init__(self, operation: Operation[T]) -> None:
        self.operation = operation
        self.done = False
        self._awaited = False
        self._event: anyio.Event | None = None
        self._result: Any = None
        self._error: Exception | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        self._awaited = True
        if not self.done:
            if self._event is None:
                self._event = anyio.Event()
            try:
                await self._event.wait()
            except BaseException:
                self._awaited = False  # whoever waited was cancelled, and will not hear
                raise
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    @property
    def error(self) -> Exception | None:
        """Why it failed; None: it did not, or is not `done`."""
        return self._error

    def end(self, result: Any) -> Exception | None:
        """Tell whoever waits; return the error when nobody does."""
        self.done = True
        if isinstance(result, Exception):
            self._error = result
        else:
            self._result = result
        if self._event is not None:
            self._event.set()
        return None if self._awaited else self._error


class Writer:
    """Takes operations, and makes them durable in groups, in the order they came.

    Args:
        connect: Opens the connection; called in a thread, and again when it broke.
        unheard: Told of the error of an operation that nobody awaits.
    """

    __slots__ = ("_closing", "_connect", "_database", "_limiter", "_queue", "_unheard", "_wake")

    def __init__(
        self, connect: Callable[[], Database], *, unheard: Callable[[Exception], None]
    ) -> None:
        self._connect = connect
        self._unheard = unheard
        self._database: Database | None = None
        self._queue: deque[Ticket[Any]] = deque()
        self._wake: anyio.Event | None = None
        self._closing = False
        # A thread of its own: other work in threads must not hold up commits.
        self._limiter: anyio.CapacityLimiter | None = None

    def __len__(self) -> int:
        """Return how many operations wait."""
        return len(self._queue)

    def post(self, operation: Operation[T]) -> Ticket[T]:
        """Take an operation; it will be durable soon, and surely once the ticket is awaited.

        Raises:
            StoreUnavailable: The store is closed.
        """
        if self._closing:
            raise StoreUnavailable("the store is closed")
        ticket = Ticket(operation)
        self._queue.append(ticket)
        if self._wake is not None:
            self._wake.set()
        return ticket

    async def open(self) -> None:
        """Open the connection.

        Raises:
            SchedulerError: It can't be.
        """
        self._limiter = anyio.CapacityLimiter(1)
        self._database = await to_thread.run_sync(self._connect, limiter=self._limiter)

    async def run(self) -> None:
        """Write until `close` is called and nothing is left to write."""
        # A cancelled service still makes durable what it has posted.
        with anyio.CancelScope(shield=True):
            while self._queue or not self._closing:
                if not self._queue:
                    self._wake = anyio.Event()
                    await self._wake.wait()
                    self._wake = None
                    continue
                group = [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]
                results = await to_thread.run_sync(self._write, group, limiter=self._limiter)
                self._end(group, results)
            if self._database is not None:
                await to_thread.run_sync(self._database.close, limiter=self._limiter)

    def close(self) -> None:
        """Take no more, write what is left, and end `run`."""
        self._closing = True
        if self._wake is not None:
            self._wake.set()

    def _write(self, group: list[Ticket[Any]]) -> list[Any]:
        """Return each operation's result or error; in the thread."""
        try:
            if self._database is None or not self._database.usable:
                self._database = self._connect()
            return self._database.transact([ticket.operation for ticket in group])
        except Exception as failure:  # noqa: BLE001 - each caller gets it
            error = failure if isinstance(failure, StoreError) else _surprise(failure)
            return [error] * len(group)

    def _end(self, group: list[Ticket[Any]], results: list[Any]) -> None:
        ended = [ticket.end(result) for ticket, result in zip(group, results, strict=True)]
        for failure in ended:
            if failure is not None:
                self._unheard(failure)


def _surprise(failure: Exception) -> StoreError:
    error = StoreError(f"the store failed: {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error
