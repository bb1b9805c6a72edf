"""What plugins run beside a scheduler: entered with it, and left with it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from rbee_scheduler._observe import Observer
from rbee_scheduler._plugins import Call
from rbee_scheduler._registry import WorkerRegistry


__all__ = ["enter_lifespans"]


async def enter_lifespans(
    calls: Iterable[Call], registry: WorkerRegistry, observer: Observer
) -> AsyncExitStack:
    """Enter what the plugins answer; return the stack that leaves it, last one first.

    One that fails is named and counted, and the others go on all the same.
    """
    async with AsyncExitStack() as entered:
        for call in calls:
            try:
                beside = call.function(registry)
                if beside is not None:
                    await beside.__aenter__()
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                observer.plugin_failed(call.failure(problem))
            else:
                if beside is not None:
                    entered.push_async_exit(_Beside(beside, call, observer).leave)
        # Cancelled on the way here, those entered so far are left; from now on the caller does it.
        return entered.pop_all()


class _Beside:
    """What a plugin runs beside a scheduler, entered."""

    def __init__(self, beside: Any, call: Call, observer: Observer) -> None:
        self._beside = beside
        self._call = call
        self._observer = observer

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave it; a failure is named and counted."""
        # Without the block's exception: a task group would hand it on wrapped in a group, and
        # users of the scheduler would see other exceptions with a plugin than without. But with
        # a cancellation: a task group that is not told of it raises another one, and of two in
        # one stack contextlib makes a ring, in which anyio's asyncio side looks for the end.
        cancelled = error is not None and not isinstance(error, Exception)
        told = (kind, error, traceback) if cancelled else (None, None, None)
        try:
            await self._beside.__aexit__(*told)
        except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
            self._observer.plugin_failed(self._call.failure(problem))
