"""Loading: from what a deployment lists to configured, checked instances.

Loading imports a plugin, configures the instance (`_configure`) and registers a *holder*
of its hooks with pluggy, which checks them against the specifications. The holder stands
in for the object because pluggy refuses objects that are equal to one another or can't be
hashed, and frozen attrs instances with equal options are both.

A mistake of the deployment (an unknown name or option, two plugins that claim one
strategy) stops the start with a `ConfigError`. A plugin that can't be used does so only
when strict; otherwise its row says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pluggy

from rbee_scheduler import _builtin, _hookspecs
from rbee_scheduler._errors import ConfigError, PluginError, SchedulerError
from rbee_scheduler._plugins._configure import Hooks, configure, offered_strategies
from rbee_scheduler._plugins._discover import InstalledPlugin
from rbee_scheduler._plugins._listing import Listed
from rbee_scheduler._plugins._records import PluginConfig, PluginInfo
from rbee_scheduler._version import __version__


__all__ = ["Instance", "Loader"]

CORE = "core"  # the name under which core's own decisions and strategies appear
_CORE_SOURCE = f"rbee-scheduler {__version__}"


class _Holder:
    """What pluggy is given to check: an object's hooks, with an identity of its own."""

    def __init__(self, hooks: Mapping[str, Callable[..., Any]]) -> None:
        vars(self).update(hooks)


class Instance:
    """A configured plugin: its hooks, and how the deployment wants it."""

    __slots__ = ("config", "hooks", "source", "strategies")

    def __init__(self, config: PluginConfig, source: str, hooks: Hooks) -> None:
        self.config = config
        self.source = source
        self.hooks = hooks
        self.strategies: dict[str, Hooks] = {}


