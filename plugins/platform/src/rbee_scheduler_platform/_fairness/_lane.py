"""A lane's order: interactive before batch, then who had least service, then the deadline."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

from rbee_scheduler import Clock, InferenceRequest
from rbee_scheduler_platform._fairness._account import Account
from rbee_scheduler_platform._fairness._place import Place, WaitingJob
from rbee_scheduler_platform._fairness._rate import ServiceRate
from rbee_scheduler_platform._fairness._share import Share


__all__ = ["FairLane", "Holds", "LaneOwner"]

BATCH = "batch"


class Holds(Protocol):
    """Who may hold jobs back: the quotas."""

    def ready_at(self, request_id: str) -> float:
        """Return from which monotonic second a job may go; inf: nobody knows."""
        ...

    def claim(self, request_id: str) -> None:
        """Note that a job goes now."""
        ...


class LaneOwner(Protocol):
    """What a lane asks of the order it belongs to."""

    def account(self, request: InferenceRequest) -> Account:
        """Return the account that pays for a request."""
        ...

    def expected_service(self, request: InferenceRequest) -> float:
        """Return the service that a request is expected to take."""
        ...

    def waits(self, request: InferenceRequest, change: int) -> None:
        """Count a job that began (1) or ceased (-1) to wait."""
        ...

    def dispatched(self, request: InferenceRequest, share: Share | None = None) -> None:
        """Charge a request that was given a worker."""
        ...


class FairLane:
    """The order of the jobs that wait for one model and task; a `LaneOrder`.

    It has two shares. Jobs of the class ``"batch"`` are offered when no interactive job can
    go; one that has waited `batch_bound` seconds moves to the interactive share, ahead of its
    tenant's other jobs: from then on it waits for its tenant's turn only.

    Args:
        owner: Keeps the accounts that all lanes share.
        clock: Source of time.
        holds: Who may hold jobs back.
        batch_bound: Seconds.
    """

    def __init__(
        self, owner: LaneOwner, clock: Clock, *, holds: Holds | None, batch_bound: float
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._holds = holds
        self._batch_bound = batch_bound
        self._jobs: dict[str, WaitingJob] = {}
        self._ageing: list[tuple[float, int, WaitingJob]] = []
        self._timers: list[tuple[float, int, Place]] = []
        self._numbers = count()
        self.interactive = Share()
        self.batch = Share()
        self.rate = ServiceRate()

    def __len__(self) -> int:
        return len(self._jobs)

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when a job that was held back may go."""
        self.interactive.wake = self.batch.wake = wake

    # ---- LaneOrder -------------------------------------------------------------------------

    def add(self, request: InferenceRequest) -> None:
        """Take a job that begins to wait."""
        now = self._clock.monotonic()
        due = request.deadline_at(request.created_at)
        job = WaitingJob(
            request,
            next(self._numbers),
            math.inf if due is None else due,
            self._owner.expected_service(request),
        )
        self._jobs[request.job_id] = job
        self._owner.waits(request, 1)
        share = self.batch if request.priority == BATCH else self.interactive
        share.add(self._owner.account(request), job)
        if job.place is not None:
            self._look(job.place, now)
        self._note_backlog()
        if share is self.batch:
            waited = request.wait_time_ms(self._clock.now()) / 1000.0  # before a restart, too
            aged_at = now + self._batch_bound - waited
            heapq.heappush(self._ageing, (aged_at, job.number, job))

    def remove(self, request: InferenceRequest) -> None:
        """Forget a job that got a worker, was withdrawn, or failed.

        It is charged as if it had got a worker; one that had not is refunded with its other
        charges (`FairOrder.refund`), in the same moment or soon after.
        """
        job = self._jobs.pop(request.job_id, None)
        if job is None or job.place is None:
            return
        place = job.place
        place.share.remove(job)
        self._owner.waits(request, -1)
        if self._holds is not None:
            self._holds.claim(request.job_id)
        self._owner.dispatched(request, place.share)
        self._note_backlog()
        if len(self._ageing) > 2 * len(self._jobs) + 8:  # no prompt is kept for long
            self._ageing = [entry for entry in self._ageing if entry[2].place is not None]
            heapq.heapify(self._ageing)

    def __iter__(self) -> Iterator[str]:
        """Yield job ids, next one first; those that a quota holds back are left out."""
        shares = (self.interactive, self.batch)
        now = self._clock.monotonic()
        for share in shares:
            share.restore()  # an earlier round may not have been closed
        self._age(now)
        self._unpark_due(now)
        try:
            for share in shares:
                share.floor()
                while (place := share.lowest()) is not None:
                    job = place.head()
                    assert job is not None  # noqa: S101 - `lowest` has looked
                    ready_at = self._ready_at(job)
                    if ready_at > now:
                        self._park(place, ready_at)
                        continue
                    yield job.request.job_id
                    if job.place is place:
                        share.pass_over(place, job)
        finally:
            for share in shares:
                share.restore()
            self._note_backlog()

    def _note_backlog(self) -> None:
        """Say whether a job waits that could go: one that a quota holds back tells no rate."""
        waits = self.interactive.waiting + self.batch.waiting > 0
        self.rate.backlog(waits=waits, now=self._clock.monotonic())

    # ---- who is held back ------------------------------------------------------------------

    def _look(self, place: Place, now: float) -> None:
        """Park a tenant whose next job is held back; whoever sets a timer must know of it."""
        # In the middle of a round its next job may be one that was set aside: the next round looks.
        head = None if place.offered else place.head()
        ready_at = -math.inf if head is None else self._ready_at(head)
        if ready_at > now:
            self._park(place, ready_at)

    def _ready_at(self, job: WaitingJob) -> float:
        return -math.inf if self._holds is None else self._holds.ready_at(job.request.job_id)

    def _park(self, place: Place, ready_at: float) -> None:
        place.share.park(place)
        if ready_at != place.ready_at:
            place.ready_at = ready_at
            if ready_at < math.inf:
                heapq.heappush(self._timers, (ready_at, next(self._numbers), place))
        if len(self._timers) > 2 * (len(self.interactive) + len(self.batch)) + 64:
            self._forget_timers()

    def _forget_timers(self) -> None:
        """Keep one timer for each tenant that is parked: a day's are due at midnight only."""
        latest = {entry[2]: entry for entry in self._timers if entry[2].ready_at == entry[0]}
        for place in latest:
            if not place.parked:
                place.ready_at = math.inf
        self._timers = [entry for place, entry in latest.items() if place.parked]
        heapq.heapify(self._timers)

    def next_ready(self) -> float | None:
        """Return the monotonic second at which a held job may go, as far as known."""
        while self._timers and not self._timers[0][2].parked:
            self._next_timer()
        return self._timers[0][0] if self._timers else None

    def tick(self) -> None:
        """Wake the lane when a held job's time has come."""
        if self._unpark_due(self._clock.monotonic()):
            self.interactive.wake()

    def _unpark_due(self, now: float) -> bool:
        found = False
        while self._timers and self._timers[0][0] <= now:
            place = self._next_timer()
            found = found or place.parked
            place.share.unpark(place)
        return found

    def _next_timer(self) -> Place:
        at, _, place = heapq.heappop(self._timers)
        if place.ready_at == at:
            place.ready_at = math.inf
        return place

    # ---- ageing ----------------------------------------------------------------------------

    def _age(self, now: float) -> None:
        while self._ageing and self._ageing[0][0] <= now:
            job = heapq.heappop(self._ageing)[2]
            if job.place is not None:
                account = job.place.account
                self.batch.remove(job)
                job.due = -math.inf
                self.interactive.add(account, job)

    # ---- what waits ------------------------------------------------------------------------

    def ahead(self, request: InferenceRequest) -> float:
        """Return the service that will be given before ``request`` would be next.

        Its own tenant's jobs, and as much for each other tenant as that tenant's weight gives
        it meanwhile; never more than all that waits. Costs O(1).
        """
        account = self._owner.account(request)
        service = _ahead(self.interactive, account)
        if request.priority == BATCH:
            service = self.interactive.cost + _ahead(self.batch, account)
        return service

    def is_next(self, request: InferenceRequest) -> bool:
        """Return whether no tenant that waits had less service than this one's; O(log n).

        Less by more than this one request takes: else a tenant that sends two at once would
        have to wait with the second one until the others have caught up with the first.
        """
        account = self._owner.account(request)
        job = self._jobs.get(request.job_id)
        if job is not None and job.place is not None:
            share = job.place.share
        else:
            share = self.batch if request.priority == BATCH else self.interactive
        if share is self.batch and self.interactive.cost:
            return False
        slack = self._owner.expected_service(request) / account.weight
        return share.is_next(account, slack)

    @property
    def queued_service(self) -> float:
        """The service that all waiting jobs are expected to take; not those that are held."""
        return self.interactive.cost + self.batch.cost


def _ahead(share: Share, account: Account) -> float:
    place = share.place(account.id)
    if place is None:  # it would begin at the virtual time: nobody is ahead of it
        return 0.0
    # What it waits for itself, and what the others lag behind it.
    own = place.cost + max(0.0, place.key - share.floor()) * account.weight
    weights, cost = share.weights, share.cost
    if place.parked or not place.size:  # it is not among those that the share has summed up
        weights += account.weight
        cost += place.cost
    return min(cost, own * weights / account.weight)
