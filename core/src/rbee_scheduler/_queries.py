"""The registry's queries, under the names users know; one snapshot answers each.

Models may be given by any name of the catalog, as in a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rbee_scheduler._pool import Pool
from rbee_scheduler._worker import Worker


if TYPE_CHECKING:
    from rbee_scheduler._snapshot import Snapshot


__all__ = ["RegistryQueries", "RegistryStatistics"]


@attrs.frozen(kw_only=True)
class RegistryStatistics:
    """How many workers and pools there are, by state."""

    workers: int
    online: int
    available: int
    free: int
    in_flight: int
    pools: int


class RegistryQueries:
    """Queries that a snapshot and a registry both answer, in registration order."""

    __slots__ = ()

    def _snapshot(self) -> Snapshot:
        raise NotImplementedError

    def find_best_worker_for_model(self, model: str) -> Worker | None:
        """Return the least loaded free worker of ``model``, the earliest of equals."""
        snapshot = self._snapshot()
        free = snapshot.free(snapshot.catalog.resolve(model))
        return min(free, key=lambda w: w.load, default=None)

    def find_idle_workers(self) -> tuple[Worker, ...]:
        """Return available workers with an idle GPU and nothing running."""
        return tuple(
            w
            for w in self._snapshot().workers()
            if w.available and w.gpu_util_pct == 0.0 and w.running == 0
        )

    def find_workers_with_model(self, model: str) -> tuple[Worker, ...]:
        """Return the online workers that can serve ``model``."""
        snapshot = self._snapshot()
        return tuple(w for w in snapshot.with_model(snapshot.catalog.resolve(model)) if w.online)

    def find_workers_with_capacity(self, vram_mb: float) -> tuple[Worker, ...]:
        """Return the online workers with at least ``vram_mb`` MiB of free GPU memory."""
        return tuple(
            w for w in self._snapshot().workers() if w.online and w.vram_free_mb >= vram_mb
        )

    def list_online_workers(self) -> tuple[Worker, ...]:
        """Return the workers that were heard of in time."""
        return tuple(w for w in self._snapshot().workers() if w.online)

    def list_online_hives(self) -> tuple[Pool, ...]:
        """Return the pools that are not offline."""
        return tuple(p for p in self._snapshot().pools() if p.status != "offline")

    def list_available_hives(self) -> tuple[Pool, ...]:
        """Return the pools that are healthy."""
        return tuple(p for p in self._snapshot().pools() if p.status == "healthy")

    def get_hive(self, pool_id: str) -> Pool | None:
        """Return the pool called ``pool_id``, or None."""
        return self._snapshot().pool(pool_id)

    def statistics(self) -> RegistryStatistics:
        """Return counts by state; costs the number of workers."""
        snapshot = self._snapshot()
        workers = snapshot.workers()
        return RegistryStatistics(
            workers=len(workers),
            online=sum(w.online for w in workers),
            available=sum(w.available for w in workers),
            free=sum(w.free for w in workers),
            in_flight=sum(w.in_flight for w in workers),
            pools=len(snapshot.pools()),
        )
