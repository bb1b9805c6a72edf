"""Dispatch: a worker's slot for a request that runs, and the next one when a worker fails."""

from __future__ import annotations

from random import Random

import anyio

from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import (
    NoWorkersAvailable,
    ParseError,
    PluginError,
    SchedulerError,
    StreamConnectionFailed,
    StreamReadError,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerTimeout,
)
from rbee_scheduler._life import RequestLife
from rbee_scheduler._placement import Placement
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import SchedulerConfig


__all__ = ["RETRYABLE", "Dispatcher"]

# What another try may mend. A `WorkerError` may be the request's own fault: see `failed`.
RETRYABLE = (WorkerCommunicationFailed, WorkerError, ParseError, PluginError)


class Dispatcher:
    """Finds workers for requests that run.

    Args:
        registry: Told which workers fail.
        placement: Decides and reserves.
        config: The settings.
        clock: Source of time.
        rng: Source of the chance in pauses.
    """

    __slots__ = ("_clock", "_placement", "_registry", "_retry", "_rng")

    def __init__(
        self,
        registry: WorkerRegistry,
        placement: Placement,
        config: SchedulerConfig,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._registry = registry
        self._placement = placement
        self._retry = config.retry
        self._clock = clock
        self._rng = rng

    def find(self, life: RequestLife, *, prefer: str = "") -> Reservation | Decision:
        """Return a worker's slot, or why the request must wait.

        Args:
            life: The request.
            prefer: Worker to try first.

        Raises:
            SchedulerError: It can't be served, now or by waiting.
        """
        return self._placement.place_on(life, prefer) if prefer else self._placement.place(life)

    async def again(self, life: RequestLife, failure: SchedulerError) -> Reservation | Decision:
        """Return a worker's slot, or why to wait, for a request that has failed.

        Another worker is tried at once; coming back to one that failed takes a pause, and
        when nobody else is up, the pause lasts until one of them may be back.

        Args:
            life: The request.
            failure: How the try before this one failed.

        Raises:
            SchedulerError: It can't be served, now or by waiting.
        """
        retry = self._retry
        attempt = life.attempts + 1
        while True:
            recovery = 0.0
            try:
                placed = self._placement.place(life)
                if isinstance(placed, Reservation) or not life.tried:
                    return placed
            except NoWorkersAvailable:
                moment = self._registry.next_recovery()
                if moment is None or attempt > retry.max_attempts:
                    raise failure from None
                recovery = moment - self._clock.monotonic()
            pause = max(retry.delay(attempt, self._rng.random()), recovery)
            await life.patience.doze(pause, anyio.Event())
            life.tried = frozenset()
            attempt += 1

    async def failed(
        self, life: RequestLife, failure: SchedulerError, *, can_go_on: bool = True
    ) -> None:
        """Clean up after a failed try; return when another one is worth it, else raise.

        Args:
            life: The request.
            failure: How the try failed.
            can_go_on: Whether another worker could serve what is still missing.
        """
        at_fault = not isinstance(failure, WorkerError) or failure.at_fault
        if at_fault and not isinstance(failure, PluginError):
            # Before its slot is free again: nobody who waits should get it now.
            unreachable = isinstance(failure, WorkerCommunicationFailed) and not isinstance(
                failure, (StreamConnectionFailed, StreamReadError, WorkerTimeout)
            )
            self._registry.report_failure(life.worker_id, unreachable=unreachable)
        await life.leave(failure)
        if not at_fault or not can_go_on or life.attempts >= self._retry.max_attempts:
            raise failure
        life.retried(failure)

    def succeeded(self, life: RequestLife) -> None:
        """Note that the request's worker has served it."""
        self._registry.report_success(life.worker_id)
