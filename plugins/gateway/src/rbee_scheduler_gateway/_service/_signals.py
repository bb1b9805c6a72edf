"""Signals: SIGTERM and SIGINT stop, a second one cuts, SIGHUP reloads."""

from __future__ import annotations

import signal
from typing import Final, Protocol

import anyio
from anyio.abc import TaskStatus


__all__ = ["Obedient", "Stopped", "obey_signals"]

_HANGUP: Final = getattr(signal, "SIGHUP", None)


class Obedient(Protocol):
    """What signals act on: a service, or the parent of several."""

    def drain(self) -> None:
        """End when all that runs has ended."""

    def cut(self) -> None:
        """End now."""

    async def reload(self) -> None:
        """Take the configuration anew."""


class Stopped:
    """Counts the signals that ask for an end.

    Attributes:
        by_keyboard: Whether the first one came from the keyboard (Ctrl-C).
    """

    def __init__(self, service: Obedient) -> None:
        self._service = service
        self._asked = 0
        self.by_keyboard = False

    def take(self, number: int) -> None:
        """Take a signal."""
        self._asked += 1
        if self._asked == 1:
            self.by_keyboard = number == signal.SIGINT
            self._service.drain()
        else:
            self._service.cut()


async def obey_signals(
    service: Obedient,
    stopped: Stopped,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Let signals act on ``service``, for ever.

    Args:
        service: What is reloaded.
        stopped: Takes those that ask for an end.
        task_status: Told when signals are taken.
    """
    numbers = [signal.SIGTERM, signal.SIGINT]
    if _HANGUP is not None:
        numbers.append(_HANGUP)
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                if number == _HANGUP:
                    # Not awaited here: probing new workers takes a moment, and so would the
                    # next signal's effect.
                    tasks.start_soon(service.reload)
                else:
                    stopped.take(number)
