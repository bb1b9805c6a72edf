"""The plugin `gateway`: its options, and the commands it adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbee_scheduler import hookimpl
from rbee_scheduler_gateway._options import GatewayOptions


if TYPE_CHECKING:
    import click


__all__ = ["rbee_configure", "rbee_options", "rbee_register_commands"]


class _Listed:
    """An instance of the plugin: it carries options, and takes no part in decisions."""


@hookimpl
def rbee_options() -> type:
    """Return the class of the options."""
    return GatewayOptions


@hookimpl
def rbee_configure(options: GatewayOptions) -> object:
    """Check the options; the service reads them when it starts."""
    del options
    return _Listed()


@hookimpl
def rbee_register_commands(cli: click.Group) -> None:
    """Add ``serve`` and ``top``."""
    from rbee_scheduler_gateway._cli import add_commands

    add_commands(cli)
