"""The channel: messages between the parent and one of its processes.

One JSON object a line, over a socket pair that the process inherits. Its end is known on both
sides by the other one's silence: whoever is killed needs to say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from socket import socket
from typing import Any, Final, Self

import anyio
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


__all__ = ["Channel", "Repeated", "as_message"]

# Longer than the largest body that a shared request may have, written as JSON.
_LONGEST: Final = 256 * 1024 * 1024

# Messages that may wait for a process that does not read; more than it is told at its start.
_WAITING: Final = 32_768


class Channel:
    """One end of a socket pair.

    Sending never waits: a process that hangs must not hang the others. `run` does the writing.

    Args:
        stream: The socket.
    """

    def __init__(self, stream: UNIXSocketStream) -> None:
        self._stream = stream
        self._buffered = BufferedByteReceiveStream(stream)
        self._outgoing, self._waiting = anyio.create_memory_object_stream[bytes](_WAITING)

    @classmethod
    async def over(cls, sock: socket) -> Self:
        """Return a channel over a connected socket, which it closes at its end."""
        return cls(await UNIXSocketStream.from_socket(sock))

    def send(self, message: Mapping[str, Any]) -> bool:
        """Let a message be sent; return False when it was dropped: too many wait already."""
        try:
            self._outgoing.send_nowait(json.dumps(message).encode() + b"\n")
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
        return True

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the other end is closed."""
        try:
            line = await self._buffered.receive_until(b"\n", _LONGEST)
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def run(self) -> None:
        """Write what is to be sent, until the other end is closed or the channel is."""
        try:
            async for line in self._waiting:
                await self._stream.send(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # `receive` tells

    async def aclose(self) -> None:
        """Close it."""
        self._outgoing.close()
        self._waiting.close()
        await self._stream.aclose()


def as_message(method: str, path: str, query: str, body: bytes) -> dict[str, Any]:
    """Return a request that the other processes are to repeat."""
    return {
        "do": "repeat",
        "method": method,
        "path": path,
        "query": query,
        "body": body.decode("latin-1"),
    }


class Repeated:
    """A request of another process; nobody waits for its answer. See `Exchange`.

    Args:
        message: From `as_message`.
    """

    def __init__(self, message: Mapping[str, str]) -> None:
        self.method = message["method"]
        self.path = message["path"]
        self.query = message["query"]
        self.headers: Mapping[str, str] = {"content-type": "application/json"}
        self.body = message["body"].encode("latin-1")
        self.client = ""
        self.started = False

    async def respond(self, status: int, headers: object, body: bytes) -> None:
        """Take the answer, and tell nobody."""

    async def start(self, status: int, headers: object) -> None:
        """Take the answer's beginning."""

    async def write(self, data: bytes) -> None:
        """Take a piece of it."""

    async def finish(self) -> None:
        """Take its end."""
