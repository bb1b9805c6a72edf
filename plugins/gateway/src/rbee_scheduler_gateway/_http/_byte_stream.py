"""What HTTP needs of a connection: bytes out, bytes in, and an end without ceremony."""

from __future__ import annotations

from typing import Final, Protocol


__all__ = ["HIGH_WATER", "ByteStream"]

# A stream stops reading from its socket once so many bytes wait for the reader. One more
# read of the event loop may come on top: 256 KiB on asyncio and uvloop.
HIGH_WATER: Final = 64 * 1024


class ByteStream(Protocol):
    """A connected TCP or TLS stream.

    Whoever is cancelled in `send` or `receive` has to `close`: bytes may be lost.
    """

    @property
    def dead(self) -> bool:
        """Whether an idle connection is of no use: closed, or with bytes nobody asked for."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of ``data``, waiting while the other side does not take it.

        Raises:
            OSError: The connection is gone.
        """
        ...

    async def receive(self) -> bytes:
        """Return what has come, or what comes next; nothing at the end.

        Raises:
            OSError: The connection broke.
        """
        ...

    def close(self) -> None:
        """Close at once, dropping what was not sent; more than once is fine."""
        ...

    async def wait_closed(self) -> None:
        """Wait until the socket is gone."""
        ...
