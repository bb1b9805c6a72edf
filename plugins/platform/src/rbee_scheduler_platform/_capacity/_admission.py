"""Admission: who may wait, for how long, and who is told at once that it makes no sense.

The predicted first token is what has to happen before it::

    wait    = service ahead in our queue / service rate of the lane
    prefill = (prompt tokens without a first token on a worker + own) * seconds per token

Both are measured. Counting tokens, not requests, is what kept 96 % of an offered load of twice
the capacity within its targets (docs/fairness.md); limits on requests kept 24 to 66 %.

A full queue refuses by *dynamic thresholds* (Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998): a
tenant may have 4 times as many jobs waiting as there are places left. One that floods gets 80 %
of the queue; the next tenant still finds room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from rbee_scheduler import (
    CapacityExceeded,
    Clock,
    DeadlineExceeded,
    InferenceRequest,
    SchedulerError,
    Snapshot,
    Worker,
)
from rbee_scheduler_platform._capacity._gate import DispatchGate, GateOptions
from rbee_scheduler_platform._capacity._in_flight import InFlight
from rbee_scheduler_platform._capacity._prefill import PrefillSpeed
from rbee_scheduler_platform._fairness import FairLane, FairOrder
from rbee_scheduler_platform._quota import input_tokens_of


__all__ = ["Capacity", "CapacityOptions", "Prediction", "Refusal"]

# Jobs a tenant may have waiting for each place that is left.
THRESHOLD = 4

# Seconds to come back after when nothing is known of the rate.
UNKNOWN = 1.0

# Lanes whose prefill speed is remembered.
LANES = 1_024


def _queues() -> dict[str, int]:
    return {"interactive": 1_000, "batch": 10_000}


@attrs.frozen(kw_only=True)
class CapacityOptions:
    """How much may wait, and for how long.

    Attributes:
        queue: Most jobs that wait, by class.
        first_token_limit: Seconds; a request whose first token is predicted later is refused
            (429), by class. A class that is missing waits as long as it must.
        gate: How full a worker may be.
    """

    queue: Mapping[str, int] = attrs.field(factory=_queues)
    first_token_limit: Mapping[str, float] = attrs.field(factory=dict)
    gate: GateOptions = attrs.field(factory=GateOptions)


@attrs.frozen(kw_only=True)
class Prediction:
    """When a request's first token would come.

    Attributes:
        wait: Seconds in our queue.
        prefill: Seconds on the worker.
    """

    wait: float = 0.0
    prefill: float = 0.0

    @property
    def first_token(self) -> float:
        """Seconds until the first token."""
        return self.wait + self.prefill


@attrs.frozen(kw_only=True)
class Refusal:
    """Why a request is not admitted.

    Attributes:
        code: ``"queue_full"`` or ``"too_slow"`` (429), or ``"too_late"`` (504).
        reason: What a client is told.
        retry_after: Seconds.
    """

    code: Literal["queue_full", "too_slow", "too_late"]
    reason: str
    retry_after: float | None = None

    def error(self) -> SchedulerError:
        """Return it as the error that the request ends with."""
        if self.code == "too_late":
            return DeadlineExceeded(
                self.reason, hint="allow more time, or ask again when there is less to do"
            )
        return CapacityExceeded(self.reason, hint="try again later", retry_after=self.retry_after)


class Capacity:
    """Who may wait, who may run where, and what is in flight; one per process.

    Args:
        clock: Source of time.
        order: The fair order, which holds what waits.
        options: Bounds.
    """

    def __init__(
        self, clock: Clock, order: FairOrder, options: CapacityOptions | None = None
    ) -> None:
        self._clock = clock
        self._order = order
        self._options = options or CapacityOptions()
        self._prefill: dict[tuple[str, str], PrefillSpeed] = {}
        self.flights = InFlight(clock, order.expected)
        self.gate = DispatchGate(self.flights, order, self._options.gate)

    # ---- admission -------------------------------------------------------------------------

    def admit(self, request: InferenceRequest, snapshot: Snapshot) -> Refusal | None:
        """Say why a request may not wait; None: it may.

        Args:
            request: The request.
            snapshot: All workers at this moment.
        """
        return self._queue_full(request, snapshot) or self._too_late(request, snapshot)

    def _queue_full(self, request: InferenceRequest, snapshot: Snapshot) -> Refusal | None:
        most = self._options.queue.get(request.priority)
        if most is None:
            return None
        waiting = self._order.waiting(request.priority)
        own = self._order.waiting(request.priority, request.tenant_id or "")
        if own < THRESHOLD * (most - waiting):
            return None
        lane = self._order.find_lane(request.model, request.task_type)
        queued = 0.0 if lane is None else lane.queued_service
        if not queued and snapshot.free(request.model, request.task_type):
            return None  # it need not wait
        what = f"{waiting} {request.priority} jobs wait, of {most}"
        return Refusal(
            code="queue_full",
            reason=f"{what}, {own} of them yours" if own else what,
            # A place is free when the job that is next has been served.
            retry_after=self._seconds(lane, queued / max(1, len(lane or ()))),
        )

    def _too_late(self, request: InferenceRequest, snapshot: Snapshot) -> Refusal | None:
        prediction = self.predict(request, snapshot)
        if prediction is None:
            return None
        first = prediction.first_token
        now = self._clock.now()
        deadline = request.deadline_at(request.created_at or now)
        if deadline is not None and now + first * 1000.0 > deadline:
            return Refusal(
                code="too_late",
                reason=f"the first token is expected in {first:.1f} s, after the deadline",
            )
        limit = self._options.first_token_limit.get(request.priority)
        if limit is not None and first > limit:
            return Refusal(
                code="too_slow",
                reason=f"the first token is expected in {first:.1f} s, more than {limit:g}",
                retry_after=first - limit,
            )
        return None

    def predict(self, request: InferenceRequest, snapshot: Snapshot) -> Prediction | None:
        """Predict a request's first token; None: nothing was measured yet. Costs O(log n)."""
        model, task = request.model, request.task_type
        lane = self._order.find_lane(model, task)
        wait = 0.0
        if lane is not None and lane.queued_service:
            rate = lane.rate.value
            if rate is None:
                return None
            wait = lane.ahead(request) / rate
        speed = self._prefill.get((model, task))
        own = input_tokens_of(request)
        workers = max(1, snapshot.count_usable(model, task))
        # Ours will run on one of them: the mean, for looking at each would cost their number.
        before = self.flights.unprefilled_in((model, task)) / workers
        seconds = None if speed is None else speed.seconds(before + own)
        if seconds is None and not wait:
            return None
        return Prediction(wait=wait, prefill=seconds or 0.0)  # of tasks without a stream, too

    @staticmethod
    def _seconds(lane: FairLane | None, service: float) -> float:
        rate = None if lane is None else lane.rate.value
        return UNKNOWN if rate is None else max(UNKNOWN, service / rate)

    # ---- the gate --------------------------------------------------------------------------

    def filter_workers(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> Mapping[str, str]:
        """Return the candidates that are full, and why; see `DispatchGate`."""
        return self.gate.filter_workers(request, candidates, snapshot)

    # ---- what happens ----------------------------------------------------------------------

    def dispatched(self, request: InferenceRequest, worker: Worker) -> None:
        """Note that a request was given a worker."""
        self.flights.began(request, worker)

    def first_token(self, job_id: str) -> None:
        """Learn from a request's first token."""
        flight = self.flights.first_token(job_id)
        if flight is None:
            return
        speed = self._prefill.get(flight.lane)
        if speed is None:
            if len(self._prefill) >= LANES:
                del self._prefill[next(iter(self._prefill))]
            speed = self._prefill[flight.lane] = PrefillSpeed()
        speed.learn(self._clock.monotonic() - flight.began, flight.ahead)

    def ended(self, job_id: str) -> None:
        """Note that a request is through with its worker; let those look that wait for room.

        The scheduler gives the slot back, and looks who waits for it, before plugins hear that
        the request has ended: until then the gate counts its tokens.
        """
        flight = self.flights.ended(job_id)
        if flight is not None:
            for model in flight.worker.models:
                for task in flight.worker.capabilities:
                    self._order.wake(model, task)
