"""What a connection needs of its socket, which differs with the event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod


__all__ = ["Side"]


class Side(ABC):
    """The socket's side of a connection, and the sleep of its task.

    Attributes:
        choked: Whether `send` has to be followed by `drained`.
        client: Address of the peer.
    """

    __slots__ = ("choked", "client")

    def __init__(self) -> None:
        self.choked = False
        self.client = ""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send, or keep what the client does not take now and set `choked`."""

    def send_soon(self, data: bytes) -> None:
        """Send like `send`, perhaps together with what else is sent in this turn of the loop."""
        self.send(data)

    @abstractmethod
    async def drained(self) -> None:
        """Wait until not `choked`, or the client is gone."""

    @abstractmethod
    def progressing(self) -> bool:
        """Whether the client took something since the last time somebody asked."""

    @abstractmethod
    def pause(self) -> None:
        """Stop reading."""

    @abstractmethod
    def resume(self) -> None:
        """Read again."""

    @abstractmethod
    def hang_up(self, *, linger: bool) -> None:
        """Send what is to be sent, then close; ``linger``: once the client has closed."""

    @abstractmethod
    def cut(self, *, reset: bool) -> None:
        """Close at once, and drop what was not sent; ``reset``: so that the client notices."""

    @abstractmethod
    async def sleep(self) -> None:
        """Wait for `wake`."""

    @abstractmethod
    def wake(self) -> None:
        """Wake the task, if it sleeps."""
