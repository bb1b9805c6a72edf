"""The way to a queen worker: its own protocol there, the OpenAI API's words back.

A job is handed in, its events are followed, and it is cancelled when nobody wants it any more;
core's `WorkerStream` does that for the executor too. What may be asked is `_fit`'s, how answers
are worded `_chunks`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import attrs

from rbee_scheduler import (
    Attempt,
    Hold,
    HttpCall,
    HttpResponse,
    InferenceRequest,
    ParseError,
    Scheduler,
    Transport,
    Usage,
    WorkerError,
    WorkerStream,
)
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Headers
from rbee_scheduler_gateway._problems import JSON, problem_body
from rbee_scheduler_gateway._relay._asked import Asked
from rbee_scheduler_gateway._relay._chunks import Wording
from rbee_scheduler_gateway._relay._fit import fitting_request
from rbee_scheduler_gateway._relay._resume import Seen
from rbee_scheduler_gateway._relay._whole import STREAM_HEADERS, Whole


__all__ = ["QueenWay"]

# With these a worker finds fault with the request; other ones say something of the worker.
_REFUSALS = frozenset({400, 413, 422})


class QueenWay:
    """Serves requests of the OpenAI API by queen workers.

    Args:
        scheduler: Its settings and its clock.
        transport: Calls workers.
        about: Makes the headers that say who served a request.
    """

    __slots__ = ("_about", "_clock", "_config", "_transport")

    def __init__(
        self,
        scheduler: Scheduler,
        transport: Transport,
        about: Callable[[Call, Hold], Headers],
    ) -> None:
        self._config = scheduler.config
        self._clock = scheduler.registry.clock
        self._transport = transport
        self._about = about

    async def attempt(
        self, call: Call, asked: Asked, seen: Seen, held: Hold, attempt: Attempt
    ) -> Whole | None:
        """Ask the held worker; return its answer, unless that went out as a stream.

        Args:
            call: The call.
            asked: What it asks for.
            seen: What the client has seen so far.
            held: The worker's slot.
            attempt: Ends it in time.

        Raises:
            SchedulerError: The worker failed.
        """
        request = _rest(asked, seen, fitting_request(asked, held.request))
        stream = WorkerStream(
            held.worker,
            request,
            transport=_Marked(self._transport, _marks(call)),
            clock=self._clock,
            config=self._config,
        )
        wording = Wording(asked, request)
        try:
            await stream.open()
            if asked.stream:
                await self._stream(_Try(call, held, request, wording), seen, stream, attempt)
                return None
            return await self._whole(_Try(call, held, request, wording), stream)
        except WorkerError as error:
            if error.status not in _REFUSALS or call.exchange.started:
                raise
            held.ended(error)
            call.error = error
            body = problem_body(error.status, error.code, error.message, worker_id=held.worker.id)
            return Whole(error.status, body, (JSON, *self._about(call, held)))
        finally:
            await stream.aclose()

    async def _stream(self, one: _Try, seen: Seen, stream: WorkerStream, attempt: Attempt) -> None:
        """Pass on a stream, piece by piece as they come."""
        idle = self._config.timeout.idle
        usage, pieces = Usage(), 0
        while (piece := await stream.next()) is not None:
            attempt.expect(idle)  # of the client, which may be slow to take it
            usage = piece.usage or usage
            if piece.text:
                one.held.streamed(1)
                pieces += 1
                await self._write(one, seen, one.wording.piece(piece.text), 1)
                attempt.expect(idle)  # of the worker
        reason = _reason(one.request, usage, pieces)
        await self._write(one, seen, one.wording.end(reason, usage), 0)
        one.held.succeeded(usage, reason)
        seen.whole = True
        await one.call.exchange.finish()

    async def _write(self, one: _Try, seen: Seen, data: bytes, pieces: int) -> None:
        exchange = one.call.exchange
        if not exchange.started:
            await one.call.start(200, *STREAM_HEADERS, *self._about(one.call, one.held))
            data = one.wording.begin() + data
        seen.add(data, pieces)
        seen.writing = True
        await exchange.write(data)
        seen.writing = False

    async def _whole(self, one: _Try, stream: WorkerStream) -> Whole:
        """Return the answer, once all of it is here."""
        limit = self._config.limits.max_answer_bytes
        texts: list[str] = []
        usage, size = Usage(), 0
        while (piece := await stream.next()) is not None:
            usage = piece.usage or usage
            if piece.text:
                one.held.streamed(1)
                texts.append(piece.text)
                size += len(piece.text.encode("utf-8", "replace"))
                if size > limit:
                    raise ParseError(
                        f"the worker's answer is longer than {limit} bytes",
                        hint="raise limits.max_answer_bytes",
                    )
        reason = _reason(one.request, usage, len(texts))
        one.held.succeeded(usage, reason)
        body = one.wording.whole("".join(texts), reason, usage)
        return Whole(200, body, (JSON, *self._about(one.call, one.held)))


@attrs.frozen
class _Try:
    """A request of a client with one worker.

    Attributes:
        call: The client's call.
        held: The worker's slot.
        request: What the worker is asked.
        wording: Words its answer.
    """

    call: Call
    held: Hold
    request: InferenceRequest
    wording: Wording


def _rest(asked: Asked, seen: Seen, request: InferenceRequest) -> InferenceRequest:
    """Return the request for what the client has not seen yet."""
    if not seen.pieces:
        return request
    rest = json.loads(seen.body_for(asked.data["model"]))
    limit = rest.get("max_tokens") or request.max_tokens
    return request.changed(prompt=rest["prompt"], max_tokens=limit)


def _reason(request: InferenceRequest, usage: Usage, pieces: int) -> str:
    """Return why the worker ended, which the protocol does not say: its limit, or its own end."""
    tokens = pieces if usage.completion_tokens is None else usage.completion_tokens
    return "length" if tokens >= request.max_tokens else "stop"


def _marks(call: Call) -> dict[str, str]:
    """Return the headers that name the client's request to the worker."""
    return {"x-correlation-id": call.correlation_id, **(call.trace or {})}


@attrs.frozen
class _Marked:
    """A transport that adds headers to each call.

    Attributes:
        transport: Makes the calls.
        headers: What to add.
    """

    transport: Transport
    headers: Mapping[str, str]

    async def open(self, call: HttpCall) -> HttpResponse:
        """Send ``call`` and return when the response's headers are there."""
        return await self.transport.open(
            attrs.evolve(call, headers={**call.headers, **self.headers})
        )

    async def aclose(self) -> None:
        """Close nothing: the transport's owner does."""
