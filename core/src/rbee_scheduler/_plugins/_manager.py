"""`Plugins`: one deployment's set of plugins, as an object.

A deployment lists instances; `_load` makes them, and here each strategy's hooks are
compiled into a `Chain`. From then on nothing can join: the set is frozen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rbee_scheduler import _builtin
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._plugins._chain import Call, Chain, compile_call
from rbee_scheduler._plugins._discover import InstalledPlugin, installed_plugins
from rbee_scheduler._plugins._inspect import HOOKS
from rbee_scheduler._plugins._load import Loader, PluginSource
from rbee_scheduler._plugins._records import PluginConfig, PluginInfo


__all__ = ["Plugins"]

ONLY_VARIABLE = "RBEE_SCHEDULER_PLUGINS"


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
        loader = Loader(installed, strict=strict)
        loader.load(sources, only, block)
        self._instances = loader.instances
        self._rows = loader.rows
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
