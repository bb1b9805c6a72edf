"""The registry: heartbeats and reservations in, immutable snapshots out.

Theory of operation. Each worker has one `Entry`: what was last reported of it, and what
we know ourselves (requests in flight, whether it was heard of in time, whether it just
failed). Every change combines the two into a new `Worker` record and hands that to the
`FleetIndex`, which copies the one or two chunks it touches. A snapshot shares the rest.

A registry belongs to one event loop; its methods neither block nor wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from rbee_scheduler._catalog import Catalog
from rbee_scheduler._clock import Clock, SystemClock
from rbee_scheduler._entry import Entry
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._events import WorkerEvent
from rbee_scheduler._heartbeat import HiveHeartbeat, WorkerHeartbeat
from rbee_scheduler._index import FleetIndex
from rbee_scheduler._liveness import Alarms, LivenessConfig, ReplayGuard
from rbee_scheduler._pool import Pool
from rbee_scheduler._queries import RegistryQueries
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._worker import Worker


__all__ = ["RegistryStatistics", "WorkerRegistry"]


@attrs.frozen(kw_only=True)
class RegistryStatistics:
    """How many workers and pools there are, by state."""

    workers: int
    online: int
    available: int
    free: int
    in_flight: int
    pools: int


class WorkerRegistry(RegistryQueries):
    """All workers the scheduler may use.

    Args:
        clock: Source of time.
        catalog: What is known of the models; resolves aliases.
        liveness: When a silent or failing worker stops getting requests.

    Example:
        >>> registry = WorkerRegistry()
        >>> worker = registry.add_url("http://127.0.0.1:8081", model="llama-3-8b", slots=2)
        >>> registry.snapshot().free("llama-3-8b")[0].id
        '127.0.0.1:8081'
    """

    __slots__ = (
        "_capacity_listeners", "_catalog", "_clock", "_cooling", "_entries", "_expiry", "_guard",
        "_index", "_listeners", "_liveness", "_next_slot", "_pool_expiry", "_pool_slots",
    )  # fmt: skip

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        catalog: Catalog | None = None,
        liveness: LivenessConfig | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._catalog = catalog or Catalog()
        self._liveness = liveness or LivenessConfig()
        self._index = FleetIndex()
        self._entries: dict[str, Entry] = {}
        self._pool_slots: dict[str, int] = {}
        self._next_slot = 0
        self._guard = ReplayGuard(self._liveness.max_skew)
        self._expiry = Alarms()
        self._pool_expiry = Alarms()
        self._cooling = Alarms()
        self._listeners: list[Callable[[WorkerEvent], None]] = []
        self._capacity_listeners: list[Callable[[Worker], None]] = []

    # ---- reading ---------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def clock(self) -> Clock:
        """The source of time of everything that uses this registry."""
        return self._clock

    @property
    def catalog(self) -> Catalog:
        """What is known of the models."""
        return self._catalog

    def snapshot(self, *, turn: int = 0, seed: int = 0) -> Snapshot:
        """Return an immutable view of all workers; cheap, whatever their number.

        Args:
            turn: Number of the decision it is taken for.
            seed: Seed of that decision's chance.
        """
        self._tick()
        return Snapshot(self._index.view(self._catalog), self._clock.now(), turn, seed)

    def _snapshot(self) -> Snapshot:
        return self.snapshot()

    def statistics(self) -> RegistryStatistics:
        """Return counts by state; costs the number of workers."""
        snapshot = self.snapshot()
        workers = snapshot.workers()
        return RegistryStatistics(
            workers=len(workers),
            online=sum(w.online for w in workers),
            available=sum(w.available for w in workers),
            free=sum(w.free for w in workers),
            in_flight=sum(w.in_flight for w in workers),
            pools=len(snapshot.pools()),
        )

    # ---- workers that are configured ---------------------------------------------------

    def add(self, worker: Worker) -> Worker:
        """Register ``worker``, or replace what is known of it; it never expires.

        Returns:
            The worker as the next snapshot shows it.
        """
        return self._report(worker)

    def add_url(self, url: str, **fields: Any) -> Worker:
        """Register the server at ``url``; probe it to learn the rest.

        Args:
            url: Its base URL.
            **fields: Fields of `Worker`; `id` defaults to ``host:port``.
        """
        worker = Worker(url=url.rstrip("/"), **{"id": _default_id(url), **fields})
        return self.add(worker)

    def update(self, worker_id: str, **changes: Any) -> Worker:
        """Change what is reported of a known worker; values are checked.

        Raises:
            ConfigError: There is no such worker.
        """
        entry = self._entries.get(worker_id)
        if entry is None:
            raise ConfigError(f"there is no worker {worker_id!r}", hint="register it first")
        return self._report(attrs.evolve(entry.reported, **changes))

    def remove(self, worker_id: str, reason: str = "removed") -> None:
        """Forget a worker. Requests it runs go on; nothing of it is kept for its return."""
        entry = self._entries.pop(worker_id, None)
        if entry is None:
            return
        self._index.remove(entry.slot, worker_id)
        self._expiry.clear(worker_id)
        self._cooling.clear(worker_id)
        self._guard.forget(f"worker {worker_id}")
        self._notify("left", worker_id, reason)

    def drain(self, worker_id: str, draining: bool = True) -> None:
        """Give a worker no new requests (it shows as ``"stopped"``), or give it some again."""
        entry = self._entries.get(worker_id)
        if entry is not None and entry.draining != draining:
            entry.draining = draining
            self._publish(entry, "changed", "draining" if draining else "drain ended")

    # ---- heartbeats --------------------------------------------------------------------

    def under_heartbeats(self, worker_id: str) -> bool:
        """Return whether heartbeats tell of a worker, now or until it fell silent."""
        entry = self._entries.get(worker_id)
        return entry is not None and entry.beats

    def worker_heartbeat(self, heartbeat: WorkerHeartbeat) -> Worker:
        """Take a worker's own heartbeat.

        Raises:
            HeartbeatRefused: It is a replay, out of order, or from a clock far off.
        """
        now = self._clock.now()
        worker = heartbeat.worker
        self._guard.check(f"worker {worker.id}", heartbeat.timestamp, now)
        self._keep_alive(worker.id, self._liveness.worker_interval)
        return self._report(worker, beats=True)

    def hive_heartbeat(self, heartbeat: HiveHeartbeat) -> Pool:
        """Take a hive's heartbeat: its workers come, change and leave with it.

        Raises:
            HeartbeatRefused: It is a replay, out of order, or from a clock far off.
        """
        now = self._clock.now()
        hive_id = heartbeat.hive_id
        self._guard.check(f"hive {hive_id}", heartbeat.timestamp, now)
        before = self._index.pool(hive_id)
        pool = Pool(
            id=hive_id,
            endpoint=heartbeat.endpoint,
            status=heartbeat.status,
            last_heartbeat_ms=now,
            region=heartbeat.region,
            gpus=heartbeat.gpus,
            worker_ids=tuple(w.id for w in heartbeat.workers),
            cached_models=heartbeat.cached_models,
        )
        for worker_id in before.worker_ids if before else ():
            if worker_id not in pool.worker_ids:
                self.remove(worker_id, f"no longer reported by hive {hive_id}")
        self._put_pool(pool)
        self._pool_expiry.set(
            hive_id,
            self._clock.monotonic() + self._liveness.hive_interval * self._liveness.missed,
        )
        for worker in heartbeat.workers:
            self._keep_alive(worker.id, self._liveness.hive_interval)
            worker = worker if worker.pool_id else worker.changed(pool_id=hive_id)  # noqa: PLW2901
            self._report(worker, beats=True)
        return pool

    # ---- our own count -----------------------------------------------------------------

    def reserve(self, worker_id: str) -> Reservation | None:
        """Hold a slot of a worker; None when it has none free any more."""
        entry = self._entries.get(worker_id)
        worker = self._index.worker(worker_id)
        if entry is None or worker is None or not worker.free:
            return None
        entry.in_flight += 1
        self._publish_load(entry, worker)
        return Reservation(worker, lambda: self._release(entry))

    def report_success(self, worker_id: str) -> None:
        """Say that a worker served a request: earlier failures are forgiven."""
        entry = self._entries.get(worker_id)
        if entry is None or not entry.failures:
            return
        entry.failures = 0
        self._cooling.clear(worker_id)
        if entry.cooling:
            entry.cooling = False
            self._publish(entry, "changed", "works again")

    def report_failure(self, worker_id: str, *, unreachable: bool = False) -> None:
        """Say that a worker failed a request.

        After some failures in a row (`LivenessConfig.failures`), or at once when it is
        ``unreachable``, it gets no requests for a while; each such pause is twice as long
        as the one before, until it serves a request again.
        """
        entry = self._entries.get(worker_id)
        if entry is None:
            return
        limits = self._liveness
        entry.failures = max(entry.failures + 1, limits.failures if unreachable else 0)
        pauses = entry.failures - limits.failures
        if pauses < 0:
            return
        pause = min(limits.cooldown * 2.0 ** min(pauses, 16), limits.max_cooldown)
        self._cooling.set(worker_id, self._clock.monotonic() + pause)
        if not entry.cooling:
            entry.cooling = True
            self._publish(entry, "changed", f"failed; left alone for {pause:g} s")

    # ---- being told ----------------------------------------------------------------------

    def subscribe(self, listener: Callable[[WorkerEvent], None]) -> Callable[[], None]:
        """Call ``listener`` when a worker comes, changes state or leaves.

        Returns:
            A function that ends the subscription.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def subscribe_capacity(self, listener: Callable[[Worker], None]) -> Callable[[], None]:
        """Call ``listener`` with a worker that may take a request now.

        Returns:
            A function that ends the subscription.
        """
        self._capacity_listeners.append(listener)
        return lambda: self._capacity_listeners.remove(listener)

    # ---- changes -------------------------------------------------------------------------

    def _tick(self) -> None:
        """Apply what time alone has changed: silence, and the end of a pause."""
        now = self._clock.monotonic()
        for alarms, act in (
            (self._expiry, self._expire),
            (self._pool_expiry, self._expire_pool),
            (self._cooling, self._cooled),
        ):
            moment = alarms.next
            if moment is not None and moment <= now:
                for name in alarms.pop_due(now):
                    act(name)

    def next_recovery(self) -> float | None:
        """Return the monotonic second at which a paused worker may come back, or None."""
        return self._cooling.next

    def tick(self) -> None:
        """Notice what time alone has changed; snapshots do it too."""
        self._tick()

    def _expire(self, worker_id: str) -> None:
        entry = self._entries.get(worker_id)
        if entry is not None and entry.online:
            entry.online = False
            self._publish(entry, "offline", "no heartbeat in time")

    def _expire_pool(self, pool_id: str) -> None:
        pool = self._index.pool(pool_id)
        if pool is not None:
            self._put_pool(attrs.evolve(pool, status="offline"))

    def _cooled(self, worker_id: str) -> None:
        entry = self._entries.get(worker_id)
        if entry is not None and entry.cooling:
            entry.cooling = False
            self._publish(entry, "changed", "tried again after a pause")

    def _keep_alive(self, worker_id: str, interval: float) -> None:
        moment = self._clock.monotonic() + interval * self._liveness.missed
        self._expiry.set(worker_id, moment)

    def _report(self, worker: Worker, *, beats: bool = False) -> Worker:
        entry = self._entries.get(worker.id)
        if entry is None:
            entry = self._entries[worker.id] = Entry(self._next_slot, worker)
            entry.beats = beats
            self._next_slot += 1
            return self._publish(entry, "came")
        entry.beats = entry.beats or beats
        came_back = worker.online and not entry.online
        entry.report(worker)
        return self._publish(entry, "online" if came_back else "changed")

    def _publish(self, entry: Entry, kind: Any, reason: str = "") -> Worker:
        before = self._index.worker(entry.reported.id)
        worker = entry.effective()
        self._index.put(entry.slot, worker)
        if before is None or before.status != worker.status or before.online != worker.online:
            self._notify(kind, worker.id, reason)
        if worker.free:
            self._announce(worker)
        return worker

    def _publish_load(self, entry: Entry, worker: Worker) -> Worker:
        worker = entry.with_load(worker, self._clock.now())
        self._index.put(entry.slot, worker)
        return worker

    def _release(self, entry: Entry) -> None:
        entry.in_flight -= 1
        worker_id = entry.reported.id
        # The worker may have left, and even come back as another entry.
        if self._entries.get(worker_id) is not entry:
            return
        worker = self._index.worker(worker_id)
        if worker is not None:
            worker = self._publish_load(entry, worker)
            if worker.free:
                self._announce(worker)

    def _put_pool(self, pool: Pool) -> None:
        slot = self._pool_slots.setdefault(pool.id, len(self._pool_slots))
        self._index.put_pool(slot, pool)

    def _notify(self, kind: Any, worker_id: str, reason: str) -> None:
        if self._listeners:
            event = WorkerEvent(kind=kind, worker_id=worker_id, at=self._clock.now(), reason=reason)
            for listener in tuple(self._listeners):
                listener(event)

    def _announce(self, worker: Worker) -> None:
        for listener in tuple(self._capacity_listeners):
            listener(worker)


def _default_id(url: str) -> str:
    return url.split("://", 1)[-1].rstrip("/")
