"""What helpers of arrays share: keys from closures, the best of them, fields of workers."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import islice, repeat
from typing import Any, Final

from rbee_scheduler_script import rhai


__all__ = ["best", "field", "field_values", "keys_of", "numbers", "sorted_by", "workers_of"]

Map = dict[str, Any]

# An element costs a helper about 50 ns, which is what the engine calls a step.
_NUMBERS: Final = frozenset((int, float))

# Elements sorted between two looks at the meter; about 1 ms.
_PIECE: Final = 2_048


def workers_of(run: rhai.Run, items: Any, helper: str) -> list[Map]:
    """Return ``items`` when they are workers (an array of maps), paid for."""
    if type(items) is not list:
        raise run.fail(f"{helper}() is a function of arrays of workers")
    run.charge(len(items) + 1)
    if items and type(items[0]) is not dict:
        raise run.fail(f"{helper}() is a function of arrays of workers; this is another array")
    return items


def field(run: rhai.Run, items: Any, helper: str, test: Callable[[Map], object]) -> list[Map]:
    """Return those of the workers ``items`` that pass ``test``."""
    workers = workers_of(run, items, helper)
    run.charge(2 * len(workers))
    try:
        kept = [worker for worker in workers if test(worker)]
    except (AttributeError, KeyError, TypeError):
        raise run.fail(f"{helper}(): an element is no worker") from None
    run.allocate(8 * len(kept))
    return kept


def field_values(run: rhai.Run, items: Any, helper: str, name: str) -> list[Any]:
    """Return one field of each of the workers ``items``."""
    workers = workers_of(run, items, helper)
    try:
        return list(map(dict.get, workers, repeat(name)))
    except TypeError:
        raise run.fail(f"{helper}(): an element is no worker") from None


def keys_of(run: rhai.Run, items: Any, key: Any, helper: str) -> list[Any]:
    """Return what a key says of each item: a closure, or the name of a field."""
    if type(items) is not list:
        raise run.fail(f"{helper}() is a function of arrays")
    if type(key) is rhai.FnPtr:
        return run.map_items(key, items)
    if type(key) is str:
        return field_values(run, items, helper, key)
    raise run.fail(f"{helper}() wants a closure such as |w| w.load, or the name of a field")


def numbers(run: rhai.Run, keys: list[Any], helper: str) -> list[float]:
    """Return the keys that are numbers; unit is left out, anything else fails."""
    run.charge(len(keys) >> 2)
    if _NUMBERS.issuperset(map(type, keys)):
        return keys
    kept = [key for key in keys if key is not None]
    for at, key in enumerate(keys):
        if key is not None and type(key) not in _NUMBERS:
            raise run.fail(
                f"{helper}(): the key of element {at} is no number (a {type(key).__name__})"
            )
    return kept


def best(run: rhai.Run, items: list[Any], keys: list[Any], helper: str, *, least: bool) -> Any:
    """Return the item with the least (or greatest) key, the earliest of equals; unit for none.

    An item whose key is unit or NaN is only taken when there is no other.
    """
    if not items:
        return None
    run.charge(len(keys) >> 1)
    choose = min if least else max
    try:
        total = sum(keys)
    except TypeError:  # there are texts or units among them
        if set(map(type, keys)) == {str}:
            return items[keys.index(choose(keys))]
    else:
        # NaN compares false with everything: it would win or lose by its place. A sum is NaN when
        # one of its terms is.
        if total == total:  # noqa: PLR0124 - false for NaN
            return items[keys.index(choose(keys))]
    known = [
        (key, -at if not least else at)
        for at, key in enumerate(keys)
        if key is not None and key == key  # noqa: PLR0124 - false for NaN
    ]
    if not known:
        return items[0]
    if {type(key) for key, _ in known} - _NUMBERS:
        raise run.fail(f"{helper}(): the keys are of different types")
    return items[abs(choose(known)[1])]


def sorted_by(run: rhai.Run, items: list[Any], keys: list[Any], helper: str) -> list[Any]:
    """Return the items by ascending key, equals in their order; unit and NaN come last."""
    run.charge(4 * len(items))
    run.array(len(items))
    unknown = [key is None or key != key for key in keys]  # noqa: PLR0124 - true for NaN
    kinds = {type(key) for key, is_unknown in zip(keys, unknown, strict=True) if not is_unknown}
    if not (kinds <= _NUMBERS or kinds == {str}):
        raise run.fail(f"{helper}(): the keys are of different types, or can't be ordered")
    neutral: Any = "" if kinds == {str} else 0
    pairs = [
        (is_unknown, neutral if is_unknown else key, at)
        for at, (is_unknown, key) in enumerate(zip(unknown, keys, strict=True))
    ]
    return [items[at] for _, _, at in _merged(run, pairs)]


def _merged(run: rhai.Run, pairs: list[Any]) -> list[Any]:
    """Return ``pairs`` sorted, in pieces between which the meter is looked at.

    Sorting 100,000 in one go takes 0.2 s, during which no limit would be seen.
    """
    parts = []
    for start in range(0, len(pairs), _PIECE):
        run.charge(8 * min(_PIECE, len(pairs) - start))
        parts.append(sorted(pairs[start : start + _PIECE]))
    if len(parts) <= 1:
        return parts[0] if parts else []
    merged = heapq.merge(*parts)
    out: list[Any] = []
    while part := list(islice(merged, _PIECE)):
        run.charge(20 * len(part))
        out += part
    return out
