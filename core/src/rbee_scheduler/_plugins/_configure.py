"""One plugin's start: its options, the object that carries its hooks, its strategies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from rbee_scheduler._errors import ConfigError, PluginError
from rbee_scheduler._plugins._chain import compile_call
from rbee_scheduler._plugins._inspect import hook_functions
from rbee_scheduler._plugins._records import PluginConfig


__all__ = ["Hooks", "configure", "offered_strategies"]

Hooks = dict[str, Callable[..., Any]]

# What stays with the plugin when `rbee_configure` answers an object of its own.
_PLUGINS_OWN = frozenset({"rbee_options", "rbee_configure", "rbee_register_commands"})

# What is asked at the start, or whoever decides; of a strategy it never is.
_NOT_A_STRATEGYS = _PLUGINS_OWN | {
    "rbee_lifespan",
    "rbee_register_strategies",
    "rbee_worker_event",
    "rbee_pool_command",
}


def configure(config: PluginConfig, plugin: Any) -> tuple[Hooks, bool]:
    """Return the hooks of the instance, and whether they are an instance's own.

    Raises:
        ConfigError: Its options are wrong.
        PluginError: The plugin can't be used.
    """
    hooks = hook_functions(plugin)
    options = _options(config, hooks)
    configured = None
    if "rbee_configure" in hooks:
        configured = _ask(hooks, "rbee_configure", config.name, options)
    if configured is None or configured is plugin:
        return hooks, False
    left = sorted(hooks.keys() - _PLUGINS_OWN)
    if left:
        raise PluginError(
            f"{', '.join(left)} would never be called",
            hook="rbee_configure",
            hint="the answer of rbee_configure carries all other hooks; move them there",
        )
    return hooks | hook_functions(configured), True


def offered_strategies(hooks: Hooks) -> dict[str, Hooks]:
    """Return the strategies that a plugin registers: name -> checked hooks."""
    if "rbee_register_strategies" not in hooks:
        return {}
    offered = _ask(hooks, "rbee_register_strategies")
    if not isinstance(offered, Mapping) or not all(
        isinstance(name, str) and name for name in offered
    ):
        raise PluginError(
            f"answered {type(offered).__name__}",
            hook="rbee_register_strategies",
            hint="return a mapping: name -> object with decision hooks",
        )
    return {name: _strategy_hooks(name, strategy) for name, strategy in offered.items()}


def _strategy_hooks(name: str, strategy: Any) -> Hooks:
    try:
        hooks = hook_functions(strategy)
    except PluginError as error:
        error.place = f"strategy {name!r}"
        raise
    for hook in sorted(hooks.keys() & _NOT_A_STRATEGYS):
        raise PluginError(
            f"{hook} is never asked of a strategy",
            hook=hook,
            place=f"strategy {name!r}",
            hint="move it to the plugin",
        )
    return hooks


def _options(config: PluginConfig, hooks: Hooks) -> Any:
    """Return the instance's options, checked against the plugin's class of them."""
    place = f"$.plugins[{config.name!r}].options"
    options_class = _ask(hooks, "rbee_options") if "rbee_options" in hooks else None
    if options_class is None:
        if config.options:
            raise ConfigError(
                f"the plugin takes no options, but got {', '.join(config.options)}", place=place
            )
        return None
    if not (isinstance(options_class, type) and attrs.has(options_class)):
        raise PluginError(
            f"answered {options_class!r}", hook="rbee_options", hint="return an attrs class"
        )
    # cattrs takes 30 ms to import; most deployments have no options to check.
    from rbee_scheduler._wire import structure

    return structure(dict(config.options), options_class, place=place, error=ConfigError)


def _ask(hooks: Hooks, hook: str, *arguments: Any) -> Any:
    """Call a hook of the start; a failure names it."""
    call = compile_call(hooks[hook], hook, plugin="", source="")
    try:
        return call.function(*arguments)
    except ConfigError:
        raise
    except Exception as problem:
        raise call.failure(problem) from problem
