"""`Scheduler`: decide where requests run, and run them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any, Self

import anyio

from rbee_scheduler._active import ActiveRequests
from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import ScheduleResult
from rbee_scheduler._dispatch import Dispatcher
from rbee_scheduler._errors import (
    Cancelled,
)
from rbee_scheduler._event_stream import EventStream
from rbee_scheduler._events import Error, RequestEvent, WorkerEvent
from rbee_scheduler._executor import Executor
from rbee_scheduler._explain import Explanation, explain_decision
from rbee_scheduler._hold import Desk, Hold
from rbee_scheduler._lifespans import enter_lifespans
from rbee_scheduler._observe import Observer, SchedulerStatistics
from rbee_scheduler._outcome import Outcome
from rbee_scheduler._placement import Placement
from rbee_scheduler._plugins import Plugins, PluginSource
from rbee_scheduler._reception import Reception
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._timekeeper import Timekeeper
from rbee_scheduler._trace import Trace
from rbee_scheduler._transport import HttpxTransport, Transport
from rbee_scheduler._waiting import WaitingRoom


__all__ = ["Scheduler"]


class Scheduler:
    """Decides which worker serves a request, and relays its token stream.

    It belongs to one event loop (asyncio or trio). ``async with`` starts what its plugins run
    beside it (`rbee_lifespan`), and closes its connections at the end; without it nothing but
    idle connections is left behind.

    Args:
        registry: The workers. Its clock is the scheduler's, too.
        plugins: What decides: names of installed plugins, `PluginConfig`, plugin
            objects, or a `Plugins`. None: every installed plugin.
        config: The settings.
        client: An ``httpx.AsyncClient`` (or httpx2's) for all workers; the caller closes
            it. None: the scheduler makes its own.
        transport: Used instead of any client.
        rng: Source of the chance in pauses; decisions take theirs from `config.seed`.
        logger: Where warnings go; ``rbee_scheduler`` by default.

    Raises:
        ConfigError: A plugin or a strategy that is asked for is not there.

    Example:
        >>> registry = WorkerRegistry()
        >>> _ = registry.add_url("http://127.0.0.1:8081", model="llama-3-8b")
        >>> scheduler = Scheduler(registry, [])
        >>> request = InferenceRequest(job_id="job-1", model="llama-3-8b", prompt="Hi")
        >>> scheduler.explain(request).worker_id
        '127.0.0.1:8081'
    """

    def __init__(
        self,
        registry: WorkerRegistry,
        plugins: Plugins | Iterable[PluginSource] | None = None,
        config: SchedulerConfig | None = None,
        *,
        client: Any = None,
        transport: Transport | None = None,
        rng: Random | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.registry = registry
        self.config = config or SchedulerConfig()
        self.plugins = plugins if isinstance(plugins, Plugins) else Plugins(plugins)
        fallback = self.plugins.chain(self.config.fallback) if self.config.fallback else None
        self._clock: Clock = registry.clock
        self._observer = Observer(logger or logging.getLogger("rbee_scheduler"))
        self._reception = Reception(registry, self.plugins, self.config, self._observer)
        self._placement = Placement(registry, self.config, fallback, self._observer)
        self._waiting = WaitingRoom(
            self._placement,
            registry,
            timeout=self.config.queue.timeout,
            clock=self._clock,
            observer=self._observer,
        )
        self._transport: Transport = transport or HttpxTransport(client)
        self._dispatcher = Dispatcher(
            registry, self._placement, self.config, self._clock, rng or Random(self.config.seed)
        )
        self._executor = Executor(
            registry,
            self._dispatcher,
            self._waiting,
            transport=self._transport,
            config=self.config,
            clock=self._clock,
        )
        self._active = ActiveRequests()
        self._timekeeper = Timekeeper(self._clock)
        self._desk = Desk(
            dispatcher=self._dispatcher,
            waiting=self._waiting,
            registry=registry,
            active=self._active,
            clock=self._clock,
            timekeeper=self._timekeeper,
            timeout=self.config.timeout,
        )
        self._beside: AsyncExitStack | None = None
        self._subscriptions = [
            registry.subscribe(self._waiting.worker_changed),
            registry.subscribe(self._worker_event),
        ]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            await tasks.start(self._timekeeper.run)
            lifespans = self.plugins.lifespans
            entered = await enter_lifespans(lifespans, self.registry, self._observer)
            stack.push_async_exit(entered.__aexit__)
            self._beside = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        beside, self._beside = self._beside, None
        try:
            await self.aclose()
        finally:
            # Without the block's exception, which the task group would wrap in a group; a
            # cancellation it must be told of.
            if beside is not None:
                cancelled = error is not None and not isinstance(error, Exception)
                told = (kind, error, traceback) if cancelled else (None, None, None)
                await beside.__aexit__(*told)

    async def aclose(self) -> None:
        """Cancel all requests, close all connections, stop listening to the registry."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for unsubscribe in subscriptions:
            unsubscribe()
        self.cancel_all()
        with anyio.CancelScope(shield=True):
            await self._transport.aclose()

    @property
    def transport(self) -> Transport:
        """The HTTP client that it calls workers with."""
        return self._transport

    @property
    def strategy(self) -> str:
        """The strategy that decides for requests that name none."""
        return self._reception.chain.strategy

    # ---- deciding ----------------------------------------------------------------------

    async def schedule(self, request: InferenceRequest) -> ScheduleResult:
        """Return where ``request`` should run now; wait when no worker is free.

        Nothing is held: charges of quota checks are refunded, and the slot is taken when
        the request runs.

        Raises:
            NoWorkersAvailable: No worker can serve it.
            CapacityExceeded: All workers are full, and the queue is too.
            QuotaExceeded: A quota check denied it.
            Rejected: A policy refused it.
            DeadlineExceeded: It is too late.
            InvalidRequest: It can't be served by anyone.
        """
        life = self._reception.receive(request, quiet=True)
        try:
            await life.admit(self.registry.snapshot)
            decision = self._placement.decide(life)
            if decision.error is not None:
                raise decision.error
            worker = decision.worker
            if worker is None:
                job, _ = self._waiting.enqueue(life, decision)
                try:
                    reservation = await self._waiting.wait(job)
                    reservation.release()
                    worker = reservation.worker
                finally:
                    self._waiting.withdraw(job)
            return ScheduleResult(
                worker_id=worker.id,
                worker_url=worker.url,
                worker_port=worker.port,
                model=life.request.model,
                device=worker.device,
                fallbacks=life.decision.fallbacks,
                strategy=life.decision.strategy,
                selected_by=life.decision.selected_by,
            )
        finally:
            await life.finish(Cancelled("it was only a question"))

    def explain(
        self, request: InferenceRequest, *, filter_workers: Callable[..., Any] | None = None
    ) -> Explanation:
        """Return what would become of ``request`` now, and why. Changes nothing.

        Runs the shipped decision on a snapshot; quota checks are not asked.

        Args:
            request: The request.
            filter_workers: As for `hold`.

        Raises:
            InvalidRequest: It can't be served by anyone.
        """
        life = self._reception.receive(request, quiet=True)
        if filter_workers is not None:
            life.chain = life.chain.with_filter(filter_workers)
        snapshot = self._placement.snapshot(peek=True)
        trace = Trace()
        decision = self._placement.decide(life, snapshot, trace)
        return explain_decision(life.request, snapshot, decision, trace)

    # ---- running -----------------------------------------------------------------------

    async def execute_inference(
        self,
        result: ScheduleResult,
        request: InferenceRequest,
        handler: Callable[[str], Awaitable[None] | None],
    ) -> Outcome:
        """Run ``request`` on the worker of ``result``, or on the next one that can.

        Args:
            result: From `schedule`.
            request: The same request.
            handler: Called with each line of the worker's stream, stripped of ``data: ``,
                the last one (``[DONE]``) included. It may be async. When it raises, the
                request is cancelled and the exception comes through.

        Returns:
            How it ended: a success.

        Raises:
            SchedulerError: How it failed.
        """
        life = self._reception.receive(request)
        events = self._executor.run(life, prefer=result.worker_id, every_line=True)
        with self._active.running(life):
            async with aclosing(events):
                async for event in events:
                    data = getattr(event, "data", "")
                    if data:
                        answer = handler(data)
                        if inspect.isawaitable(answer):
                            await answer
                    if isinstance(event, Error):
                        raise event.error
        assert life.outcome is not None  # noqa: S101 - the last event was an End
        return life.outcome

    @asynccontextmanager
    async def stream(self, request: InferenceRequest) -> AsyncIterator[EventStream]:
        """Run ``request``; give its events.

        Leaving the block ends the request: the worker's connection is closed and its
        slot released, however the block is left.

        Yields:
            The events: queued, started, token, metrics, and last an `End` or an `Error`.
            A request that fails ends with an `Error`; nothing is raised.

        Raises:
            InvalidRequest: It can't be served by anyone, or its id is in use.
            Rejected: It names a strategy, and this deployment does not allow that.

        Example::

            async with scheduler.stream(request) as events:
                async for event in events:
                    if event.type == "token":
                        print(event.text, end="")
        """
        life = self._reception.receive(request)
        events = self._executor.run(life)
        with self._active.running(life):
            async with aclosing(events):
                yield EventStream(events)

    def hold(
        self,
        request: InferenceRequest,
        *,
        on_queued: Callable[[int], None] | None = None,
        filter_workers: Callable[..., Any] | None = None,
    ) -> Hold:
        """Return a block that holds a worker's slot, for who speaks to the worker himself.

        A relay sends the worker's own bytes on instead of events. Admission, waiting, the next
        worker when one fails, and the outcome, exactly once, are the same as for `stream`.

        Args:
            request: The request.
            on_queued: Told its place in the queue when it must wait.
            filter_workers: A filter for this request alone, beside those of plugins; takes and
                answers what `rbee_filter_workers` does, all three arguments.

        Raises:
            InvalidRequest: It can't be served by anyone; from entering: its id is in use.
            Rejected: It names a strategy, and this deployment does not allow that.

        Example::

            async with scheduler.hold(request) as held:
                while True:
                    try:
                        with held.attempt() as attempt:
                            ...  # send it to held.worker; attempt.expect(...) at each piece
                        break
                    except WorkerCommunicationFailed as failure:
                        await held.failed(failure)
                held.succeeded()
        """
        life = self._reception.receive(request)
        if filter_workers is not None:
            life.chain = life.chain.with_filter(filter_workers)
        return Hold(life, self._desk, on_queued)

    def subscribe(self, listener: Callable[[RequestEvent], None]) -> Callable[[], None]:
        """Call ``listener`` at each step of each request's life, as `rbee_on_event` is called.

        One that raises is logged, counted and called again at the next step.

        Returns:
            A function that ends the subscription.
        """
        return self._observer.listen(listener)

    def cancel(self, job_id: str) -> bool:
        """Cancel a request by its id, wherever it is; its stream ends with `Cancelled`.

        Returns:
            Whether there was such a request.
        """
        return self._active.cancel(job_id)

    def cancel_all(self) -> None:
        """Cancel every request; each of their streams ends with `Cancelled`."""
        self._active.cancel_all()

    def waiting(self) -> list[InferenceRequest]:
        """Return the requests that wait, model by model, in the order in which they came."""
        return list(self._placement.surroundings.jobs())

    def statistics(self) -> SchedulerStatistics:
        """Return what the scheduler has done so far."""
        return SchedulerStatistics(
            decisions=self._placement.turns,
            active=self._active.count(),
            queued=len(self._placement.queue),
            outcomes=dict(self._observer.outcomes),
            retries=self._observer.retries,
            plugin_failures=dict(self._observer.plugin_failures),
        )

    # ---- inside ------------------------------------------------------------------------

    def _worker_event(self, event: WorkerEvent) -> None:
        chain = self._reception.chain
        if chain.worker_event:
            self._observer.worker_event(event, self.registry.snapshot(), chain)
