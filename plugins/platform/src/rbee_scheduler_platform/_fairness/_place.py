"""A place: one tenant's waiting jobs in one order, earliest deadline first."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from rbee_scheduler import InferenceRequest
from rbee_scheduler_platform._fairness._account import Account


if TYPE_CHECKING:
    from rbee_scheduler_platform._fairness._share import Share


__all__ = ["Place", "WaitingJob"]

JobEntry = tuple[float, int, "WaitingJob"]
PlaceEntry = tuple[float, int, "Place"]


class WaitingJob:
    """A job that waits.

    Attributes:
        request: The job.
        number: How many jobs came before it: the order of equals.
        due: Wall-clock ms of its deadline; inf: none; -inf: it goes first.
        cost: The service it is expected to take.
        place: Where it waits; None: it does not.
    """

    __slots__ = ("cost", "due", "number", "place", "request")

    def __init__(self, request: InferenceRequest, number: int, due: float, cost: float) -> None:
        self.request = request
        self.number = number
        self.due = due
        self.cost = cost
        self.place: Place | None = None


class Place:
    """One tenant's waiting jobs in one order.

    A job that leaves is left in the heap and skipped later; when half of the heap is gone,
    it is built anew, so that no prompt is kept for long.

    Attributes:
        account: The tenant's.
        share: The order this is a place in.
        lift: What is added to the account: no credit for idling, no debt from elsewhere.
        size: Jobs that wait.
        cost: The service they are expected to take.
        entry: Its entry in the order; None: it takes no part now.
        parked: Whether a quota holds it back.
        ready_at: Monotonic second at which to look again; inf: no timer is set.
        offered: Jobs that were offered, and not taken, in the present round.
        tentative: What they would cost, over the weight.
    """

    __slots__ = (
        "_heap", "account", "cost", "entry", "lift", "offered", "parked", "ready_at", "share",
        "size", "tentative",
    )  # fmt: skip

    def __init__(self, account: Account, share: Share) -> None:
        self._heap: list[JobEntry] = []
        self.account = account
        self.share = share
        self.lift = 0.0
        self.size = 0
        self.cost = 0.0
        self.entry: PlaceEntry | None = None
        self.parked = False
        self.ready_at = math.inf
        self.offered = 0
        self.tentative = 0.0

    @property
    def key(self) -> float:
        """Where it stands in the order: the lowest is next."""
        return self.account.service + self.lift + self.tentative

    def fell(self) -> None:
        """Note that the account fell."""
        if self.entry is not None and self.key < self.entry[0]:
            self.share.enter(self)

    def push(self, job: WaitingJob) -> None:
        """Take a job."""
        job.place = self
        self.size += 1
        self.cost += job.cost
        heapq.heappush(self._heap, (job.due, job.number, job))

    def leave(self, job: WaitingJob) -> None:
        """Let a job go."""
        job.place = None
        self.size -= 1
        self.cost = self.cost - job.cost if self.size else 0.0
        if len(self._heap) > 2 * self.size + 8:
            self._heap = [entry for entry in self._heap if self._waits(entry)]
            heapq.heapify(self._heap)

    def head(self) -> WaitingJob | None:
        """Return the tenant's next job, or None."""
        heap = self._heap
        while heap and not self._waits(heap[0]):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def set_aside(self) -> JobEntry:
        """Take out the next job, `head`; `take_back` brings it back."""
        return heapq.heappop(self._heap)

    def take_back(self, entry: JobEntry) -> None:
        """Bring back a job that was set aside, if it still waits."""
        if self._waits(entry):
            heapq.heappush(self._heap, entry)

    def _waits(self, entry: JobEntry) -> bool:
        return entry[2].place is self
