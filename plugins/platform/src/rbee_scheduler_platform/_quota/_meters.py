"""Meters: what one quota has counted for one tenant, by the kind of quota.

All three kinds answer the same questions, so that the book needs no branches:

* `RateMeter`: per minute, smoothed (GCRA).
* `DailyMeter`: from midnight to midnight UTC.
* `LevelMeter`: what is in use at this moment.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from rbee_scheduler_platform._gcra import Gcra


__all__ = ["DAY_MS", "DailyMeter", "Instant", "LevelMeter", "Meter", "RateMeter"]

DAY_MS = 86_400_000


class Instant(NamedTuple):
    """One moment on both clocks."""

    us: int  # monotonic
    wall_ms: float

    @property
    def day(self) -> int:
        """Days since 1970, UTC."""
        return int(self.wall_ms // DAY_MS)


class Meter(Protocol):
    """What one quota has counted for one tenant."""

    limit: int | None
    window: int  # seconds; 0: none

    @property
    def most(self) -> float:
        """Most units that can ever fit."""
        ...

    def wait(self, cost: int, now: Instant) -> float:
        """Return after how many seconds ``cost`` fits; inf: when somebody gives back."""
        ...

    def take(self, cost: int, now: Instant) -> int:
        """Charge ``cost``; return a stamp for `give`."""
        ...

    def give(self, cost: int, stamp: int, now: Instant) -> None:
        """Give back ``cost`` of what was taken under ``stamp``; below 0: charge more.

        Once for each stamp, even where nothing is given back.
        """
        ...

    def remaining(self, now: Instant) -> int:
        """Return how many units fit now."""
        ...

    def more(self, now: Instant) -> float:
        """Return seconds until more fits than does now."""
        ...

    def reset(self, now: Instant) -> float:
        """Return seconds until all of it fits again."""
        ...

    def resize(self, limit: int | None, now: Instant) -> None:
        """Change the limit."""
        ...

    def idle(self, now: Instant) -> bool:
        """Return whether a new meter would answer the same."""
        ...

    def state(self, now: Instant) -> list[Any]:
        """Return what `restore` needs, as plain data; stamps go on with it."""
        ...

    def restore(self, state: list[Any], elapsed_us: int, now: Instant) -> None:
        """Go on from ``state``, taken ``elapsed_us`` ago."""
        ...


class RateMeter:
    """Units per minute."""

    __slots__ = ("_gcra", "limit", "window")

    def __init__(self, limit: int | None) -> None:
        assert limit is not None  # noqa: S101 - the book keeps no rate without a limit
        self.limit: int | None = limit
        self.window = 60
        self._gcra = Gcra(limit)

    @property
    def most(self) -> float:
        return self._gcra.burst

    def wait(self, cost: int, now: Instant) -> float:
        return self._gcra.wait(cost, now.us) / 1e6

    def take(self, cost: int, now: Instant) -> int:
        return self._gcra.take(cost, now.us)

    def give(self, cost: int, stamp: int, now: Instant) -> None:
        self._gcra.give(stamp, cost, now.us)

    def remaining(self, now: Instant) -> int:
        return self._gcra.remaining(now.us)

    def more(self, now: Instant) -> float:
        return self._gcra.more(now.us) / 1e6

    def reset(self, now: Instant) -> float:
        return self._gcra.reset(now.us) / 1e6

    def resize(self, limit: int | None, now: Instant) -> None:
        if limit is not None and limit != self.limit:
            self.limit = limit
            self._gcra.resize(limit, limit, now.us)

    def idle(self, now: Instant) -> bool:
        return self._gcra.debt(now.us) == 0

    def state(self, now: Instant) -> list[Any]:
        self._gcra.drain(now.us)
        return self._gcra.state()

    def restore(self, state: list[Any], elapsed_us: int, now: Instant) -> None:
        self._gcra = Gcra.restored(state, at=now.us - elapsed_us)


class DailyMeter:
    """Units from midnight to midnight UTC; a charge belongs to the day it was booked on."""

    __slots__ = ("_day", "_used", "limit", "window")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.window = DAY_MS // 1000
        self._day = 0
        self._used = 0

    @property
    def most(self) -> float:
        return math.inf if self.limit is None else self.limit

    def _turn(self, now: Instant) -> None:
        # A wall clock that is set back must not open yesterday's books again.
        if now.day > self._day:
            self._day, self._used = now.day, 0

    def wait(self, cost: int, now: Instant) -> float:
        self._turn(now)
        return 0.0 if self._used + cost <= self.most else self._midnight(now)

    def _midnight(self, now: Instant) -> float:
        return ((self._day + 1) * DAY_MS - now.wall_ms) / 1000.0

    def take(self, cost: int, now: Instant) -> int:
        self._turn(now)
        self._used += cost
        return self._day

    def give(self, cost: int, stamp: int, now: Instant) -> None:
        self._turn(now)
        if stamp == self._day:
            self._used -= cost

    def remaining(self, now: Instant) -> int:
        self._turn(now)
        return 0 if self.limit is None else max(0, self.limit - self._used)

    def more(self, now: Instant) -> float:
        self._turn(now)
        return self._midnight(now) if self._used else 0.0

    def reset(self, now: Instant) -> float:
        return self.more(now)

    def resize(self, limit: int | None, now: Instant) -> None:  # noqa: ARG002 - as all meters
        self.limit = limit

    def idle(self, now: Instant) -> bool:
        self._turn(now)
        return self._used == 0

    def state(self, now: Instant) -> list[Any]:
        self._turn(now)
        return [self._day, self._used]

    def restore(self, state: list[Any], elapsed_us: int, now: Instant) -> None:  # noqa: ARG002 - as all meters
        self._day, self._used = state
        self._turn(now)


class LevelMeter:
    """Units in use at this moment; counted without a limit, too, for who looks."""

    __slots__ = ("limit", "used", "window")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.window = 0
        self.used = 0

    @property
    def most(self) -> float:
        return math.inf if self.limit is None else self.limit

    def wait(self, cost: int, now: Instant) -> float:  # noqa: ARG002 - as all meters
        return 0.0 if self.used + cost <= self.most else math.inf

    def take(self, cost: int, now: Instant) -> int:  # noqa: ARG002 - as all meters
        self.used += cost
        return 0

    def give(self, cost: int, stamp: int, now: Instant) -> None:  # noqa: ARG002 - as all meters
        self.used -= cost

    def remaining(self, now: Instant) -> int:  # noqa: ARG002 - as all meters
        return 0 if self.limit is None else max(0, self.limit - self.used)

    def more(self, now: Instant) -> float:  # noqa: ARG002 - as all meters
        return 0.0  # when another ends: nobody knows

    def reset(self, now: Instant) -> float:  # noqa: ARG002 - as all meters
        return 0.0

    def resize(self, limit: int | None, now: Instant) -> None:  # noqa: ARG002 - as all meters
        self.limit = limit

    def idle(self, now: Instant) -> bool:  # noqa: ARG002 - as all meters
        return self.used == 0

    def state(self, now: Instant) -> list[Any]:  # noqa: ARG002 - as all meters
        return [self.used]

    def restore(self, state: list[Any], elapsed_us: int, now: Instant) -> None:  # noqa: ARG002 - as all meters
        self.used = state[0]
