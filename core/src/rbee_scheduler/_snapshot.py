"""The snapshot: an immutable view of all workers at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Self

import attrs

from rbee_scheduler._catalog import Catalog
from rbee_scheduler._persistent import FrozenMap
from rbee_scheduler._pool import Pool
from rbee_scheduler._queries import RegistryQueries
from rbee_scheduler._surroundings import NOWHERE, Surroundings
from rbee_scheduler._worker import Worker


__all__ = ["FleetView", "Snapshot"]

TEXT = "text-gen"

_U64 = 0xFFFF_FFFF_FFFF_FFFF


# Both records without __slots__: a frozen class sets each slot with a call (0.1 us, 14 of them
# for each decision), and a __dict__ in one go.
@attrs.frozen(slots=False)
class FleetView:
    """What the registry shares with every snapshot taken until its next change.

    `free` holds whole workers, because filters and scorers read them all; the other
    indexes hold ids, so that a change of load touches `by_id` and `free` only.
    """

    by_id: FrozenMap[str, Worker]
    order: Sequence[str]
    free: FrozenMap[tuple[str, str], Sequence[Worker]]
    usable: FrozenMap[tuple[str, str], Sequence[str]]
    by_model: FrozenMap[str, Sequence[str]]
    by_capability: FrozenMap[str, Sequence[str]]
    pools: FrozenMap[str, Pool]
    pool_order: Sequence[str]
    catalog: Catalog


@attrs.frozen(slots=False)
class Snapshot(RegistryQueries):
    """All workers at one moment, and the time and chance that go with it.

    Decision hooks read nothing else, which is why a decision can be repeated.

    Attributes:
        now: Wall-clock ms at which it was taken.
        turn: Number of the decision it was taken for; `turn % len(candidates)` is a
            round robin that needs no state.
        seed: Seed of this decision's chance.
        surroundings: The queue, tenants, measurements and settings, for who asks.
    """

    _fleet: FleetView
    now: float = 0.0
    turn: int = 0
    seed: int = 0
    surroundings: Surroundings = attrs.field(default=NOWHERE, eq=False, repr=False)

    def _snapshot(self) -> Self:
        return self

    def __len__(self) -> int:
        return len(self._fleet.by_id)

    @property
    def catalog(self) -> Catalog:
        """What is known of the models."""
        return self._fleet.catalog

    def random(self) -> Random:
        """Return a generator seeded for this decision: the same numbers each time."""
        return Random(self.seed)

    def draw(self, bound: int) -> int:
        """Return one random number from 0 to ``bound - 1``; the same one each time.

        For decisions that need no more than one: a generator takes 3 us to make, this 0.3.
        The mix is SplitMix64's (Steele, Lea and Flood, OOPSLA 2014), which makes numbers
        of neighbouring seeds independent.

        Args:
            bound: At least 1. The share of each number is even to 1 in 2**64 / bound.
        """
        mixed = self.seed & _U64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _U64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _U64
        return (mixed ^ (mixed >> 31)) % bound

    def worker(self, worker_id: str) -> Worker | None:
        """Return the worker called ``worker_id``, or None."""
        return self._fleet.by_id.get(worker_id)

    def workers(self) -> tuple[Worker, ...]:
        """Return all workers, in the order in which they registered; costs their number."""
        return self._resolve(self._fleet.order)

    def free(self, model: str, capability: str = TEXT) -> Sequence[Worker]:
        """Return the free workers of ``model``, in the order in which they registered.

        Takes the same time however many workers there are. `Worker.free` says what
        free means.
        """
        return self._fleet.free.get((model, capability)) or ()

    def usable(self, model: str, capability: str = TEXT) -> tuple[Worker, ...]:
        """Return the workers of ``model`` that are free or will be: online, ready or busy."""
        return self._resolve(self._fleet.usable.get((model, capability)) or ())

    def count_usable(self, model: str, capability: str = TEXT) -> int:
        """Return how many workers `usable` has, without looking at them."""
        return len(self._fleet.usable.get((model, capability)) or ())

    def count_with_model(self, model: str) -> int:
        """Return how many workers can serve ``model``, without looking at them."""
        return len(self._fleet.by_model.get(model) or ())

    def with_model(self, model: str) -> tuple[Worker, ...]:
        """Return every worker that can serve ``model``, whatever its state."""
        return self._resolve(self._fleet.by_model.get(model) or ())

    def with_capability(self, capability: str) -> tuple[Worker, ...]:
        """Return every worker that can do ``capability``, whatever its state."""
        return self._resolve(self._fleet.by_capability.get(capability) or ())

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool called ``pool_id``, or None."""
        return self._fleet.pools.get(pool_id)

    def pools(self) -> tuple[Pool, ...]:
        """Return all pools, in the order in which they were first heard of."""
        get = self._fleet.pools.get
        return tuple(p for p in map(get, self._fleet.pool_order) if p is not None)

    def _resolve(self, ids: Sequence[str]) -> tuple[Worker, ...]:
        get = self._fleet.by_id.get
        return tuple(w for w in map(get, ids) if w is not None)
