"""The relay: one request through workers until one has served it, in the worker's own bytes.

A worker that fails before its first byte is left for the next one. After that the stream ends
with one error event; where the client asked for it (`Seen`), another worker goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio

from rbee_scheduler import (
    Attempt,
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
)
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Headers
from rbee_scheduler_gateway._problems import problem_of
from rbee_scheduler_gateway._relay._asked import Asked
from rbee_scheduler_gateway._relay._resume import Seen
from rbee_scheduler_gateway._relay._scan import StreamScan, usage_in
from rbee_scheduler_gateway._watchers import Watchers


__all__ = ["Relay"]

_STREAM = b"text/event-stream"
_STREAM_HEADERS = (
    (b"content-type", _STREAM),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events otherwise
)

# Enough of an error page to pass it on.
_ERROR_BYTES = 256 * 1024

# After [DONE] a worker has nothing more to say but the end of its body. Seconds.
_EPILOGUE = 5.0

# Headers of a worker's answer that go on to the client, beside its content type.
_PASSED = ("x-request-id", "openai-processing-ms", "retry-after")


class Relay:
    """Relays requests for inference.

    Args:
        scheduler: Decides, and holds the worker's slot.
        transport: Calls workers.
        extra: Makes headers that plugins add to an answer.
        watchers: Told of outcomes.
    """

    __slots__ = (
        "_extra", "_limits", "_names", "_scheduler", "_timeout", "_transport", "_watchers",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Scheduler,
        transport: Transport,
        extra: Callable[[Call], Headers],
        watchers: Watchers,
    ) -> None:
        self._scheduler = scheduler
        self._transport = transport
        self._extra = extra
        self._watchers = watchers
        self._timeout = scheduler.config.timeout
        self._limits = scheduler.config.limits
        self._names: dict[str, tuple[bytes, bytes]] = {}

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
        held = self._scheduler.hold(asked.request)
        try:
            async with held:
                while True:
                    call.worker_id = held.worker.id
                    try:
                        with held.attempt() as attempt:
                            await self._try(call, asked, seen, held, attempt)
                        break
                    except (WorkerCommunicationFailed, WorkerError, ParseError) as failure:
                        begun = call.exchange.started
                        await held.failed(failure, can_go_on=not begun or seen.can_go_on)
        except SchedulerError as error:
            call.error = error
            if not call.exchange.started:
                raise
            await call.exchange.write(error_event(error, asked))
            await call.exchange.finish()
        finally:
            if held.outcome is not None:
                self._watchers.outcome(call, asked, held.outcome)

    # ---- one try -----------------------------------------------------------------------

    async def _try(
        self,
        call: Call,
        asked: Asked,
        seen: Seen,
        held: Hold,
        attempt: Attempt,
    ) -> None:
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
            if response.status >= 300:  # noqa: PLR2004 - HTTP: anything but 2xx
                await self._refused(call, held, response, attempt)
            elif kind.startswith(_STREAM):
                await self._stream(call, seen, held, response, attempt)
            else:
                headers = [(b"content-type", kind), *self._about(call, held), *_passed(response)]
                await self._whole(call, held, response, attempt, headers)
        finally:
            await response.aclose()

    async def _refused(
        self, call: Call, held: Hold, response: HttpResponse, attempt: Attempt
    ) -> None:
        """Pass on that the worker finds fault with the request; else it is the worker's fault."""
        body = await _read_all(response, attempt, self._timeout.idle, _ERROR_BYTES)
        text = " ".join(body[:500].decode("utf-8", "replace").split())
        error = WorkerError(
            f"the worker answered {response.status}: {text}",
            status=response.status,
            body=body[:500],
            worker_id=held.worker.id,
        )
        if error.at_fault or response.status < 400 or call.exchange.started:  # noqa: PLR2004 - redirects are no answer
            raise error
        kind = response.headers.get("content-type", "application/json").encode("latin-1")
        headers = ((b"content-type", kind), *self._about(call, held), *_passed(response))
        held.ended(error)
        call.error = error
        await call.respond(response.status, body, *headers)

    async def _whole(
        self, call: Call, held: Hold, response: HttpResponse, attempt: Attempt, headers: list[Any]
    ) -> None:
        """Pass on an answer that is no stream, once all of it is here."""
        limit = self._limits.max_answer_bytes
        body = await _read_all(response, attempt, self._timeout.idle, limit + 1)
        if len(body) > limit:
            raise ParseError(
                f"the worker's answer is longer than {limit} bytes",
                hint="raise limits.max_answer_bytes",
            )
        usage = usage_in(body)
        if usage.completion_tokens:
            held.streamed(usage.completion_tokens)
        held.succeeded(usage, "stop")
        await call.respond(response.status, body, *headers)

    async def _stream(
        self, call: Call, seen: Seen, held: Hold, response: HttpResponse, attempt: Attempt
    ) -> None:
        """Pass on a stream, event by event as they come."""
        exchange = call.exchange
        scan = StreamScan()
        idle = self._timeout.idle
        while (data := await _next(response, scan)) is not None:
            attempt.expect(idle)
            if not data:
                continue
            if not exchange.started:
                await self._begin(call, held, response, scan)
            held.streamed(scan.fresh)
            seen.add(data, scan.fresh)
            await exchange.write(data)
            if scan.done:
                break
        await exchange.finish()
        if scan.failed:
            held.ended(WorkerError(scan.last_words, status=200), scan.usage)
        else:
            held.succeeded(scan.usage, scan.finish_reason)
        await self._let_go(response)

    async def _begin(
        self, call: Call, held: Hold, response: HttpResponse, scan: StreamScan
    ) -> None:
        """Send the head of a stream, now that there is something to send behind it."""
        if scan.failed:
            raise WorkerError(scan.last_words, status=200)
        headers = (*_STREAM_HEADERS, *self._about(call, held), *_passed(response))
        await call.start(200, *headers)

    async def _let_go(self, response: HttpResponse) -> None:
        """Read the end of a body, so that its connection can be used again."""
        with anyio.move_on_after(_EPILOGUE):
            try:
                while await response.read() is not None:
                    pass
            except WorkerCommunicationFailed:
                pass  # the connection is lost; the answer was complete

    def _about(self, call: Call, held: Hold) -> Headers:
        """Return the headers that say who served a request, and why; and those of plugins."""
        return (
            self._name(b"x-rbee-worker", held.worker.id),
            self._name(b"x-rbee-strategy", held.strategy),
            *self._extra(call),
        )

    def _name(self, header: bytes, name: str) -> tuple[bytes, bytes]:
        known = self._names.get(name)
        if known is None or known[0] != header:
            value = name.encode("ascii", "backslashreplace").replace(b"\n", b"").replace(b"\r", b"")
            known = (header, value)
            if len(self._names) < 4096:  # noqa: PLR2004 - a fleet has fewer; others are encoded anew
                self._names[name] = known
        return known


