"""A rate over a minute: GCRA in its leaky-bucket form, in whole numbers.

The two forms decide alike (ITU-T I.371, annex A); this one can give back what was booked and
not used. Units flow in when they are booked and drain at ``limit`` per minute; what has not
drained may never exceed ``limit``. All is counted in units times 60,000, so that a drained
millisecond is exactly ``limit``: no rounding ever admits one more.

Each booking remembers where it stands in the flow. What has drained by the time it is given
back is gone: the credit is at most the part that has not. So the meter never shows less than
one that had seen only what was really used::

    level(t) >= max over s <= t of: used in (s, t] - limit * (t - s) / minute
"""

from __future__ import annotations

from math import ceil

import attrs


__all__ = ["MINUTE", "Meter"]

MINUTE = 60_000  # ms


@attrs.frozen
class Meter:
    """What flowed in and what has drained, in units times `MINUTE`.

    Attributes:
        filled: All that flowed in.
        drained: All that has drained, and all that was given back.
        at: Until when it has drained, whole ms.
        limit: Units per minute at which it drains.

    Example:
        >>> meter = Meter().drain(0, limit=2).fill(2)
        >>> meter.wait(1), meter.drain(30_000, limit=2).wait(1)
        (30.0, 0.0)
    """

    filled: int = 0
    drained: int = 0
    at: int = 0
    limit: int = 0

    def drain(self, now: int, *, limit: int) -> Meter:
        """Return the meter at ``now`` (whole ms); from then on it drains at ``limit``.

        A clock that went back drains nothing.
        """
        elapsed = max(0, now - self.at)
        drained = min(self.filled, self.drained + elapsed * self.limit)
        return Meter(self.filled, drained, max(now, self.at), limit)

    def wait(self, units: int) -> float:
        """Return the seconds until ``units`` more fit, when nothing else is booked meanwhile."""
        excess = self.filled - self.drained + (units - self.limit) * MINUTE
        if excess <= 0:
            return 0.0
        return ceil(excess / self.limit) / 1000.0 if self.limit else float("inf")

    def fill(self, units: int) -> Meter:
        """Return the meter with ``units`` more; whether they fit is the caller's question."""
        return Meter(self.filled + units * MINUTE, self.drained, self.at, self.limit)

    def correct(self, position: int, booked: int, used: int) -> Meter:
        """Return the meter with what a booking really used.

        Args:
            position: `filled` just before it was booked.
            booked: Units that were booked.
            used: Units that were used; when more than booked, the rest is added.
        """
        if used > booked:
            return self.fill(used - booked)
        gone = min(max(0, self.drained - position), booked * MINUTE)
        credit = min((booked - used) * MINUTE, booked * MINUTE - gone)
        return Meter(self.filled, self.drained + credit, self.at, self.limit)

    def rebased(self) -> Meter:
        """Return the same level counted from 0: for when no booking holds a position."""
        return Meter(self.filled - self.drained, 0, self.at, self.limit)
