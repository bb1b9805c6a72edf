"""The gateway as an ASGI application, for servers other than the built-in one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from rbee_scheduler_gateway._exchange import Handler, Headers
from rbee_scheduler_gateway._problems import JSON
from rbee_scheduler_gateway._server._answer import BODILESS, OURS
from rbee_scheduler_gateway._server._limits import ServerLimits
from rbee_scheduler_gateway._server._loop import on_trio
from rbee_scheduler_gateway._server._refused import Refused
from rbee_scheduler_gateway._server._target import check_path


__all__ = ["AsgiExchange", "asgi_app"]

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]
Lifespan = Callable[[], AbstractAsyncContextManager[object]]

_BREAKS: Final = (b"\r", b"\n", b"\0")


def asgi_app(
    handler: Handler,
    *,
    limits: ServerLimits | None = None,
    lifespan: Lifespan | None = None,
    logger: logging.Logger | None = None,
) -> AsgiApp:
    """Return an ASGI 3 application that calls ``handler`` with each request.

    Paths follow the rule of the built-in server, as far as ASGI shows them: they come
    decoded. Times, heads and connections are the other server's to limit.

    Args:
        handler: Called with each request; cancelled when the client leaves.
        limits: Of these, ``body_bytes`` and ``header_count`` hold here.
        lifespan: Entered before the first request, left after the last one. When entering
            it raises, the server is told why and does not start.
        logger: Gets failures of the handler.

    Example::

        app = asgi_app(handler, lifespan=gateway.run)  # uvicorn module:app
    """
    limits = limits or ServerLimits()
    logger = logger or logging.getLogger(__name__)

    async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _serve(AsgiExchange(scope, send), handler, receive, limits, logger)
        elif scope["type"] == "lifespan":
            await _live(lifespan or nullcontext, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})  # answered with 403
        else:
            raise RuntimeError(f"unknown ASGI scope {scope['type']!r}")

    return app


class AsgiExchange:
    """See `Exchange`.

    Args:
        scope: Of the request.
        send: Of the request.

    Attributes:
        ended: Whether the answer is whole.
        scope: Cancelled when the client has left.
    """

    __slots__ = (
        "_send",
        "_waiting",
        "body",
        "client",
        "ended",
        "headers",
        "method",
        "path",
        "query",
        "scope",
        "started",
    )

    def __init__(self, scope: Mapping[str, Any], send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        self.headers: Mapping[str, str] = headers
        self.client: str = (scope.get("client") or ("",))[0]
        self.body = b""
        self.started = False
        self.ended = False
        self.scope = anyio.CancelScope()
        self._send = send
        self._waiting: dict[str, Any] | None = None  # the head, until something goes with it

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a body of known length. See `Exchange`."""
        if self.started:
            raise RuntimeError("the exchange was answered already")
        self._waiting = _head(status, headers)
        if status in BODILESS:
            body = b""
        else:
            self._waiting["headers"].append((b"content-length", b"%d" % len(body)))
        await self._go(body, more=False)

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer of unknown length. See `Exchange`."""
        if self.started or self._waiting:
            raise RuntimeError("the exchange was answered already")
        self._waiting = _head(status, headers)

    async def write(self, data: bytes) -> None:
        """Send a piece of the body. See `Exchange`."""
        if self.ended or not (self.started or self._waiting):
            raise RuntimeError("write goes between start and finish")
        if data:
            await self._go(data, more=True)

    async def finish(self) -> None:
        """End the answer that `start` began. See `Exchange`."""
        if self.ended or not (self.started or self._waiting):
            raise RuntimeError("finish comes once, after start")
        await self._go(b"", more=False)

    async def _go(self, body: bytes, *, more: bool) -> None:
        waiting, self._waiting = self._waiting, None
        self.started = True
        self.ended = not more
        if self.method == "HEAD":
            body = b""
        try:
            if waiting is not None:
                await self._send(waiting)
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except OSError:  # ASGI 2.4: the client has left
            self.scope.cancel()
            await checkpoint()


async def _serve(
    exchange: AsgiExchange,
    handler: Handler,
    receive: Receive,
    limits: ServerLimits,
    logger: logging.Logger,
) -> None:
    try:
        check_path(exchange.path)
        if len(exchange.headers) > limits.header_count:
            raise Refused(431, f"more than {limits.header_count} headers")  # noqa: TRY301 - one place answers
        body = await _read(exchange, receive, limits)
    except Refused as refused:
        await exchange.respond(refused.status, [JSON], refused.body())
        return
    if body is None:
        return
    exchange.body = body
    failure: BaseException | None = None
    async with _watching(exchange, receive):
        with exchange.scope:
            failure = await _handle(exchange, handler, logger)
    if failure is not None and not exchange.ended:
        raise failure  # the server cuts the answer


async def _handle(
    exchange: AsgiExchange, handler: Handler, logger: logging.Logger
) -> Exception | None:
    """Return why the handler failed in the middle of its answer."""
    try:
        await handler(exchange)
        if not exchange.ended:
            raise RuntimeError("the handler returned without finishing its answer")  # noqa: TRY301 - one place answers
    except Exception as error:
        logger.exception("the handler of %s %s failed", exchange.method, exchange.path)
        if exchange.started:
            return error
        refused = Refused(500, "the gateway failed; its log says why")
        await exchange.respond(refused.status, [JSON], refused.body())
    return None


async def _read(exchange: AsgiExchange, receive: Receive, limits: ServerLimits) -> bytes | None:
    """Return the body; None if the client left before it was whole."""
    told = exchange.headers.get("content-length", "0")
    most = limits.body_bytes
    size = int(told) if told.isdecimal() and len(told) < 19 else most + 1  # noqa: PLR2004 - digits of 2^60
    parts: list[bytes] = []
    while size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        size = max(size, sum(map(len, parts)))
    raise Refused(413, f"a body of more than {most} bytes")


def _watching(exchange: AsgiExchange, receive: Receive) -> AbstractAsyncContextManager[None]:
    return _watching_trio(exchange, receive) if on_trio() else _Watching(exchange, receive)


@asynccontextmanager
async def _watching_trio(exchange: AsgiExchange, receive: Receive) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, exchange, receive)
        yield
        tasks.cancel_scope.cancel()


class _Watching(AbstractAsyncContextManager[None]):
    """The same on asyncio with a bare task: 60 us of a request less than with a group."""

    __slots__ = ("_exchange", "_receive", "_task")

    def __init__(self, exchange: AsgiExchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(_watch(self._exchange, self._receive))

    async def __aexit__(self, *_: object) -> None:
        task = self._task
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


async def _watch(exchange: AsgiExchange, receive: Receive) -> None:
    """Cancel the handler when the client leaves before its answer is whole."""
    while (await receive())["type"] != "http.disconnect":
        await checkpoint()
    if not exchange.ended:
        exchange.scope.cancel()


def _head(status: int, headers: Headers) -> dict[str, Any]:
    for name, value in headers:
        if name in OURS:
            raise ValueError(f"the header {name.decode('latin-1')} is the server's to say")
        if any(mark in name or mark in value for mark in _BREAKS):
            raise ValueError("a header holds a line break or NUL")
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


async def _live(lifespan: Lifespan, receive: Receive, send: Send) -> None:
    """Follow the lifespan protocol."""
    step = "startup"
    await receive()
    try:
        async with lifespan():
            await send({"type": "lifespan.startup.complete"})
            step = ""
            await receive()
            step = "shutdown"
    except Exception as error:
        if not step:  # it broke down while it served: nobody asked for an answer
            raise
        reason = f"{type(error).__name__}: {error}"
        await send({"type": f"lifespan.{step}.failed", "message": reason})
        if step == "shutdown":
            raise
    else:
        await send({"type": "lifespan.shutdown.complete"})
