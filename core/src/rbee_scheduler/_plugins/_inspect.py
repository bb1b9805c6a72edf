"""What is wrong with a plugin object, said so that its author can mend it.

Stock pluggy lets some mistakes pass until a hook is called, or for good: a misspelt hook,
a class instead of an object, ``async def`` on a plain hook, keyword-only parameters, a
``yield`` that turns a hook into a generator nobody runs. Here each is an error when the
plugin is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, cast

from rbee_scheduler import _hookspecs
from rbee_scheduler._errors import PluginError
from rbee_scheduler._plugins._extensions import extension_hooks


__all__ = ["HOOKS", "hook_functions", "is_async", "spec_arguments"]

_IMPL_MARK = f"{_hookspecs.PROJECT_NAME}_impl"
_MAY_BE_ASYNC = frozenset({"rbee_check_quota", "rbee_reserve", "rbee_release", "rbee_pool_command"})

_LAZY = object()  # a name that dir() shows and nobody has set: a module's __getattr__ makes it

HOOKS: tuple[str, ...] = tuple(name for name in vars(_hookspecs) if name.startswith("rbee_"))


def spec_arguments(hook: str) -> tuple[str, ...]:
    """Return the argument names of ``hook``, in the order of its specification."""
    specification = _specification(hook)
    assert specification is not None  # noqa: S101 - only hooks that are known get here
    return tuple(inspect.signature(specification).parameters)


def _specification(hook: str) -> Callable[..., Any] | None:
    """Return the specification of ``hook``: core's, or that of an installed package."""
    if hook in HOOKS:
        return cast("Callable[..., Any]", getattr(_hookspecs, hook))
    return extension_hooks().get(hook) if hook.startswith("rbee_") else None


def _may_be_async(hook: str) -> bool:
    if hook in HOOKS:
        return hook in _MAY_BE_ASYNC
    specification = _specification(hook)
    return specification is not None and is_async(specification)


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
        if _specification(name) is None:
            raise PluginError(f"{name} is no hook", hook=name, hint=_nearest(name))
        if name in found:
            raise PluginError(f"two functions implement {name}", hook=name, hint="drop one")
        _check_signature(name, function)
        found[name] = function
    return found


def _marked(plugin: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    # vars() order would follow the source, but dir() also sees inherited methods; both
    # are made deterministic by sorting.
    for name in sorted(dir(plugin)):
        # Looked at from outside first: a property, or a name that is imported when it is
        # first used, may have side effects, and is no hook.
        static = inspect.getattr_static(plugin, name, _LAZY)
        is_lazy_hook = static is _LAZY and name in HOOKS
        function = getattr(plugin, name) if is_lazy_hook or _is_function(static) else static
        if not inspect.isroutine(function):
            if name in HOOKS:
                kind = type(function).__name__
                raise PluginError(f"{name} is no function but a {kind}", hook=name)
            continue
        marks = getattr(function, _IMPL_MARK, None)
        if marks is None:
            if _specification(name) not in {None, function}:
                raise PluginError(
                    f"{name} has no @hookimpl", hook=name, hint="mark it, or rename it"
                )
            continue
        _check_marks(name, marks)
        hook = marks.get("specname") or name
        if _specification(hook) is not None or not marks.get("optionalhook"):
            yield hook, function


def _check_marks(name: str, marks: Mapping[str, Any]) -> None:
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


def _is_function(static: object) -> bool:
    return isinstance(static, (staticmethod, classmethod)) or (
        # A cached property passes for a routine, but can't be called.
        inspect.isroutine(static) and callable(static)
    )


def _check_signature(name: str, function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(
            f"{name} is a generator", hook=name, hint="return the answer instead of yielding it"
        )
    if is_async(function) and not _may_be_async(name):
        raise PluginError(
            f"{name} is async",
            hook=name,
            hint="decisions and observers are plain functions; "
            f"only {', '.join(sorted(_MAY_BE_ASYNC))} may wait",
        )
    known = spec_arguments(name)
    unbound = getattr(function, "__func__", None)
    if unbound is not None and next(iter(inspect.signature(unbound).parameters), "") in known:
        raise PluginError(f"{name} has no self", hook=name, hint="a method's first one is self")
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
        optional = (
            parameter.default is not parameter.empty
            and parameter.kind is not parameter.POSITIONAL_ONLY
        )
        if parameter.name not in known and not optional:
            raise PluginError(
                f"{name} has no argument {parameter.name!r}",
                hook=name,
                hint=f"it has: {', '.join(known) or 'none'}",
            )


def _nearest(name: str) -> str:
    near = get_close_matches(name, [*HOOKS, *extension_hooks()], n=1)
    return f"did you mean {near[0]}?" if near else f"hooks are: {', '.join(HOOKS)}"
