"""What a deployment lists: names, tables and objects, brought to one form."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._plugins._records import PluginConfig


__all__ = ["Listed", "PluginSource", "listed"]

PluginSource = Any  # str | PluginConfig | a plugin object


@attrs.frozen(eq=False)
class Listed:
    """One plugin instance that a deployment wants.

    Attributes:
        config: Its name, options and weight.
        target: The plugin object; None for an installed plugin.
    """

    config: PluginConfig
    target: Any = None

    @property
    def entry(self) -> str:
        """Name of the entry point, for an installed plugin."""
        return self.config.plugin or self.config.name

    def is_in(self, names: Collection[str]) -> bool:
        """Return whether ``names`` has the instance, or the plugin that it is one of."""
        return self.config.name in names or self.entry in names


def listed(sources: Iterable[PluginSource]) -> list[Listed]:
    """Return ``sources`` in one form; objects are named after their module or class.

    Raises:
        ConfigError: A name, or an object, is there twice.
    """
    result: list[Listed] = []
    names: set[str] = set()
    for source in sources:
        if isinstance(source, str):
            one = Listed(PluginConfig(name=source))
        elif isinstance(source, PluginConfig):
            one = Listed(source)
        else:
            again = any(source is other.target for other in result)
            name = _name(source) if again else _free(_name(source), names)
            one = Listed(PluginConfig(name=name), source)
        if one.config.name in names:
            raise ConfigError(
                f"the plugin instance {one.config.name!r} is listed twice",
                hint="give each [[plugins]] table a name of its own",
            )
        names.add(one.config.name)
        result.append(one)
    return result


def _name(plugin: object) -> str:
    name = str(getattr(plugin, "__name__", None) or type(plugin).__name__)
    return name.rpartition(".")[2]


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
