"""The view: what one run of a policy may see, and the data it is made of.

A `View` is made for each run and looks things up when they are asked for: a policy that picks the
cheapest of its candidates costs the list of them and the job, nothing else. Helpers find the view
of the present run through `Desk.view`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, TypeVar, cast

from rbee_scheduler import InferenceRequest, Snapshot, Worker
from rbee_scheduler_script._context_data import config_map, metrics_map, tenant_map
from rbee_scheduler_script._job_data import job_map
from rbee_scheduler_script._pool_data import CatalogData, PoolData
from rbee_scheduler_script._worker_data import WorkerData


__all__ = ["Desk", "View"]

Map = dict[str, Any]
T = TypeVar("T")


class Desk(threading.local):
    """What runs of one policy have in common in one thread: the data kept, and the present view.

    Attributes:
        view: Of the run that is on.
        workers: The maps of workers.
        pools: The maps of pools.
        catalog: The maps of models.
    """

    view: View

    def __init__(self) -> None:
        super().__init__()
        self.view = cast("View", None)  # no run is on; only helpers, in one, look at it
        self.workers = WorkerData()
        self.pools = PoolData(self.workers)
        self.catalog = CatalogData()


class View:
    """What one run of a policy may see.

    Args:
        desk: The data kept between runs.
        request: The job to place.
        candidates: The workers it may go to.
        snapshot: All workers.
        say: Takes ``(level, text)`` for the log.
        measure: Takes ``(name, value)`` of a metric.
        costly: Costly fields of jobs that the script reads.

    Attributes:
        job: The job to place, as a map.
        workers: The candidates, as maps.
    """

    def __init__(
        self,
        desk: Desk,
        request: InferenceRequest,
        candidates: Sequence[Worker],
        snapshot: Snapshot,
        *,
        say: Callable[[str, str], None],
        measure: Callable[[str, float], None],
        costly: Sequence[str] = (),
    ) -> None:
        self.desk = desk
        self.request = request
        self.candidates = candidates
        self.snapshot = snapshot
        self.say = say
        self.measure = measure
        self._costly = costly
        self._made: dict[object, Any] = {}
        # Nearly every policy reads these two; a property for each would cost as much again.
        self.job = job_map(request, snapshot.now, costly)
        self.workers = desk.workers.all(candidates)

    @cached_property
    def pools(self) -> list[Map]:
        """All pools, with their workers."""
        return self.desk.pools.all(self.snapshot)

    @cached_property
    def queue(self) -> list[Map]:
        """The job to place, and the jobs that wait behind it."""
        others = [
            job for job in self.snapshot.surroundings.jobs() if job.job_id != self.request.job_id
        ]
        now = self.snapshot.now
        return [self.job, *(job_map(job, now, self._costly) for job in others)]

    @cached_property
    def tenants(self) -> dict[str, Map]:
        """What is known of each tenant; empty where there are no quotas."""
        known = self.snapshot.surroundings.tenants()
        return {tenant_id: tenant_map(tenant_id, facts) for tenant_id, facts in known.items()}

    @cached_property
    def metrics(self) -> Map:
        """The fleet in numbers."""
        return metrics_map(self.snapshot)

    @cached_property
    def config(self) -> Map:
        """The scheduler's settings."""
        return config_map(self.snapshot)

    @cached_property
    def catalog(self) -> Map:
        """The model catalog."""
        return self.desk.catalog.whole(self.snapshot.catalog)

    @cached_property
    def chance(self) -> Random:
        """This decision's chance: the same numbers each time."""
        return self.snapshot.random()

    @property
    def now(self) -> int:
        """The scheduler's clock, ms."""
        return int(self.snapshot.now)

    # ---- look-ups for helpers ----------------------------------------------------------

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what ``make`` returned the first time in this run.

        What costs the size of the fleet is paid for once, however often a script asks.
        """
        found: T
        if key in self._made:
            found = self._made[key]
        else:
            found = self._made[key] = make()
        return found

    def everyone(self) -> list[Map]:
        """Return all workers, candidates or not."""
        return self.once("everyone", lambda: self.maps(self.snapshot.workers()))

    def maps(self, workers: Sequence[Worker]) -> list[Map]:
        """Return the maps of ``workers``."""
        return self.desk.workers.all(workers)

    def worker(self, worker_id: str) -> Map | None:
        """Return a worker by id."""
        worker = self.snapshot.worker(worker_id)
        return None if worker is None else self.desk.workers.of(worker)

    def free(self, model: str) -> list[Map]:
        """Return the workers of ``model`` that a job may go to: the job's own candidates, if its.

        For another model than the job's they are the free workers of it.
        """
        model = self.snapshot.catalog.resolve(model)
        if model == self.request.model:
            return self.workers
        return self.maps(self.snapshot.free(model, self.request.task_type))

    def pool(self, pool_id: str) -> Map | None:
        """Return a pool by id."""
        pool = self.snapshot.pool(pool_id)
        if pool is None:
            return None
        return self.once(("pool", pool_id), lambda: self.desk.pools.of(pool, self.snapshot))

    def models(self) -> Mapping[str, Map]:
        """Return the catalog's entries by reference."""
        return self.desk.catalog.models(self.snapshot.catalog)

    def model(self, name: str) -> Map | None:
        """Return a catalog entry by reference or alias."""
        return self.models().get(self.snapshot.catalog.resolve(name))
