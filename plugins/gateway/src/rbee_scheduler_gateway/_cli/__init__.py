"""The gateway's commands: ``serve`` and ``top``."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import click


__all__ = ["add_commands"]


def add_commands(cli: click.Group) -> None:
    """Add the gateway's commands to ``cli``."""
    from rbee_scheduler_gateway._cli._serve import serve
    from rbee_scheduler_gateway._cli._top import top

    cli.add_command(serve)
    cli.add_command(top)
