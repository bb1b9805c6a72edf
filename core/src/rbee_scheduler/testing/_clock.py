"""A clock that moves only when told: hours pass in no time, and always the same way."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import anyio
from anyio.lowlevel import checkpoint


__all__ = ["VirtualClock"]

# Turns of the loop after which tasks that woke each other mostly wait again.
SETTLE_TURNS = 32


class VirtualClock:
    """A `Clock` for tests and simulations, on asyncio and trio alike.

    Args:
        now: Wall-clock ms at the start.

    Example::

        clock = VirtualClock()
        registry = WorkerRegistry(clock=clock)
        ...
        await clock.run_for(90)  # 90 s pass; every timer in between fires, in order
    """

    __slots__ = ("_epoch", "_numbers", "_scopes", "_time", "_timers")

    def __init__(self, now: float = 1_700_000_000_000.0) -> None:
        self._epoch = now
        self._time = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._scopes: dict[anyio.CancelScope, Callable[[], None]] = {}  # how to end their timers

    def now(self) -> float:
        """Return the wall clock in milliseconds since 1970, UTC."""
        return self._epoch + self._time * 1000.0

    def monotonic(self) -> float:
        """Return the seconds that have passed since the start."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once. What waits is woken, and runs when you await."""
        self._go_to(self._time + seconds)

    def set_wall(self, now: float) -> None:
        """Set the wall clock, as an administrator does; `monotonic` does not notice."""
        self._epoch = now - self._time * 1000.0

    @property
    def next_timer(self) -> float | None:
        """Seconds until the next moment that something waits for, or None."""
        return self._timers[0][0] - self._time if self._timers else None

    async def run_for(self, seconds: float) -> None:
        """Let ``seconds`` pass, timer by timer; all tasks run until they wait again."""
        end = self._time + seconds
        await _settle()
        while self._timers and self._timers[0][0] <= end:
            self._go_to(self._timers[0][0])
            await _settle()
        self._go_to(end)
        await _settle()

    async def autojump(self) -> None:
        """Jump to the next timer whenever all tasks wait; run it as a task, cancel it."""
        while True:
            await _settle()
            if self._timers:
                self._go_to(self._timers[0][0])
            else:
                await checkpoint()

    async def sleep(self, seconds: float) -> None:
        """Wait until ``seconds`` have passed on this clock."""
        if seconds <= 0:
            await checkpoint()
            return
        event = anyio.Event()
        cancel = self._at(self._time + seconds, event.set)
        try:
            await event.wait()
        finally:
            cancel()

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Return a scope that is cancelled when ``seconds`` have passed on this clock."""
        return self._scope(seconds)

    @contextmanager
    def _scope(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            if seconds is None:
                yield scope
                return
            if seconds <= 0:
                scope.cancel()
                yield scope
                return
            self._scopes[scope] = self._at(self._time + seconds, scope.cancel)
            try:
                yield scope
            finally:
                self._scopes.pop(scope)()

    def put_off(self, scope: anyio.CancelScope, seconds: float) -> None:
        """Let a scope of `move_on_after` be cancelled ``seconds`` from now instead."""
        if scope in self._scopes:
            self._scopes[scope]()
            self._scopes[scope] = self._at(self._time + seconds, scope.cancel)

    def _at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        timer = (moment, next(self._numbers), act)
        heapq.heappush(self._timers, timer)

        def cancel() -> None:
            if timer in self._timers:
                self._timers.remove(timer)
                heapq.heapify(self._timers)

        return cancel

    def _go_to(self, moment: float) -> None:
        while self._timers and self._timers[0][0] <= moment:
            due, _, act = heapq.heappop(self._timers)
            self._time = max(self._time, due)
            act()
        self._time = max(self._time, moment)


async def _settle() -> None:
    """Wait until all tasks wait.

    Where a task is runnable, asyncio's `wait_all_tasks_blocked` looks again after 0.1 s;
    after a few turns of the loop it mostly finds none.
    """
    for _ in range(SETTLE_TURNS):
        await checkpoint()
    await anyio.wait_all_tasks_blocked()
