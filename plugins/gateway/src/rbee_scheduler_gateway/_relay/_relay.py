"""The relay: one request through workers until one has served it, in the worker's own bytes.

A worker that fails before its first byte is left for the next one. After that the stream ends
with one error event; where the client asked for it (`Seen`), another worker goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from rbee_scheduler import (
    Attempt,
    Cancelled,
    Hold,
    HttpCall,
    HttpResponse,
    ParseError,
    Scheduler,
    SchedulerError,
    StreamReadError,
    Transport,
    Worker,
    WorkerCommunicationFailed,
    WorkerError,
    WorkerTimeout,
)
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Headers
from rbee_scheduler_gateway._problems import problem_of
from rbee_scheduler_gateway._relay._asked import Asked
from rbee_scheduler_gateway._relay._fit import QUEEN, filter_for
from rbee_scheduler_gateway._relay._queen import QueenWay
from rbee_scheduler_gateway._relay._reading import is_json, next_piece, read_all
from rbee_scheduler_gateway._relay._resume import Seen
from rbee_scheduler_gateway._relay._scan import StreamScan, reason_in, usage_in
from rbee_scheduler_gateway._relay._whole import STREAM, STREAM_HEADERS, Whole
from rbee_scheduler_gateway._watchers import Watchers


__all__ = ["Relay"]

# Enough of an error page to pass it on.
_ERROR_BYTES = 256 * 1024

# After [DONE] a worker has nothing more to say but the end of its body. Seconds.
_EPILOGUE = 5.0

# What a worker says of the key that the gateway has for it; the client's own is not meant.
_OURS = frozenset({401, 403, 407})

# Headers of a worker's answer that go on to the client, beside its content type.
_PASSED = ("x-request-id", "openai-processing-ms", "retry-after")


class Relay:
    """Relays requests for inference.

    Args:
        scheduler: Decides, and holds the worker's slot.
        transport: Calls workers.
        extra: Makes headers that plugins add to an answer.
        watchers: Told of outcomes.
        told: Makes of an error the one that the client is told of.
    """

    __slots__ = (
        "_extra", "_limits", "_names", "_protocols", "_scheduler", "_timeout", "_told",
        "_transport", "_watchers", "_ways",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Scheduler,
        transport: Transport,
        extra: Callable[[Call], Headers],
        watchers: Watchers,
        told: Callable[[SchedulerError], SchedulerError],
    ) -> None:
        self._scheduler = scheduler
        self._transport = transport
        self._extra = extra
        self._watchers = watchers
        self._told = told
        self._timeout = scheduler.config.timeout
        self._limits = scheduler.config.limits
        self._names: dict[tuple[str, str], Headers] = {}
        self._protocols = scheduler.registry.protocols
        # By the worker's protocol.
        self._ways = {
            "openai": self._try,
            QUEEN: QueenWay(scheduler, transport, self._about).attempt,
        }

    async def answer(self, call: Call, asked: Asked) -> None:
        """Answer a call with what a worker says.

        Args:
            call: The call.
            asked: What it asks for.

        Raises:
            SchedulerError: Nothing was sent yet, and it can't be served.
        """
        call.request = asked.request
        seen = Seen(asked)
        scheduler = self._scheduler
        # Looked at here, too: a call costs more than a look.
        only = filter_for(asked, scheduler.registry) if QUEEN in self._protocols else None
        held = scheduler.hold(asked.request, filter_workers=only)
        # Who generates a whole answer is silent until it is there.
        patience = None if asked.stream else self._timeout.total
        try:
            async with held:
                while True:
                    call.worker_id = held.worker.id
                    try:
                        with held.attempt(patience) as attempt:
                            way = self._ways[held.worker.protocol]
                            whole = await way(call, asked, seen, held, attempt)
                        break
                    except SchedulerError as failure:
                        if seen.whole:  # only the end of the worker's body is missing
                            whole = None
                            break
                        if seen.writing and isinstance(failure, WorkerTimeout):
                            raise Cancelled("the client took its answer too slowly") from failure
                        begun = call.exchange.started
                        await held.failed(failure, can_go_on=not begun or seen.can_go_on)
        except SchedulerError as error:
            call.error = self._told(error)
            if not call.exchange.started:
                raise
            await call.exchange.write(error_event(call.error, asked))
            await call.exchange.finish()
            return
        finally:
            if held.outcome is not None:
                call.pieces = seen.pieces
                self._watchers.outcome(call, asked, held.outcome)
        if whole is not None:  # a slow client no longer holds the worker's slot
            await call.respond(whole.status, whole.body, *whole.headers)

    # ---- one try -----------------------------------------------------------------------

    async def _try(
        self,
        call: Call,
        asked: Asked,
        seen: Seen,
        held: Hold,
        attempt: Attempt,
    ) -> Whole | None:
        """Ask one worker; return its answer, unless that was a stream, which is relayed."""
        worker = held.worker
        response = await self._transport.open(
            HttpCall(
                method="POST",
                url=worker.url + asked.surface.path,
                headers=_headers_for(worker, call, stream=asked.stream),
                body=seen.body_for(held.model),
                connect_timeout=self._timeout.connect,
            )
        )
        try:
            kind = response.headers.get("content-type", "").encode("latin-1")
            if coding := response.headers.get("content-encoding"):
                raise ParseError(
                    f"the worker's answer is compressed ({coding}), though it was told not to",
                    worker_id=worker.id,
                )
            if response.status >= 300:  # noqa: PLR2004 - HTTP: anything but 2xx
                return await self._refused(call, held, response, attempt)
            if kind.startswith(STREAM):
                await self._stream(call, seen, held, response, attempt)
                return None
            if call.exchange.started:
                raise ParseError("the worker went on with something that is no stream")
            return await self._whole(call, held, response, attempt)
        finally:
            await response.aclose()

    async def _refused(
        self, call: Call, held: Hold, response: HttpResponse, attempt: Attempt
    ) -> Whole:
        """Return how the worker finds fault with the request; else it is the worker's fault."""
        body = await read_all(response, attempt, self._timeout.idle, _ERROR_BYTES)
        text = " ".join(body[:500].decode("utf-8", "replace").split())
        error = WorkerError(
            f"the worker answered {response.status}: {text}",
            status=response.status,
            body=body[:500],
            worker_id=held.worker.id,
        )
        ours = response.status < 400 or response.status in _OURS  # noqa: PLR2004 - redirects are no answer
        if error.at_fault or ours or call.exchange.started:
            raise error
        held.ended(error)
        call.error = error
        return self._answer(call, held, response, body)

    async def _whole(
        self, call: Call, held: Hold, response: HttpResponse, attempt: Attempt
    ) -> Whole:
        """Return an answer that is no stream, once all of it is here."""
        limit = self._limits.max_answer_bytes
        body = await read_all(response, attempt, self._timeout.idle, limit + 1)
        if len(body) > limit:
            raise ParseError(
                f"the worker's answer is longer than {limit} bytes",
                hint="raise limits.max_answer_bytes",
            )
        if not body or (response.close_delimited and not is_json(body)):
            raise StreamReadError("the connection closed before the answer's end")
        usage = usage_in(body)
        if usage.completion_tokens:
            held.streamed(usage.completion_tokens)
        held.succeeded(usage, reason_in(body))
        return self._answer(call, held, response, body)

    def _answer(self, call: Call, held: Hold, response: HttpResponse, body: bytes) -> Whole:
        kind = response.headers.get("content-type", "application/json").encode("latin-1")
        headers = ((b"content-type", kind), *self._about(call, held), *_passed(response))
        return Whole(response.status, body, headers)

    async def _stream(
        self, call: Call, seen: Seen, held: Hold, response: HttpResponse, attempt: Attempt
    ) -> None:
        """Pass on a stream, event by event as they come."""
        exchange = call.exchange
        scan = StreamScan(seen.choices)
        idle = self._timeout.idle
        while (data := await next_piece(response, scan)) is not None:
            attempt.expect(idle)
            if not data:
                continue
            if scan.failed and (not exchange.started or seen.can_go_on):
                raise WorkerError(scan.last_words, status=200)
            if not exchange.started:
                await call.start(200, *STREAM_HEADERS, *self._about(call, held), *_passed(response))
            held.streamed(scan.fresh)
            seen.add(data, scan.fresh)
            seen.writing = True
            await exchange.write(data)
            seen.writing = False
            if scan.done:
                break
        if scan.failed:
            held.ended(WorkerError(scan.last_words, status=200), scan.usage)
        else:
            held.succeeded(scan.usage, scan.finish_reason)
        seen.whole = True
        await exchange.finish()
        await self._let_go(response)

    async def _let_go(self, response: HttpResponse) -> None:
        """Read the end of a body, so that its connection can be used again."""
        with self._scheduler.registry.clock.move_on_after(_EPILOGUE):
            try:
                while await response.read() is not None:
                    pass
            except WorkerCommunicationFailed:
                pass  # the connection is lost; the answer was complete

    def _about(self, call: Call, held: Hold) -> Headers:
        """Return the headers that say who served a request, and why; and those of plugins."""
        who = held.worker.id, held.strategy
        named = self._names.get(who)
        if named is None:
            worker, strategy = map(_header_value, who)
            named = ((b"x-rbee-worker", worker), (b"x-rbee-strategy", strategy))
            if len(self._names) < 4096:  # noqa: PLR2004 - a fleet has fewer; others are encoded anew
                self._names[who] = named
        return (*named, *self._extra(call))


def error_event(error: SchedulerError, asked: Asked) -> bytes:
    """Return the event that ends a stream with ``error``, in the shape that clients look for."""
    body = problem_of(error)
    if asked.surface.path == "/v1/responses":
        inner = json.loads(body)["error"]
        event = {"type": "error", "code": inner["code"], "message": inner["message"]}
        return b"event: error\ndata: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    return b"data: " + body + b"\n\n"


def _header_value(name: str) -> bytes:
    return name.encode("ascii", "backslashreplace").replace(b"\n", b"").replace(b"\r", b"")


def _headers_for(worker: Worker, call: Call, *, stream: bool) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": "identity",
        "x-correlation-id": call.correlation_id,
    }
    if key := worker.labels.get("api_key"):
        headers["authorization"] = f"Bearer {key}"
    if call.trace is not None:
        headers.update(call.trace)
    return headers


def _passed(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value.encode("latin-1"))
        for name in _PASSED
        if (value := response.headers.get(name)) is not None
    ]
