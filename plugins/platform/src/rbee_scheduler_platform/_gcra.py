"""One rate limit: GCRA, in integers, exact even where bookings are given back.

Quotas in memory (`_quota`) and in a store (`_store`) are metered by it.

Theory of operation. The generic cell rate algorithm (ITU-T I.371, annex A) in its leaky-bucket
form: units flow in when they are booked, and drain at ``limit`` per window. With ``amount`` the
units that a booking holds, or that were really used when it has ended::

    level(t) = max over s <= t of: amounts booked in [s, t]  -  limit * (t - s) / window
    cost is admitted at t   iff   level(t) + cost <= burst

So in any span of t seconds no more is used than ``burst + limit * t / window``, and nothing is
refused that keeps to it.

When a booking ends that used less, `level` falls, but only as far as those that were booked
after it allow: what has drained since then is gone. To know how far, the level is kept as a
stack of *layers*, one for each open booking::

    book      puts a layer on top
    time      drains the topmost layer first, then the one below it
    give back takes from the booking's own layer, then from those below it

A layer that is empty leaves the stack, and its bookings count as the next lower one's. A layer
of which no booking is open is joined with the one above it. So there are never more layers than
open bookings, and one more. A booking knows its layer's number: it belongs to the layer with the
highest number that is not above its own, found in O(log n).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from typing import Any


__all__ = ["MINUTE", "Gcra"]

MINUTE = 60_000_000  # us


class Gcra:
    """One tenant's rate limit.

    Times are integers of microseconds. The level is kept in ticks of 1 us / limit: then a unit
    is ``window`` ticks and a microsecond drains ``limit`` of them. Nothing is rounded, and a
    limit of 100 admits 100, not 99.

    Args:
        limit: Units per window, at least 1.
        window: Length of the window, us.
        burst: Units that may come at once; as many as the limit when not given.

    Example:
        >>> gate = Gcra(limit=2)
        >>> numbers = [gate.take(1, now=0), gate.take(1, now=0)]
        >>> gate.wait(1, now=0), gate.wait(1, now=30_000_000)
        (30000000, 0)
        >>> gate.give(numbers[0], 1, now=0)
        >>> gate.wait(1, now=0)
        0
    """

    __slots__ = (
        "_at", "_bookings", "_heights", "_level", "_next", "_numbers", "burst", "limit", "window",
    )  # fmt: skip

    def __init__(self, limit: int, window: int = MINUTE, burst: int | None = None) -> None:
        self.limit = limit
        self.window = window
        self.burst = limit if burst is None else burst
        self._at = 0  # until when it has drained
        self._level = 0  # the sum of all heights
        # The layers, the lowest first: in three lists, for they are copied and searched.
        self._numbers: list[int] = []  # rising
        self._heights: list[int] = []  # ticks
        self._bookings: list[int] = []  # how many of a layer's bookings are open
        self._next = 1  # the next layer's number

    # ---- deciding --------------------------------------------------------------------------

    def wait(self, cost: int, now: int) -> int:
        """Return after how many us ``cost`` units fit; 0: now.

        Args:
            cost: Units; more than `burst` never fit, and must not be asked for.
            now: us.
        """
        excess = self.debt(now) + (cost - self.burst) * self.window
        return -(-excess // self.limit) if excess > 0 else 0

    def take(self, cost: int, now: int) -> int:
        """Book ``cost`` units, whether they fit or not (what is used is used).

        Returns:
            The number of its layer, for `give`.
        """
        self._add(cost, now)
        self._bookings[-1] += 1
        return self._numbers[-1]

    def give(self, number: int, cost: int, now: int) -> None:
        """End a booking.

        Args:
            number: From `take`; each is given back once.
            cost: Units that it did not use; below 0: that it used more than it had booked.
            now: us.
        """
        self.drain(now)
        heights = self._heights
        at = bisect(self._numbers, number) - 1  # its own layer, or the next lower one
        rest = max(0, cost) * self.window
        while rest and at >= 0:
            step = min(rest, heights[at])
            rest -= step
            self._level -= step
            heights[at] -= step
            if not heights[at]:
                self._remove(at)
                at -= 1
        if at >= 0:
            self._bookings[at] -= 1
            if not self._bookings[at] and at + 1 < len(heights):
                heights[at + 1] += heights[at]
                self._remove(at)
        if cost < 0:
            self._add(-cost, now)

    # ---- reading ---------------------------------------------------------------------------

    def debt(self, now: int) -> int:
        """Return the level, in ticks; 0: as much fits as ever does."""
        return max(0, self._level - max(0, now - self._at) * self.limit)

    def remaining(self, now: int) -> int:
        """Return how many units fit now."""
        return max(0, (self.burst * self.window - self.debt(now)) // self.window)

    def more(self, now: int) -> int:
        """Return after how many us one unit more fits than does now; 0: all of them do."""
        debt = self.debt(now)
        if not debt:
            return 0
        # More than `burst` can be owed: all of that must drain before the first unit fits.
        below = (self.burst - self.remaining(now) - 1) * self.window
        return -(-(debt - below) // self.limit)

    def reset(self, now: int) -> int:
        """Return after how many us all of it fits."""
        return -(-self.debt(now) // self.limit)

    # ---- changing --------------------------------------------------------------------------

    def drain(self, now: int) -> None:
        """Bring it up to ``now``, us; nothing else changes."""
        rest = min(self._level, max(0, now - self._at) * self.limit)
        self._at = max(self._at, now)  # a clock that goes back drains nothing
        self._level -= rest
        while rest:
            step = min(rest, self._heights[-1])
            rest -= step
            self._heights[-1] -= step
            if not self._heights[-1]:
                self._remove(len(self._heights) - 1)

    def resize(self, limit: int, burst: int, now: int) -> None:
        """Change the limit; what is booked stays booked, in units."""
        self.drain(now)
        self.limit, self.burst = limit, burst

    def state(self) -> list[Any]:
        """Return all that `restored` needs, as plain data."""
        return [
            self.limit, self._at, self._next, list(self._numbers), list(self._heights),
            list(self._bookings),
        ]  # fmt: skip

    @classmethod
    def restored(cls, state: Sequence[Any], at: int | None = None) -> Gcra:
        """Return one that goes on from a `state`; its burst is its limit.

        Args:
            state: From `state`.
            at: Until when it had drained, where its clock was another one.
        """
        limit, moment, *rest = state
        gate = cls(limit)
        gate._at = moment if at is None else at
        gate._next, *layers = rest
        gate._numbers, gate._heights, gate._bookings = map(list, layers)
        gate._level = sum(gate._heights)
        return gate

    # ---- the stack -------------------------------------------------------------------------

    def _add(self, cost: int, now: int) -> None:
        self.drain(now)
        if not self._bookings or self._bookings[-1]:
            self._numbers.append(self._next)
            self._heights.append(0)
            self._bookings.append(0)
            self._next += 1
        self._heights[-1] += cost * self.window
        self._level += cost * self.window

    def _remove(self, at: int) -> None:
        """Take an empty layer out; its bookings are found in the next lower one from now on."""
        del self._numbers[at], self._heights[at]
        bookings = self._bookings.pop(at)
        if at:
            self._bookings[at - 1] += bookings
