"""Attainment: how many requests met what their tenant was promised."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from rbee_scheduler import Clock, Outcome
from rbee_scheduler_platform._tenant import ServiceTarget, Tenant


__all__ = ["Attained", "Attainment", "TargetBook"]

# The window is cut into slices; a slice that is too old is emptied for the present one.
SLICES = 12
SLICE_SECONDS = 300.0 / SLICES

# Tenants and classes that are remembered; the one without news for longest is forgotten.
REMEMBERED = 10_000

METRICS = ("first_token", "per_token")


@attrs.frozen(kw_only=True)
class Attained:
    """How many requests met one target.

    Attributes:
        met: Requests that met it.
        missed: Requests that did not.
    """

    met: int = 0
    missed: int = 0

    @property
    def part(self) -> float | None:
        """The part that met it, 0 to 1; None: there was no request."""
        number = self.met + self.missed
        return self.met / number if number else None


@attrs.frozen(kw_only=True)
class Attainment:
    """What became of one tenant's requests of one class.

    Attributes:
        tenant_id: Whose.
        priority: Their class.
        target: What was promised.
        first_token: Against `ServiceTarget.first_token_ms`, in all.
        per_token: Against `ServiceTarget.per_token_ms`, in all.
        recent_first_token: The same, of the last five minutes.
        recent_per_token: The same, of the last five minutes.
    """

    tenant_id: str
    priority: str
    target: ServiceTarget
    first_token: Attained
    per_token: Attained
    recent_first_token: Attained
    recent_per_token: Attained


class _Counts:
    """Met and missed of both metrics, in all and by slice of the window."""

    __slots__ = ("recent", "slices", "target", "total")

    def __init__(self) -> None:
        self.target = ServiceTarget()
        self.total = [[0, 0] for _ in METRICS]
        self.recent = [[[0, 0] for _ in METRICS] for _ in range(SLICES)]
        self.slices = [-1] * SLICES  # which slice of time each holds

    def add(self, metric: int, slice_number: int, *, met: bool) -> None:
        where = slice_number % SLICES
        if self.slices[where] != slice_number:
            self.slices[where] = slice_number
            self.recent[where] = [[0, 0] for _ in METRICS]
        self.total[metric][not met] += 1
        self.recent[where][metric][not met] += 1

    def window(self, metric: int, slice_number: int) -> Attained:
        met = missed = 0
        for number, counts in zip(self.slices, self.recent, strict=True):
            if slice_number - SLICES < number <= slice_number:
                met += counts[metric][0]
                missed += counts[metric][1]
        return Attained(met=met, missed=missed)


class TargetBook:
    """Counts which requests met their tenant's targets.

    Args:
        clock: Source of time.

    Example:
        >>> from rbee_scheduler.testing import VirtualClock
        >>> book = TargetBook(VirtualClock())
        >>> acme = Tenant(id="acme", targets={"interactive": ServiceTarget(first_token_ms=500)})
        >>> book.note(acme, "interactive", Outcome(job_id="j", kind="success", first_token_ms=80))
        >>> book.report()[0].first_token.part
        1.0
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], _Counts] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def note(self, tenant: Tenant, priority: str, outcome: Outcome) -> None:
        """Count one request that was admitted.

        One that failed, or that was refused after it was admitted, missed its first token; one
        that its caller cancelled counts only if its first token came, or was late already.
        """
        target = tenant.targets.get(priority)
        if target is None:
            return
        counts = self._of(tenant.id, priority)
        counts.target = target
        now = self._slice()
        first = _first_token_met(target, outcome)
        if first is not None:
            counts.add(0, now, met=first)
        per_token = _per_token_met(target, outcome)
        if per_token is not None:
            counts.add(1, now, met=per_token)

    def report(self, tenant_id: str | None = None) -> list[Attainment]:
        """Return the attainment of all tenants, or of one; by tenant and class."""
        now = self._slice()
        return [
            Attainment(
                tenant_id=tenant,
                priority=priority,
                target=counts.target,
                first_token=Attained(met=counts.total[0][0], missed=counts.total[0][1]),
                per_token=Attained(met=counts.total[1][0], missed=counts.total[1][1]),
                recent_first_token=counts.window(0, now),
                recent_per_token=counts.window(1, now),
            )
            for (tenant, priority), counts in sorted(self._counts.items())
            if tenant_id in (None, tenant)
        ]

    def _of(self, tenant_id: str, priority: str) -> _Counts:
        key = tenant_id, priority
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts()
            if len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        return counts

    def _slice(self) -> int:
        return int(self._clock.monotonic() // SLICE_SECONDS)


def _first_token_met(target: ServiceTarget, outcome: Outcome) -> bool | None:
    limit = target.first_token_ms
    if limit is None:
        return None
    if outcome.first_token_ms is not None:
        return outcome.first_token_ms <= limit
    if outcome.kind == "cancelled" and outcome.total_ms <= limit:
        return None
    return False


def _per_token_met(target: ServiceTarget, outcome: Outcome) -> bool | None:
    tokens = outcome.usage.completion_tokens
    first = outcome.first_token_ms
    if target.per_token_ms is None or first is None or tokens is None or tokens < 2:  # noqa: PLR2004 - one token has no gap
        return None
    return (outcome.total_ms - first) / (tokens - 1) <= target.per_token_ms
