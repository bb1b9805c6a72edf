"""What tenants and operators are shown, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from rbee_scheduler_platform._quota import RateLimit
from rbee_scheduler_platform._records import UsageRecord
from rbee_scheduler_platform._runtime import Runtime
from rbee_scheduler_platform._targets import Attained, Attainment
from rbee_scheduler_platform._tenant import PRIORITIES, Tenant


__all__ = [
    "shown_attainment",
    "shown_fairness",
    "shown_queue",
    "shown_quotas",
    "shown_tenant",
    "shown_usage",
]


def shown_quotas(runtime: Runtime, tenant: Tenant) -> list[dict[str, Any]]:
    """Return a tenant's limits, with what is left of each."""
    if runtime.options.shared:  # counted in the store, not here
        quotas = attrs.asdict(tenant.quotas)
        hold = quotas.pop("hold")
        return [
            {"name": name, "limit": limit, "holds": name in hold}
            for name, limit in quotas.items()
            if limit is not None
        ]
    return [_shown_limit(limit, tenant) for limit in runtime.book.rate_limits(tenant)]


def _shown_limit(limit: RateLimit, tenant: Tenant) -> dict[str, Any]:
    return {
        "name": limit.name,
        "limit": limit.limit,
        "remaining": limit.remaining,
        "reset_seconds": limit.reset,
        "window_seconds": limit.window or None,
        "holds": limit.name in tenant.quotas.hold,
    }


def shown_usage(records: Iterable[UsageRecord]) -> list[dict[str, Any]]:
    """Return one tenant's usage by day."""
    return [
        {
            "day": record.day,
            "requests": record.requests,
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
        }
        for record in records
    ]


def shown_tenant(runtime: Runtime, tenant: Tenant) -> dict[str, Any]:
    """Return a tenant as operators see it."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "weight": tenant.weight,
        "enabled": tenant.enabled,
        "regions": list(tenant.regions),
        "quotas": shown_quotas(runtime, tenant),
        "running": sum(charge.tenant.id == tenant.id for charge in runtime.charges.values()),
        "waiting": {name: runtime.order.waiting(name, tenant.id) for name in PRIORITIES},
    }


def shown_fairness(runtime: Runtime) -> dict[str, Any]:
    """Return what each tenant was charged, and how far those that wait are apart.

    The *gap* is the largest difference of the virtual counters of two tenants that wait; the
    fair order keeps it below twice what fits into the workers (docs/fairness.md).
    """
    service = dict(runtime.order.service())
    waiting = {
        tenant: number
        for tenant in service
        if (number := sum(runtime.order.waiting(name, tenant) for name in PRIORITIES))
    }
    counters = [service[tenant] for tenant in waiting]
    weights = {one.id: one.weight for one in runtime.directory.view.tenants.values()}
    return {
        "gap": max(counters) - min(counters) if counters else 0.0,
        "tenants": [
            {
                "id": tenant,
                "weight": weights.get(tenant, 1.0),
                "service": counter * weights.get(tenant, 1.0),
                "service_per_weight": counter,
                "waiting": waiting.get(tenant, 0),
            }
            for tenant, counter in sorted(service.items())
        ],
    }


def shown_queue(runtime: Runtime) -> dict[str, Any]:
    """Return how much waits and runs, and what bounds it."""
    options = runtime.options
    return {
        "waiting": {name: runtime.order.waiting(name) for name in PRIORITIES},
        "most": dict(options.queue),
        "first_token_limit": dict(options.first_token_limit),
        "running": len(runtime.capacity.flights),
        "admitted": len(runtime.charges),
        "store_backlog": runtime.store.backlog,
    }


def shown_attainment(found: Attainment, *, named: bool = True) -> dict[str, Any]:
    """Return what became of one tenant's requests of one class, against what was promised."""
    shown = {
        "priority": found.priority,
        "target": attrs.asdict(found.target),
        "first_token": _part(found.first_token),
        "per_token": _part(found.per_token),
        "recent_first_token": _part(found.recent_first_token),
        "recent_per_token": _part(found.recent_per_token),
    }
    return {"tenant": found.tenant_id, **shown} if named else shown


def _part(attained: Attained) -> dict[str, Any]:
    return {"met": attained.met, "missed": attained.missed, "part": attained.part}
