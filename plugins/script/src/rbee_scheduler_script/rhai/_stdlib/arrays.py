"""Arrays: reading them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import slice_of
from rbee_scheduler_script.rhai._compare import contains, equal
from rbee_scheduler_script.rhai._errors import RhaiError
from rbee_scheduler_script.rhai._values import Char, FnPtr, Range, ScriptFunction

from ._native import ANY, Native, rows


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


_SORTABLE: Final = frozenset((int, float, bool, str, Char))


def offset(start: int, size: int) -> int:
    """A start that may count from the end, clamped to what there is."""
    return max(size + start, 0) if start < 0 else min(start, size)


def span(size: int, start: int, length: int) -> tuple[int, int]:
    """Start and end of `length` elements from a start that may count from the end."""
    begin = offset(start, size)
    return begin, begin + max(min(length, size - begin), 0)


def extract(run: Run, a: list[Any], start: int, length: int | None = None) -> list[Any]:
    begin, end = span(len(a), start, len(a) if length is None else length)
    return taken(run, a, begin, end)


def extract_range(run: Run, a: list[Any], part: Range) -> list[Any]:
    return taken(run, a, *slice_of(part, len(a)))


def taken(run: Run, a: list[Any], start: int, end: int) -> list[Any]:
    """A part of an array as an array of its own."""
    run.array(end - start)
    if run.owned:
        run.disown(a)
    return a[start:end]


def get(run: Run, a: list[Any], at: int) -> Any:
    if not -len(a) <= at < len(a):
        return None
    if run.owned:
        run.disown(a[at])
    return a[at]


def index_of(run: Run, a: list[Any], item: Any, start: int = 0) -> int:
    begin = offset(start, len(a))
    run.charge(len(a) - begin + 1)
    for index in range(begin, len(a)):
        if equal(run, a[index], item):
            return index
    return -1


def index_of_call(run: Run, a: list[Any], function: FnPtr, start: int = 0) -> int:
    if run.owned:
        run.disown(a)
    begin = offset(start, len(a))
    found = run.first_item(function, a[begin:] if begin else a)
    return found + begin if found >= 0 else -1


def has(run: Run, a: list[Any], item: Any) -> bool:
    return contains(run, item, a)


def same_type(a: list[Any]) -> None:
    """Refuse to sort what has no order."""
    kinds = set(map(type, a))
    if len(kinds) > 1:
        what = "elements of different types cannot be sorted"
    elif kinds and not kinds <= _SORTABLE:
        what = "elements of array cannot be sorted"
    else:
        return
    raise RhaiError(
        "ErrorFunctionNotFound", f"Function not found: {what}", details={"function": what}
    )


def natural(run: Run, a: list[Any], *, reverse: bool) -> list[Any]:
    """The elements in their own order; equal ones keep theirs."""
    same_type(a)
    run.charge(4 * len(a) + 1)
    run.array(len(a))
    out = sorted(a)
    if reverse:
        out.reverse()
    return out


def compared(run: Run, a: list[Any], function: FnPtr) -> list[Any]:
    """The elements in the order a comparer gives: an int's sign, or true for "before"."""
    run.array(len(a))
    if run.owned:
        run.disown(a)
    target = run.callable(function, 2)
    curried = function.curried
    if target is None or target.arity != len(curried) + 2:
        # By name, or of the wrong shape: the general way, which also says what is wrong.
        curried = ()
        target = ScriptFunction(2, lambda run, x, y: run.call(function, x, y), 1, uses_this=False)
    code, cost = target.code, target.cost + 1

    def compare(x: Any, y: Any) -> int:
        run.left -= cost
        if run.left < run.look:
            run.check()
        answer = code(run, *curried, x, y)
        if type(answer) is int:
            return answer
        if type(answer) is bool:
            return -1 if answer else 1
        # The official engine falls back to an order of the types.
        left, right = type(x).__name__, type(y).__name__
        return (left > right) - (left < right)

    run.enter()
    try:
        return sorted(a, key=functools.cmp_to_key(compare))
    finally:
        run.depth -= 1


def order(run: Run, a: list[Any]) -> list[Any]:
    return natural(run, a, reverse=False)


def order_desc(run: Run, a: list[Any]) -> list[Any]:
    return natural(run, a, reverse=True)


NATIVES: Final[tuple[Native, ...]] = (
    *rows(lambda _, a: len(a), "len", list),
    *rows(lambda _, a: not a, "is_empty", list),
    *rows(has, "contains", list, ANY),
    *rows(get, "get", list, int),
    *rows(extract, "extract", list, int),
    *rows(extract, "extract", list, int, int),
    *rows(extract_range, "extract", list, Range),
    *rows(index_of_call, "index_of", list, FnPtr),
    *rows(index_of_call, "index_of", list, FnPtr, int),
    *rows(index_of, "index_of", list, ANY),
    *rows(index_of, "index_of", list, ANY, int),
    *rows(order, "order", list),
    *rows(order_desc, "order_desc", list),
    *rows(compared, "order order_by", list, FnPtr),
)
