"""The fleet's indexes: which workers are free for a model, kept current change by change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from rbee_scheduler._catalog import Catalog
from rbee_scheduler._persistent import BucketMap, FrozenMap, OrderedSlots
from rbee_scheduler._pool import Pool
from rbee_scheduler._snapshot import FleetView
from rbee_scheduler._worker import Worker


__all__ = ["FleetIndex"]

K = TypeVar("K")
V = TypeVar("V")


class _Groups(Generic[K, V]):
    """Values in slot order, grouped by key."""

    __slots__ = ("_edited", "_frozen", "_stale")

    def __init__(self) -> None:
        self._edited: dict[K, OrderedSlots[V]] = {}
        self._frozen: BucketMap[K, Sequence[V]] = BucketMap()
        self._stale: set[K] = set()  # frozen when they are asked for: many changes, one copy

    def set(self, keys: Iterable[K], slot: int, value: V) -> None:
        for key in keys:
            group = self._edited.get(key)
            if group is None:
                group = self._edited[key] = OrderedSlots()
            group.set(slot, value)
            self._stale.add(key)

    def remove(self, keys: Iterable[K], slot: int) -> None:
        for key in keys:
            group = self._edited.get(key)
            if group is not None:
                group.remove(slot)
                self._stale.add(key)

    def freeze(self) -> FrozenMap[K, Sequence[V]]:
        if self._stale:
            for key in self._stale:
                group = self._edited[key]
                if group:
                    self._frozen.set(key, group.freeze())
                else:
                    del self._edited[key]
                    self._frozen.remove(key)
            self._stale.clear()
        return self._frozen.freeze()


class FleetIndex:
    """Workers and pools by all that a snapshot is asked for.

    A change of load touches two chunks; only a change of models or capabilities
    touches the other indexes.

    Attributes:
        protocols: How many workers speak each protocol; those that none speaks are not there.
    """

    __slots__ = (
        "_by_capability", "_by_model", "_free", "_order", "_pool_order", "_pools", "_reloaded",
        "_usable", "_view", "_workers", "protocols",
    )  # fmt: skip

    def __init__(self) -> None:
        self.protocols: Counter[str] = Counter()
        self._workers: BucketMap[str, Worker] = BucketMap()
        self._order: OrderedSlots[str] = OrderedSlots()
        self._free: _Groups[tuple[str, str], Worker] = _Groups()
        self._usable: _Groups[tuple[str, str], str] = _Groups()
        self._by_model: _Groups[str, str] = _Groups()
        self._by_capability: _Groups[str, str] = _Groups()
        self._pools: BucketMap[str, Pool] = BucketMap()
        self._pool_order: OrderedSlots[str] = OrderedSlots()
        self._view: FleetView | None = None
        self._reloaded = False  # since the view was made, some workers' load has changed

    def worker(self, worker_id: str) -> Worker | None:
        """Return the worker called ``worker_id`` as it is now."""
        return self._workers.get(worker_id)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool called ``pool_id`` as it is now."""
        return self._pools.get(pool_id)

    def put(self, slot: int, worker: Worker) -> None:
        """Publish ``worker`` at ``slot``, replacing an earlier record of it."""
        old = self._workers.get(worker.id)
        self._view = None
        self._workers.set(worker.id, worker)
        if old is None or old.protocol != worker.protocol:
            self._speaks(old, worker)
        if old is None:
            self._order.set(slot, worker.id)
        elif old.models == worker.models and old.capabilities == worker.capabilities:
            self._move(slot, old, worker)
            return
        else:
            self._forget(slot, old)
        self._by_model.set(worker.models, slot, worker.id)
        self._by_capability.set(worker.capabilities, slot, worker.id)
        if worker.usable:
            self._usable.set(_tasks(worker), slot, worker.id)
        if worker.free:
            self._free.set(_tasks(worker), slot, worker)

    def reload(self, slot: int, old: Worker, worker: Worker) -> None:
        """Publish ``worker``, which is ``old`` with another load: half the time of `put`."""
        self._workers.set(worker.id, worker)
        self._reloaded = True
        self._move(slot, old, worker)

    def remove(self, slot: int, worker_id: str) -> None:
        """Forget the worker called ``worker_id`` at ``slot``."""
        old = self._workers.get(worker_id)
        if old is not None:
            self._view = None
            self._workers.remove(worker_id)
            self._order.remove(slot)
            self._speaks(old, None)
            self._forget(slot, old)

    def put_pool(self, slot: int, pool: Pool) -> None:
        """Publish ``pool`` at ``slot``, replacing an earlier record of it."""
        self._view = None
        self._pools.set(pool.id, pool)
        self._pool_order.set(slot, pool.id)

    def forget_view(self) -> None:
        """Make the next view anew: what it shows beside workers has changed."""
        self._view = None

    def view(self, catalog: Catalog) -> FleetView:
        """Return the present content; the same object until the next change."""
        view = self._view
        if view is None:
            view = self._view = FleetView(
                self._workers.freeze(),
                self._order.freeze(),
                self._free.freeze(),
                self._usable.freeze(),
                self._by_model.freeze(),
                self._by_capability.freeze(),
                self._pools.freeze(),
                self._pool_order.freeze(),
                catalog,
            )
        elif self._reloaded:  # most changes are: the other indexes are as they were
            view = self._view = FleetView(
                self._workers.freeze(),
                view.order,
                self._free.freeze(),
                view.usable,
                view.by_model,
                view.by_capability,
                view.pools,
                view.pool_order,
                view.catalog,
            )
        self._reloaded = False
        return view

    def _move(self, slot: int, old: Worker, worker: Worker) -> None:
        if worker.free:
            self._free.set(_tasks(worker), slot, worker)
        elif old.free:
            self._free.remove(_tasks(old), slot)
        if worker.status == old.status and worker.online == old.online:
            return  # a change of load, as most are
        self._view = None
        if worker.usable != old.usable:
            if worker.usable:
                self._usable.set(_tasks(worker), slot, worker.id)
            else:
                self._usable.remove(_tasks(old), slot)

    def _speaks(self, old: Worker | None, new: Worker | None) -> None:
        """Count the protocol of a worker that came, changed it or left."""
        if new is not None:
            self.protocols[new.protocol] += 1
        if old is not None:
            self.protocols[old.protocol] -= 1
            if not self.protocols[old.protocol]:
                del self.protocols[old.protocol]

    def _forget(self, slot: int, old: Worker) -> None:
        self._by_model.remove(old.models, slot)
        self._by_capability.remove(old.capabilities, slot)
        self._usable.remove(_tasks(old), slot)
        self._free.remove(_tasks(old), slot)


def _tasks(worker: Worker) -> Sequence[tuple[str, str]]:
    if len(worker.models) == 1 == len(worker.capabilities):  # as nearly all; half the time
        return ((worker.models[0], worker.capabilities[0]),)
    return [(model, task) for model in worker.models for task in worker.capabilities]
