"""``tenant list``, ``show``, ``usage``."""

from __future__ import annotations

from typing import Any

import attrs
import click

from rbee_scheduler import ConfigError, unstructure
from rbee_scheduler.cli._output import Output
from rbee_scheduler_platform._cli._common import (
    StoreAccess,
    moment,
    shown_moment,
    store_options,
)
from rbee_scheduler_platform._records import UsageRecord, day_of
from rbee_scheduler_platform._store._charge_rows import quota_state
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._tenant import Quotas, Tenant


__all__ = ["list_", "show", "usage"]


@click.command("list")
@store_options
def list_(*, access: StoreAccess, output: Output) -> None:
    """List the tenants."""

    async def work(store: Store) -> list[Tenant]:
        return await store.tenants()

    tenants = access.run(work)

    def text() -> str:
        if not tenants:
            return "no tenants; next: tenant create ID"
        return output.table(
            ("id", "name", "weight", "enabled", "quotas"),
            [(one.id, one.name, one.weight, one.enabled, _quotas(one.quotas)) for one in tenants],
        )

    output.emit({"tenants": [unstructure(one) for one in tenants]}, text)


@click.command("show")
@click.argument("tenant_id", metavar="ID")
@store_options
def show(tenant_id: str, *, access: StoreAccess, output: Output) -> None:
    """Show a tenant and what it uses today.

    Open charges are those that the store counts: of gateways that share it.
    """
    today = day_of(access.clock.now())

    async def work(store: Store) -> tuple[Tenant, UsageRecord, int]:
        tenant = next((one for one in await store.tenants() if one.id == tenant_id), None)
        if tenant is None:
            raise ConfigError(f"there is no tenant {tenant_id!r}", hint="see `tenant list`")
        used = await store.usage(tenant=tenant_id, since=today, until=today)
        state = await store.read(quota_state(tenant_id))
        nothing = UsageRecord(tenant=tenant_id, day=today)
        return tenant, used[0] if used else nothing, state.concurrent

    tenant, used, concurrent = access.run(work)
    data = {"tenant": unstructure(tenant), "today": used, "open_charges": concurrent}

    def text() -> str:
        facts: list[tuple[str, Any]] = [
            ("name", tenant.name),
            ("weight", tenant.weight),
            ("enabled", tenant.enabled),
            ("created", shown_moment(tenant.created_at)),
            ("regions", tenant.regions),
            ("targets", [f"{name} {_set(target)}" for name, target in tenant.targets.items()]),
            ("quotas", _quotas(tenant.quotas)),
            ("hold", tenant.quotas.hold),
            ("requests today", used.requests),
            ("input tokens today", used.input_tokens),
            ("output tokens today", used.output_tokens),
            ("open charges", concurrent),
        ]
        return output.table(("tenant", tenant.id), facts)

    output.emit(data, text)


@click.command("usage")
@click.argument("tenant_id", metavar="[ID]", required=False)
@click.option("--since", type=moment, help="First day, UTC; such as 2026-01-31.")
@click.option("--until", type=moment, help="Last day, UTC, included.")
@store_options
def usage(
    tenant_id: str | None,
    *,
    since: float | None,
    until: float | None,
    access: StoreAccess,
    output: Output,
) -> None:
    """Show what tenants used, by day: the sum of their settled charges."""

    async def work(store: Store) -> list[UsageRecord]:
        return await store.usage(
            tenant=tenant_id,
            since="" if since is None else day_of(since),
            until=None if until is None else day_of(until),
        )

    found = access.run(work)

    def text() -> str:
        if not found:
            return "nothing was used"
        names = ("day", "tenant", "requests", "input_tokens", "output_tokens")
        return output.table(
            [name.replace("_", " ") for name in names],
            [[getattr(one, name) for name in names] for one in found],
        )

    output.emit({"usage": found}, text)


def _quotas(quotas: Quotas) -> str:
    return _set(attrs.evolve(quotas, hold=())) or "no limit"


def _set(values: Any) -> str:
    """Return the fields that are set, as words."""
    given = {field.name: getattr(values, field.name) for field in attrs.fields(type(values))}
    return ", ".join(f"{name}={value:g}" for name, value in given.items() if value)
