"""Listeners: who is told of a registry's changes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar


__all__ = ["Listeners"]

T = TypeVar("T")


class Listeners(Generic[T]):
    """Functions that are told of each event, in the order in which they subscribed.

    They may subscribe, unsubscribe and change what they are told of; who unsubscribes is
    told no more, not even of the event at hand. What one raises goes to whoever caused
    the event, and those behind it are not told.

    Attributes:
        subscribed: The functions by the number of their subscription; the same object always.

    Example:
        >>> listeners: Listeners[str] = Listeners()
        >>> unsubscribe = listeners.add(print)
        >>> listeners.tell("a slot is free")
        a slot is free
        >>> unsubscribe()
        >>> listeners.tell("another one")
    """

    __slots__ = ("_numbers", "subscribed")

    def __init__(self) -> None:
        self.subscribed: dict[int, Callable[[T], None]] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self.subscribed)

    def add(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Tell ``listener`` from now on.

        Returns:
            A function that ends the subscription; calling it again does nothing.
        """
        number = next(self._numbers)
        self.subscribed[number] = listener

        def unsubscribe() -> None:
            self.subscribed.pop(number, None)

        return unsubscribe

    def tell(self, event: T) -> None:
        """Call each listener with ``event``."""
        for number in tuple(self.subscribed):
            listener = self.subscribed.get(number)
            if listener is not None:
                listener(event)
