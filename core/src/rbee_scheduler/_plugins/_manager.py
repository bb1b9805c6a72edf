"""`Plugins`: one deployment's set of plugins, as an object.

Theory of operation. A deployment lists instances; each names an installed plugin (or is
an object). Loading imports it, asks for its options class, configures the instance and
registers a *holder* of its hooks with pluggy, which checks them against the
specifications. `freeze` then compiles one `Chain` per strategy and ends registration.
The holder stands in for the object because pluggy refuses objects that are equal to one
another or can't be hashed, and frozen attrs instances with equal options are both.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pluggy

from rbee_scheduler import _builtin, _hookspecs
from rbee_scheduler._errors import ConfigError, PluginError, SchedulerError
from rbee_scheduler._plugins._chain import Call, Chain, compile_call
from rbee_scheduler._plugins._discover import InstalledPlugin, installed_plugins
from rbee_scheduler._plugins._inspect import HOOKS, hook_functions
from rbee_scheduler._plugins._records import PluginConfig, PluginInfo


__all__ = ["PluginSource", "Plugins"]

ONLY_VARIABLE = "RBEE_SCHEDULER_PLUGINS"

PluginSource = Any  # str | PluginConfig | a plugin object


class _Holder:
    """What pluggy is given to check: an object's hooks, with an identity of its own."""

    def __init__(self, hooks: Mapping[str, Callable[..., Any]]) -> None:
        vars(self).update(hooks)


class _Instance:
    """A configured plugin: its hooks, and how the deployment wants it."""

    __slots__ = ("config", "hooks", "source", "strategies")

    def __init__(self, config: PluginConfig, source: str, hooks: dict[str, Callable[..., Any]]) -> None:
        self.config = config
        self.source = source
        self.hooks = hooks
        self.strategies: dict[str, dict[str, Callable[..., Any]]] = {}


