"""`Plugins`: one deployment's set of plugins, as an object.

A deployment lists instances; `_load` makes them, and here each strategy's hooks are
compiled into a `Chain`. From then on nothing can join: the set is frozen.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs

from rbee_scheduler import _builtin
from rbee_scheduler._errors import ConfigError
from rbee_scheduler._plugins._chain import Call, Chain, compile_call
from rbee_scheduler._plugins._discover import InstalledPlugin, installed_plugins
from rbee_scheduler._plugins._inspect import HOOKS
from rbee_scheduler._plugins._listing import Listed, PluginSource, listed
from rbee_scheduler._plugins._load import Instance, Loader
from rbee_scheduler._plugins._records import PluginInfo


__all__ = ["Plugins"]

ONLY_VARIABLE = "RBEE_SCHEDULER_PLUGINS"


class Plugins:
    """The plugins of one scheduler.

    Args:
        sources: What to use, in the order of asking: names of installed plugins,
            `PluginConfig`, or plugin objects. None: every installed plugin, by name.
        only: Use only these of the sources: names of instances, or of plugins for all
            their instances; empty for none. By default the environment variable
            ``RBEE_SCHEDULER_PLUGINS``, a comma-separated list, which says nothing of
            plugin objects.
        block: Leave these out (names, as for ``only``).
        strict: Whether a plugin that can't be used stops the start. Otherwise it is left
            out, and shows as a row with status ``"failed"``.
        installed: The installed plugins; found by entry point when not given.
        environ: Where ``RBEE_SCHEDULER_PLUGINS`` is looked up; the process's own
            environment when not given.

    Raises:
        ConfigError: The deployment is wrong: a listed plugin is not installed, a name is
            there twice or unknown, an option is wrong, two plugins claim one strategy.
        PluginError: With ``strict``: a plugin can't be used; its distribution is named.

    Example:
        >>> plugins = Plugins([])
        >>> plugins.chain("best-score").strategy
        'best-score'
    """

    def __init__(
        self,
        sources: Iterable[PluginSource] | None = None,
        *,
        only: Collection[str] | None = None,
        block: Collection[str] = (),
        strict: bool = False,
        installed: Sequence[InstalledPlugin] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._chains: dict[str, Chain] = {}
        self._wrap: Callable[[Call], Callable[..., Any]] | None = None
        self._strict = strict
        wanted = None if sources is None else listed(sources)
        by_name = wanted is None or any(one.target is None for one in wanted)
        place = ""
        if only is None and by_name:
            place = ONLY_VARIABLE
            only = _from_environment(os.environ if environ is None else environ, wanted)
        # Looking at every distribution costs 1 to 2 ms; plugin objects don't need it.
        if installed is None:
            installed = installed_plugins() if by_name or only or block else []
        loader = Loader(installed, strict=strict)
        loader.check_known(only or (), wanted, place)
        loader.check_known(block, wanted, "")
        loader.load(wanted, only, block)
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
                    json.dumps(dict(instance.config.options), sort_keys=True, default=repr),
                    sorted(instance.hooks),
                    sorted(instance.strategies),
                )
            )
            for instance in self._instances
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def lifespans(self) -> tuple[Call, ...]:
        """What is entered with a scheduler, in the order of asking (`rbee_lifespan`)."""
        return tuple(call for _, call in self._calls_of("rbee_lifespan"))

    def calls(self, hook: str) -> tuple[Call, ...]:
        """Return the implementations of ``hook``, in the order of asking.

        For packages with hooks of their own (the entry-point group ``rbee_scheduler.hookspecs``).

        Args:
            hook: Its name.
        """
        return tuple(call for _, call in self._calls_of(hook))

    def wrap_calls(self, wrap: Callable[[Call], Callable[..., Any]]) -> None:
        """Let every hook of a request's way be called through what ``wrap`` makes of it.

        For who measures; schedulers that were made before are not touched.

        Args:
            wrap: Given an implementation; returns the function to call in its stead, with the
                same arguments. Of an ``async`` one it must return something to await.
        """
        self._wrap = wrap
        self._compile()

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

        A plugin that fails is logged, and the others' commands are there all the same.

        Raises:
            ConfigError: Two distributions claim one command name.
            PluginError: With ``strict``: a plugin failed.
        """
        owners = dict.fromkeys(cli.commands, "rbee-scheduler")
        asked: set[Callable[..., Any]] = set()
        for instance, call in self._calls_of("rbee_register_commands"):
            function = instance.hooks["rbee_register_commands"]
            if function in asked:
                continue  # one plugin, several instances: its commands are there
            asked.add(function)
            before = dict(cli.commands)
            try:
                call.function(cli)
            except Exception as problem:
                error = call.failure(problem)
                if self._strict:
                    raise error from problem
                logging.getLogger("rbee_scheduler").warning("%s", error)
            for name, command in cli.commands.items():
                if before.get(name) is command:
                    continue
                if name in owners:
                    both = f"{owners[name]} and {instance.source}"
                    raise ConfigError(
                        f"the command {name!r} comes from both {both}",
                        hint="block one of them with --block",
                    )
                owners[name] = instance.source

    # ---- compiling ---------------------------------------------------------------------

    def _compile(self) -> None:
        own = {
            hook: tuple(self._wrapped(call) for _, call in self._calls_of(hook)) for hook in HOOKS
        }
        for instance in self._instances:
            for name, hooks in instance.strategies.items():
                calls = {
                    hook: self._wrapped(_call(instance, hook, function, strategy=name))
                    for hook, function in hooks.items()
                }
                self._chains[name] = _chain(name, own, calls)

    def _wrapped(self, call: Call) -> Call:
        return call if self._wrap is None else attrs.evolve(call, function=self._wrap(call))

    def _calls_of(self, hook: str) -> list[tuple[Instance, Call]]:
        return [
            (instance, _call(instance, hook, instance.hooks[hook]))
            for instance in self._instances
            if hook in instance.hooks
        ]


def _call(instance: Instance, hook: str, function: Callable[..., Any], strategy: str = "") -> Call:
    return compile_call(
        function,
        hook,
        plugin=strategy or instance.config.name,
        source=instance.source,
        weight=instance.config.weight,
        on_error=instance.config.on_error,
        strategy=strategy,
    )


def _from_environment(
    environ: Mapping[str, str], wanted: Iterable[Listed] | None
) -> list[str] | None:
    """Return the names that the environment allows, or None for all."""
    text = environ.get(ONLY_VARIABLE)
    if text is None:
        return None
    objects = [one.config.name for one in wanted or () if one.target is not None]
    return [name for part in text.split(",") if (name := part.strip())] + objects


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
        no_candidate=its_first("rbee_no_candidate"),
        order_queue=its_first("rbee_order_queue"),
        order_lane=its_first("rbee_order_lane"),
        reserve=reserve,
        release=tuple(reversed(all_of("rbee_release"))),
        worker_event=own["rbee_worker_event"],
        pool_command=own["rbee_pool_command"],
        on_event=all_of("rbee_on_event"),
    )
