"""The registry: heartbeats and reservations in, immutable snapshots out.

Theory of operation. Each worker has one `Entry`: what was last reported of it, and what
we know ourselves (requests in flight, whether it was heard of in time, whether it just
failed). Every change combines the two into a new `Worker` record and hands that to the
`FleetIndex`, which copies the one or two chunks it touches. A snapshot shares the rest.
Requests that begin and end only count; the records follow when somebody looks.

A registry belongs to one event loop; its methods neither block nor wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from rbee_scheduler._catalog import Catalog
from rbee_scheduler._clock import Clock, SystemClock
from rbee_scheduler._entry import Entry
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._events import WorkerEvent, WorkerEventKind
from rbee_scheduler._heartbeat import HiveHeartbeat, WorkerHeartbeat
from rbee_scheduler._hives import Hives
from rbee_scheduler._index import FleetIndex
from rbee_scheduler._listeners import Listeners
from rbee_scheduler._liveness import Alarms, LivenessConfig, ReplayGuard
from rbee_scheduler._pool import Pool
from rbee_scheduler._queries import RegistryQueries
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._surroundings import NOWHERE, Surroundings
from rbee_scheduler._worker import Worker, id_of


__all__ = ["WorkerRegistry"]


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
        "_hives", "_index", "_listeners", "_liveness", "_next_slot", "_recounted",
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
        self._next_slot = 0
        self._recounted: list[Entry] = []  # those whose records show an earlier count
        self._hives = Hives(self._index, self._liveness.hive_limit)
        self._guard = ReplayGuard(self._liveness.max_skew)
        self._expiry = Alarms()
        self._cooling = Alarms()
        self._listeners: Listeners[WorkerEvent] = Listeners()
        self._capacity_listeners: Listeners[Worker] = Listeners()

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

    @property
    def protocols(self) -> Collection[str]:
        """The protocols that its workers speak, whatever their state; it stays current."""
        return self._index.protocols

    def set_catalog(self, catalog: Catalog) -> None:
        """Take another catalog: names that it knows lead to workers from now on."""
        self._catalog = catalog
        self._index.forget_view()
        for entry in tuple(self._entries.values()):
            self._publish(entry)

    def snapshot(
        self, *, turn: int = 0, seed: int = 0, surroundings: Surroundings = NOWHERE
    ) -> Snapshot:
        """Return an immutable view of all workers; cheap, whatever their number.

        Args:
            turn: Number of the decision it is taken for.
            seed: Seed of that decision's chance.
            surroundings: Where that decision may look things up beside the workers.
        """
        self.tick()
        if self._recounted:
            self._show_counts()
        view = self._index.view(self._catalog)
        return Snapshot(view, self._clock.now(), turn, seed, surroundings)

    def _snapshot(self) -> Snapshot:
        return self.snapshot()

    # ---- workers that are configured ---------------------------------------------------

    def add(self, worker: Worker) -> Worker:
        """Register ``worker``, or replace what is known of it; it never expires.

        Our own requests on it still count, and so does `drain`. Heartbeats that tell of it
        later on take over.

        Returns:
            The worker as the next snapshot shows it.
        """
        self._expiry.clear(worker.id)
        self._hives.forget(worker.id)
        return self._report(worker, beats=False)

    def add_url(self, url: str, **fields: Any) -> Worker:
        """Register the server at ``url``; probe it to learn the rest.

        Args:
            url: Its base URL.
            **fields: Fields of `Worker`; `id` defaults to ``host:port``, and the path
                where there is one.

        Raises:
            ConfigError: A value is out of range; the error names it.
        """
        return self.add(Worker(url=url, **{"id": id_of(url), **fields}))

    def update(self, worker_id: str, **changes: Any) -> Worker:
        """Change what is reported of a known worker; values are checked.

        It is no sign of life: a worker that fell silent stays offline unless `online` is
        among the changes.

        Raises:
            ConfigError: There is no such worker or field, or a value is out of range.
        """
        self.tick()
        entry = self._entries.get(worker_id)
        if entry is None:
            raise ConfigError(f"there is no worker {worker_id!r}", hint="register it first")
        if changes.get("id", worker_id) != worker_id:
            raise ConfigError(
                f"the id of {worker_id!r} can't change", place="$.id", hint="remove it, and add it"
            )
        return self._report(entry.revised(changes), beats=entry.beats)

    def remove(self, worker_id: str, reason: str = "removed") -> None:
        """Forget a worker. Requests it runs go on; none of it counts for its return."""
        self._show_counts()  # before it leaves: nobody puts it back afterwards
        entry = self._entries.pop(worker_id, None)
        if entry is None:
            return
        self._index.remove(entry.slot, worker_id)
        self._hives.forget(worker_id)
        self._expiry.clear(worker_id)
        self._cooling.clear(worker_id)
        self._notify("left", worker_id, reason)

    def drain(self, worker_id: str, draining: bool = True) -> None:
        """Give a worker no new requests (it shows as ``"stopped"``), or give it some again."""
        entry = self._entries.get(worker_id)
        if entry is not None and entry.draining != draining:
            entry.draining = draining
            self._publish(entry, "draining" if draining else "drain ended")

    # ---- heartbeats --------------------------------------------------------------------

    def under_heartbeats(self, worker_id: str) -> bool:
        """Return whether heartbeats tell of a worker, now or until it fell silent."""
        entry = self._entries.get(worker_id)
        return entry is not None and entry.beats

    def worker_heartbeat(self, heartbeat: WorkerHeartbeat) -> Worker:
        """Take a worker's own heartbeat.

        Returns:
            The worker as the next snapshot shows it.

        Raises:
            HeartbeatRefused: It is a replay, out of order, or from a clock far off.
        """
        self.tick()
        worker = heartbeat.worker
        self._guard.check(f"worker {worker.id}", heartbeat.timestamp, self._clock.now())
        entry = self._entries.get(worker.id)
        if entry is not None and not worker.pool_id:
            worker = worker.changed(pool_id=entry.reported.pool_id)  # as its hive says
        self._keep_alive(worker.id, self._liveness.worker_limit)
        return self._report(worker, beats=True)

    def hive_heartbeat(self, heartbeat: HiveHeartbeat) -> Pool:
        """Take a hive's heartbeat: its workers come, change and leave with it.

        A refused heartbeat changes nothing.

        Raises:
            HeartbeatRefused: It is a replay, out of order, or from a clock far off; or it
                tells of a worker with the id of one of another hive that is online.
        """
        self.tick()
        now, hive_id = self._clock.now(), heartbeat.hive_id
        self._guard.check(f"hive {hive_id}", heartbeat.timestamp, now)
        self._hives.check(heartbeat)
        pool, gone = self._hives.take(heartbeat, now, self._clock.monotonic())
        for worker_id in gone:
            self.remove(worker_id, f"no longer reported by hive {hive_id}")
        for worker in heartbeat.workers:
            self._keep_alive(worker.id, self._liveness.hive_limit)
            self._report(worker if worker.pool_id else worker.changed(pool_id=hive_id), beats=True)
        return pool

    # ---- our own count -----------------------------------------------------------------

    def reserve(self, worker_id: str) -> Reservation | None:
        """Hold a slot of a worker; None when it has none free any more."""
        entry = self._entries.get(worker_id)
        if entry is None:
            return None
        if entry.recounted:
            self._show_counts()
        worker = entry.shown
        if not worker.free:
            return None
        self._count(entry, 1)
        return Reservation(worker, self._release, entry)

    def report_success(self, worker_id: str) -> None:
        """Say that a worker served a request: earlier failures are forgiven."""
        entry = self._entries.get(worker_id)
        if entry is None or not entry.failures:
            return
        entry.failures = 0
        self._cooling.clear(worker_id)
        if entry.cooling:
            entry.cooling = False
            self._publish(entry, "works again")

    def report_failure(self, worker_id: str, *, unreachable: bool = False) -> None:
        """Say that a worker failed a request.

        After some failures in a row (`LivenessConfig.failures`), or at once when it is
        ``unreachable``, it gets no requests for a while; each such pause is twice as long
        as the one before, until it serves a request again.
        """
        entry = self._entries.get(worker_id)
        if entry is None:
            return
        pause = entry.fail(self._liveness, unreachable=unreachable)
        if pause is not None:
            self._cooling.set(worker_id, self._clock.monotonic() + pause)
            self._publish(entry, f"failed; left alone for {pause:g} s")

    def failures(self, worker_id: str) -> int:
        """Return how many tries a worker has failed since it registered; 0: not known."""
        entry = self._entries.get(worker_id)
        return 0 if entry is None else entry.failed

    # ---- being told ----------------------------------------------------------------------

    def subscribe(self, listener: Callable[[WorkerEvent], None]) -> Callable[[], None]:
        """Call ``listener`` when a worker comes, changes state or leaves.

        That it is busy with requests of ours is no change of state.

        Returns:
            A function that ends the subscription.
        """
        return self._listeners.add(listener)

    def subscribe_capacity(self, listener: Callable[[Worker], None]) -> Callable[[], None]:
        """Call ``listener`` with a worker that may take a request now.

        That is whenever one is reported, comes back or gets a slot free while it has room:
        more often than its room grows, never less.

        Returns:
            A function that ends the subscription.
        """
        return self._capacity_listeners.add(listener)

    # ---- changes -------------------------------------------------------------------------

    def tick(self) -> None:
        """Notice silence and the end of pauses: what time alone has changed."""
        now = self._clock.monotonic()
        # Each decision ticks, and nearly always nothing is due.
        if self._hives.expiry.earliest <= now:
            self._hives.tick(now)
        if self._expiry.earliest <= now:
            for worker_id in self._expiry.pop_due(now):
                self._expire(worker_id)
        if self._cooling.earliest <= now:
            for worker_id in self._cooling.pop_due(now):
                self._cooled(worker_id)

    def next_recovery(self) -> float | None:
        """Return the monotonic second at which a paused worker may come back, or None."""
        return self._cooling.next

    def _expire(self, worker_id: str) -> None:
        entry = self._entries.get(worker_id)
        if entry is not None and entry.online:
            entry.online = False
            self._publish(entry, "no heartbeat in time")

    def _cooled(self, worker_id: str) -> None:
        entry = self._entries.get(worker_id)
        if entry is not None and entry.cooling:
            entry.cooling = False
            self._publish(entry, "tried again after a pause")

    def _keep_alive(self, worker_id: str, time_limit: float) -> None:
        self._expiry.set(worker_id, self._clock.monotonic() + time_limit)

    def _report(self, worker: Worker, *, beats: bool) -> Worker:
        entry = self._entries.get(worker.id)
        if entry is None:
            entry = self._entries[worker.id] = Entry(self._next_slot, worker)
            self._next_slot += 1
        else:
            entry.report(worker)
        entry.beats = beats
        return self._publish(entry)

    def _publish(self, entry: Entry, reason: str = "") -> Worker:
        self._show_counts()
        worker = entry.effective()
        models = self._catalog.with_references(worker.models)
        if models is not worker.models:
            worker = worker.changed(models=models)
        entry.shown = worker
        self._index.put(entry.slot, worker)
        kind = entry.news(worker)
        if kind is not None:
            self._notify(kind, worker.id, reason)
        # A listener may have changed it again; then that change has been announced.
        if self._now(worker) is worker and worker.free:
            self._capacity_listeners.tell(worker)
        return self._now(worker) or worker

    def _now(self, worker: Worker) -> Worker | None:
        self._show_counts()
        return self._index.worker(worker.id)

    def _count(self, entry: Entry, change: int) -> None:
        entry.count(change, self._clock.now())
        if not entry.recounted:
            entry.recounted = True
            self._recounted.append(entry)

    def _show_counts(self) -> None:
        """Publish the records of workers whose requests have begun or ended meanwhile.

        A record takes 2 us to make and publish, and in a burst each worker's count changes
        several times between two looks; most of all, nobody looks when a request ends.
        """
        for entry in self._recounted:
            entry.recounted = False
            worker = entry.shown
            entry.shown = entry.with_load(worker)
            self._index.reload(entry.slot, worker, entry.shown)
        self._recounted.clear()

    def _release(self, entry: Entry) -> None:
        # The worker may have left, and even come back as another entry.
        if self._entries.get(entry.reported.id) is entry:
            self._count(entry, -1)
            if self._capacity_listeners:
                self._show_counts()
                if entry.shown.free:
                    self._capacity_listeners.tell(entry.shown)

    def _notify(self, kind: WorkerEventKind, worker_id: str, reason: str) -> None:
        at = self._clock.now()
        self._listeners.tell(WorkerEvent(kind=kind, worker_id=worker_id, at=at, reason=reason))
