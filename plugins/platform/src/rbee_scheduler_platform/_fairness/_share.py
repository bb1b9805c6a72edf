"""A share: tenants in the order of their virtual counters; who had least service is next.

Virtual token counters (VTC; Sheng et al., OSDI'24). A tenant's key in this order is what it was
charged over its weight, plus a lift. The lift is set when its first job begins to wait: the key
is raised to the lowest key of those that wait (of the last one that was served, when nobody
waits), so that nobody saves up credit by being idle. Between two tenants that both wait all the
time, service over weight never differs by more than the bound of docs/fairness.md.

Cost: counters rise with every token, and most keys in the heap are out of date. A key in the
heap is never too high, so it is enough to look at the lowest: when it is out of date, it goes
back in with its present key. A key that fell is entered again at once. Each job that comes or
goes moves its tenant once: O(log n) in tenants, plus O(log n) in the tenant's jobs.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from itertools import count, islice

from rbee_scheduler_platform._fairness._account import Account
from rbee_scheduler_platform._fairness._place import JobEntry, Place, PlaceEntry, WaitingJob


__all__ = ["SWEEP", "Share"]

# Jobs of one tenant that are offered in one round. The first one that can't be placed says
# little of the next ones (a worker that failed it), the fourth one says enough.
OFFERED = 4

# Places looked at for each job that comes: idle ones are gone before as many come again.
SWEEP = 2


class Share:
    """Tenants in the order of their counters, each with its waiting jobs."""

    __slots__ = (
        "_aside", "_floor", "_heap", "_last", "_numbers", "_places", "cost", "waiting", "wake",
        "weights",
    )  # fmt: skip

    def __init__(self) -> None:
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._heap: list[PlaceEntry] = []
        self._numbers = count()
        self._floor = 0.0
        self._last: Place | None = None
        self._aside: list[tuple[Place, JobEntry]] = []
        self.wake: Callable[[], None] = _nobody  # called when a parked tenant may go
        # Of those that wait and are not parked: who is held back takes no worker's time.
        self.waiting = 0  # tenants
        self.cost = 0.0  # service that their jobs are expected to take
        self.weights = 0.0  # sum of their weights

    def __len__(self) -> int:
        """Return how many tenants it remembers."""
        return len(self._places)

    def place(self, tenant_id: str) -> Place | None:
        """Return a tenant's place, or None."""
        return self._places.get(tenant_id)

    # ---- jobs come and go ------------------------------------------------------------------

    def add(self, account: Account, job: WaitingJob) -> None:
        """Let a job wait."""
        place = self._place(account)
        if not place.size:
            self._lift(place)
            self._count(place, 1)
        place.push(job)
        if place.parked:  # the new job may be the next one, and no quota hold it
            self.unpark(place)
            return
        self.cost += job.cost
        if place.entry is None:
            self.enter(place)

    def remove(self, job: WaitingJob) -> None:
        """Let a job wait no longer."""
        place = job.place
        assert place is not None  # noqa: S101 - only waiting jobs are removed
        place.leave(job)
        if place.parked:
            self.unpark(place)
            return
        self.cost -= job.cost
        if not place.size:
            self._count(place, -1)
            place.entry = None

    def served(self, account: Account) -> None:
        """Note that a tenant's job was given a worker, whether it had waited or not."""
        self._last = self._place(account)

    def reweigh(self, place: Place, weight: float) -> None:
        """Change a tenant's weight."""
        if place.size and not place.parked:
            self.weights += weight - place.account.weight

    def close(self) -> None:
        """Leave the accounts: the lane is forgotten."""
        for place in self._places.values():
            del place.account.places[place]

    # ---- the order -------------------------------------------------------------------------

    def lowest(self) -> Place | None:
        """Return the place with the lowest key that has a job to offer, or None."""
        heap = self._heap
        while heap:
            entry = heap[0]
            place = entry[2]
            if place.entry is not entry:
                heapq.heappop(heap)
            elif place.head() is None:
                heapq.heappop(heap)
                place.entry = None
            elif place.key > entry[0]:
                place.entry = (place.key, entry[1], place)
                heapq.heapreplace(heap, place.entry)
            else:
                return place
        return None

    def pass_over(self, place: Place, job: WaitingJob) -> None:
        """Go on without a job that was offered and not taken, until `restore`.

        The next offer is what would be next if it had been taken.
        """
        if place.head() is not job:  # another one came meanwhile, and is next now
            return
        self._aside.append((place, place.set_aside()))
        place.offered += 1
        place.tentative += job.cost / place.account.weight
        if place.offered >= OFFERED:
            place.entry = None

    def restore(self) -> None:
        """Bring back what was passed over."""
        aside, self._aside = self._aside, []
        for place, entry in aside:
            place.take_back(entry)
            place.offered = 0
            place.tentative = 0.0
        for place, _ in aside:
            takes_part = place.size > 0 and not place.parked
            if takes_part and (place.entry is None or place.entry[0] > place.key):
                self.enter(place)

    def park(self, place: Place) -> None:
        """Leave a tenant out until `unpark`: a quota holds its next job back."""
        self._count(place, -1)
        place.parked = True
        place.entry = None

    def unpark(self, place: Place) -> None:
        """Let a tenant take part again; it saved up no credit meanwhile."""
        if place.parked:
            place.parked = False
            if place.size:
                self._count(place, 1)
                self._lift(place)
                self.enter(place)

    def enter(self, place: Place) -> None:
        """Put a place into the order at its present key."""
        place.entry = (place.key, next(self._numbers), place)
        heapq.heappush(self._heap, place.entry)
        if len(self._heap) > 2 * len(self._places) + 64:
            self._heap = [entry for entry in self._heap if entry[2].entry is entry]
            heapq.heapify(self._heap)

    def _count(self, place: Place, change: int) -> None:
        """Count a tenant that begins (1) or ceases (-1) to take part."""
        self.waiting += change
        self.cost += change * place.cost
        self.weights += change * place.account.weight
        if not self.waiting:  # sums of floats don't come back to 0 by themselves
            self.cost = self.weights = 0.0

    # ---- no credit for idling --------------------------------------------------------------

    def floor(self) -> float:
        """Return the virtual time: below it no tenant may begin."""
        lowest = self.lowest()
        if lowest is None:
            lowest = self._last
        if lowest is not None:
            self._floor = max(self._floor, lowest.key - lowest.tentative)
        return self._floor

    def is_next(self, account: Account, slack: float) -> bool:
        """Return whether a tenant is not more than ``slack`` ahead of the virtual time.

        Within a round, whose passed over tenants are not in the order, it is the time at which
        the round began.
        """
        place = self._places.get(account.id)
        if place is None:
            return True  # it would begin there
        floor = self._floor if self._aside else self.floor()
        return place.key - place.tentative <= floor + slack

    def _lift(self, place: Place) -> None:
        place.lift += max(0.0, self.floor() - place.key)

    # ---- places ----------------------------------------------------------------------------

    def _place(self, account: Account) -> Place:
        place = self._places.get(account.id)
        if place is None:
            place = Place(account, self)
            # What it had elsewhere, or before it was forgotten, is neither credit nor debt.
            place.lift = self.floor() - account.service
            self._places[account.id] = place
            account.places[place] = None
            self._sweep(place)
        return place

    def _sweep(self, newest: Place) -> None:
        """Forget places that would be lifted to the floor anyway."""
        floor = self.floor()
        for place in list(islice(self._places.values(), SWEEP)):
            if not place.size and place.key <= floor and place is not newest:
                if place is self._last:
                    self._last = None  # the floor remembers its key
                del self._places[place.account.id]
                del place.account.places[place]
            else:
                self._places.move_to_end(place.account.id)


def _nobody() -> None:
    """Stand in for the scheduler before it has said how to wake it."""
