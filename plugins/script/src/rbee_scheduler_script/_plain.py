"""Values as scripts take them: exact plain types, integers of 64 bits, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final


__all__ = ["EXACT", "plain", "plain_map"]

# What a script takes as it is. `bool`, `str` and the numbers by exact type: a StrEnum or a numpy
# float is converted, because the engine compares types and would refuse it when it is used.
EXACT: Final = frozenset((str, float, bool, type(None)))

_I64: Final = range(-(2**63), 2**63)


def plain(value: Any) -> Any:
    """Return ``value`` as a script value; what has no plain form becomes its text."""
    kind = type(value)
    if kind in EXACT:
        return value
    if isinstance(value, int):
        # Seeds are often unsigned 64-bit numbers; a float is the nearest a script can hold.
        return int(value) if value in _I64 else float(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return plain_map(value)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return str(value)


def plain_map(value: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping as a script's map."""
    return {str(key): plain(item) for key, item in value.items()}
