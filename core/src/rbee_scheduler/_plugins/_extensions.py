"""Hooks that plugins bring: the specifications of packages that have extension points too.

A package that wants others to extend it names a module of specifications, made like core's
own with `rbee_scheduler.hookspec`, by an entry point of the group ``rbee_scheduler.hookspecs``.
Its hooks begin with ``rbee_`` too, are checked like core's, and are called by whoever specifies
them, through `Plugins.calls`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from rbee_scheduler import _hookspecs


__all__ = ["EXTENSIONS", "extension_hooks"]

EXTENSIONS = "rbee_scheduler.hookspecs"
_MARK = f"{_hookspecs.PROJECT_NAME}_spec"


@cache
def extension_hooks() -> Mapping[str, Callable[..., Any]]:
    """Return the hooks that installed packages specify, by name.

    Looked for once per process, like an import, and only when a plugin has a hook that core
    does not know: it takes 1 to 2 ms, and importing what is found. What can't be used is
    logged and left out; of two packages with one hook, the first by name has it.
    """
    found: dict[str, Callable[..., Any]] = {}
    owners: dict[str, str] = {}
    for entry_point in sorted(entry_points(group=EXTENSIONS), key=lambda one: one.name):
        try:
            module = entry_point.load()
        except Exception as problem:  # noqa: BLE001 - whatever its import raises
            _warn(f"the hooks of {entry_point.value} can't be used: {problem}")
            continue
        for name, function in vars(module).items():
            if not hasattr(function, _MARK):
                continue
            owner = owners.setdefault(name, entry_point.value)
            if not name.startswith("rbee_") or hasattr(_hookspecs, name):
                _warn(f"{owner} can't specify {name}: it is core's, or does not begin with rbee_")
            elif found.setdefault(name, function) is not function:
                _warn(f"{owner} specifies {name}; that of {entry_point.value} is left out")
    return found


def _warn(message: str) -> None:
    logging.getLogger("rbee_scheduler").warning(message)
