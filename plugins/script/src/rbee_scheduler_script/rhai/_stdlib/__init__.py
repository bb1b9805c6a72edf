"""The standard library: every function scripts have without the host's help.

Attributes:
    CHANGING: Names and arities that change their receiver; these answer `(result, new receiver)`.
    NATIVES: All functions by name and arity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import (
    array_calls,
    array_changes,
    arrays,
    blobs,
    core,
    floats,
    json,
    maps,
    numbers,
    ranges,
    string_changes,
    strings,
)
from ._native import dispatchers


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_MODULES: Final = (
    array_calls, array_changes, arrays, blobs, core, floats, json, maps, numbers, ranges,
    string_changes, strings,
)  # fmt: skip

_built: Final = dispatchers(native for module in _MODULES for native in module.NATIVES)
NATIVES: Final[Mapping[tuple[str, int], Callable[..., Any]]] = _built[0]
CHANGING: Final[frozenset[tuple[str, int]]] = _built[1]
