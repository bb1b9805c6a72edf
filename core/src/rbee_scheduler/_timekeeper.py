"""The timekeeper: one timer for all attempts of a scheduler.

An attempt mostly ends long before its limit. A timer of its own, set and taken back, costs 2 us
for each request; an entry in a dictionary 0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

import anyio

from rbee_scheduler._clock import Clock


if TYPE_CHECKING:
    from rbee_scheduler._attempt import Attempt


__all__ = ["Timekeeper"]


class Timekeeper:
    """Ends the attempts whose time is over, to the moment, while `run` runs.

    It sleeps until the earliest limit that it saw when it last looked. Limits are alike, so
    that it looks about once in the time of one, however many attempts come and go meanwhile.

    Args:
        clock: Source of time.

    Attributes:
        attempts: Those that it keeps an eye on, in the order in which they came.
        make_scope: Makes what ``anyio.CancelScope()`` makes in this event loop, without asking
            each time which one that is: 1 us of 3.
        looks_at: Monotonic second at which it looks next; a limit before that must `wake` it.
        running: Whether it runs; attempts have timers of their own where it does not.
    """

    __slots__ = ("_clock", "_news", "attempts", "looks_at", "make_scope", "running")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._news = anyio.Event()
        self.attempts: dict[Attempt, None] = {}
        self.looks_at = inf
        self.make_scope: Callable[[], anyio.CancelScope] = anyio.CancelScope
        self.running = False

    def wake(self) -> None:
        """Look again now: a limit came closer."""
        self._news.set()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """End attempts in time until it is cancelled."""
        self.make_scope = type(anyio.CancelScope())
        self.running = True
        task_status.started()
        try:
            while True:
                self._news = anyio.Event()
                pause = self._look()
                with self._clock.move_on_after(pause):
                    await self._news.wait()
        finally:
            self.running = False

    def _look(self) -> float | None:
        """End what is due; return the seconds until the next limit, if there is one."""
        now = self._clock.monotonic()
        self.looks_at = inf
        for attempt in self.attempts:
            if attempt.ends_at <= now:
                attempt.end()
            elif attempt.ends_at < self.looks_at:
                self.looks_at = attempt.ends_at
        return None if self.looks_at == inf else self.looks_at - now
