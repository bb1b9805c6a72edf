"""One request on one worker: open its stream, read it within limits, close it.

Whatever a worker does costs one request and a clear error: every wait has a limit, every
buffer a size, and closing is shielded from cancellation.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import inf

import anyio
import attrs

from rbee_scheduler._clock import Clock
from rbee_scheduler._errors import (
    ParseError,
    SchedulerError,
    StreamConnectionFailed,
    StreamReadError,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerTimeout,
)
from rbee_scheduler._patience import Patience
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._sse import SseDecoder, SseEvent
from rbee_scheduler._transport import HttpCall, HttpResponse, Transport
from rbee_scheduler._worker import Worker
from rbee_scheduler.protocols import Piece, protocol_for


__all__ = ["WorkerStream"]

# Enough of an error page to see what it says.
ERROR_BODY = 16 * 1024

# After its reason for ending, a worker has only usage and [DONE] left to say; after an
# error status only details. Seconds.
EPILOGUE = 5.0


class WorkerStream:
    """A request on its way through one worker, whichever protocol that speaks.

    Args:
        worker: The worker.
        request: The request.
        transport: HTTP.
        clock: Source of time.
        config: Time limits and sizes.
        patience: What the request has left; None: the caller ends it, as `Hold.attempt` does,
            and only the worker's silence is limited here.

    Example::

        stream = WorkerStream(held.worker, held.request, transport=transport, ...)
        try:
            await stream.open()
            while (piece := await stream.next()) is not None:
                print(piece.text, end="")
        finally:
            await stream.aclose()
    """

    def __init__(
        self,
        worker: Worker,
        request: InferenceRequest,
        *,
        transport: Transport,
        clock: Clock,
        config: SchedulerConfig,
        patience: Patience | None = None,
    ) -> None:
        self._worker = worker
        self._request = request
        self._transport = transport
        self._clock = clock
        self._timeout = config.timeout
        self._limits = config.limits
        self._patience = patience or Patience(clock, inf)
        self._protocol = protocol_for(worker.protocol)
        self._response: HttpResponse | None = None
        self._decoder = SseDecoder(limit=config.limits.max_line_bytes, error=_too_long)
        self._ready: deque[Piece] = deque()
        self._error: SchedulerError | None = None  # raised once what is ready was taken
        self._quiet_until = 0.0  # monotonic second by which the next event must be there
        self._pause = 0.0  # longest silence from here on; 0: nothing came yet
        self._begun = False  # the worker said something
        self._ended = False  # the worker gave its reason for ending; [DONE] may follow
        self._complete = False  # nothing more is to come

    async def open(self) -> None:
        """Send the request; return when the stream is open.

        Raises:
            SchedulerError: No stream came.
        """
        self._expect(self._timeout.first_token)
        kind = await self._send(self._protocol.submit(self._worker, self._request))
        if kind == "application/json":
            body = await self._body(self._limits.max_answer_bytes)
            follow = self._protocol.follow(self._worker, body)
            if follow is None:
                self._ready.append(self._protocol.parse_answer(body))
                self._complete = True
                return
            await self._close_response()
            try:
                kind = await self._send(follow)
            except WorkerTimeout:
                raise
            except WorkerCommunicationFailed as failure:
                raise StreamConnectionFailed(failure.message) from failure
        if kind not in {"text/event-stream", ""}:
            raise ParseError(f"the worker answered {kind!r} instead of an event stream")

    async def next(self) -> Piece | None:
        """Return what the worker says next; None when it is done.

        Raises:
            SchedulerError: The stream broke; what came before was returned first.
        """
        self._patience.check()
        if self._pause and not self._ready:
            self._expect(self._pause)  # the time that the caller took is not the worker's silence
        while not self._ready:
            if self._error is not None:
                raise self._error
            if self._complete:
                return None
            await self._fill()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the connection, and tell the worker when it is not through."""
        with anyio.CancelScope(shield=True):
            await self._close_response()
            call = None if self._complete else self._protocol.cancel(self._worker)
            if call is not None:
                call = attrs.evolve(call, connect_timeout=self._timeout.cancel)
                with (
                    self._clock.move_on_after(self._timeout.cancel),
                    suppress(WorkerCommunicationFailed),
                ):
                    response = await self._transport.open(call)
                    await response.aclose()

    # ---- opening -----------------------------------------------------------------------

    async def _send(self, call: HttpCall) -> str:
        """Open the response to ``call``; return its content type."""
        call = attrs.evolve(call, connect_timeout=self._timeout.connect)
        left = self._quiet_until - self._clock.monotonic()
        response = await self._patience.wait(left, self._silent, self._transport.open(call))
        self._response = response
        if response.status >= 300:  # noqa: PLR2004 - HTTP: anything but 2xx
            self._expect(min(EPILOGUE, self._timeout.first_token))
            body = await self._body(ERROR_BODY, cut=True)
            raise WorkerError(_said(response.status, body), status=response.status, body=body)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ParseError("the worker compressed its answer although asked not to")
        return response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def _close_response(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            with suppress(WorkerCommunicationFailed):
                await response.aclose()

    # ---- reading -----------------------------------------------------------------------

    async def _fill(self) -> None:
        """Read once, and make ready what that says."""
        try:
            chunk = await self._read()
            events = self._decoder.close() if chunk is None else self._decoder.feed(chunk)
            for event in events:
                if event.data:
                    self._take(event)
                    if self._complete:
                        return
        except (WorkerCommunicationFailed, ParseError, WorkerError) as failure:
            if self._ended:  # all of the answer is here; only its epilogue is missing
                self._complete = True
            else:
                self._error = failure
            return
        if chunk is not None:
            return
        # No [DONE]: fine when the worker gave a reason for ending, or when the end of the
        # body can be told from a cut. (Real servers always give a reason; a proxy whose
        # server died may well end the body properly, before its first event.)
        cut = self._response is None or self._response.close_delimited or not self._begun
        if cut and not self._ended:
            self._error = StreamReadError("the connection closed before the stream's end")
        else:
            self._complete = True

    def _take(self, event: SseEvent) -> None:
        """Make ready what one event says."""
        if event.event == "error":
            raise WorkerError(event.data[:500], status=200)
        try:
            piece = self._protocol.parse(event.data)
        except ParseError as failure:
            if event.complete:
                raise
            raise StreamReadError(f"the stream was cut off: {failure.message}") from failure
        if not (event.complete or piece.done or piece.finish_reason):
            raise StreamReadError("the stream was cut off in the middle of an event")
        self._begun = True
        self._ready.append(piece)
        if piece.done:
            self._complete = True
            return
        self._ended = self._ended or bool(piece.finish_reason)
        idle = self._timeout.idle
        self._pause = min(idle, EPILOGUE) if self._ended else idle
        self._expect(self._pause)

    async def _read(self) -> bytes | None:
        """Return the next bytes; None at the end of the body."""
        assert self._response is not None  # noqa: S101 - open() came first
        left = self._quiet_until - self._clock.monotonic()
        try:
            return await self._patience.wait(left, self._silent, self._response.read())
        except WorkerTimeout:
            raise
        except WorkerCommunicationFailed as failure:
            raise StreamReadError(failure.message) from failure

    async def _body(self, limit: int, *, cut: bool = False) -> bytes:
        """Return a whole body of at most ``limit`` bytes; the rest is cut, or an error."""
        body = bytearray()
        try:
            while (chunk := await self._read()) is not None:
                body += chunk
                if len(body) > limit:
                    if cut:
                        break
                    raise ParseError(f"the worker's answer is longer than {limit} bytes")
        except WorkerCommunicationFailed:
            if not cut:
                raise
        return bytes(body[:limit])

    def _expect(self, seconds: float) -> None:
        self._quiet_until = self._clock.monotonic() + seconds

    def _silent(self) -> SchedulerError:
        return WorkerTimeout(
            f"{self._worker.url} kept silent too long",
            hint="see timeout.first_token and timeout.idle",
        )


def _too_long(message: str) -> StreamReadError:
    return StreamReadError(message, hint="see limits.max_line_bytes")


def _said(status: int, body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())[:300]
    return f"the worker answered {status}: {text}" if text else f"the worker answered {status}"
