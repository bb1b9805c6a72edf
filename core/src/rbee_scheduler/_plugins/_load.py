"""Loading: from what a deployment lists to configured, checked instances.

Loading imports a plugin, asks for its options class, configures the instance and
registers a *holder* of its hooks with pluggy, which checks them against the
specifications. The holder stands in for the object because pluggy refuses objects that
are equal to one another or can't be hashed, and frozen attrs instances with equal options
are both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pluggy

from rbee_scheduler import _builtin, _hookspecs
from rbee_scheduler._errors import ConfigError, PluginError, SchedulerError
from rbee_scheduler._plugins._discover import InstalledPlugin
from rbee_scheduler._plugins._inspect import hook_functions
from rbee_scheduler._plugins._records import PluginConfig, PluginInfo


__all__ = ["Instance", "Loader", "PluginSource"]

PluginSource = Any  # str | PluginConfig | a plugin object


class _Holder:
    """What pluggy is given to check: an object's hooks, with an identity of its own."""

    def __init__(self, hooks: Mapping[str, Callable[..., Any]]) -> None:
        vars(self).update(hooks)


class Instance:
    """A configured plugin: its hooks, and how the deployment wants it."""

    __slots__ = ("config", "hooks", "source", "strategies")

    def __init__(
        self, config: PluginConfig, source: str, hooks: dict[str, Callable[..., Any]]
    ) -> None:
        self.config = config
        self.source = source
        self.hooks = hooks
        self.strategies: dict[str, dict[str, Callable[..., Any]]] = {}


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

    def load(
        self,
        sources: Iterable[PluginSource] | None,
        only: Collection[str] | None,
        block: Collection[str],
    ) -> None:
        """Load the sources, in order, and core's own plugin last.

        Raises:
            ConfigError: A listed plugin is not installed, or a name is there twice.
            PluginError: When strict: a plugin can't be used.
        """
        names: list[str] = []
        used: set[str] = set()
        for source in self._installed if sources is None else sources:
            config, target = _resolve(source)
            if config.name in names:
                raise ConfigError(
                    f"the plugin instance {config.name!r} is listed twice",
                    hint="give each [[plugins]] table a name of its own",
                )
            names.append(config.name)
            entry = config.plugin or config.name
            used.add(entry)
            if config.name in block or (only is not None and config.name not in only):
                self._row(config, self._installed.get(entry, []), status="blocked")
            elif target is not None:
                self._try(config, "", partial(_itself, target))
            else:
                self._load_installed(config, entry)
        for entry, found in self._installed.items():
            if entry not in used:
                self._row(PluginConfig(name=entry), found, status="unlisted")
        self._check_known((*(only or ()), *block), names)
        self._register(PluginConfig(name="core"), "rbee-scheduler", _builtin)

    def _load_installed(self, config: PluginConfig, entry: str) -> None:
        found = self._installed.get(entry, [])
        if not found:
            raise ConfigError(
                f"the plugin {entry!r} is not installed",
                hint=f"pip install rbee-scheduler-{entry}, or take it out of the list; "
                f"installed: {', '.join(self._installed) or 'none'}",
            )
        if len(found) > 1:
            both = " and ".join(plugin.source for plugin in found)
            error = PluginError(
                f"the name {entry!r} is claimed by {both}", hint="uninstall one of them"
            )
            self._fail(config, found[0], error)
        else:
            self._try(config, found[0].source, found[0].load, found[0])

    def _check_known(self, asked: Iterable[str], listed: Collection[str]) -> None:
        """Refuse a name to load or to block that stands for nothing."""
        known = {*listed, *self._installed}
        for name in asked:
            if name not in known:
                raise ConfigError(
                    f"there is no plugin {name!r}",
                    hint=f"there are: {', '.join(sorted(known)) or 'none'}",
                )

    def _try(
        self,
        config: PluginConfig,
        source: str,
        load: Callable[[], Any],
        found: InstalledPlugin | None = None,
    ) -> None:
        try:
            instance = self._register(config, source, load())
        except Exception as error:  # noqa: BLE001 - whatever a plugin's import does is its row
            self._fail(config, found, error)
            return
        self._row(
            config,
            [found] if found else [],
            order=len(self.instances),
            hooks=tuple(sorted(instance.hooks)),
            strategies=tuple(instance.strategies),
        )

    def _register(self, config: PluginConfig, source: str, plugin: Any) -> Instance:
        hooks = hook_functions(plugin)
        options = _options(config, hooks)
        if "rbee_configure" in hooks:
            configured = hooks["rbee_configure"](
                **_pick(hooks["rbee_configure"], name=config.name, options=options)
            )
            if configured is not None and configured is not plugin:
                kept = {"rbee_options", "rbee_configure", "rbee_register_commands"}
                hooks = {name: hook for name, hook in hooks.items() if name in kept}
                hooks |= hook_functions(configured)
        instance = Instance(config, source, hooks)
        if "rbee_register_strategies" in hooks:
            instance.strategies = self._strategies(hooks["rbee_register_strategies"](), source)
        self._manager.register(_Holder(hooks), config.name)
        self.instances.append(instance)
        return instance

    def _strategies(self, offered: Any, source: str) -> dict[str, dict[str, Callable[..., Any]]]:
        if not isinstance(offered, Mapping):
            raise PluginError(
                f"answered {type(offered).__name__}",
                hook="rbee_register_strategies",
                hint="return a mapping: name -> object with decision hooks",
            )
        taken = {name: i.source for i in self.instances for name in i.strategies}
        checked: dict[str, dict[str, Callable[..., Any]]] = {}
        for name, strategy in offered.items():
            if name in taken:
                raise PluginError(
                    f"the strategy {name!r} comes from both {taken[name]} and {source}",
                    hook="rbee_register_strategies",
                    hint="uninstall or block one of them",
                )
            # A manager of its own checks the strategy's hooks against the specifications.
            checked[name] = hook_functions(strategy)
            _new_manager().register(_Holder(checked[name]), name)
        return checked

    def _fail(self, config: PluginConfig, found: InstalledPlugin | None, error: Exception) -> None:
        source = found.source if found else ""
        if isinstance(error, PluginError):
            error.plugin, error.distribution = config.name, source
            failure: SchedulerError = error
        elif isinstance(error, ConfigError):
            failure = error
        else:
            failure = PluginError(
                f"{type(error).__name__}: {error}",
                plugin=config.name,
                distribution=source,
                hint="its import or its configuration failed",
            )
            failure.__cause__ = error
        if self._strict:
            raise failure
        self._row(config, [found] if found else [], status="failed", error=str(failure))

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


def _resolve(source: PluginSource) -> tuple[PluginConfig, Any]:
    """Return the configuration a source stands for, and its object when it is one."""
    if isinstance(source, str):
        return PluginConfig(name=source), None
    if isinstance(source, PluginConfig):
        return source, None
    name = getattr(source, "__name__", None) or type(source).__name__
    return PluginConfig(name=str(name).rpartition(".")[2]), source


def _options(config: PluginConfig, hooks: dict[str, Callable[..., Any]]) -> Any:
    options_class = hooks["rbee_options"]() if "rbee_options" in hooks else None
    if options_class is None:
        if config.options:
            raise ConfigError(
                f"the plugin takes no options, but got {', '.join(config.options)}",
                place=f"$.plugins[{config.name!r}].options",
            )
        return None
    # cattrs takes 30 ms to import; most deployments have no options to check.
    from rbee_scheduler._wire import structure

    return structure(
        dict(config.options),
        options_class,
        place=f"$.plugins[{config.name!r}].options",
        error=ConfigError,
    )


def _itself(target: Any) -> Any:
    return target


def _pick(function: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    wanted = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in wanted}
