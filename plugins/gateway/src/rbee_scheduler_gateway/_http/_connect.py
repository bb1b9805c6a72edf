"""A byte stream to an origin, on whatever event loop is running."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable

import attrs

from rbee_scheduler import Clock
from rbee_scheduler_gateway._http._byte_stream import ByteStream
from rbee_scheduler_gateway._http._failures import ConnectFailed, ConnectTimedOut, told


__all__ = ["Connector", "Origin"]


@attrs.frozen
class Origin:
    """Where connections go.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        secure: Whether TLS is spoken.
    """

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class Connector:
    """Opens byte streams, all with one TLS context.

    Args:
        clock: Source of time.
        context: For TLS.
        make_context: Makes one when the first https URL is called and there is none.
    """

    def __init__(
        self,
        clock: Clock,
        context: ssl.SSLContext | None,
        make_context: Callable[[], ssl.SSLContext],
    ) -> None:
        self._clock = clock
        self._context = context
        self._make_context = make_context

    async def open(self, origin: Origin, limit: float | None) -> ByteStream:
        """Connect to ``origin`` within ``limit`` seconds, TLS included.

        Raises:
            ConnectFailed: No connection came about.
            ConnectTimedOut: Not within the limit.
        """
        context = self._tls() if origin.secure else None
        try:
            with self._clock.move_on_after(limit):
                if _on_trio():
                    from rbee_scheduler_gateway._http._trio_stream import open_trio

                    return await open_trio(origin.host, origin.port, context)
                from rbee_scheduler_gateway._http._asyncio_stream import open_asyncio

                return await open_asyncio(origin.host, origin.port, context)
        except (OSError, ValueError) as failure:  # ValueError: a name that IDNA can't encode
            raise ConnectFailed(f"no connection to {origin}: {told(failure)}") from failure
        raise ConnectTimedOut(f"no connection to {origin} within {limit:g} s")

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._make_context()  # 19 ms, and http has no use for it
        return self._context


def _on_trio() -> bool:
    """Return whether trio runs this task, also as a guest of asyncio."""
    trio = sys.modules.get("trio")  # who runs on trio has imported it
    return trio is not None and trio.lowlevel.in_trio_task()
