"""Hooks that plugins bring: the specifications of packages that have extension points too.

A package that wants others to extend it names a module of specifications, made like core's
own with ``hookspec``, by an entry point of the group ``rbee_scheduler.hookspecs``. Its hooks
begin with ``rbee_`` too, are checked like core's, and are called by whoever specifies them,
through `Plugins.calls`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any


__all__ = ["EXTENSIONS", "extension_hooks"]

EXTENSIONS = "rbee_scheduler.hookspecs"


@cache
def extension_hooks() -> Mapping[str, Callable[..., Any]]:
    """Return the hooks that installed packages specify, by name.

    Looked for once, and only when a plugin has a hook that core does not know: it takes 1 to
    2 ms, and importing what is found.
    """
    found: dict[str, Callable[..., Any]] = {}
    for entry_point in sorted(entry_points(group=EXTENSIONS), key=lambda one: one.name):
        try:
            module = entry_point.load()
        except Exception as problem:  # noqa: BLE001 - whatever its import raises
            logging.getLogger("rbee_scheduler").warning(
                "the hooks of %s can't be used: %s", entry_point.value, problem
            )
            continue
        for name, function in sorted(vars(module).items()):
            if name.startswith("rbee_") and callable(function):
                found.setdefault(name, function)
    return found
