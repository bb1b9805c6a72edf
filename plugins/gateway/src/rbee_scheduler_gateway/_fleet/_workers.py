"""``/v1/workers`` and ``/v1/pools``: who there is; workers come, are drained and leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from rbee_scheduler import InvalidRequest, Worker, loads, probe, structure
from rbee_scheduler._config import with_worker_ids
from rbee_scheduler._worker import STATUSES
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._fleet._heartbeats import shown_pool
from rbee_scheduler_gateway._parameters import parameters
from rbee_scheduler_gateway._refusals import Conflict, NotFound
from rbee_scheduler_gateway._routes import Route
from rbee_scheduler_gateway._shown import shown_worker


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["worker_routes"]


def worker_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of workers and pools."""
    one = "/v1/workers/{worker_id*}"  # an id may have slashes: that of a worker behind a path
    yield Route("GET", "/v1/workers", _list(gateway), access="operator")
    yield Route("POST", "/v1/workers", _add(gateway), access="operator", shared=True)
    for name, draining in (("drain", True), ("undrain", False)):
        answer = _drain(gateway, draining=draining)
        yield Route("POST", f"{one}/{name}", answer, access="operator", shared=True)
    yield Route("GET", one, _show(gateway), access="operator")
    yield Route("DELETE", one, _remove(gateway), access="operator", shared=True)
    yield Route("GET", "/v1/pools", _pools(gateway), access="operator")


def _list(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def list_workers(call: Call) -> None:
        asked = parameters(call, "model", "status")
        snapshot = gateway.registry.snapshot()
        model, status = asked.get("model"), asked.get("status")
        if status not in {None, "online", "offline", *STATUSES}:
            raise InvalidRequest(
                f"{str(status)[:40]!r} is no status",
                place="?status",
                hint=f"it is one of online, offline, {', '.join(STATUSES)}",
            )
        found = (
            snapshot.workers()
            if model is None
            else snapshot.with_model(snapshot.catalog.resolve(model))
        )
        data = [shown_worker(worker) for worker in found if _is(worker, status)]
        await call.answer({"object": "list", "data": data})

    return list_workers


def _is(worker: Worker, status: str | None) -> bool:
    if status in {"online", "offline"}:
        return worker.online == (status == "online")
    return status in {None, worker.status}


def _worker(gateway: Gateway, call: Call) -> Worker:
    worker_id = call.params["worker_id"]
    worker = gateway.registry.snapshot().worker(worker_id)
    if worker is None:
        raise NotFound(f"there is no worker {worker_id[:200]!r}", hint="see GET /v1/workers")
    return worker


def _show(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def show(call: Call) -> None:
        await call.answer(shown_worker(_worker(gateway, call)))

    return show


def _add(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def add(call: Call) -> None:
        """Register a server; what it serves is asked of it before the answer."""
        data = loads(call.exchange.body, dict[str, Any], source="body")
        if not isinstance(data.get("url"), str):
            raise InvalidRequest(
                "there is no url", place="$.url", hint="such as http://10.0.0.7:8080"
            )
        (fields,) = with_worker_ids([data])
        worker = structure(fields, Worker)
        if gateway.registry.snapshot().worker(worker.id) is not None:
            raise Conflict(
                f"there is a worker {worker.id!r} already",
                place="$.id",
                hint="give it an id of its own, or remove the other one",
            )
        found = await probe(worker, gateway.transport, clock=gateway.clock)
        registry = gateway.registry
        registry.add(worker)
        added = registry.update(worker.id, **found.changes) if found.changes else worker
        await call.answer(
            {"worker": shown_worker(added), "reachable": found.reachable, "reason": found.reason},
            201,
        )

    return add


def _remove(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def remove(call: Call) -> None:
        """Forget a worker; what it runs goes on, and heartbeats bring it back."""
        worker = _worker(gateway, call)
        gateway.registry.remove(worker.id)
        await call.answer({"id": worker.id, "deleted": True})

    return remove


def _drain(gateway: Gateway, *, draining: bool) -> Callable[[Call], Awaitable[None]]:
    async def drain(call: Call) -> None:
        worker = _worker(gateway, call)
        gateway.registry.drain(worker.id, draining)
        await call.answer(shown_worker(_worker(gateway, call)))

    return drain


def _pools(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def pools(call: Call) -> None:
        parameters(call)
        now = gateway.clock.now()
        data = [shown_pool(pool, now) for pool in gateway.registry.snapshot().pools()]
        await call.answer({"object": "list", "data": data})

    return pools
