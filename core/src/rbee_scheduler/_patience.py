"""Patience: how long a request may still take, and whether anybody still wants it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from rbee_scheduler._clock import Clock
from rbee_scheduler._errors import Cancelled, DeadlineExceeded, SchedulerError


__all__ = ["Patience"]

T = TypeVar("T")


class Patience:
    """How long a request may still take, and whether anybody still wants it.

    Args:
        clock: Source of time.
        ends_at: Monotonic second at which it is too late.

    Attributes:
        cancelled: Whether `cancel` was called.
        ends_at: The same.
    """

    __slots__ = ("_clock", "_scope", "cancelled", "ends_at")

    def __init__(self, clock: Clock, ends_at: float) -> None:
        self._clock = clock
        self._scope: anyio.CancelScope | None = None
        self.ends_at = ends_at
        self.cancelled = False

    def left(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self.ends_at - self._clock.monotonic())

    def cancel(self) -> None:
        """End the present wait, and every later one, with `Cancelled`."""
        self.cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def enter(self, scope: anyio.CancelScope) -> None:
        """Let `cancel` end what ``scope`` holds, until `leave`."""
        self._scope = scope
        if self.cancelled:
            scope.cancel()

    def leave(self) -> None:
        """Let `cancel` end nothing at present."""
        self._scope = None

    def check(self) -> None:
        """Raise when nothing more is wanted; for a caller who has something at hand.

        Raises:
            Cancelled: `cancel` was called.
        """
        if self.cancelled:
            raise Cancelled("the request was cancelled")

    async def wait(
        self, limit: float, too_late: Callable[[], SchedulerError], wait: Awaitable[T]
    ) -> T:
        """Wait for ``wait``, at most ``limit`` seconds and never beyond the end.

        Args:
            limit: Seconds.
            too_late: Makes the error when ``limit`` runs out.
            wait: What to wait for.

        Raises:
            Cancelled: `cancel` was called.
            DeadlineExceeded: The request's own time ran out.
        """
        left = self.left()
        with self._clock.move_on_after(min(limit, left)) as scope:
            self.enter(scope)
            try:
                return await wait
            finally:
                self.leave()
        # Here only when the scope was cancelled: by `cancel`, or by one of the two limits.
        raise self._ended(limit, left) or too_late()

    async def doze(self, seconds: float, event: anyio.Event) -> None:
        """Wait for ``event``, at most ``seconds``; both are fine.

        Raises:
            Cancelled: `cancel` was called.
            DeadlineExceeded: The request's own time ran out.
        """
        left = self.left()
        with self._clock.move_on_after(min(seconds, left)) as scope:
            self.enter(scope)
            try:
                await event.wait()
            finally:
                self.leave()
        ended = None if event.is_set() and not self.cancelled else self._ended(seconds, left)
        if ended is not None:
            raise ended

    def _ended(self, limit: float, left: float) -> SchedulerError | None:
        """Return why nothing more is waited for, or None when only ``limit`` ran out."""
        if self.cancelled:
            return Cancelled("the request was cancelled")
        if left <= limit:
            return DeadlineExceeded("the request's time ran out")
        return None
