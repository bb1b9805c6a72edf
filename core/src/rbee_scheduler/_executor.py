"""The executor: tries workers until one has served the request, and tells it as events.

A worker that fails before its first token is left for the next candidate. After the
first token the stream ends with one error, unless the request opted in to going on
elsewhere (`InferenceRequest.resume`): then the next worker gets the prompt and the text
so far, and generates the rest.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from rbee_scheduler._clock import Clock
from rbee_scheduler._decision import Decision
from rbee_scheduler._dispatch import RETRYABLE, Dispatcher
from rbee_scheduler._errors import Cancelled, SchedulerError
from rbee_scheduler._events import End, Error, Metrics, Queued, Started, StreamEvent, Token
from rbee_scheduler._life import RequestLife
from rbee_scheduler._outcome import Usage
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._stream import WorkerStream
from rbee_scheduler._transport import Transport
from rbee_scheduler._waiting import WaitingRoom


__all__ = ["Executor"]


class _Text:
    """What was generated so far, in case another worker must go on from it."""

    __slots__ = ("_before", "_kept", "last_line", "pieces")

    def __init__(self, request: InferenceRequest) -> None:
        # Kept only where it may be needed: a long answer is memory.
        self._kept: list[str] | None = [] if request.resume and not request.messages else None
        self._before = 0  # pieces that came from workers before the present one
        self.pieces = 0
        self.last_line = ""

    def add(self, text: str) -> None:
        """Take a piece of text."""
        self.pieces += 1
        if self._kept is not None:
            self._kept.append(text)

    def can_go_on(self, request: InferenceRequest) -> bool:
        """Return whether another worker may generate the rest."""
        return self._kept is not None and self.pieces < request.max_tokens

    def rest(self, request: InferenceRequest) -> InferenceRequest:
        """Return the request for what is still missing.

        A piece is at least one token, so this may ask for more tokens than are missing,
        never for fewer; servers that send one token per piece get it exact.
        """
        self._before = self.pieces
        if not self.pieces or self._kept is None:
            return request
        return request.changed(
            prompt=request.prompt + "".join(self._kept),
            max_tokens=request.max_tokens - self.pieces,
        )

    def total(self, usage: Usage) -> Usage:
        """Return ``usage`` of the present worker as that of the whole request.

        What earlier workers generated came back as prompt, counted here in pieces.
        """
        if not self._before:
            return usage
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        return Usage(
            prompt_tokens=None if prompt is None else max(0, prompt - self._before),
            completion_tokens=None if completion is None else completion + self._before,
        )


class Executor:
    """Runs requests.

    Args:
        registry: The workers.
        dispatcher: Finds workers.
        waiting: Where requests wait that find none.
        transport: HTTP.
        config: The settings.
        clock: Source of time.
    """

    __slots__ = ("_clock", "_config", "_dispatcher", "_registry", "_transport", "_waiting")

    def __init__(
        self,
        registry: WorkerRegistry,
        dispatcher: Dispatcher,
        waiting: WaitingRoom,
        *,
        transport: Transport,
        config: SchedulerConfig,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._transport = transport
        self._config = config
        self._clock = clock

    async def run(
        self, life: RequestLife, *, prefer: str = "", every_line: bool = False
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the request's events; the last one is an `End` or an `Error`.

        Args:
            life: The request, not yet admitted.
            prefer: Worker to try first.
            every_line: Whether to yield a worker's lines that hold no text, too.
        """
        text = _Text(life.request)
        try:
            try:
                await life.admit(self._registry.snapshot)
                failure: SchedulerError | None = None
                while True:
                    if failure is None:
                        placed = self._dispatcher.find(life, prefer=prefer)
                    else:
                        placed = await self._dispatcher.again(life, failure)
                    if isinstance(placed, Decision):
                        job, position = self._waiting.enqueue(life, placed)
                        try:
                            yield Queued(life.request.job_id, position)
                            placed = await self._waiting.wait(job)
                        finally:
                            self._waiting.withdraw(job)
                    attempt = self._attempt(life, placed, text, every_line=every_line)
                    try:
                        async with aclosing(attempt):
                            async for event in attempt:
                                yield event
                        break
                    except RETRYABLE as error:
                        failure = error
                    can_go_on = not text.pieces or text.can_go_on(life.request)
                    await self._dispatcher.failed(life, failure, can_go_on=can_go_on)
            except SchedulerError as error:
                outcome = await life.finish(error)
                yield Error(error, outcome)
                return
            self._dispatcher.succeeded(life)
            yield End(await life.finish(), text.last_line)
        except Exception as bug:  # not the caller's doing: told as what it is, and not hidden
            await life.finish(SchedulerError(f"{type(bug).__name__}: {bug}"))
            raise
        finally:
            if life.outcome is None:
                await life.finish(Cancelled("the caller left"))

    async def _attempt(
        self, life: RequestLife, reservation: Reservation, text: _Text, *, every_line: bool
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one try with one worker."""
        await life.take(reservation)
        request = text.rest(life.request)
        name = self._registry.catalog.known_as(request.model, reservation.worker.models)
        stream = WorkerStream(
            reservation.worker,
            request if name == request.model else request.changed(model=name),
            transport=self._transport,
            clock=self._clock,
            config=self._config,
            patience=life.patience,
        )
        try:
            yield Started(life.request.job_id, life.worker_id, life.attempts)
            await stream.open()
            while (piece := await stream.next()) is not None:
                if piece.finish_reason:
                    life.finish_reason = piece.finish_reason
                if piece.usage is not None:
                    life.usage = text.total(piece.usage)
                if piece.text:
                    life.streamed(1)
                    text.add(piece.text)
                    yield Token(piece.text, piece.data)
                elif piece.done:
                    text.last_line = piece.data
                elif piece.usage is not None or piece.values is not None:
                    yield Metrics(piece.usage or Usage(), piece.values or {}, piece.data)
                elif every_line:
                    yield Token("", piece.data)
        except SchedulerError as error:
            error.worker_id = error.worker_id or life.worker_id
            raise
        finally:
            await stream.aclose()
