"""``GET /v1/models``: every model that some worker serves, and who serves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._refusals import NotFound
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler import WorkerRegistry
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["model_routes"]


def model_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes that list models."""

    async def models(call: Call) -> None:
        data = list(_models(gateway.registry).values())
        await call.answer({"object": "list", "data": data})

    async def model(call: Call) -> None:
        name = call.params["model"]
        found = _models(gateway.registry).get(name)
        if found is None:
            raise NotFound(f"no worker serves {name!r}", hint="see GET /v1/models")
        await call.answer(found)

    yield Route("GET", "/v1/models", models)
    yield Route("GET", "/v1/models/{model*}", model)


def _models(registry: WorkerRegistry) -> dict[str, dict[str, Any]]:
    """Return every model, by name, in the order in which workers registered."""
    found: dict[str, dict[str, Any]] = {}
    for worker in registry.snapshot().workers():
        for name in worker.models:
            entry = found.setdefault(
                name,
                {
                    "id": name,
                    "object": "model",
                    "created": 0,
                    "owned_by": "rbee-scheduler",
                    "workers": [],
                    "ready": 0,
                },
            )
            entry["workers"].append(worker.id)
            entry["ready"] += worker.usable
    return found
