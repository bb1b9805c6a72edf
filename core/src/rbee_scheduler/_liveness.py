"""Liveness: who was heard of in time, and which heartbeats are believed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import attrs

from rbee_scheduler._errors import HeartbeatRefused
from rbee_scheduler._validate import integer, number


__all__ = ["Alarms", "LivenessConfig", "ReplayGuard"]

_FEW = 64  # sources that are remembered without looking whether they still matter


@attrs.frozen(kw_only=True)
class LivenessConfig:
    """When a silent or failing worker stops getting requests.

    Attributes:
        worker_interval: Seconds between the heartbeats of a worker.
        hive_interval: Seconds between the heartbeats of a hive.
        missed: Intervals without a heartbeat after which it is offline.
        max_skew: Seconds a heartbeat's timestamp may differ from our clock.
        failures: Failures in a row after which a worker is left alone for a while; a
            refused connection counts for all of them.
        cooldown: Seconds of the first such pause; each further one is twice as long.
        max_cooldown: Longest such pause, seconds.
    """

    worker_interval: float = attrs.field(default=30.0, validator=number(above=0))
    hive_interval: float = attrs.field(default=1.0, validator=number(above=0))
    missed: int = attrs.field(default=3, validator=integer(at_least=1))
    max_skew: float = attrs.field(default=30.0, validator=number(above=0))
    failures: int = attrs.field(default=3, validator=integer(at_least=1))
    cooldown: float = attrs.field(default=1.0, validator=number(above=0))
    max_cooldown: float = attrs.field(default=30.0, validator=number(above=0))

    @property
    def worker_limit(self) -> float:
        """Seconds without a heartbeat of its own after which a worker is offline."""
        return self.worker_interval * self.missed

    @property
    def hive_limit(self) -> float:
        """Seconds without a heartbeat after which a hive and its workers are offline."""
        return self.hive_interval * self.missed

    def pause(self, failures: int) -> float | None:
        """Return how many seconds a worker is left alone after ``failures`` in a row.

        None: it goes on.
        """
        pauses = failures - self.failures
        if pauses < 0:
            return None
        # Beyond 64 doublings every pause is the longest, and some would be no float.
        return min(self.cooldown * 2.0 ** min(pauses, 64), self.max_cooldown)


class ReplayGuard:
    """Believes each source's heartbeats in the order of their timestamps, once.

    A source that leaves is remembered as long as its heartbeats could be replayed: older
    ones than the largest skew are refused whoever sends them.
    """

    __slots__ = ("_last", "_max_skew_ms", "_sweep_at")

    def __init__(self, max_skew: float) -> None:
        self._last: dict[str, float] = {}
        self._max_skew_ms = max_skew * 1000.0
        self._sweep_at = _FEW

    def __len__(self) -> int:
        return len(self._last)

    def check(self, source: str, timestamp: float, now: float) -> None:
        """Accept a heartbeat of ``source``; both times are wall-clock ms.

        Raises:
            HeartbeatRefused: It is a duplicate, older than one seen, or its clock is
                further off than allowed.
        """
        skew = timestamp - now
        if abs(skew) > self._max_skew_ms:
            direction = "ahead" if skew > 0 else "behind"
            raise HeartbeatRefused(
                f"the clock of {source} is {abs(skew) / 1000:.1f} s {direction}",
                place="$.timestamp",
                hint="set its clock, or raise liveness.max_skew",
            )
        last = self._last.get(source)
        if last is not None and timestamp <= last:
            raise HeartbeatRefused(
                f"{source} sent timestamp {timestamp:.0f} after {last:.0f}",
                place="$.timestamp",
                hint="a replayed or late heartbeat says nothing new and is dropped",
            )
        self._last[source] = timestamp
        if len(self._last) > self._sweep_at:
            oldest = now - self._max_skew_ms
            self._last = {name: last for name, last in self._last.items() if last >= oldest}
            self._sweep_at = 2 * len(self._last) + _FEW


class Alarms:
    """Names with a moment each, asked for those whose moment has come.

    Moving a moment later costs nothing: the heap keeps the old entry and looks again
    when that comes up. A fleet of 100,000 that all send heartbeats thus costs one heap
    entry per worker and interval, not one per heartbeat.

    Attributes:
        earliest: A moment before which nothing is due.
    """

    __slots__ = ("_due", "_heap", "_queued", "earliest")

    def __init__(self) -> None:
        self.earliest = math.inf
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._queued: dict[str, float] = {}  # name -> its entry in the heap that counts

    def __len__(self) -> int:
        return len(self._due)

    @property
    def next(self) -> float | None:
        """A moment before which nothing is due, or None when nothing is set."""
        return self._heap[0][0] if self._heap else None

    def set(self, name: str, moment: float) -> None:
        """Let ``name`` come due at ``moment`` (monotonic seconds) instead of earlier set."""
        self._due[name] = moment
        queued = self._queued.get(name)
        if queued is None or moment < queued:
            self._push(name, moment)

    def clear(self, name: str) -> None:
        """Let ``name`` never come due."""
        self._due.pop(name, None)

    def pop_due(self, now: float) -> Sequence[str]:
        """Return, and clear, the names whose moment is ``now`` or earlier."""
        if not self._heap or self._heap[0][0] > now:
            return ()
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            queued, name = heapq.heappop(self._heap)
            if self._queued.get(name) != queued:
                continue  # an earlier entry took its place
            del self._queued[name]
            moment = self._due.get(name)
            if moment is None:
                continue
            if moment <= now:
                del self._due[name]
                due.append(name)
            else:
                self._push(name, moment)
        self.earliest = self._heap[0][0] if self._heap else math.inf
        return due

    def _push(self, name: str, moment: float) -> None:
        heapq.heappush(self._heap, (moment, name))
        self._queued[name] = moment
        self.earliest = self._heap[0][0]
