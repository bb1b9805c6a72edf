"""``tenant create``, ``set``, ``disable``, ``enable``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import click

from rbee_scheduler.cli._output import Output
from rbee_scheduler_platform._cli._common import StoreAccess, store_options
from rbee_scheduler_platform._cli._tenant_options import changed_tenant, tenant_options
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._tenant import Tenant


__all__ = ["create", "disable", "enable", "set_"]


@click.command("create")
@click.argument("tenant_id", metavar="ID")
@tenant_options
@store_options
def create(
    tenant_id: str, *, given: Mapping[str, Any], access: StoreAccess, output: Output
) -> None:
    """Add a tenant.

    Makes the store when there is none.
    """
    wanted = changed_tenant(Tenant(id=tenant_id), given)

    async def work(store: Store) -> Tenant:
        return await access.admin(store).create_tenant(wanted)

    made = access.run(work, create=True)
    output.emit(made, f"tenant {made.id} created; next: tenant token create {made.id}")


@click.command("set")
@click.argument("tenant_id", metavar="ID")
@tenant_options
@store_options
def set_(tenant_id: str, *, given: Mapping[str, Any], access: StoreAccess, output: Output) -> None:
    """Change a tenant; what is not given stays.

    A running service takes it over within a second.
    """

    async def work(store: Store) -> Tenant:
        return await access.admin(store).change_tenant(
            tenant_id, lambda tenant: changed_tenant(tenant, given)
        )

    changed = access.run(work)
    output.emit(changed, f"tenant {changed.id} changed")


@click.command("disable")
@click.argument("tenant_id", metavar="ID")
@store_options
def disable(tenant_id: str, *, access: StoreAccess, output: Output) -> None:
    """Refuse a tenant's requests; those that run go on.

    A running service takes it over within a second.
    """
    _switch(tenant_id, access, output, enabled=False)


@click.command("enable")
@click.argument("tenant_id", metavar="ID")
@store_options
def enable(tenant_id: str, *, access: StoreAccess, output: Output) -> None:
    """Take a tenant's requests again."""
    _switch(tenant_id, access, output, enabled=True)


def _switch(tenant_id: str, access: StoreAccess, output: Output, *, enabled: bool) -> None:
    async def work(store: Store) -> Tenant:
        return await access.admin(store).change_tenant(
            tenant_id, lambda tenant: attrs.evolve(tenant, enabled=enabled)
        )

    changed = access.run(work)
    output.emit(changed, f"tenant {changed.id} {'enabled' if enabled else 'disabled'}")