class Plugins:
    """The plugins of one scheduler.

    Args:
        sources: What to use, in the order of asking: names of installed plugins,
            `PluginConfig`, or plugin objects. None: every installed plugin, by name.
        only: Use only these of the sources (names); empty for none. By default the
            environment variable ``RBEE_SCHEDULER_PLUGINS``, a comma-separated list.
        block: Leave these out (names).
        strict: Whether a plugin that can't be used stops the start. Otherwise it is left
            out, and shows as a row with status ``"failed"``.
        installed: The installed plugins; found by entry point when not given.

    Raises:
        ConfigError: A listed plugin is not installed, or a name is there twice.
        PluginError: With ``strict``: a plugin can't be used; its distribution is named.

    Example:
        >>> plugins = Plugins([])
        >>> plugins.chain("first-available").strategy
        'first-available'
    """

    def __init__(
        self,
        sources: Iterable[PluginSource] | None = None,
        *,
        only: Collection[str] | None = None,
        block: Collection[str] = (),
        strict: bool = False,
        installed: Sequence[InstalledPlugin] | None = None,
    ) -> None:
        self._strict = strict
        self._manager = pluggy.PluginManager(_hookspecs.PROJECT_NAME)
        self._manager.add_hookspecs(_hookspecs)
        self._instances: list[_Instance] = []
        self._rows: list[PluginInfo] = []
        self._chains: dict[str, Chain] = {}
        if only is None and (listed := os.environ.get(ONLY_VARIABLE)) is not None:
            only = [name.strip() for name in listed.split(",") if name.strip()]
        sources = None if sources is None else list(sources)
        # Looking at every distribution costs 1 to 2 ms; plugin objects don't need it.
        if installed is None:
            objects = sources is not None and not any(
                isinstance(source, (str, PluginConfig)) for source in sources
            )
            installed = [] if objects else installed_plugins()
        self._load(sources, _by_name(installed), only, block)
        self._compile()

    # ---- what there is -----------------------------------------------------------------

    @property
    def rows(self) -> tuple[PluginInfo, ...]:
        """Every plugin, used or not, in the order of asking; failures are visible."""
        return tuple(self._rows)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of all strategies."""
        return tuple(self._chains)

    @property
    def default_strategy(self) -> str:
        """The strategy used when the deployment names none.

        The first one of the first listed plugin that has any; else ``"best-score"``.
        """
        for instance in self._instances[:-1]:  # the last one is core's own
            for name in instance.strategies:
                return name
        return _builtin.BEST_SCORE

    @property
    def digest(self) -> str:
        """sha256 (hex) of what takes part in decisions: names, versions, order, options."""
        lines = [
            repr(
                (
                    instance.config.name,
                    instance.source,
                    instance.config.weight,
                    instance.config.on_error,
                    sorted((k, repr(v)) for k, v in instance.config.options.items()),
                    sorted(instance.hooks),
                    sorted(instance.strategies),
                )
            )
            for instance in self._instances
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def chain(self, strategy: str) -> Chain:
        """Return the compiled hooks of ``strategy``.

        Raises:
            ConfigError: There is no such strategy.
        """
        chain = self._chains.get(strategy)
        if chain is None:
            raise ConfigError(
                f"there is no strategy {strategy!r}",
                hint=f"there are: {', '.join(sorted(self._chains))}",
            )
        return chain

    def register_commands(self, cli: Any) -> None:
        """Let plugins add their commands to ``cli`` (a click group).

        Raises:
            ConfigError: Two distributions claim one command name.
        """
        owners = dict.fromkeys(cli.commands, "rbee-scheduler")
        for instance in self._instances:
            function = instance.hooks.get("rbee_register_commands")
            if function is None:
                continue
            before = dict(cli.commands)
            compile_call(function, "rbee_register_commands", plugin="", source="").function(cli)
            for name, command in cli.commands.items():
                if before.get(name) is command:
                    continue
                if name in owners:
                    raise ConfigError(
                        f"the command {name!r} comes from both {owners[name]} and {instance.source}",
                        hint="block one of them with --block",
                    )
                owners[name] = instance.source

    # ---- loading -----------------------------------------------------------------------

    def _load(
        self,
        sources: list[PluginSource] | None,
        installed: dict[str, list[InstalledPlugin]],
        only: Collection[str] | None,
        block: Collection[str],
    ) -> None:
        wanted = list(installed) if sources is None else sources
        names: set[str] = set()
        used: set[str] = set()
        for source in wanted:
            config, target = _resolve(source)
            if config.name in names:
                raise ConfigError(
                    f"the plugin instance {config.name!r} is listed twice",
                    hint="give each [[plugins]] table a name of its own",
                )
            names.add(config.name)
            entry = config.plugin or config.name
            used.add(entry)
            found = installed.get(entry, [])
            if config.name in block or (only is not None and config.name not in only):
                self._row(config, found, status="blocked")
            elif target is not None:
                self._try(config, "", lambda target=target: target)
            elif not found:
                raise ConfigError(
                    f"the plugin {entry!r} is not installed",
                    hint=f"pip install rbee-scheduler-{entry}, or take it out of the list; "
                    f"installed: {', '.join(installed) or 'none'}",
                )
            elif len(found) > 1:
                both = " and ".join(plugin.source for plugin in found)
                self._fail(config, found[0], PluginError(
                    f"the name {entry!r} is claimed by {both}", hint="uninstall one of them"
                ))  # fmt: skip
            else:
                self._try(config, found[0].source, found[0].load, found[0])
        for entry, found in installed.items():
            if entry not in used:
                self._row(PluginConfig(name=entry), found, status="unlisted")
        for name in (*(only or ()), *block):
            if name not in names and name not in installed:
                raise ConfigError(
                    f"there is no plugin {name!r}",
                    hint=f"there are: {', '.join(sorted({*names, *installed})) or 'none'}",
                )
        builtin = PluginConfig(name="core", plugin="core")
        self._register(builtin, "rbee-scheduler", _builtin)

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
            order=len(self._instances),
            hooks=tuple(sorted(instance.hooks)),
            strategies=tuple(instance.strategies),
        )

    def _register(self, config: PluginConfig, source: str, plugin: Any) -> _Instance:
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
        instance = _Instance(config, source, hooks)
        if "rbee_register_strategies" in hooks:
            instance.strategies = self._strategies(hooks["rbee_register_strategies"](), source)
        self._manager.register(_Holder(hooks), config.name)
        self._instances.append(instance)
        return instance

    def _strategies(self, offered: Any, source: str) -> dict[str, dict[str, Callable[..., Any]]]:
        if not isinstance(offered, Mapping):
            raise PluginError(
                f"answered {type(offered).__name__}",
                hook="rbee_register_strategies",
                hint="return a mapping: name -> object with decision hooks",
            )
        taken = {name: i.source for i in self._instances for name in i.strategies}
        checked: dict[str, dict[str, Callable[..., Any]]] = {}
        for name, strategy in offered.items():
            if name in taken:
                raise PluginError(
                    f"the strategy {name!r} comes from both {taken[name]} and {source}",
                    hook="rbee_register_strategies",
                    hint="uninstall or block one of them",
                )
            # A manager of its own checks the strategy's hooks against the specifications.
            manager = pluggy.PluginManager(_hookspecs.PROJECT_NAME)
            manager.add_hookspecs(_hookspecs)
            checked[name] = hook_functions(strategy)
            manager.register(_Holder(checked[name]), name)
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
        self._rows.append(
            PluginInfo(
                name=config.name,
                plugin=config.plugin or config.name,
                distribution=", ".join(p.distribution for p in found),
                version=", ".join(p.version for p in found),
                **fields,
            )
        )

    # ---- compiling ---------------------------------------------------------------------

    def _compile(self) -> None:
        own = {hook: self._calls(hook) for hook in HOOKS}
        for instance in self._instances:
            for name, hooks in instance.strategies.items():
                calls = {
                    hook: compile_call(
                        function,
                        hook,
                        plugin=name,
                        source=instance.source,
                        weight=instance.config.weight,
                        on_error=instance.config.on_error,
                    )
                    for hook, function in hooks.items()
                }
                self._chains[name] = _chain(name, own, calls)

    def _calls(self, hook: str) -> tuple[Call, ...]:
        return tuple(
            compile_call(
                instance.hooks[hook],
                hook,
                plugin=instance.config.name,
                source=instance.source,
                weight=instance.config.weight,
                on_error=instance.config.on_error,
            )
            for instance in self._instances
            if hook in instance.hooks
        )


def _chain(strategy: str, own: dict[str, tuple[Call, ...]], of: dict[str, Call]) -> Chain:
    """Join the plugins' calls and the strategy's: filters of all, its selector first."""

    def all_of(hook: str) -> tuple[Call, ...]:
        return own[hook] + ((of[hook],) if hook in of else ())

    def its_first(hook: str) -> tuple[Call, ...]:
        return ((of[hook],) if hook in of else ()) + own[hook]

    reserve = all_of("rbee_reserve")
    return Chain(
        strategy=strategy,
        check_quota=all_of("rbee_check_quota"),
        filter_workers=all_of("rbee_filter_workers"),
        score_workers=all_of("rbee_score_workers"),
        select_worker=its_first("rbee_select_worker"),
        order_queue=its_first("rbee_order_queue"),
        reserve=reserve,
        release=tuple(reversed(all_of("rbee_release"))),
        worker_event=own["rbee_worker_event"],
        pool_command=own["rbee_pool_command"],
        on_event=all_of("rbee_on_event"),
    )


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
        dict(config.options), options_class, place=f"$.plugins[{config.name!r}].options", error=ConfigError
    )


def _pick(function: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    wanted = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in wanted}
