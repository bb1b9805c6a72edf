"""Places in the queue: who waits where, over all schedulers that run requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rbee_scheduler import Scheduler


__all__ = ["positions"]


def positions(schedulers: Iterable[Scheduler]) -> Mapping[str, int]:
    """Return the place of each waiting request among those of its model and task, from 1.

    Places are by arrival; a plugin that orders the queue may serve it otherwise.
    """
    lanes: Counter[tuple[str, str]] = Counter()
    places: dict[str, int] = {}
    for scheduler in schedulers:
        for request in scheduler.waiting():
            lane = request.model, request.task_type
            lanes[lane] += 1
            places[request.job_id] = lanes[lane]
    return places
