"""The service rate: how fast a lane's queue drains, measured while there is one."""

from __future__ import annotations


__all__ = ["ServiceRate"]

# Seconds of backlog after which what was measured counts half.
HALF_LIFE = 30.0

# Seconds of backlog before a rate is believed.
ENOUGH = 1.0


class ServiceRate:
    """Service per second while jobs wait.

    Time without a backlog does not count: then the rate is what was asked for, not what could
    be done.

    Example:
        >>> rate = ServiceRate()
        >>> rate.backlog(True, now=0.0)
        >>> rate.note(500.0, now=10.0)
        >>> rate.backlog(False, now=10.0)
        >>> rate.value
        50.0
    """

    __slots__ = ("_seconds", "_service", "_since")

    def __init__(self) -> None:
        self._service = 0.0
        self._seconds = 0.0
        self._since: float | None = None  # when the time was last brought up to date

    def backlog(self, waits: bool, now: float) -> None:
        """Say whether jobs wait from ``now`` on."""
        self._pass(now)
        self._since = now if waits else None

    def note(self, service: float, now: float) -> None:
        """Note service at ``now``."""
        if self._since is not None:
            self._pass(now)
            self._service = max(0.0, self._service + service)

    @property
    def value(self) -> float | None:
        """Service per second; None: nothing known yet."""
        if self._seconds < ENOUGH or not self._service:
            return None
        return self._service / self._seconds

    def _pass(self, now: float) -> None:
        if self._since is None:
            return
        passed = now - self._since
        if passed > 0:
            faded = 0.5 ** (passed / HALF_LIFE)
            self._service *= faded
            self._seconds = self._seconds * faded + passed
            self._since = now
