"""Heartbeats: hives and workers say how they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rbee_scheduler import HiveHeartbeat, Pool, WorkerHeartbeat, loads, unstructure
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._routes import Route
from rbee_scheduler_gateway._shown import masked, shown_worker


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["heartbeat_routes", "shown_pool"]


def shown_pool(pool: Pool, now: float) -> dict[str, Any]:
    """Return a pool as plain data.

    Args:
        pool: The pool.
        now: Wall clock, ms.
    """
    data: dict[str, Any] = masked(unstructure(pool))
    data["heartbeat_age_ms"] = pool.heartbeat_age_ms(now) if pool.last_heartbeat_ms else None
    return data


def heartbeat_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of heartbeats; they answer what was understood."""
    registry = gateway.registry

    async def hive(call: Call) -> None:
        heartbeat = loads(call.exchange.body, HiveHeartbeat, source="body")
        pool = registry.hive_heartbeat(heartbeat)
        await call.answer({"pool": shown_pool(pool, gateway.clock.now())})

    async def worker(call: Call) -> None:
        heartbeat = loads(call.exchange.body, WorkerHeartbeat, source="body")
        await call.answer({"worker": shown_worker(registry.worker_heartbeat(heartbeat))})

    yield Route("POST", "/v1/hive-heartbeat", hive, access="worker", shared=True)
    yield Route("POST", "/v1/worker-heartbeat", worker, access="worker", shared=True)
