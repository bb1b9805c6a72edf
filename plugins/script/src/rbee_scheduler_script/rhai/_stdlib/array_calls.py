"""Arrays: functions that call a closure for each element.

A closure of one parameter gets the element, of two the element and its index, of none finds the
element in `this` (`Run.map_items`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._failures import not_found
from rbee_scheduler_script.rhai._meter import CHUNK
from rbee_scheduler_script.rhai._values import FnPtr, ScriptFunction

from ._native import ANY, Native, changing, rows
from .arrays import offset


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def map_(run: Run, a: list[Any], function: FnPtr) -> list[Any]:
    out = run.map_items(function, a)
    run.allocate(24 * len(out))
    return out


def filter_(run: Run, a: list[Any], function: FnPtr) -> list[Any]:
    return run.filter_items(function, a)


def some(run: Run, a: list[Any], function: FnPtr) -> bool:
    return run.first_item(function, a) >= 0


def all_(run: Run, a: list[Any], function: FnPtr) -> bool:
    return run.first_item(function, a, wanted=False) < 0


def find(run: Run, a: list[Any], function: FnPtr, start: int = 0) -> Any:
    if run.owned:
        run.disown(a)
    begin = offset(start, len(a))
    items = a[begin:] if begin else a
    found = run.first_item(function, items)
    return items[found] if found >= 0 else None


def find_map(run: Run, a: list[Any], function: FnPtr, start: int = 0) -> Any:
    if run.owned:
        run.disown(a)
    begin = offset(start, len(a))
    for at in range(begin, len(a), 16):
        for answer in run.map_items(function, a[at : at + 16], start=at):
            if answer is not None:
                return answer
    return None


def _folding(run: Run, function: FnPtr, start: Any, items: list[Any], step: int) -> Any:
    """`f(total, item)` or `f(total, item, index)` over the items, from either end."""
    if run.owned:
        run.disown(items)
    target: ScriptFunction | None = run.callable(function, 2) or run.callable(function, 3)
    takes = target.arity - len(function.curried) if target is not None else 2
    if takes not in (2, 3):
        raise not_found(function.name, (start, *items[:1]))
    total = start
    if target is None:
        for item in items[::step]:
            total = run.call(function, total, item)
        return total
    code, cost, curried = target.code, target.cost, function.curried
    index = 0 if step > 0 else len(items) - 1
    run.enter()
    try:
        for part in run.chunks(items if step > 0 else items[::-1], cost):
            for item in part:
                if takes == 2:  # noqa: PLR2004 - total and item
                    total = code(run, *curried, total, item)
                else:
                    total = code(run, *curried, total, item, index)
                index += step
    finally:
        run.depth -= 1
    return total


def _initial(run: Run, start: Any) -> Any:
    """The first total; a closure is called for it."""
    return run.call(start) if type(start) is FnPtr else start


def reduce(run: Run, a: list[Any], function: FnPtr, start: Any = None) -> Any:
    return _folding(run, function, _initial(run, start), a, 1)


def reduce_rev(run: Run, a: list[Any], function: FnPtr, start: Any = None) -> Any:
    return _folding(run, function, _initial(run, start), a, -1)


def zip_(run: Run, a: list[Any], b: list[Any], function: FnPtr) -> list[Any]:
    if run.owned:
        run.disown(a)
        run.disown(b)
    out: list[Any] = []
    target = run.callable(function, 2)
    with_index = target is not None and target.arity - len(function.curried) == 3  # noqa: PLR2004
    for index, (x, y) in enumerate(zip(a, b, strict=False)):
        out.append(run.call(function, x, y, index) if with_index else run.call(function, x, y))
    run.array(len(out))
    return out


def for_each(run: Run, a: list[Any], function: FnPtr) -> tuple[None, list[Any]]:
    """`this` is the element, by reference; a parameter gets the index."""
    if run.owned:
        run.disown(a)
    target = run.callable(function, 0) or run.callable(function, 1)
    takes = target.arity - len(function.curried) if target is not None else 1
    changed = a
    for start in range(0, len(a), CHUNK):
        for index, item in enumerate(a[start : start + CHUNK], start):
            box = [item]
            run.call(function, *((index,) if takes else ()), this=box)
            if box[0] is not item:
                changed = run.own(changed)
                changed[index] = box[0]
    return None, changed


NATIVES: Final[tuple[Native, ...]] = (
    *rows(map_, "map", list, FnPtr),
    *rows(filter_, "filter", list, FnPtr),
    *rows(some, "some", list, FnPtr),
    *rows(all_, "all", list, FnPtr),
    *rows(find, "find", list, FnPtr),
    *rows(find, "find", list, FnPtr, int),
    *rows(find_map, "find_map", list, FnPtr),
    *rows(find_map, "find_map", list, FnPtr, int),
    *rows(reduce, "reduce", list, FnPtr),
    *rows(reduce, "reduce", list, FnPtr, ANY),
    *rows(reduce_rev, "reduce_rev", list, FnPtr),
    *rows(reduce_rev, "reduce_rev", list, FnPtr, ANY),
    *rows(zip_, "zip", list, list, FnPtr),
    *changing(for_each, "for_each", list, FnPtr),
)
