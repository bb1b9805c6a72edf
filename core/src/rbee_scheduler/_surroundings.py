"""What a decision may read beside the workers: the queue, tenants, measurements, the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._settings import SchedulerConfig


__all__ = ["NOWHERE", "Surroundings"]


@attrs.frozen(kw_only=True, eq=False)
class Surroundings:
    """Where a snapshot looks things up that few policies ask for.

    A scheduler makes one for its life and every snapshot refers to it, so a decision that
    asks for nothing here pays for nothing. Decisions are synchronous: what is looked up
    within one does not change meanwhile.

    Attributes:
        jobs: Returns the jobs that wait, in the order in which they came.
        tenants: Returns what is known of each tenant, by id.
        metrics: Returns measurements that snapshots don't hold, by name.
        config: The scheduler's settings.
        mode: ``"home"``, ``"lab"`` or ``"platform"``.
    """

    jobs: Callable[[], Sequence[InferenceRequest]] = tuple
    tenants: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    metrics: Callable[[], Mapping[str, float]] = dict
    config: SchedulerConfig = attrs.field(factory=SchedulerConfig)
    mode: str = "home"


# Of snapshots that no scheduler took.
NOWHERE = Surroundings()
