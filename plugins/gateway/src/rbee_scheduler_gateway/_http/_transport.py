"""The transport: calls in, responses out, connections kept in between."""

from __future__ import annotations

import ssl

from rbee_scheduler import Clock, HttpCall, SystemClock, WorkerTimeout
from rbee_scheduler_gateway._http._connect import Connector, Origin
from rbee_scheduler_gateway._http._connection import Connection
from rbee_scheduler_gateway._http._failures import ConnectFailed
from rbee_scheduler_gateway._http._limits import HttpLimits
from rbee_scheduler_gateway._http._pool import Pool
from rbee_scheduler_gateway._http._response import FastResponse
from rbee_scheduler_gateway._http._target import Target, parse_url


__all__ = ["FastTransport"]

# URLs and origins that are remembered; a fleet has a handful of paths for each worker.
_REMEMBERED = 4096


class FastTransport:
    """An HTTP/1.1 client for workers: core's `Transport`, on asyncio, uvloop and trio.

    It belongs to the event loop that first uses it. It speaks TLS, keeps connections, and
    tries once more, on a new connection, when a kept one turns out to be closed before the
    first byte of a response. It does not follow redirects, decompress, or use proxies. Time
    limits beyond connecting are the caller's: cancel it, and the connection is closed.

    Example::

        transport = FastTransport()
        response = await transport.open(HttpCall(method="GET", url=f"{worker.url}/health"))
        while (data := await response.read()) is not None:
            ...

    Args:
        limits: What a worker may send, and how many connections are kept.
        clock: Source of time.
        ssl_context: For https; None makes the one that httpx makes (the roots of certifi).
    """

    def __init__(
        self,
        *,
        limits: HttpLimits | None = None,
        clock: Clock | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or HttpLimits()
        self._clock = clock or SystemClock()
        self._connector = Connector(self._clock, ssl_context, _default_context)
        self._targets: dict[str, Target] = {}
        self._pools: dict[Origin, Pool] = {}
        self._closed = False

    async def open(self, call: HttpCall, *, head_limit: float | None = None) -> FastResponse:
        """Send ``call`` and return when the response's headers are there.

        Args:
            call: What to send. ``connection: close`` in its headers is obeyed here, too.
            head_limit: Seconds from the connection to the headers.

        Raises:
            CallRefused: The call can't be sent as it is.
            ConnectFailed: No connection came about.
            ConnectTimedOut: No connection within ``call.connect_timeout`` seconds.
            ConnectionBroke: The connection was closed before the headers.
            MalformedResponse: What came is no HTTP/1 response.
            WorkerTimeout: No headers within ``head_limit``.
        """
        url = call.url
        target = self._targets.get(url) or self._remember(url)
        request = target.encode(call)
        pool = target.pool
        connection = pool.take() or await pool.connect(call.connect_timeout)
        await self._ask(connection, request, call, head_limit)
        parser = connection.parser
        if parser.failure is not None and connection.used and not parser.touched:
            # The server closed it while our request was under way: not a byte came back,
            # and servers close idle connections without a look at what is coming.
            connection.close()
            connection = await pool.connect(call.connect_timeout)
            await self._ask(connection, request, call, head_limit)
            parser = connection.parser
        failure = parser.failure
        if failure is not None and not parser.status:
            connection.close()
            raise type(failure)(f"{url}: {failure.message}")
        return FastResponse(connection, url)

    def prune(self) -> None:
        """Close idle connections that are too old; call it now and then where it is quiet."""
        for pool in self._pools.values():
            pool.prune()

    async def aclose(self) -> None:
        """Close all connections, busy ones too."""
        self._closed = True
        for pool in tuple(self._pools.values()):
            await pool.aclose()

    async def _ask(
        self, connection: Connection, request: bytes, call: HttpCall, limit: float | None
    ) -> None:
        """Send the request; return when there is a head, or a failure."""
        bodiless = call.method == "HEAD"
        last = "close" in call.headers.get("connection", "").lower()
        if limit is None:
            await connection.ask(request, bodiless=bodiless, last=last)
            return
        with self._clock.move_on_after(limit):
            await connection.ask(request, bodiless=bodiless, last=last)
            return
        raise WorkerTimeout(f"{call.url}: no response within {limit:g} s")

    def _remember(self, url: str) -> Target:
        """Return a new target; forget the others once there are too many."""
        origin, authority, path, authorization = parse_url(url)
        if len(self._targets) >= _REMEMBERED:
            self._targets.clear()
            self._pools = {o: pool for o, pool in self._pools.items() if not pool.empty}
        pool = self._pools.get(origin)
        if pool is None:
            if self._closed:
                raise ConnectFailed(f"no connection to {origin}: the transport is closed")
            pool = self._pools[origin] = Pool(origin, self._connector, self._limits, self._clock)
        target = self._targets[url] = Target(pool, authority, path, authorization)
        return target


def _default_context() -> ssl.SSLContext:
    """Return what httpx verifies with, so that both transports trust the same servers."""
    import httpx  # 60 ms: only when an https worker is really called

    context: ssl.SSLContext = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context
