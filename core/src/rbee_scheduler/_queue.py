"""The queue: jobs that wait for a worker, by what they wait for."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from rbee_scheduler._errors import CapacityExceeded, SchedulerError
from rbee_scheduler._life import RequestLife
from rbee_scheduler._reservation import Reservation


__all__ = ["Job", "JobQueue"]

Lane = tuple[str, str]  # model and task


class Job:
    """A request in the queue.

    Attributes:
        life: The request's life; its `queued_at` is set.
        event: Set when there is news: `reservation`, `error`, or a reason to look again.
        reservation: The worker it got.
        error: Why it will get none.
        retry_at: Monotonic second at which to ask again, when a selector said so.
    """

    __slots__ = ("error", "event", "life", "reservation", "retry_at")

    def __init__(self, life: RequestLife) -> None:
        self.life = life
        self.event = anyio.Event()
        self.reservation: Reservation | None = None
        self.error: SchedulerError | None = None
        self.retry_at: float | None = None

    @property
    def settled(self) -> bool:
        """Whether it got a worker or an error."""
        return self.reservation is not None or self.error is not None

    @property
    def lane(self) -> Lane:
        """What it waits for."""
        return self.life.request.model, self.life.request.task_type


class JobQueue:
    """Jobs in the order in which they came, in one lane per model and task.

    Args:
        capacity: Most jobs that may wait; -1: no bound.
    """

    __slots__ = ("_capacity", "_lanes", "_size")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # By identity, not by id: a request may be asked about while it runs.
        self._lanes: dict[Lane, dict[Job, None]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, job: Job) -> bool:
        return job in self._lanes.get(job.lane, ())

    def add(self, job: Job) -> int:
        """Let ``job`` wait.

        Returns:
            Its place in its lane; 1 is next.

        Raises:
            CapacityExceeded: The queue is full.
        """
        if 0 <= self._capacity <= self._size:
            others = f"{self._size} jobs wait already" if self._capacity else "nobody may wait"
            raise CapacityExceeded(
                f"all workers of {job.life.request.model!r} are full, and {others}",
                hint="try again later, or raise queue.capacity",
                retry_after=1.0,
            )
        lane = self._lanes.setdefault(job.lane, {})
        lane[job] = None
        self._size += 1
        return len(lane)

    def remove(self, job: Job) -> bool:
        """Let ``job`` wait no longer; return whether it did."""
        lane = self._lanes.get(job.lane)
        if lane is None or job not in lane:
            return False
        del lane[job]
        self._size -= 1
        if not lane:
            del self._lanes[job.lane]
        return True

    def waiting(self, lane: Lane) -> Iterable[Job]:
        """Return the jobs of a lane, in the order in which they came."""
        return self._lanes.get(lane, ())

    def jobs(self) -> list[Job]:
        """Return all jobs, lane by lane; costs their number."""
        return [job for lane in self._lanes.values() for job in lane]

    def has(self, lane: Lane) -> bool:
        """Return whether a job of the lane waits."""
        return lane in self._lanes
