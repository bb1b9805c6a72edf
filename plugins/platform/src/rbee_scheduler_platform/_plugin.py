"""The plugin `platform`: its options, its instances, and the commands it adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbee_scheduler import hookimpl
from rbee_scheduler_platform._options import PlatformOptions


if TYPE_CHECKING:
    import click


__all__ = ["rbee_configure", "rbee_options", "rbee_register_commands"]


class _Idle:
    """An instance without a store: installed, and asked for nothing."""


@hookimpl
def rbee_options() -> type:
    """Return the class of the options."""
    return PlatformOptions


@hookimpl
def rbee_configure(name: str, options: PlatformOptions) -> object:
    """Make an instance; nothing is opened before the service starts.

    Without a store it is idle; so it is when the package is installed and the deployment lists
    no plugins.
    """
    if not options.store:
        return _Idle()
    # Tokens, the store and the gateway take 100 ms to import; who has no platform needs none.
    from rbee_scheduler_platform._platform import Platform, SharedPlatform

    return (SharedPlatform if options.shared else Platform)(name, options)


@hookimpl
def rbee_register_commands(cli: click.Group) -> None:
    """Add ``tenant``, ``audit`` and ``store``."""
    from rbee_scheduler_platform._cli import add_commands

    add_commands(cli)