class Loader:
    """Loads one deployment's plugins; `instances` and `rows` are the result.

    Args:
        installed: The installed plugins.
        strict: Whether a plugin that can't be used stops the start.
    """

    def __init__(self, installed: Sequence[InstalledPlugin], *, strict: bool) -> None:
        self.instances: list[Instance] = []
        self.rows: list[PluginInfo] = []
        self._installed = _by_name(installed)
        self._strict = strict
        self._manager = _new_manager()
        self._strategies: dict[str, str] = {}  # name -> who registered it
        self._unconfigured: set[object] = set()

    def load(
        self, wanted: Iterable[Listed] | None, only: Collection[str] | None, block: Collection[str]
    ) -> None:
        """Load what is wanted (all installed plugins for None), and core's own plugin last.

        Raises:
            ConfigError: The deployment is wrong: a plugin is not installed, an option is
                unknown, two plugins claim one strategy.
            PluginError: When strict: a plugin can't be used.
        """
        core = self._make(Listed(PluginConfig(name=CORE), _builtin), _CORE_SOURCE, _builtin)
        if wanted is None:
            wanted = [Listed(PluginConfig(name=name)) for name in self._installed]
        used: set[str] = set()
        for one in wanted:
            found = [] if one.target is not None else self._installed.get(one.entry, [])
            used.update(plugin.name for plugin in found)
            if one.is_in(block) or not (only is None or one.is_in(only)):
                self._row(one.config, found, status="blocked")
            elif one.target is not None:
                self._try(one, [])
            else:
                self._load_installed(one, found)
        for entry, unused in self._installed.items():
            if entry not in used:
                self._row(PluginConfig(name=entry), unused, status="unlisted")
        self.instances.append(core)

    def check_known(
        self, asked: Iterable[str], wanted: Iterable[Listed] | None, place: str
    ) -> None:
        """Refuse a name to use or to block that stands for nothing."""
        known = {*self._installed}
        for one in wanted or ():
            known |= {one.config.name, one.entry}
        for name in asked:
            if name not in known:
                raise ConfigError(
                    f"there is no plugin {name!r}",
                    place=place,
                    hint=f"there are: {', '.join(sorted(known)) or 'none'}",
                )

    # ---- one instance --------------------------------------------------------------------

    def _load_installed(self, one: Listed, found: Sequence[InstalledPlugin]) -> None:
        if not found:
            raise ConfigError(
                f"the plugin {one.entry!r} is not installed",
                hint=f"pip install rbee-scheduler-{one.entry}, or take it out of the list; "
                f"installed: {', '.join(self._installed) or 'none'}",
            )
        self._try(one, found)

    def _try(self, one: Listed, found: Sequence[InstalledPlugin]) -> None:
        try:
            _check_name(one.config.name)
            target = _imported(found) if one.target is None else one.target
            instance = self._make(one, _source(found), target)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a plugin does at its start is its row
            self._fail(one.config, found, error)
            return
        self.instances.append(instance)
        self._row(
            one.config,
            found,
            order=len(self.instances),
            hooks=tuple(sorted(instance.hooks)),
            strategies=tuple(instance.strategies),
        )

    def _make(self, one: Listed, source: str, plugin: Any) -> Instance:
        config = one.config
        hooks = self._configure(one, plugin)
        instance = Instance(config, source, hooks)
        instance.strategies = offered_strategies(hooks)
        for name in instance.strategies:
            if name in self._strategies:
                raise ConfigError(
                    f"the strategy {name!r} comes from both {self._strategies[name]} and {source}",
                    hint="uninstall or block one, or name strategies after their instance",
                )
        self._manager.register(_Holder(hooks), config.name)
        self._strategies |= dict.fromkeys(instance.strategies, source)
        return instance

    def _configure(self, one: Listed, plugin: Any) -> Hooks:
        hooks, configured = configure(one.config, plugin)
        if not configured:
            if one.target is None and one.entry in self._unconfigured:
                raise ConfigError(
                    f"the plugin {one.entry!r} has no instances, but is listed twice",
                    hint="take one of its [[plugins]] tables out",
                )
            self._unconfigured.add(one.entry)
        return hooks

    # ---- rows ----------------------------------------------------------------------------

    def _fail(
        self, config: PluginConfig, found: Sequence[InstalledPlugin], error: Exception
    ) -> None:
        if isinstance(error, PluginError):
            failure = error
        else:
            failure = PluginError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
        failure.plugin, failure.distribution = config.name, _source(found)
        if self._strict:
            raise failure
        self._row(config, found, status="failed", error=str(failure))

    def _row(self, config: PluginConfig, found: Sequence[InstalledPlugin], **fields: Any) -> None:
        self.rows.append(
            PluginInfo(
                name=config.name,
                plugin=config.plugin or config.name,
                distribution=", ".join(p.distribution for p in found),
                version=", ".join(p.version for p in found),
                **fields,
            )
        )


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(_hookspecs.PROJECT_NAME)
    manager.add_hookspecs(_hookspecs)
    return manager


def _by_name(installed: Sequence[InstalledPlugin]) -> dict[str, list[InstalledPlugin]]:
    by_name: dict[str, list[InstalledPlugin]] = {}
    for plugin in installed:
        by_name.setdefault(plugin.name, []).append(plugin)
    return by_name


def _source(found: Sequence[InstalledPlugin]) -> str:
    return " and ".join(plugin.source for plugin in found)


def _check_name(name: str) -> None:
    if name == CORE:
        raise PluginError(f"the name {name!r} is the scheduler's own", hint="use another")


def _imported(found: Sequence[InstalledPlugin]) -> Any:
    """Import the plugin that ``found`` stands for."""
    if len(found) > 1:
        raise PluginError(
            f"the name {found[0].name!r} is claimed by {_source(found)}",
            hint="uninstall one of them",
        )
    try:
        return found[0].load()
    except SchedulerError:
        raise
    # A script without `if __name__ == "__main__"` may leave with SystemExit.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"its import failed: {type(error).__name__}: {error}",
            hint=f"try: python -c 'import {found[0].target.partition(':')[0]}'",
        ) from error
