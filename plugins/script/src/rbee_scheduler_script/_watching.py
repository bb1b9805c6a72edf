"""A watched policy as a plugin's companion; `_reload` is imported when it is wanted."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rbee_scheduler import ConfigError, WorkerRegistry
from rbee_scheduler_script._lifespan import Companion, Desk
from rbee_scheduler_script._policy import Policy
from rbee_scheduler_script._policy_text import PolicyText


if TYPE_CHECKING:
    from rbee_scheduler_script._deployer import PolicyDeployer


__all__ = ["deployer_of", "desk_of", "watching"]


def watching(desk: Desk) -> Companion:
    """Return what watches a policy's file while a scheduler lives.

    Args:
        desk: Gives what deploys versions of the policy.
    """

    def companion(registry: WorkerRegistry) -> AbstractAsyncContextManager[object]:
        # watchfiles and threads are for who runs; who only decides once pays nothing.
        from rbee_scheduler_script._reload import watch_policy

        return watch_policy(desk(registry))

    return companion


def desk_of(policy: Policy, text: PolicyText) -> Desk:
    """Return what gives the deployer of a policy: the same one to everybody who asks.

    Args:
        policy: The policy that decides.
        text: The same as it was written.
    """
    made: list[PolicyDeployer] = []

    def desk(registry: WorkerRegistry) -> PolicyDeployer:
        if not made:
            made.append(deployer_of(policy, text, registry))
        return made[0]

    return desk


def deployer_of(policy: Policy, text: PolicyText, registry: WorkerRegistry) -> PolicyDeployer:
    """Return what deploys versions of ``policy``, which are kept in the user's state folder."""
    from rbee_scheduler_script._deployer import PolicyDeployer
    from rbee_scheduler_script._versions import VersionStore

    try:
        versions = VersionStore.of_file(text.file, clock=registry.clock)
    except ConfigError:  # no home folder: in memory, then
        versions = VersionStore(clock=registry.clock)
    return PolicyDeployer(policy, registry.snapshot, text=text.text, versions=versions)
