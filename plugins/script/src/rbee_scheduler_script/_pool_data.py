"""Pools, GPUs and models as scripts see them."""

from __future__ import annotations

from typing import Any

import attrs

from rbee_scheduler import Catalog, Gpu, ModelInfo, Pool, Snapshot
from rbee_scheduler_script._plain import plain
from rbee_scheduler_script._worker_data import WorkerData


__all__ = ["CatalogData", "PoolData", "gpu_map", "model_map"]


def gpu_map(gpu: Gpu) -> dict[str, Any]:
    """Return ``gpu`` as a map, under the names that policies use."""
    return {field.name: plain(getattr(gpu, field.name)) for field in attrs.fields(Gpu)}


def model_map(model: ModelInfo) -> dict[str, Any]:
    """Return a catalog entry as a map, under the names that policies use."""
    return {field.name: plain(getattr(model, field.name)) for field in attrs.fields(ModelInfo)}


class PoolData:
    """The maps of a fleet's pools, their fixed part kept by record.

    Args:
        workers: Where the pools' workers come from.
    """

    __slots__ = ("_kept", "_workers")

    def __init__(self, workers: WorkerData) -> None:
        self._workers = workers
        self._kept: dict[str, tuple[Pool, dict[str, Any]]] = {}

    def of(self, pool: Pool, snapshot: Snapshot) -> dict[str, Any]:
        """Return the map of one pool at the moment of ``snapshot``."""
        kept = self._kept.get(pool.id)
        if kept is None or kept[0] is not pool:
            kept = self._kept[pool.id] = (pool, _fixed(pool))
        found = map(snapshot.worker, pool.worker_ids)
        return {
            **kept[1],
            "heartbeat_age_ms": pool.heartbeat_age_ms(snapshot.now),
            "workers": self._workers.all([worker for worker in found if worker is not None]),
        }

    def all(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Return the maps of all pools; costs the number of workers in them."""
        pools = snapshot.pools()
        if len(self._kept) > 2 * len(pools):
            self._kept = {pool.id: self._kept[pool.id] for pool in pools if pool.id in self._kept}
        return [self.of(pool, snapshot) for pool in pools]


def _fixed(pool: Pool) -> dict[str, Any]:
    return {
        "id": str(pool.id),
        "endpoint": str(pool.endpoint),
        "status": str(pool.status),
        "last_heartbeat_ms": plain(pool.last_heartbeat_ms),
        "region": str(pool.region),
        "gpus": [gpu_map(gpu) for gpu in pool.gpus],
        "cached_models": plain(pool.cached_models),
    }


class CatalogData:
    """The maps of a catalog's models; made once per catalog."""

    __slots__ = ("_catalog", "_models")

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._models: dict[str, dict[str, Any]] = {}

    def models(self, catalog: Catalog) -> dict[str, dict[str, Any]]:
        """Return the maps of all models by reference, in the order of the catalog."""
        if catalog is not self._catalog:
            self._models = {model.model_ref: model_map(model) for model in catalog.models()}
            self._catalog = catalog
        return self._models

    def whole(self, catalog: Catalog) -> dict[str, Any]:
        """Return the catalog as ``ctx.catalog``: its models, and what the short names stand for."""
        models = self.models(catalog)
        aliases = {alias: ref for ref, model in models.items() for alias in model["aliases"]}
        return {"models": list(models.values()), "aliases": aliases}
