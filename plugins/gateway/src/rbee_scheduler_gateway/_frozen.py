"""Frozen: what a reload may not change in platform mode, where who decides is fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rbee_scheduler import ConfigError, Deployment, Plugins
from rbee_scheduler_gateway._options import GatewayOptions


if TYPE_CHECKING:
    from rbee_scheduler_gateway._generation import Generation


__all__ = ["plugins_for"]


def plugins_for(
    deployment: Deployment,
    options: GatewayOptions,
    old: Generation | None,
    load: Callable[[Deployment], Plugins],
) -> Plugins:
    """Return the plugins of a new generation: in platform mode always the same ones.

    Args:
        deployment: The new configuration.
        options: The gateway's own part of it.
        old: The present generation; None at the start.
        load: Loads a deployment's plugins.

    Raises:
        ConfigError: A reload would change who decides, or the mode, in platform mode.
    """
    if old is None or "platform" not in {options.mode, old.options.mode}:
        return load(deployment)
    before, after = old.deployment, deployment
    changes = {
        "mode": options.mode != old.options.mode,
        "plugins": after.plugins != before.plugins,
        "strategy": after.scheduler.strategy != before.scheduler.strategy,
        "fallback": after.scheduler.fallback != before.scheduler.fallback,
    }
    for name, changed in changes.items():
        if changed:
            raise ConfigError(
                f"{name} can't change while platform mode runs: who decides is fixed",
                place=f"$.{name}",
                hint="undo the change, or start the service anew",
            )
    return old.plugins
