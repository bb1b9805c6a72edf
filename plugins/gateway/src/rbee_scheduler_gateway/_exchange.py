"""The exchange: one request of a client, and the way to answer it.

Everything that answers requests is written against `Exchange`; the built-in server and the
ASGI application bring one implementation each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol


__all__ = ["Exchange", "Handler", "Headers"]

# Names in lower case. Bytes, as they go out: encoded once, where they are made.
Headers = Sequence[tuple[bytes, bytes]]


class Exchange(Protocol):
    """One request of a client, its body read, and the way to answer it.

    Exactly one answer follows: `respond`, or `start`, any number of `write`, and `finish`.
    When the client leaves, the handler is cancelled.

    Attributes:
        method: HTTP method, upper case.
        path: Path, percent-decoded, without the query.
        query: Query string as it came, without the question mark.
        headers: Names in lower case; repeated ones joined by ``", "``.
        body: The whole body.
        client: Address of the peer, without the port; empty where unknown.
        started: Whether the answer's head was sent.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: str
    started: bool

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a body of known length; ``content-length`` is added."""
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer of unknown length. Goes out with the first `write` or `finish`."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; wait while the client is slow to take it."""
        ...

    async def finish(self) -> None:
        """End the answer that `start` began."""
        ...


Handler = Callable[[Exchange], Awaitable[None]]
