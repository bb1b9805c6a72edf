"""``rbee-scheduler tenant``, ``audit`` and ``store``: what an operator does from a shell."""

from __future__ import annotations

import click

from rbee_scheduler_platform._cli._group import audit, store, tenant


__all__ = ["add_commands"]


def add_commands(cli: click.Group) -> None:
    """Add the platform's commands to the command line."""
    for group in (tenant, audit, store):
        cli.add_command(group)
