"""The transport: the one module that knows an HTTP client.

The executor speaks to a `Transport`. `HttpxTransport` adapts any client with the
interface of ``httpx.AsyncClient`` (httpx, httpx2, or one of them over another transport);
a faster transport may take its place.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import attrs

from rbee_scheduler._errors import WorkerCommunicationFailed, WorkerTimeout


__all__ = ["HttpCall", "HttpResponse", "HttpxTransport", "Transport"]


# Reads of what is at hand already, before a response is closed without unwinding its readers.
# httpx reads 64 KiB at a time, and a chunk of a chunked body takes at least 16 bytes of them.
UNWIND_READS = 4096


@attrs.frozen(kw_only=True, slots=False)
class HttpCall:
    """One HTTP request to a worker.

    Attributes:
        method: HTTP method.
        url: Absolute URL.
        headers: Header names (lower case) and values.
        body: The request body.
        connect_timeout: Seconds until the connection must stand.
    """

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    connect_timeout: float = 5.0


class HttpResponse(Protocol):
    """A response whose body has not been read.

    Attributes:
        status: HTTP status.
        headers: Header names (lower case) and values.
        close_delimited: Whether only the end of the connection ends the body, so that a
            cut body can't be told from a whole one.
    """

    status: int
    headers: Mapping[str, str]
    close_delimited: bool

    async def read(self) -> bytes | None:
        """Return the next bytes of the body as they came; None at its end.

        Raises:
            WorkerCommunicationFailed: The connection broke, or the body is malformed.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end."""
        ...


class Transport(Protocol):
    """What the executor needs of an HTTP client."""

    async def open(self, call: HttpCall) -> HttpResponse:
        """Send ``call`` and return when the response's headers are there.

        Redirects are not followed; time limits beyond `connect_timeout` are the
        caller's.

        Raises:
            WorkerCommunicationFailed: No response came.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class HttpxTransport:
    """A transport over ``httpx.AsyncClient`` or a client like it.

    Without a client it makes one per origin: httpx walks its whole pool at each request
    (5.5 ms of CPU per request at 64 connections of unlimited pools), and small pools
    keep that short.

    Args:
        client: Used for all workers; the caller closes it.
    """

    def __init__(self, client: Any = None) -> None:
        self._injected = client
        self._clients: dict[tuple[str, str], Any] = {}

    async def open(self, call: HttpCall) -> HttpResponse:
        """Send ``call`` and return when the response's headers are there."""
        client = self._injected or self._client_for(call.url)
        library = _library_of(client)
        timeout = library.Timeout(None, connect=call.connect_timeout)
        try:
            request = client.build_request(
                call.method, call.url, headers=call.headers, content=call.body, timeout=timeout
            )
            request.stream = _body_class(library.AsyncByteStream)(call.body)
            response = await client.send(request, stream=True, follow_redirects=False)
        except library.ConnectTimeout as failure:
            raise WorkerTimeout(
                f"no connection to {call.url} within {call.connect_timeout:g} s"
            ) from failure
        except Exception as failure:
            raise _failed(call.url, failure) from failure
        return _HttpxResponse(response, call.url)

    async def aclose(self) -> None:
        """Close the clients it made; an injected one is the caller's."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client_for(self, url: str) -> Any:
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        client = self._clients.get(origin)
        if client is None:
            import httpx  # 60 ms: only when a worker is really called

            client = self._clients[origin] = httpx.AsyncClient(
                # An SSL context takes 19 ms to make, and http has no use for one.
                verify=parts.scheme == "https",
                trust_env=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            )
        return client


class _HttpxResponse:
    __slots__ = ("_body", "_reading", "_response", "_url", "close_delimited", "headers", "status")

    def __init__(self, response: Any, url: str) -> None:
        self._response = response
        self._url = url
        self._body: Any = response.aiter_raw()
        self._reading = False  # between the first read and the end of the body
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.close_delimited = (
            "content-length" not in response.headers
            and "chunked" not in response.headers.get("transfer-encoding", "").lower()
        )

    async def read(self) -> bytes | None:
        self._reading = True
        try:
            chunk: bytes = await anext(self._body)
        except StopAsyncIteration:
            self._reading = False
            return None
        except Exception as failure:
            self._reading = False
            raise _failed(self._url, failure) from failure
        return chunk

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end.

        httpx reads through half a dozen nested async generators. Closing the outer one
        leaves the inner ones to the garbage collector, which trio reports; an exception
        from within unwinds them all, so a read that is left half-way is cancelled.

        Where bytes flood in, uvloop delivers them before the cancellation, again and
        again; after a while the generators are left as they are.
        """
        try:
            for _ in range(UNWIND_READS):
                if not self._reading:
                    break
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    self._reading = await anext(self._body, None) is not None
                if scope.cancelled_caught:
                    self._reading = False
            self._reading = False
            await self._response.aclose()
        except Exception as failure:
            self._reading = False
            raise _failed(self._url, failure) from failure


@cache
def _body_class(base: Any) -> Any:
    """Return a class of request bodies for the library whose `AsyncByteStream` is ``base``.

    The libraries' own body is an async generator. When a connection breaks while it is sent,
    nobody closes that, and trio reports it when the garbage collector does.
    """

    class Body(base):  # type: ignore[misc] # httpx's or httpx2's
        def __init__(self, data: bytes) -> None:
            self._data = data

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _Once(self._data)

    return Body


class _Once:
    """An async iterator over one piece, without a generator behind it."""

    __slots__ = ("_left",)

    def __init__(self, data: bytes) -> None:
        self._left = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data, self._left = self._left, b""
        if not data:
            raise StopAsyncIteration
        return data


def _library_of(client: Any) -> Any:
    """Return the module (httpx, httpx2) whose `AsyncClient` ``client`` is."""
    for base in type(client).__mro__:
        module = base.__module__.partition(".")[0]
        if module.startswith("httpx"):
            return sys.modules[module]
    raise TypeError(f"{type(client).__name__} is no httpx.AsyncClient, nor one of its kin")


def _failed(url: str, failure: Exception) -> WorkerCommunicationFailed:
    what = str(failure) or "no details"
    return WorkerCommunicationFailed(f"{url}: {type(failure).__name__}: {what}")
