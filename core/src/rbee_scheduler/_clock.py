"""Time and chance, injected: the two things a decision may not take from the world.

A scheduler with the same clock, the same seed and the same snapshot decides the same,
byte for byte. Tests and the simulator pass `rbee_scheduler.testing.VirtualClock`.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Protocol

import anyio


__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the scheduler asks of time.

    Every limit and pause goes through the clock, so that a virtual one can run a
    scenario of hours in no time.
    """

    def now(self) -> float:
        """Return the wall clock in milliseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; a checkpoint even when they are 0."""
        ...

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Return a scope that is cancelled ``seconds`` from now; None: never."""
        ...

    def put_off(self, scope: anyio.CancelScope, seconds: float) -> None:
        """Let a scope of `move_on_after` be cancelled ``seconds`` from now instead."""
        ...


class SystemClock:
    """The real clock of the machine and of the running event loop.

    Example:
        >>> clock = SystemClock()
        >>> clock.monotonic() <= clock.monotonic()
        True
    """

    __slots__ = ()

    def now(self) -> float:
        """Return the wall clock in milliseconds since 1970, UTC."""
        return time.time() * 1000.0

    def monotonic(self) -> float:
        """Return seconds of the system's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` in the running event loop."""
        await anyio.sleep(seconds)

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """Return an anyio cancel scope with a deadline ``seconds`` from now."""
        if seconds is None:
            return anyio.CancelScope()
        # What anyio.move_on_after does, without its detour: 1 us of 4.
        return anyio.CancelScope(deadline=anyio.current_time() + seconds)

    def put_off(self, scope: anyio.CancelScope, seconds: float) -> None:
        """Move the deadline of an anyio cancel scope."""
        scope.deadline = anyio.current_time() + seconds
