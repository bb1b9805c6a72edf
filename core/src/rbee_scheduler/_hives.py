"""The hives: what their heartbeats say of pools, and which workers each speaks for."""

from __future__ import annotations

import attrs

from rbee_scheduler._errors import HeartbeatRefused
from rbee_scheduler._heartbeat import HiveHeartbeat
from rbee_scheduler._index import FleetIndex
from rbee_scheduler._liveness import Alarms
from rbee_scheduler._pool import Pool


__all__ = ["Hives"]


class Hives:
    """The pools of a registry; changed in place.

    A worker belongs to the hive that reported it first, until that hive leaves it out or
    falls silent. Two hives with workers of the same name thus never take turns in
    redirecting its requests: the second one's heartbeat is refused, which it can see.

    Args:
        index: Where pools are published.
        time_limit: Seconds without a heartbeat after which a pool is offline.

    Attributes:
        expiry: When each pool falls silent.
    """

    __slots__ = ("_index", "_owners", "_slots", "_time_limit", "expiry")

    def __init__(self, index: FleetIndex, time_limit: float) -> None:
        self._index = index
        self._time_limit = time_limit
        self._slots: dict[str, int] = {}
        self._owners: dict[str, str] = {}  # worker id -> hive id
        self.expiry = Alarms()

    def check(self, heartbeat: HiveHeartbeat) -> None:
        """Refuse a heartbeat that speaks for another hive's worker.

        Raises:
            HeartbeatRefused: Another hive that is not offline has a worker of that id.
        """
        for number, worker in enumerate(heartbeat.workers):
            owner = self._owners.get(worker.id, heartbeat.hive_id)
            if owner == heartbeat.hive_id:
                continue
            pool = self._index.pool(owner)
            if pool is not None and pool.status != "offline":
                raise HeartbeatRefused(
                    f"hive {owner} has a worker {worker.id!r} already",
                    place=f"$.workers[{number}].id",
                    hint="give each worker an id of its own, such as hive-instance",
                )

    def take(
        self, heartbeat: HiveHeartbeat, now: float, monotonic: float
    ) -> tuple[Pool, list[str]]:
        """Publish the pool of a heartbeat.

        Args:
            heartbeat: One that `check` let pass.
            now: Wall-clock ms.
            monotonic: The same moment in monotonic seconds.

        Returns:
            The pool, and the workers that have left: the hive reported them before, and
            does no more.
        """
        hive_id = heartbeat.hive_id
        before = self._index.pool(hive_id)
        pool = Pool(
            id=hive_id,
            endpoint=heartbeat.endpoint,
            status=heartbeat.status,
            last_heartbeat_ms=now,
            region=heartbeat.region,
            gpus=heartbeat.gpus,
            worker_ids=tuple(worker.id for worker in heartbeat.workers),
            cached_models=heartbeat.cached_models,
        )
        self._put(pool)
        self.expiry.set(hive_id, monotonic + self._time_limit)
        self._owners.update(dict.fromkeys(pool.worker_ids, hive_id))
        if before is None or before.worker_ids == pool.worker_ids:
            return pool, []
        present = set(pool.worker_ids)
        return pool, [
            worker_id
            for worker_id in before.worker_ids
            if worker_id not in present and self._owners.get(worker_id) == hive_id
        ]

    def forget(self, worker_id: str) -> None:
        """Let a worker belong to no hive."""
        self._owners.pop(worker_id, None)

    def tick(self, monotonic: float) -> None:
        """Notice which pools have fallen silent."""
        for hive_id in self.expiry.pop_due(monotonic):
            pool = self._index.pool(hive_id)
            if pool is not None:
                self._put(attrs.evolve(pool, status="offline"))

    def _put(self, pool: Pool) -> None:
        self._index.put_pool(self._slots.setdefault(pool.id, len(self._slots)), pool)
