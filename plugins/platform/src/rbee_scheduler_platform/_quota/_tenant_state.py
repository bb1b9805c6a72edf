"""A tenant's state: its meters, and how many of its bookings are open."""

from __future__ import annotations

from rbee_scheduler_platform._quota._meters import Instant, Meter
from rbee_scheduler_platform._quota._quotas import QUOTAS
from rbee_scheduler_platform._tenant import Quotas


__all__ = ["TenantState"]


class TenantState:
    """One tenant's meters, and how many of its bookings are open or held back."""

    __slots__ = ("held", "meters", "open", "quotas")

    def __init__(self) -> None:
        self.quotas: Quotas | None = None
        self.meters: dict[str, Meter] = {}
        self.open = 0
        self.held = 0

    def follow(self, quotas: Quotas, now: Instant) -> None:
        """Bring the meters in line with the tenant's present quotas."""
        if quotas is self.quotas:
            return
        self.quotas = quotas
        for kind in QUOTAS:
            limit = getattr(quotas, kind.name)
            limit = None if limit is None else max(1, int(limit))
            if limit is None and not kind.always:
                self.meters.pop(kind.name, None)
            elif kind.name in self.meters:
                self.meters[kind.name].resize(limit, now)
            else:
                self.meters[kind.name] = kind.meter(limit)

    def idle(self, now: Instant) -> bool:
        """Return whether nothing is lost when it is forgotten."""
        return not self.open and all(meter.idle(now) for meter in self.meters.values())
