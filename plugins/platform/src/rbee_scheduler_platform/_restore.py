"""The quotas after a restart: rebuilt from what the store knows was used.

A day's tokens are today's usage; a rate is what the charges of the last minutes would have
left of it. What was open when the process ended has been settled by then (`_store/_recovery`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from rbee_scheduler_platform._quota._meters import DailyMeter, Instant, Meter, RateMeter
from rbee_scheduler_platform._records import UsageRecord, day_of
from rbee_scheduler_platform._store._database import Database, Operation
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._tenant import Tenant


__all__ = ["quotas_in_store"]

# A rate's debt is at most a minute, and more only where a prompt was longer than estimated.
LOOK_BACK: Final = 300_000.0  # ms

_RATES: Final = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")


class _Used(NamedTuple):
    tenant: str
    booked_at: float
    amounts: tuple[int, int, int]


async def quotas_in_store(
    store: Store, tenants: Mapping[str, Tenant], now: float
) -> dict[str, Any]:
    """Return a snapshot for `QuotaBook.restore`.

    Args:
        store: The store; recovered.
        tenants: All tenants, by id.
        now: Wall-clock ms.
    """
    today = day_of(now)
    usage = await store.usage(since=today, until=today)
    recent = await store.read(_recent(now - LOOK_BACK))
    found: dict[str, dict[str, Any]] = {}
    for tenant_id, state in _days(usage, tenants, now):
        found.setdefault(tenant_id, {})["tokens_daily"] = state
    for tenant_id, name, state in _rates(recent, tenants, now):
        found.setdefault(tenant_id, {})[name] = state
    return {"version": 1, "wall_ms": now, "tenants": found, "bookings": []}


def _recent(since: float) -> Operation[list[_Used]]:
    def read(db: Database) -> list[_Used]:
        rows = db.rows(
            "SELECT tenant, booked_at, used_requests, used_input_tokens, used_output_tokens"
            " FROM charges WHERE day >= ? AND booked_at >= ? AND state = 'settled'"
            " ORDER BY booked_at",
            (day_of(since), since),
        )
        return [_Used(tenant, at, (n, read, written)) for tenant, at, n, read, written in rows]

    return read


def _days(
    usage: Iterable[UsageRecord], tenants: Mapping[str, Tenant], now: float
) -> Iterable[tuple[str, dict[str, Any]]]:
    for record in usage:
        tenant = tenants.get(record.tenant)
        limit = None if tenant is None else tenant.quotas.tokens_daily
        if limit is not None:
            meter = DailyMeter(_whole(limit))
            meter.take(record.input_tokens + record.output_tokens, Instant(0, now))
            yield record.tenant, _kept(meter, Instant(0, now))


def _rates(
    recent: Iterable[_Used], tenants: Mapping[str, Tenant], now: float
) -> Iterable[tuple[str, str, dict[str, Any]]]:
    meters: dict[tuple[str, str], Meter] = {}
    start = now - LOOK_BACK
    for used in recent:
        tenant = tenants.get(used.tenant)
        if tenant is None:
            continue
        moment = min(used.booked_at, now)
        instant = Instant(round((moment - start) * 1000.0), moment)
        for name, amount in zip(_RATES, used.amounts, strict=True):
            limit = getattr(tenant.quotas, name)
            if limit is not None:
                meter = meters.setdefault((used.tenant, name), RateMeter(_whole(limit)))
                meter.give(0, meter.take(amount, instant), instant)
    for (tenant_id, name), meter in meters.items():
        yield tenant_id, name, _kept(meter, Instant(round(LOOK_BACK * 1000.0), now))


def _kept(meter: Meter, now: Instant) -> dict[str, Any]:
    return {"limit": meter.limit, "state": meter.state(now)}


def _whole(limit: float) -> int:
    return max(1, int(limit))
