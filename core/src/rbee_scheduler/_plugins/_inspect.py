"""What is wrong with a plugin object, said so that its author can mend it.

Stock pluggy lets some mistakes pass until a hook is called, or for good: a misspelt hook,
a class instead of an object, ``async def`` on a plain hook, keyword-only parameters. Here
each is an error when the plugin is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from rbee_scheduler import _hookspecs
from rbee_scheduler._errors import PluginError


__all__ = ["HOOKS", "hook_functions", "is_async", "spec_arguments"]

_IMPL_MARK = f"{_hookspecs.PROJECT_NAME}_impl"
_MAY_BE_ASYNC = frozenset({"rbee_reserve", "rbee_release", "rbee_pool_command"})

HOOKS: tuple[str, ...] = tuple(name for name in vars(_hookspecs) if name.startswith("rbee_"))


def spec_arguments(hook: str) -> tuple[str, ...]:
    """Return the argument names of ``hook``, in the order of its specification."""
    return tuple(inspect.signature(getattr(_hookspecs, hook)).parameters)


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling ``function`` gives something to await."""
    return inspect.iscoroutinefunction(function)


def hook_functions(plugin: object) -> dict[str, Callable[..., Any]]:
    """Return the hooks that ``plugin`` implements, bound, after checking each.

    Raises:
        PluginError: The object or one of its hooks can't be used; the message says why.
    """
    if inspect.isclass(plugin):
        raise PluginError(
            f"{plugin.__qualname__} is a class",
            hint="give an instance of it, or a module",
        )
    found: dict[str, Callable[..., Any]] = {}
    for name, function in _marked(plugin):
        if name not in HOOKS:
            raise PluginError(f"{name} is no hook", hook=name, hint=_nearest(name))
        _check_signature(name, function)
        found[name] = function
    return found


def _marked(plugin: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    # vars() order would follow the source, but dir() also sees inherited methods; both
    # are made deterministic by sorting.
    for name in sorted(dir(plugin)):
        if name.startswith("__"):
            continue
        if inspect.isdatadescriptor(inspect.getattr_static(plugin, name, None)):
            continue  # a property may have side effects, and can't be a hook
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        marks = getattr(function, _IMPL_MARK, None)
        if marks is None:
            if name in HOOKS and not name.startswith("_"):
                raise PluginError(
                    f"{name} has no @hookimpl", hook=name, hint="mark it, or rename it"
                )
            continue
        if marks.get("wrapper") or marks.get("hookwrapper"):
            raise PluginError(
                f"{name} is a hook wrapper",
                hook=name,
                hint="wrappers are not supported; use rbee_on_event to watch",
            )
        if marks.get("tryfirst") or marks.get("trylast"):
            raise PluginError(
                f"{name} asks for a place in the order",
                hook=name,
                hint="the deployment's list decides the order; drop tryfirst/trylast",
            )
        if name not in HOOKS and marks.get("optionalhook"):
            continue
        yield marks.get("specname") or name, function


def _check_signature(name: str, function: Callable[..., Any]) -> None:
    if is_async(function) and name not in _MAY_BE_ASYNC:
        raise PluginError(
            f"{name} is async",
            hook=name,
            hint="decisions and observers are plain functions; "
            f"only {', '.join(sorted(_MAY_BE_ASYNC))} may wait",
        )
    known = spec_arguments(name)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise PluginError(
                f"parameter {parameter.name!r} is keyword-only",
                hook=name,
                hint="hooks are called by position; take the '*' out of the signature",
            )
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            raise PluginError(
                f"{name} takes *{parameter.name}",
                hook=name,
                hint=f"name the arguments it wants, of: {', '.join(known) or 'none'}",
            )
        if parameter.name not in known and parameter.default is parameter.empty:
            raise PluginError(
                f"{name} has no argument {parameter.name!r}",
                hook=name,
                hint=f"it has: {', '.join(known) or 'none'}",
            )


def _nearest(name: str) -> str:
    near = get_close_matches(name, HOOKS, n=1)
    return f"did you mean {near[0]}?" if near else f"hooks are: {', '.join(HOOKS)}"
