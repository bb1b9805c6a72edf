"""Liveness: who was heard of in time, and which heartbeats are believed."""

from __future__ import annotations

import heapq

import attrs

from rbee_scheduler._errors import HeartbeatRefused
from rbee_scheduler._validate import number


__all__ = ["Alarms", "LivenessConfig", "ReplayGuard"]


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
    missed: int = attrs.field(default=3, validator=number(at_least=1))
    max_skew: float = attrs.field(default=30.0, validator=number(above=0))
    failures: int = attrs.field(default=3, validator=number(at_least=1))
    cooldown: float = attrs.field(default=1.0, validator=number(above=0))
    max_cooldown: float = attrs.field(default=30.0, validator=number(above=0))


class ReplayGuard:
    """Believes each source's heartbeats in the order of their timestamps, once."""

    __slots__ = ("_last", "_max_skew_ms")

    def __init__(self, max_skew: float) -> None:
        self._last: dict[str, float] = {}
        self._max_skew_ms = max_skew * 1000.0

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

    def forget(self, source: str) -> None:
        """Forget ``source``; its next heartbeat is its first."""
        self._last.pop(source, None)


class Alarms:
    """Names with a moment each, asked for those whose moment has come.

    Moving a moment later costs nothing: the heap keeps the old entry and looks again
    when that comes up. A fleet of 100,000 that all send heartbeats thus costs one heap
    entry per worker and interval, not one per heartbeat.
    """

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    @property
    def next(self) -> float | None:
        """A moment before which nothing is due, or None when nothing is set."""
        return self._heap[0][0] if self._heap else None

    def set(self, name: str, moment: float) -> None:
        """Let ``name`` come due at ``moment`` (monotonic seconds) instead of earlier set."""
        queued = self._due.get(name)
        self._due[name] = moment
        if queued is None or moment < queued:
            heapq.heappush(self._heap, (moment, name))

    def clear(self, name: str) -> None:
        """Let ``name`` never come due."""
        self._due.pop(name, None)

    def pop_due(self, now: float) -> list[str]:
        """Return, and clear, the names whose moment is ``now`` or earlier."""
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            _, name = heapq.heappop(self._heap)
            moment = self._due.get(name)
            if moment is None:
                continue
            if moment <= now:
                del self._due[name]
                due.append(name)
            else:
                heapq.heappush(self._heap, (moment, name))
        return due
