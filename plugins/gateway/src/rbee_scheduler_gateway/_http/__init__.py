"""The HTTP client that calls workers: httptools, pools of connections, asyncio and trio.

From the outside in: `FastTransport` (a call in, a response out) asks a `_target` for the
bytes of the request, a `_pool` for a `_connection`, and the connection's `_parser` for the
answer; below them are the byte streams, one for each event loop and TLS. `FastHttpxTransport`
puts the same connections under any ``httpx.AsyncClient``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbee_scheduler_gateway._http._failures import (
    CallRefused,
    ConnectFailed,
    ConnectionBroke,
    ConnectTimedOut,
    MalformedResponse,
)
from rbee_scheduler_gateway._http._headers import ResponseHeaders
from rbee_scheduler_gateway._http._limits import HttpLimits
from rbee_scheduler_gateway._http._response import FastResponse
from rbee_scheduler_gateway._http._transport import FastTransport


if TYPE_CHECKING:
    from rbee_scheduler_gateway._http._httpx import FastHttpxTransport

__all__ = [
    "CallRefused",
    "ConnectFailed",
    "ConnectTimedOut",
    "ConnectionBroke",
    "FastHttpxTransport",
    "FastResponse",
    "FastTransport",
    "HttpLimits",
    "MalformedResponse",
    "ResponseHeaders",
]


def __getattr__(name: str) -> Any:
    if name != "FastHttpxTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # httpx takes 60 ms to import, and who calls workers through `FastTransport` needs none.
    from rbee_scheduler_gateway._http._httpx import FastHttpxTransport

    return FastHttpxTransport
