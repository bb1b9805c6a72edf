"""What a policy's plugin does beside deciding: it watches the file, and takes new versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rbee_scheduler import WorkerRegistry, hookimpl


if TYPE_CHECKING:
    from rbee_scheduler_script._deployer import PolicyDeployer


__all__ = ["Companion", "Desk", "PolicyPlugin"]

Companion = Callable[[WorkerRegistry], AbstractAsyncContextManager[object]]
Desk = Callable[[WorkerRegistry], "PolicyDeployer"]


class PolicyPlugin:
    """Base of the plugins that carry a policy.

    Attributes:
        companion: What lives as long as the scheduler; None: nothing.
        desk: Gives what deploys versions of its policy, the same one each time; None: nothing
            does.
    """

    companion: Companion | None = None
    desk: Desk | None = None

    @hookimpl
    def rbee_lifespan(self, registry: WorkerRegistry) -> AbstractAsyncContextManager[object] | None:
        """Return what lives as long as the scheduler."""
        return None if self.companion is None else self.companion(registry)

    @hookimpl(optionalhook=True)
    def rbee_policy_deployer(self, registry: WorkerRegistry) -> PolicyDeployer | None:
        """Return what deploys versions of the policy, for services that change it."""
        return None if self.desk is None else self.desk(registry)