def error_event(error: SchedulerError, asked: Asked) -> bytes:
    """Return the event that ends a stream with ``error``, in the shape that clients look for."""
    body = problem_of(error)
    if asked.surface.path == "/v1/responses":
        inner = json.loads(body)["error"]
        event = {"type": "error", "code": inner["code"], "message": inner["message"]}
        return b"event: error\ndata: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    return b"data: " + body + b"\n\n"


def _headers_for(worker: Worker, call: Call, *, stream: bool) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": "identity",
        "x-correlation-id": call.correlation_id,
    }
    if key := worker.labels.get("api_key"):
        headers["authorization"] = f"Bearer {key}"
    return headers


def _passed(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value.encode("latin-1"))
        for name in _PASSED
        if (value := response.headers.get(name)) is not None
    ]


async def _next(response: HttpResponse, scan: StreamScan) -> bytes | None:
    """Return what may go on to the client; None when the worker is through.

    Raises:
        StreamReadError: The stream was cut.
    """
    try:
        chunk = await response.read()
    except WorkerCommunicationFailed as failure:
        if scan.ended:  # all of the answer is here; only the end of its body is missing
            return None
        raise StreamReadError(failure.message) from failure
    if chunk is not None:
        return scan.feed(chunk)
    rest = scan.flush()
    # A body whose end can be told from a cut may end without [DONE].
    if not scan.ended and (response.close_delimited or not scan.events):
        raise StreamReadError("the connection closed before the stream's end")
    return rest or None


async def _read_all(response: HttpResponse, attempt: Attempt, idle: float, limit: int) -> bytes:
    """Return the body, or about its first ``limit`` bytes."""
    first = await response.read()
    if first is None:
        return b""
    attempt.expect(idle)
    second = await response.read()
    if second is None:
        return bytes(first)
    body = bytearray(first)
    while second is not None and len(body) < limit:
        attempt.expect(idle)
        body += second
        second = await response.read()
    return bytes(body)
