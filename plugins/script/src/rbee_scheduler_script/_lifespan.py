"""What a policy's plugin does beside deciding: it watches the policy's file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from rbee_scheduler import WorkerRegistry, hookimpl


__all__ = ["Companion", "PolicyPlugin"]

Companion = Callable[[WorkerRegistry], AbstractAsyncContextManager[object]]


class PolicyPlugin:
    """Base of the plugins that carry a policy.

    Attributes:
        companion: What lives as long as the scheduler; None: nothing.
    """

    companion: Companion | None = None

    @hookimpl
    def rbee_lifespan(self, registry: WorkerRegistry) -> AbstractAsyncContextManager[object] | None:
        """Return what lives as long as the scheduler."""
        return None if self.companion is None else self.companion(registry)
