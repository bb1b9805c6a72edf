"""One rate limit: GCRA, in integers, so that the limit is exact.

The generic cell rate algorithm (ITU-T I.371, annex A; ATM Forum TM 4.0, section 4.4.2) keeps
one number, the theoretical arrival time TAT. With T = window / limit and tau = burst * T::

    TAT' = max(now, TAT) + cost * T
    admitted  iff  TAT' - tau <= now            then TAT = TAT'
    wait      =    TAT' - tau - now             otherwise, to the microsecond

It decides as a token bucket of ``burst`` tokens does that fills with ``limit`` tokens per
window. Over any span of t seconds it admits at most ``burst + limit * t / window``.
"""

from __future__ import annotations


__all__ = ["MINUTE", "Gcra"]

MINUTE = 60_000_000  # us


class Gcra:
    """One tenant's rate limit; its state is one integer.

    Times are integers of microseconds. TAT is kept in ticks of 1 us / limit: then T is the
    whole number ``window``, nothing is rounded, and a limit of 100 admits 100, not 99.

    Args:
        limit: Units per window, at least 1.
        window: Length of the window, us.
        burst: Units that may come at once; as many as the limit when not given.

    Example:
        >>> gate = Gcra(limit=2)
        >>> for _ in range(2):
        ...     gate.take(1, now=0)
        >>> gate.wait(1, now=0), gate.wait(1, now=30_000_000)
        (30000000, 0)
    """

    __slots__ = ("_tat", "burst", "limit", "window")

    def __init__(self, limit: int, window: int = MINUTE, burst: int | None = None) -> None:
        self.limit = limit
        self.window = window
        self.burst = limit if burst is None else burst
        self._tat = 0

    def wait(self, cost: int, now: int) -> int:
        """Return after how many us ``cost`` units fit; 0: now.

        Args:
            cost: Units; more than `burst` never fit, and must not be asked for.
            now: us.
        """
        excess = self.debt(now) + (cost - self.burst) * self.window
        return -(-excess // self.limit) if excess > 0 else 0

    def take(self, cost: int, now: int) -> None:
        """Charge ``cost`` units, whether they fit or not (what is used is used)."""
        self._tat = now * self.limit + self.debt(now) + cost * self.window

    def give(self, cost: int, now: int) -> None:
        """Give back ``cost`` units; never more than fill the bucket."""
        self._tat = now * self.limit + max(0, self.debt(now) - cost * self.window)

    def debt(self, now: int) -> int:
        """Return how far TAT is ahead of ``now``, in ticks; 0: the bucket is full."""
        return max(0, self._tat - now * self.limit)

    def owe(self, debt: int, now: int) -> None:
        """Set the debt, in ticks: what a snapshot remembered."""
        self._tat = now * self.limit + max(0, debt)

    def remaining(self, now: int) -> int:
        """Return how many units fit now."""
        return max(0, (self.burst * self.window - self.debt(now)) // self.window)

    def more(self, now: int) -> int:
        """Return after how many us one unit more fits than does now; 0: the bucket is full."""
        return -(-(self.debt(now) % self.window or min(self.debt(now), self.window)) // self.limit)

    def reset(self, now: int) -> int:
        """Return after how many us the bucket is full."""
        return -(-self.debt(now) // self.limit)

    def resize(self, limit: int, burst: int, now: int) -> None:
        """Change the limit; what is owed stays owed, in units."""
        debt = self.debt(now)
        self.limit, self.burst = limit, burst
        self.owe(debt, now)
