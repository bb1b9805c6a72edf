"""A place to wait for a change: how tests wait for facts and never for time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio


if TYPE_CHECKING:
    from collections.abc import Callable


class Board:
    """Wakes everyone who waits, at each change; each looks for himself whether it concerns him.

    Simpler than a condition variable, because there is nothing to lock: on both backends code
    between two awaits runs undisturbed. Waking all is quadratic in the number of waiters, which
    are few in a test.
    """

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def change(self) -> None:
        """Tell all who wait that something changed."""
        self._changed.set()
        self._changed = anyio.Event()

    async def next_change(self) -> None:
        """Return at the next change. Look first, without an await between, or miss one."""
        await self._changed.wait()

    async def until(self, true: Callable[[], bool]) -> None:
        """Return once ``true()`` holds, at once when it holds already."""
        while not true():
            await self.next_change()
