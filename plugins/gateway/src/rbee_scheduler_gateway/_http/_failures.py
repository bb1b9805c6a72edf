"""What can go wrong with one call, as errors that the executor knows.

::

    WorkerCommunicationFailed       core's: this worker failed, another one may serve
    ├── CallRefused                 the call itself can't be sent: a bad URL or header
    ├── ConnectFailed               no connection: refused, unreachable, no such name, TLS
    ├── ConnectionBroke             reset or closed before the response was whole
    ├── MalformedResponse           what came is no HTTP, or breaks a limit
    └── WorkerTimeout               core's: too slow
        └── ConnectTimedOut         no connection within the time limit
"""

from __future__ import annotations

from rbee_scheduler import WorkerCommunicationFailed, WorkerTimeout


__all__ = [
    "CallRefused",
    "ConnectFailed",
    "ConnectTimedOut",
    "ConnectionBroke",
    "MalformedResponse",
    "told",
]


class CallRefused(WorkerCommunicationFailed):
    """Raised when a call can't be sent as it is: not HTTP(S), or a line break in a header."""


class ConnectFailed(WorkerCommunicationFailed):
    """Raised when no connection came about: refused, unreachable, no such name, TLS."""


class ConnectTimedOut(WorkerTimeout):
    """Raised when the connection did not stand within its time limit."""


class ConnectionBroke(WorkerCommunicationFailed):
    """Raised when the connection was reset or closed before the response was whole."""


class MalformedResponse(WorkerCommunicationFailed):
    """Raised when what came is no HTTP/1 response, an ambiguous one, or beyond a limit."""


def told(failure: BaseException) -> str:
    """Return an exception in words: its type, and what it says."""
    return f"{type(failure).__name__}: {str(failure) or 'no details'}"
