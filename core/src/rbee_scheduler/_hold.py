"""The hold: a request and the worker's slot it has, for who speaks to the worker himself.

`Executor` turns a worker's answer into events. A relay sends the worker's own bytes on
instead; it needs all of a request's life but the stream: admission, a worker, the next one
when that fails, and an outcome, exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import attrs

from rbee_scheduler._active import ActiveRequests
from rbee_scheduler._attempt import Attempt
from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._dispatch import RETRYABLE, Dispatcher
from rbee_scheduler._errors import Cancelled, PluginError, SchedulerError, WorkerTimeout
from rbee_scheduler._life import RequestLife
from rbee_scheduler._outcome import Outcome, Usage
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import TimeoutConfig
from rbee_scheduler._timekeeper import Timekeeper
from rbee_scheduler._waiting import WaitingRoom
from rbee_scheduler._worker import Worker


__all__ = ["Desk", "Hold"]


@attrs.frozen(kw_only=True, eq=False)
class Desk:
    """What all holds of a scheduler use.

    Attributes:
        dispatcher: Finds workers.
        waiting: Where requests wait when none is free.
        registry: Its catalog knows the worker's name for a model.
        active: Lets `Scheduler.cancel` find requests.
        clock: Source of time.
        timekeeper: Ends attempts in time, where it runs.
        timeout: Time limits.
    """

    dispatcher: Dispatcher
    waiting: WaitingRoom
    registry: WorkerRegistry
    active: ActiveRequests
    clock: Clock
    timekeeper: Timekeeper
    timeout: TimeoutConfig


class Hold:
    """A request that holds a worker's slot while the ``async with`` block runs.

    Made by `Scheduler.hold`. The block ends in a success only after `succeeded`; an exception
    that leaves it is the request's outcome.

    Args:
        life: The request, not yet admitted.
        desk: What all holds use.
        on_queued: Told the request's place in the queue when it must wait.

    Raises:
        SchedulerError: From entering: why no worker serves it.
    """

    __slots__ = ("_desk", "_entered", "_error", "_life", "_on_queued", "_succeeded", "worker")

    worker: Worker

    def __init__(
        self, life: RequestLife, desk: Desk, on_queued: Callable[[int], None] | None = None
    ) -> None:
        self._life = life
        self._desk = desk
        self._on_queued = on_queued
        self._entered = False
        self._succeeded = False
        self._error: SchedulerError | None = None

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a hold is entered once; make another one with Scheduler.hold")
        self._desk.active.enter(self._life)
        self._entered = True
        try:
            await self._life.admit(self._desk.registry.snapshot)
            await self._next(None)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        life, desk = self._life, self._desk
        succeeded = error is None and self._error is None and self._succeeded
        failure = None if succeeded else self._error or _as_outcome(error)
        try:
            if succeeded:
                desk.registry.report_success(life.worker_id)
        finally:  # whoever listens to the registry may raise
            try:
                await life.finish(failure)
            finally:
                desk.active.leave(life)

    # ---- what is held --------------------------------------------------------------------

    @property
    def request(self) -> InferenceRequest:
        """The request; its model is canonical."""
        return self._life.request

    @property
    def model(self) -> str:
        """The worker's own name for the model."""
        return self._desk.registry.catalog.known_as(self._life.request.model, self.worker.models)

    @property
    def strategy(self) -> str:
        """The strategy that decided."""
        return self._life.decision.strategy or self._life.chain.strategy

    @property
    def attempts(self) -> int:
        """How many workers were tried, the present one included."""
        return self._life.attempts

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._life.outcome

    # ---- while it runs -------------------------------------------------------------------

    def attempt(self, seconds: float | None = None) -> Attempt:
        """Return a ``with`` block for one try: it ends when the request may not go on.

        Args:
            seconds: Until the first piece must be there; None: ``timeout.first_token``. Say
                `Attempt.expect` when something came.
        """
        desk = self._desk
        limit = desk.timeout.first_token if seconds is None else seconds
        return Attempt(self._life.patience, desk.clock, limit, self._silent, desk.timekeeper)

    def streamed(self, tokens: int) -> None:
        """Note that ``tokens`` tokens came, as far as they can be told from the stream."""
        self._life.streamed(tokens)

    def succeeded(self, usage: Usage | None = None, finish_reason: str = "") -> None:
        """Say that the worker has served the request.

        Args:
            usage: Tokens, as the worker counted them.
            finish_reason: Its reason for ending.
        """
        if usage is not None:
            self._life.usage = usage
        self._life.finish_reason = finish_reason
        self._succeeded = True

    def ended(self, error: SchedulerError, usage: Usage | None = None) -> None:
        """Say that the request ended with ``error``, which the caller has told its client."""
        if usage is not None:
            self._life.usage = usage
        self._error = error

    async def failed(self, failure: SchedulerError, *, can_go_on: bool = True) -> None:
        """Give up the present worker; hold the next one, in `worker`.

        Args:
            failure: How the try failed.
            can_go_on: Whether another worker could serve what is still missing: not when the
                client has seen a part of an answer that can't be continued.

        Raises:
            SchedulerError: ``failure``, when no other try is worth it; or why no other worker
                could be had.
        """
        if not isinstance(failure, RETRYABLE):  # the request's own end, not the worker's fault
            raise failure
        failure.worker_id = failure.worker_id or self._life.worker_id
        await self._desk.dispatcher.failed(self._life, failure, can_go_on=can_go_on)
        await self._next(failure)

    # ---- inside --------------------------------------------------------------------------

    async def _next(self, after: SchedulerError | None) -> None:
        """Hold a worker's slot, for which plugins have prepared."""
        life, dispatcher = self._life, self._desk.dispatcher
        while True:
            placed = dispatcher.find(life) if after is None else await dispatcher.again(life, after)
            if isinstance(placed, Decision):
                placed = await self._wait(placed)
            try:
                await life.take(placed)
            except PluginError as failure:
                await dispatcher.failed(life, failure)
                after = failure
            else:
                self.worker = placed.worker
                return

    async def _wait(self, decision: Decision) -> Reservation:
        waiting = self._desk.waiting
        job, position = waiting.enqueue(self._life, decision)
        try:
            if self._on_queued is not None:
                self._on_queued(position)
            return await waiting.wait(job)
        finally:
            waiting.withdraw(job)

    def _silent(self) -> SchedulerError:
        return WorkerTimeout(
            f"{self.worker.url} kept silent too long",
            hint="see timeout.first_token and timeout.idle",
        )


def _as_outcome(error: BaseException | None) -> SchedulerError:
    if isinstance(error, SchedulerError):
        return error
    if isinstance(error, Exception):
        return SchedulerError(f"{type(error).__name__}: {error}")
    return Cancelled("the caller left")
