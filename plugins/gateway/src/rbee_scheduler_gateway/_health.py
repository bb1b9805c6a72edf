"""Health: whether the process lives, whether it can serve, and what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rbee_scheduler._version import __version__ as core_version
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["health_routes"]


def health_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes that load balancers and supervisors ask."""

    async def health(call: Call) -> None:
        await call.answer({"status": "ok"})

    async def ready(call: Call) -> None:
        reasons = list(_reasons(gateway))
        if reasons:
            await call.answer({"status": "not ready", "reasons": reasons}, 503)
        else:
            await call.answer({"status": "ready"})

    async def version(call: Call) -> None:
        await call.answer(_version(gateway))

    yield Route("GET", "/health", health, access="open")
    yield Route("GET", "/ready", ready, access="open")
    yield Route("GET", "/version", version)


def _reasons(gateway: Gateway) -> Iterator[str]:
    """Yield why the service can't serve now; nothing when it can."""
    if gateway.stopping:
        yield "the service stops"
    workers = gateway.registry.snapshot().workers()
    if not workers:
        yield "no worker is known"
    elif not any(worker.usable for worker in workers):
        yield f"none of the {len(workers)} known workers is usable"


def _version(gateway: Gateway) -> dict[str, Any]:
    from rbee_scheduler_gateway import __version__

    return {
        "name": "rbee-scheduler-gateway",
        "version": __version__,
        "core": core_version,
        "mode": gateway.options.mode,
        "strategy": gateway.scheduler.strategy,
        "plugins": gateway.plugins.digest,
        "process": gateway.process,
    }
