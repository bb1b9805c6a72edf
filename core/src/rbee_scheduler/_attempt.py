"""The attempt: a block that ends when a request may not go on with this worker.

One cancel scope for a whole stream. A scope for each read, as `Patience.wait` makes, is exact,
but costs 2 to 6 us each; a relay of raw bytes takes less than that for all of an event.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import anyio

from rbee_scheduler._clock import Clock
from rbee_scheduler._errors import Cancelled, DeadlineExceeded, SchedulerError
from rbee_scheduler._patience import Patience
from rbee_scheduler._timekeeper import Timekeeper


__all__ = ["Attempt"]

# A limit that is put off is put off by this much more, so that a timer must be moved once in a
# while and not at each piece. Silence is noticed after 1 to 1.5 times its limit.
SLACK = 1.5


class Attempt:
    """A block that ends when the request is cancelled, late, or its worker too silent.

    Args:
        patience: What the request has left.
        clock: Source of time.
        seconds: Until the first piece must be there.
        silent: Makes the error when the worker kept silent.
        timekeeper: Ends it in time, where it runs; else the block has a timer of its own.

    Raises:
        Cancelled: From the block's end: the request was cancelled.
        DeadlineExceeded: From the block's end: its time ran out.
        SchedulerError: From the block's end: what ``silent`` makes.

    Attributes:
        ends_at: Monotonic second at which it ends.
    """

    __slots__ = (
        "_block", "_clock", "_patience", "_scope", "_seconds", "_silent", "_timekeeper", "ends_at",
    )  # fmt: skip

    def __init__(
        self,
        patience: Patience,
        clock: Clock,
        seconds: float,
        silent: Callable[[], SchedulerError],
        timekeeper: Timekeeper | None = None,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._seconds = seconds
        self._silent = silent
        self._timekeeper = timekeeper
        self._block: AbstractContextManager[anyio.CancelScope] | None = None
        self._scope: anyio.CancelScope | None = None
        self.ends_at = patience.ends_at

    def __enter__(self) -> Self:
        now = self._clock.monotonic()
        ends_at = self.ends_at = min(now + self._seconds, self._patience.ends_at)
        keeper = self._timekeeper
        if keeper is not None and keeper.running and ends_at > now:
            self._block = keeper.make_scope()
            keeper.attempts[self] = None
            if ends_at < keeper.looks_at:
                keeper.wake()
        else:
            self._timekeeper = None
            self._block = self._clock.move_on_after(max(0.0, ends_at - now))
        self._scope = self._block.__enter__()
        self._patience.enter(self._scope)
        return self

    def expect(self, seconds: float) -> None:
        """Say that something came, and that the next piece is due within ``seconds``."""
        now = self._clock.monotonic()
        if seconds <= self.ends_at - now <= SLACK * seconds:
            return
        ends_at = min(now + SLACK * seconds, self._patience.ends_at)
        if ends_at != self.ends_at and self._scope is not None:
            self.ends_at = ends_at
            if self._timekeeper is None:
                self._clock.put_off(self._scope, ends_at - now)
            elif ends_at < self._timekeeper.looks_at:
                self._timekeeper.wake()

    def end(self) -> None:
        """End the block: its time is over."""
        if self._scope is not None:
            self._scope.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        assert self._block is not None  # noqa: S101 - with calls __enter__ first
        assert self._scope is not None  # noqa: S101 - the same
        if self._timekeeper is not None:
            del self._timekeeper.attempts[self]
        self._patience.leave()
        swallowed = bool(self._block.__exit__(kind, error, traceback))
        if not self._scope.cancelled_caught:
            return swallowed
        # Without the backend's own exception, by which the block was ended.
        raise self._why() from None

    def _why(self) -> SchedulerError:
        if self._patience.cancelled:
            return Cancelled("the request was cancelled")
        if self.ends_at >= self._patience.ends_at:
            return DeadlineExceeded("the request's time ran out")
        return self._silent()
