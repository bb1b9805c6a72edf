"""A clock that shows a given moment: cases and simulations come out the same tomorrow."""

from __future__ import annotations

from typing import Final

from rbee_scheduler import SystemClock


__all__ = ["NOW", "StillClock"]

# A moment in November 2023, ms since 1970.
NOW: Final = 1_700_000_000_000.0


class StillClock(SystemClock):
    """Stands where it is put.

    Args:
        now: Wall clock, ms since 1970.

    Attributes:
        passed: Seconds that have passed since.
    """

    __slots__ = ("_start", "passed")

    def __init__(self, now: float = NOW) -> None:
        self._start = now
        self.passed = 0.0

    def now(self) -> float:
        """Return the moment it shows, ms since 1970."""
        return self._start + self.passed * 1000.0

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.passed
