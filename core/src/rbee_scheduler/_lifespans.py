"""What plugins run beside a scheduler: entered with it, and left with it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
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
                    entered.push_async_callback(_leave, beside, call, observer)
        # Cancelled on the way here, those entered so far are left; from now on the caller does it.
        return entered.pop_all()


async def _leave(beside: Any, call: Call, observer: Observer) -> None:
    try:
        # Without the block's exception: a task group would hand it on wrapped in a group, and
        # users of the scheduler would see other exceptions with a plugin than without.
        await beside.__aexit__(None, None, None)
    except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
        observer.plugin_failed(call.failure(problem))
