"""The life of a request: admitted, placed, run, ended; each step undone or closed once.

Theory of operation. A `RequestLife` owns what a request holds: charges of quota checks,
the reservation of a worker's slot, and the plugins whose `rbee_reserve` returned. `take`
and `leave` bracket each try with a worker; `finish` ends it all, and only its first call
counts. Both are shielded from cancellation. asyncio's own ``Task.cancel`` breaks through
shields; then the hook that waits is left, and everything after it is still done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import anyio

from rbee_scheduler._answers import Allow, Charge, Deny
from rbee_scheduler._clock import Clock
from rbee_scheduler._commands import PoolCommand
from rbee_scheduler._decision import Decision
from rbee_scheduler._errors import (
    Cancelled,
    CapacityExceeded,
    DeadlineExceeded,
    InvalidRequest,
    NoWorkersAvailable,
    PluginError,
    QuotaExceeded,
    Rejected,
    SchedulerError,
    WorkerTimeout,
)
from rbee_scheduler._events import RequestEvent
from rbee_scheduler._observe import Observer
from rbee_scheduler._outbox import Outbox
from rbee_scheduler._outcome import Outcome, OutcomeKind, Usage
from rbee_scheduler._patience import Patience
from rbee_scheduler._plugins import Call, Chain
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._worker import Worker


__all__ = ["RequestLife", "outcome_kind"]

_KINDS: tuple[tuple[type[SchedulerError], OutcomeKind], ...] = (
    (Cancelled, "cancelled"),
    (DeadlineExceeded, "timeout"),
    (WorkerTimeout, "timeout"),
    (CapacityExceeded, "rejected"),
    (InvalidRequest, "rejected"),
    (NoWorkersAvailable, "rejected"),
    (QuotaExceeded, "rejected"),
    (Rejected, "rejected"),
)


def outcome_kind(error: SchedulerError) -> OutcomeKind:
    """Return the kind of outcome that ``error`` makes."""
    return next((kind for error_class, kind in _KINDS if isinstance(error, error_class)), "error")


class RequestLife:
    """One request on its way; made by the scheduler, ended exactly once.

    Args:
        request: The request, its model canonical.
        chain: The hooks of its strategy.
        patience: How long it may take.
        began_at: Monotonic second at which it came.
        clock: Source of time.
        observer: Who is told.
        hook_timeout: Seconds a life-cycle hook may take.
        quiet: Whether nobody is told: for dry runs.
    """

    # Class attributes: how every request begins. Most of them never change in most requests,
    # and what is not set in each instance costs nothing (all 20 of them: 2 us).
    attempts = 0
    decision = Decision("wait", "", reason="not decided yet")
    finish_reason = ""
    first_token_at: float | None = None
    outbox: Outbox | None = None
    outcome: Outcome | None = None
    queued_seconds = 0.0
    tried: frozenset[str] = frozenset()
    usage = Usage()
    worker_id = ""
    _charges: tuple[tuple[Call, Charge], ...] = ()
    _meters: tuple[tuple[Call, Callable[[int], None]], ...] = ()
    _ran = False  # a worker was about to get it
    _ready: frozenset[tuple[str, str]] = frozenset()  # whose rbee_reserve returned
    _reservation: Reservation | None = None

    def __init__(
        self,
        request: InferenceRequest,
        chain: Chain,
        *,
        patience: Patience,
        began_at: float,
        clock: Clock,
        observer: Observer,
        hook_timeout: float,
        quiet: bool = False,
    ) -> None:
        self.request = request
        self.chain = chain
        self.patience = patience
        self._clock = clock
        self._observer = observer
        # Looked at before each `tell`, whose arguments cost more than a look.
        self._audience = observer.listeners.subscribed
        self._hook_timeout = hook_timeout
        self._quiet = quiet
        self._admitted_at = began_at

    # ---- admission ---------------------------------------------------------------------

    async def admit(self, snapshot: Callable[[], Snapshot]) -> None:
        """Ask the quota checks; book all charges, or none.

        Args:
            snapshot: Takes the snapshot they see; not called when there are none.

        Raises:
            DeadlineExceeded: It is too late already.
            QuotaExceeded: One of them denied, or failed.
            SchedulerError: One of them denied with an error of its own.
        """
        late = self._admitted_at - self.patience.ends_at
        if late >= 0:
            raise DeadlineExceeded(
                f"the deadline passed {late * 1000:.0f} ms ago",
                place="$.deadline_ms" if self.request.deadline is None else "$.deadline",
            )
        checks = self.chain.check_quota
        if checks:
            seen = snapshot()
            for call in checks:
                denied = await self._check(call, seen)
                if denied is not None:
                    self._refund()
                    raise denied
        if self._audience or self.chain.on_event:
            self.tell("admitted")

    async def _check(self, call: Call, seen: Snapshot) -> SchedulerError | None:
        """Ask one check and book its charge; return why it denies."""
        try:
            answer = call.function(self.request, seen)
            if call.is_async:
                answer = await self.patience.wait(self._hook_timeout, self._too_slow, answer)
            if isinstance(answer, Deny):
                return answer.as_error()
            if isinstance(answer, Allow):
                if answer.charge is not None:
                    self._book(call, answer.charge)
            elif answer is not None:
                raise TypeError(f"answered {type(answer).__name__}, not Allow or Deny")  # noqa: TRY301
        except (Cancelled, DeadlineExceeded, QuotaExceeded) as refusal:
            return refusal
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            self._observer.plugin_failed(call.failure(problem))
            failed = QuotaExceeded(
                f"the quota check of {call.plugin!r} failed",
                hint="checks fail closed; the log names the cause",
            )
            failed.__cause__ = problem
            return failed
        return None

    def _book(self, call: Call, charge: Charge) -> None:
        self._charges = (*self._charges, (call, charge))
        meter = getattr(charge, "streamed", None)
        if meter is not None:
            self._meters = (*self._meters, (call, meter))

    # ---- one try -----------------------------------------------------------------------

    async def take(self, reservation: Reservation) -> None:
        """Hold a worker's slot, and let plugins prepare.

        Raises:
            PluginError: An `rbee_reserve` failed; what came before it is undone.
            SchedulerError: One of them denied; `finish` undoes it all.
            Cancelled: The request was cancelled meanwhile; `finish` undoes it all.
            DeadlineExceeded: Its time ran out meanwhile; the same.
        """
        worker = reservation.worker
        self._reservation = reservation
        self.worker_id = worker.id
        self.attempts += 1
        if self._audience or self.chain.on_event:
            self.tell("scheduled", strategy=self.decision.strategy)
        if self.outbox:
            await self.outbox.send()
        for call in self.chain.reserve:
            try:
                answer = call.function(self.request, worker)
                if call.is_async:
                    answer = await self.patience.wait(self._hook_timeout, self._too_slow, answer)
            except (Cancelled, DeadlineExceeded):
                raise
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                error = call.failure(problem)
                self._observer.plugin_failed(error)
                await self.leave(error)
                raise error from error.__cause__
            if isinstance(answer, Deny):
                raise answer.as_error()
            self._ready |= {(call.plugin, call.strategy)}
        self._ran = True

    async def leave(self, error: SchedulerError | None) -> None:
        """Give the worker's slot back, and let plugins clean up, in reverse order."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            # The slot first: what a plugin does may take time, and must not hold it.
            reservation.release()
            if self.chain.release:
                await self._let_clean_up(reservation.worker, error)

    async def _let_clean_up(self, worker: Worker, error: SchedulerError | None) -> None:
        ready, self._ready = self._ready, frozenset()
        outcome = self._outcome(error)
        reserves = {(call.plugin, call.strategy) for call in self.chain.reserve}
        async with AsyncExitStack() as stack:  # makes all calls, whatever becomes of one
            stack.enter_context(anyio.CancelScope(shield=True))
            for call in reversed(self.chain.release):
                who = (call.plugin, call.strategy)
                if who in ready or who not in reserves:
                    stack.push_async_callback(self._release, call, worker, outcome)

    async def _release(self, call: Call, worker: Worker, outcome: Outcome) -> None:
        try:
            answer = call.function(self.request, worker, outcome)
            if call.is_async:
                with self._clock.move_on_after(self._hook_timeout) as scope:
                    await answer
                if scope.cancelled_caught:
                    raise self._too_slow()  # noqa: TRY301 - told like any other failure
        except Exception as problem:  # noqa: BLE001 - the other plugins are still called
            self._observer.plugin_failed(call.failure(problem))

    def _too_slow(self) -> PluginError:
        return PluginError(
            f"took longer than {self._hook_timeout:g} s", hint="see limits.hook_timeout"
        )

    # ---- the end -----------------------------------------------------------------------

    async def finish(self, error: SchedulerError | None = None) -> Outcome:
        """End the request: release, settle or refund, tell. Later calls change nothing.

        Args:
            error: How it failed; None: it succeeded.
        """
        if self.outcome is not None:
            return self.outcome
        outcome = self.outcome = self._outcome(error)
        try:
            await self.leave(error)
            if self.outbox:  # of a decision that was followed by no try
                await self.outbox.send()
        finally:
            if self._charges:
                if self._ran:
                    self._settle(outcome)
                else:
                    self._refund()
            if not self._quiet:
                self._observer.count("outcome", outcome)
                if self._audience or self.chain.on_event:
                    self.tell("outcome", error=error, outcome=outcome)
        return outcome

    def tell(self, kind: Any, **details: Any) -> None:
        """Tell plugins and listeners of a step, unless the life is a quiet one."""
        if not self._quiet and (self._audience or self.chain.on_event):
            event = RequestEvent(
                kind=kind,
                job_id=self.request.job_id,
                model=self.request.model,
                at=self._clock.now(),
                worker_id=self.worker_id,
                tenant_id=self.request.tenant_id,
                **details,
            )
            self._observer.request_event(event, self.chain)

    def retried(self, failure: SchedulerError) -> None:
        """Note that another worker is tried, and not the one that failed."""
        self.tried |= {self.worker_id}
        if not self._quiet:
            self._observer.count("retry", None)
        self.tell("retry", error=failure)

    def post(self, commands: Iterable[PoolCommand], snapshot: Snapshot) -> None:
        """Keep the commands of a decision until they can be sent."""
        if self.outbox is None:
            self.outbox = Outbox(self.chain, self._clock, self._observer, self._hook_timeout)
        self.outbox.put(commands, snapshot)

    def streamed(self, tokens: int) -> None:
        """Note that text came: ``tokens`` tokens, as far as one can tell without a tokenizer."""
        if self.first_token_at is None:
            self.first_token_at = self._clock.monotonic()
            if self._audience or self.chain.on_event:
                self.tell("first_token")
        for call, meter in self._meters:
            try:
                meter(tokens)
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                self._observer.plugin_failed(call.failure(problem))

    def _outcome(self, error: SchedulerError | None) -> Outcome:
        first = self.first_token_at
        return Outcome(
            job_id=self.request.job_id,
            kind="success" if error is None else outcome_kind(error),
            worker_id=self.worker_id,
            error=error,
            usage=self.usage,
            attempts=self.attempts,
            queued_ms=self.queued_seconds * 1000.0,
            first_token_ms=None if first is None else (first - self._admitted_at) * 1000.0,
            total_ms=(self._clock.monotonic() - self._admitted_at) * 1000.0,
            finish_reason=self.finish_reason,
        )

    def _settle(self, outcome: Outcome) -> None:
        charges, self._charges = self._charges, ()
        for call, charge in charges:
            try:
                charge.settle(outcome)
            except Exception as problem:  # noqa: BLE001 - the other charges are still settled
                self._observer.plugin_failed(call.failure(problem))

    def _refund(self) -> None:
        charges, self._charges = self._charges, ()
        for call, charge in reversed(charges):
            try:
                charge.refund()
            except Exception as problem:  # noqa: BLE001 - the other charges are still refunded
                self._observer.plugin_failed(call.failure(problem))
