"""Routes: ``/v1/usage`` for tenants, ``/v1/platform`` for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler import InvalidRequest
from rbee_scheduler_gateway._identity import Forbidden
from rbee_scheduler_gateway._parameters import parameters, whole_number
from rbee_scheduler_gateway._refusals import NotFound
from rbee_scheduler_gateway._routes import Route
from rbee_scheduler_platform._digest import code_digest
from rbee_scheduler_platform._errors import StoreUnavailable
from rbee_scheduler_platform._records import day_of
from rbee_scheduler_platform._views import (
    shown_attainment,
    shown_fairness,
    shown_queue,
    shown_quotas,
    shown_tenant,
    shown_usage,
)


if TYPE_CHECKING:
    from rbee_scheduler_gateway import Call, Gateway
    from rbee_scheduler_platform._platform import Platform
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["platform_routes"]

DAYS: Final = 30
MOST_DAYS: Final = 3660

Answer = Callable[["Call", "Runtime"], Awaitable[None]]


def platform_routes(platform: Platform, gateway: Gateway) -> list[Route]:
    """Return the platform's routes.

    Args:
        platform: The instance.
        gateway: The service.
    """

    def route(path: str, answer: Answer, *, access: Any) -> Route:
        async def answered(call: Call) -> None:
            if platform.runtime is None:
                raise StoreUnavailable("the platform is not open", retry_after=2.0)
            await answer(call, platform.runtime)

        answered.__doc__ = answer.__doc__
        return Route("GET", path, answered, access=access)

    async def about(call: Call, runtime: Runtime) -> None:
        """Say what decides here: mode, strategy, digest, versions."""
        parameters(call)
        await call.answer(
            {
                "mode": gateway.options.mode,
                "strategy": gateway.scheduler.strategy,
                "digest": runtime.ledger.digest,
                "plugins_digest": gateway.plugins.digest,
                "code_digest": code_digest(),
                "gateway": runtime.options.gateway,
                "store": "postgresql" if runtime.options.shared else "sqlite",
                "healthy": runtime.ledger.trouble() is None,
                "plugins": [
                    {"name": row.name, "distribution": row.distribution, "version": row.version}
                    for row in gateway.plugins.rows
                    if row.status == "active"
                ],
            }
        )

    return [
        route("/v1/usage", _usage, access="tenant"),
        route("/v1/platform", about, access="tenant"),
        route("/v1/platform/tenants", _tenants, access="operator"),
        route("/v1/platform/tenants/{tenant_id}", _tenant, access="operator"),
        route("/v1/platform/fairness", _fairness, access="operator"),
        route("/v1/platform/queue", _queue, access="operator"),
        route("/v1/platform/sla", _sla, access="operator"),
    ]


async def _usage(call: Call, runtime: Runtime) -> None:
    """Show a tenant its own quotas, usage by day, and targets."""
    since = _since(call, runtime)
    tenant_id = call.identity.tenant_id
    tenant = runtime.directory.view.tenants.get(tenant_id or "")
    if tenant is None or tenant_id is None:
        raise Forbidden(
            "this token has no tenant", hint="operators ask GET /v1/platform/tenants/{tenant_id}"
        )
    usage = await runtime.store.usage(tenant=tenant_id, since=since)
    await call.answer(
        {
            "tenant": tenant_id,
            "weight": tenant.weight,
            "quotas": shown_quotas(runtime, tenant),
            "usage": shown_usage(usage),
            "sla": [
                shown_attainment(found, named=False) for found in runtime.targets.report(tenant_id)
            ],
        }
    )


async def _tenants(call: Call, runtime: Runtime) -> None:
    """List the tenants, with their quotas and what they run and let wait."""
    parameters(call)
    tenants = runtime.directory.view.tenants.values()
    data = [shown_tenant(runtime, tenant) for tenant in sorted(tenants, key=lambda one: one.id)]
    await call.answer({"object": "list", "data": data})


async def _tenant(call: Call, runtime: Runtime) -> None:
    """Show a tenant, and its usage by day."""
    since = _since(call, runtime)
    tenant = runtime.directory.view.tenants.get(call.params["tenant_id"])
    if tenant is None:
        raise NotFound("there is no such tenant", hint="see GET /v1/platform/tenants")
    usage = await runtime.store.usage(tenant=tenant.id, since=since)
    await call.answer({**shown_tenant(runtime, tenant), "usage": shown_usage(usage)})


async def _fairness(call: Call, runtime: Runtime) -> None:
    """Show what each tenant was charged, and how far those that wait are apart."""
    parameters(call)
    await call.answer(shown_fairness(runtime))


async def _queue(call: Call, runtime: Runtime) -> None:
    """Show how much waits and runs."""
    parameters(call)
    await call.answer(shown_queue(runtime))


async def _sla(call: Call, runtime: Runtime) -> None:
    """Show how many requests met what their tenants were promised."""
    parameters(call)
    found = [shown_attainment(one) for one in runtime.targets.report()]
    await call.answer({"object": "list", "data": found})


def _since(call: Call, runtime: Runtime) -> str:
    """Return the first day that is asked for."""
    asked = parameters(call, "days").get("days")
    days = DAYS if asked is None else whole_number("days", asked)
    if not 1 <= days <= MOST_DAYS:
        raise InvalidRequest(
            f"{days} days make no sense", place="?days", hint=f"ask for 1 to {MOST_DAYS}"
        )
    return day_of(runtime.clock.now() - (days - 1) * 86_400_000.0)
