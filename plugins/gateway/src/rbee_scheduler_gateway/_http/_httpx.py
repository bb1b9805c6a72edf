"""The same connections under any ``httpx.AsyncClient``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import httpx

from rbee_scheduler import HttpCall, WorkerCommunicationFailed, WorkerTimeout
from rbee_scheduler_gateway._http._failures import (
    CallRefused,
    ConnectFailed,
    ConnectionBroke,
    ConnectTimedOut,
    MalformedResponse,
)
from rbee_scheduler_gateway._http._headers import ResponseHeaders
from rbee_scheduler_gateway._http._response import FastResponse
from rbee_scheduler_gateway._http._transport import FastTransport


__all__ = ["FastHttpxTransport"]

_ERRORS: Final = (  # the first that fits
    (CallRefused, httpx.LocalProtocolError),
    (ConnectFailed, httpx.ConnectError),
    (ConnectTimedOut, httpx.ConnectTimeout),
    (WorkerTimeout, httpx.ReadTimeout),
    (MalformedResponse, httpx.RemoteProtocolError),
    (ConnectionBroke, httpx.RemoteProtocolError),
)


class FastHttpxTransport(httpx.AsyncBaseTransport):
    """A `FastTransport` as the transport of an ``httpx.AsyncClient``.

    Of httpx's time limits ``connect`` and ``read`` apply; ``read`` also limits the wait for
    the headers, sending included. Request bodies are collected before they are sent.

    Example::

        client = httpx.AsyncClient(transport=FastHttpxTransport())

    Args:
        transport: Shared with others, and then closed by who made it; None makes one.
    """

    def __init__(self, transport: FastTransport | None = None) -> None:
        self._fast = transport or FastTransport()
        self._own = transport is None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; httpx calls this.

        Raises:
            httpx.TransportError: No response came.
        """
        limits = request.extensions.get("timeout", {})
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers.raw:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            glue = "; " if name == "cookie" else ", "  # RFC 9113 8.2.3
            headers[name] = f"{headers[name]}{glue}{value}" if name in headers else value
        with _as_httpx(request):
            call = HttpCall(
                method=request.method,
                url=str(request.url),
                headers=headers,
                body=await request.aread(),
                connect_timeout=limits.get("connect"),
            )
            response = await self._fast.open(call, head_limit=limits.get("read"))
        assert isinstance(response.headers, ResponseHeaders)  # noqa: S101 - it is ours
        return httpx.Response(
            response.status,
            headers=list(response.headers.raw),
            stream=_Body(response, request, limits.get("read")),
        )

    async def aclose(self) -> None:
        """Close the connections, unless the transport is shared."""
        if self._own:
            await self._fast.aclose()


class _Body(httpx.AsyncByteStream):
    """A response's body, as httpx iterates over it: no generator that could be left open."""

    def __init__(self, response: FastResponse, request: httpx.Request, limit: float | None) -> None:
        self._response = response
        self._request = request
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _as_httpx(self._request):
            if self._limit is None:
                data = await self._response.read()
            else:
                with anyio.fail_after(self._limit):
                    data = await self._response.read()
        if data is None:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Raise httpx's errors in place of ours."""
    try:
        yield
    except TimeoutError as late:
        raise httpx.ReadTimeout("the body stopped coming", request=request) from late
    except WorkerCommunicationFailed as failure:
        theirs = next(theirs for ours, theirs in _ERRORS if isinstance(failure, ours))
        raise theirs(failure.message, request=request) from failure
