"""Immutable: what a deployment may not have beside the platform, checked at its start.

The chain of hooks that decides is compiled when the plugins are loaded, and never changes. It
is the platform's alone: no other plugin filters, scores, selects, orders or identifies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rbee_scheduler import ConfigError
from rbee_scheduler._plugins import PluginInfo


if TYPE_CHECKING:
    from rbee_scheduler_gateway import Gateway


__all__ = ["check_deployment"]

# Whoever has one of these has a say in who is served, where, or as whom.
DECIDING: Final = frozenset(
    {
        "rbee_check_quota",
        "rbee_filter_workers",
        "rbee_identify",
        "rbee_no_candidate",
        "rbee_order_lane",
        "rbee_order_queue",
        "rbee_score_workers",
        "rbee_select_worker",
    }
)


def check_deployment(name: str, gateway: Gateway) -> None:
    """Refuse a deployment in which somebody else has a say.

    Args:
        name: The platform's instance.
        gateway: The service that is about to start.

    Raises:
        ConfigError: The deployment can't be a platform; the error says what to change.
    """
    if gateway.options.mode == "platform":
        for row in gateway.plugins.rows:
            _check_other(row, name)
        if gateway.scheduler.strategy != name:
            raise ConfigError(
                f"the strategy is {gateway.scheduler.strategy!r}, not the platform's",
                place="$.strategy",
                hint=f'set strategy = "{name}", or leave it out',
            )
    if gateway.options.processes > 1:
        raise ConfigError(
            "several processes of one gateway can't share a platform's quotas",
            place="$.processes",
            hint="use one process; with a PostgreSQL store start several gateways, each with a "
            "gateway_id of its own",
        )


def _check_other(row: PluginInfo, name: str) -> None:
    if row.status != "active" or row.name == name:
        return
    has = [hook for hook in row.hooks if hook in DECIDING]
    has += [f"the strategy {strategy!r}" for strategy in row.strategies]
    if has:
        raise ConfigError(
            f"the plugin {row.name!r} ({row.source}) would have a say: {', '.join(has)}",
            place="$.plugins",
            hint="platform mode decides alone: take it out of [[plugins]], or use lab mode",
        )
