"""Whether two pieces of a script say the same."""

from __future__ import annotations

from typing import Any, Final

import attrs

from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["is_pure", "shape_of"]

# Facts that the parser gathers about a node, and places: they say nothing of what it means.
_ASIDE: Final = frozenset({"line", "column", "number", "captures", "has_closures", "visible"})

# Functions that may answer otherwise when asked again.
_FICKLE: Final = frozenset({"random", "timestamp", "pop", "shift", "remove", "drain", "call"})


def shape_of(value: Any) -> Any:
    """Return what a node says, without places, in a form that can be compared and hashed."""
    if isinstance(value, tree.Node):
        fields = attrs.fields(type(value))
        parts = (shape_of(getattr(value, f.name)) for f in fields if f.name not in _ASIDE)
        return (type(value).__name__, *parts)
    if isinstance(value, list | tuple):
        return tuple(map(shape_of, value))
    if isinstance(value, tree.Binding):
        return value.python
    # 1, 1.0 and true are equal in Python, and differ here.
    return (type(value).__name__, value)


def is_pure(node: tree.Node) -> bool:
    """Whether the expression answers the same when it is asked again."""
    return not any(
        isinstance(part, tree.Call | tree.MethodCall) and part.name in _FICKLE
        for part in tree.walk(node)
    )
