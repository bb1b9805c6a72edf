"""The book: what all tenants' quotas have counted, and who holds what of them.

Theory of operation. A tenant has one meter per quota (`QUOTAS`). `QuotaBook.book` asks all of
them before it charges any, without a pause in between, so it is all or nothing, and of 1,000
requests at a limit of 100 exactly 100 get through. A quota that the tenant chose to *hold* does
not refuse: it is claimed when the job is given a worker, and until there is room the fair order
leaves the job out (`QuotaBook.ready_at`).

What a tenant is charged in the end is what it used: the booking is corrected by the worker's
count. A request that used more than was booked (a prompt that was estimated too short) takes the
tenant's rate below zero: later requests wait longer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from rbee_scheduler import Clock, ConfigError
from rbee_scheduler_platform._quota._booking import Booking, Denial, RateLimit, Taken
from rbee_scheduler_platform._quota._estimate import Estimate
from rbee_scheduler_platform._quota._meters import Instant, Meter
from rbee_scheduler_platform._quota._quotas import QUOTAS, QuotaKind
from rbee_scheduler_platform._quota._tenant_state import TenantState
from rbee_scheduler_platform._tenant import Tenant


__all__ = ["QuotaBook"]

KINDS = {kind.name: kind for kind in QUOTAS}

# Tenants looked at for each one that is charged: idle ones are gone before twice as many come.
SWEEP = 2


class QuotaBook:
    """What all tenants' quotas have counted; one per process.

    Args:
        clock: Source of time.

    Example:
        >>> from rbee_scheduler.testing import VirtualClock
        >>> from rbee_scheduler_platform import Quotas
        >>> book = QuotaBook(VirtualClock())
        >>> acme = Tenant(id="acme", quotas=Quotas(requests_per_minute=1))
        >>> book.book(acme, "job-1", Estimate()).held
        ()
        >>> denial = book.book(acme, "job-2", Estimate())
        >>> denial.quota, denial.retry_after
        ('requests_per_minute', 60.0)
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: OrderedDict[str, TenantState] = OrderedDict()
        self._bookings: dict[Booking, None] = {}
        self._held: dict[str, Booking] = {}  # by request id
        self._listeners: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        """Return how many tenants are remembered."""
        return len(self._tenants)

    # ---- booking -------------------------------------------------------------------------

    def book(self, tenant: Tenant, request_id: str, estimate: Estimate) -> Booking | Denial:
        """Book all of a request's quotas, or none.

        Args:
            tenant: Who pays.
            request_id: Names the request.
            estimate: What it may use.

        Returns:
            The booking, to be ended with `Booking.settle` or `Booking.refund`; or the quota
            that has no room for it.
        """
        now = self.instant()
        quotas = tenant.quotas
        state = self._state(tenant, now)
        tokens = estimate.input_tokens + estimate.output_tokens
        if quotas.tokens_per_request is not None and tokens > quotas.tokens_per_request:
            return Denial(
                quota="tokens_per_request",
                limit=int(quotas.tokens_per_request),
                remaining=int(quotas.tokens_per_request),
                needed=tokens,
                never=True,
            )
        waiting = self._find_room(state, estimate, now)
        if isinstance(waiting, Denial):
            return waiting
        taken = []
        for kind in QUOTAS:
            meter = state.meters.get(kind.name)
            if meter is not None and kind not in waiting:
                taken.append(Taken.of(kind, meter, estimate, now))
        booking = Booking(
            self, tenant.id, request_id, estimate, taken=taken, waiting=tuple(waiting)
        )
        self._open(booking, state)
        return booking

    @staticmethod
    def _find_room(
        state: TenantState, estimate: Estimate, now: Instant
    ) -> list[QuotaKind] | Denial:
        """Return the quotas that hold a request back; or the one that refuses it."""
        hold = () if state.quotas is None else state.quotas.hold
        waiting = []
        worst: tuple[float, QuotaKind, Meter] | None = None
        for kind in QUOTAS:
            meter = state.meters.get(kind.name)
            if meter is None or meter.limit is None:
                continue
            cost = kind.booked(estimate)
            if cost > meter.most:
                return _denial(kind, meter, cost, now)
            wait = meter.wait(cost, now)
            if kind.name in hold:
                # Nobody overtakes those that are held back already.
                if wait or state.held:
                    waiting.append(kind)
            elif wait and (worst is None or wait > worst[0]):
                worst = (wait, kind, meter)
        if worst is not None:
            return _denial(worst[1], worst[2], worst[1].booked(estimate), now, wait=worst[0])
        return waiting

    def ready_at(self, request_id: str) -> float:
        """Return from which monotonic second a request may go, as far as quotas say.

        Not later than now: it may go. inf: when another request of its tenant ends.
        """
        booking = self._held.get(request_id)
        return -math.inf if booking is None else booking.ready_at()

    def claim(self, request_id: str) -> None:
        """Take the quotas that held a request back, because it runs now."""
        booking = self._held.get(request_id)
        if booking is not None:
            booking.claim()

    def on_fall(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with a tenant's id when its usage falls: held requests may go."""
        self._listeners.append(listener)

    # ---- reading -------------------------------------------------------------------------

    def rate_limits(self, tenant: Tenant) -> list[RateLimit]:
        """Return the tenant's limits and what is left of them; for headers."""
        now = self.instant()
        meters = self._state(tenant, now).meters
        return [
            RateLimit(
                name=kind.name,
                limit=meter.limit,
                remaining=meter.remaining(now),
                reset=meter.reset(now),
                more=meter.more(now),
                window=meter.window,
            )
            for kind in QUOTAS
            if (meter := meters.get(kind.name)) is not None and meter.limit is not None
        ]

    def in_use(self, tenant_id: str) -> Estimate:
        """Return the memory that a tenant's requests hold now."""
        return Estimate(vram_bytes=self._level(tenant_id, "vram_bytes"))

    def jobs(self, tenant_id: str) -> int:
        """Return how many of a tenant's requests count as concurrent now."""
        return self._level(tenant_id, "max_concurrent_jobs")

    def _level(self, tenant_id: str, name: str) -> int:
        state = self._tenants.get(tenant_id)
        meter = state.meters.get(name) if state is not None else None
        return 0 if meter is None else meter.state(self.instant())[0]

    # ---- surviving a restart ---------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain data (JSON), without a monotonic time."""
        now = self.instant()
        return {
            "version": 1,
            "wall_ms": now.wall_ms,
            "tenants": {
                tenant_id: {
                    name: {"limit": meter.limit, "state": meter.state(now)}
                    for name, meter in state.meters.items()
                }
                for tenant_id, state in self._tenants.items()
            },
            "bookings": [booking.state() for booking in self._bookings],
        }

    def restore(self, data: Mapping[str, Any]) -> list[Booking]:
        """Go on from a snapshot; the time since then has refilled the rates.

        Args:
            data: From `snapshot`.

        Returns:
            The bookings that were open, to be settled or refunded.

        Raises:
            ConfigError: It is a snapshot of another version, or the book is in use.
        """
        if data.get("version") != 1 or self._tenants:
            raise ConfigError(
                "this is no snapshot of quotas that can be gone on from",
                place="$.version",
                hint="restore a snapshot of version 1 into a new book",
            )
        now = self.instant()
        elapsed = max(0, round((now.wall_ms - data["wall_ms"]) * 1000.0))
        for tenant_id, meters in data["tenants"].items():
            state = self._tenants[tenant_id] = TenantState()
            for name, one in meters.items():
                meter = state.meters[name] = KINDS[name].meter(one["limit"])
                meter.restore(one["state"], elapsed, now)
        restored = []
        for one in data["bookings"]:
            tenant_id = one["tenant_id"]
            state = self._tenants.setdefault(tenant_id, TenantState())
            booking = Booking(
                self,
                tenant_id,
                one["request_id"],
                Estimate(**one["estimate"]),
                taken=[
                    Taken(KINDS[name], state.meters[name], stamp) for name, stamp in one["taken"]
                ],
                waiting=tuple(KINDS[name] for name in one["waiting"]),
            )
            booking.streamed(one["streamed"])
            self._open(booking, state)
            restored.append(booking)
        return restored

    # ---- for bookings ----------------------------------------------------------------------

    def instant(self) -> Instant:
        """Return this moment."""
        return Instant(round(self._clock.monotonic() * 1e6), self._clock.now())

    def meter(self, tenant_id: str, kind: QuotaKind) -> Meter | None:
        """Return the tenant's meter, or None where there is no limit any more."""
        state = self._tenants.get(tenant_id)
        return None if state is None else state.meters.get(kind.name)

    def claimed(self, booking: Booking) -> None:
        """Note that a booking holds all its quotas now."""
        if self._held.get(booking.request_id) is booking:
            del self._held[booking.request_id]
        self._tenants[booking.tenant_id].held -= 1

    def closed(self, booking: Booking, *, held: bool) -> None:
        """Take out a booking that has ended; tell that usage fell."""
        self._tenants[booking.tenant_id].open -= 1
        del self._bookings[booking]
        if held:
            self.claimed(booking)
        for listener in self._listeners:
            listener(booking.tenant_id)

    def _open(self, booking: Booking, state: TenantState) -> None:
        state.open += 1
        self._bookings[booking] = None
        if booking.held:
            state.held += 1
            self._held[booking.request_id] = booking

    def _state(self, tenant: Tenant, now: Instant) -> TenantState:
        state = self._tenants.get(tenant.id)
        if state is None:
            state = self._tenants[tenant.id] = TenantState()
        self._tenants.move_to_end(tenant.id)
        state.follow(tenant.quotas, now)
        for _ in range(min(SWEEP, len(self._tenants) - 1)):
            oldest, other = next(iter(self._tenants.items()))
            if other.idle(now):
                del self._tenants[oldest]
            else:
                self._tenants.move_to_end(oldest)
        return state


def _denial(
    kind: QuotaKind, meter: Meter, cost: int, now: Instant, *, wait: float | None = None
) -> Denial:
    assert meter.limit is not None  # noqa: S101 - without a limit nothing is denied
    return Denial(
        quota=kind.name,
        limit=meter.limit,
        remaining=meter.remaining(now),
        needed=cost,
        retry_after=None if wait is None or math.isinf(wait) else wait,
        never=wait is None,
    )
