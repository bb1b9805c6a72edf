"""Arrays: functions that change them; each answers its result and the changed array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import index as index_value
from rbee_scheduler_script.rhai._access import slice_of
from rbee_scheduler_script.rhai._compare import equal
from rbee_scheduler_script.rhai._values import FnPtr, Range

from ._native import ANY, Native, changing
from .arrays import compared, natural, offset, span


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def push(run: Run, a: list[Any], item: Any) -> Any:
    a = run.own(a)
    a.append(item)
    if not len(a) & 31:
        # 32 elements at a time: the size check and the price of one push are negligible.
        run.array(len(a) if len(a) > run.limits.array_size else 32)
    return None, a


def append(run: Run, a: list[Any], b: list[Any]) -> Any:
    run.array(len(a) + len(b))
    if run.owned:
        run.disown(b)
    b = list(b)
    a = run.own(a)
    a += b
    return None, a


def pop(run: Run, a: list[Any]) -> Any:
    if not a:
        return None, a
    a = run.own(a)
    return a.pop(), a


def shift(run: Run, a: list[Any]) -> Any:
    if not a:
        return None, a
    run.charge(len(a) >> 6)
    a = run.own(a)
    return a.pop(0), a


def insert(run: Run, a: list[Any], at: int, item: Any) -> Any:
    run.charge(len(a) >> 6)
    a = run.own(a)
    a.insert(offset(at, len(a)), item)
    if len(a) > run.limits.array_size:
        run.array(len(a))
    run.allocate(8)
    return None, a


def remove(run: Run, a: list[Any], at: int) -> Any:
    if not -len(a) <= at < len(a):
        return None, a
    run.charge(len(a) >> 6)
    a = run.own(a)
    return a.pop(at), a


def set_(run: Run, a: list[Any], at: int, item: Any) -> Any:
    index_value(run, a, at)
    a = run.own(a)
    a[at] = item
    return None, a


def reverse(run: Run, a: list[Any]) -> Any:
    run.charge(len(a) >> 2)
    a = run.own(a)
    a.reverse()
    return None, a


def clear(_run: Run, _a: list[Any]) -> Any:
    return None, []


def truncate(run: Run, a: list[Any], size: int) -> Any:
    if size >= len(a):
        return None, a
    return None, _kept(run, a, 0, max(size, 0))


def chop(run: Run, a: list[Any], size: int) -> Any:
    return None, _kept(run, a, len(a) - min(max(size, 0), len(a)), len(a))


def _kept(run: Run, a: list[Any], start: int, end: int) -> list[Any]:
    run.array(end - start)
    if run.owned:
        run.disown(a)
    return a[start:end]


def pad(run: Run, a: list[Any], size: int, item: Any) -> Any:
    if size <= len(a):
        return None, a
    run.array(size)
    a = run.own(a)
    # Every place holds the same value: nobody owns it.
    if run.owned:
        run.disown(item)
    a.extend([item] * (size - len(a)))
    return None, a


def split(run: Run, a: list[Any], at: int) -> Any:
    start = offset(at, len(a))
    return _kept(run, a, start, len(a)), _kept(run, a, 0, start)


def _cut(run: Run, a: list[Any], start: int, end: int) -> tuple[list[Any], list[Any]]:
    """What is inside and what is outside."""
    run.array(len(a))
    if run.owned:
        run.disown(a)
    return a[start:end], a[:start] + a[end:]


def drain(run: Run, a: list[Any], start: int, size: int) -> Any:
    return _cut(run, a, *span(len(a), start, size))


def drain_range(run: Run, a: list[Any], part: Range) -> Any:
    return _cut(run, a, *slice_of(part, len(a)))


def drain_if(run: Run, a: list[Any], function: FnPtr) -> Any:
    answers = run.map_items(function, a)
    pairs = list(zip(a, answers, strict=True))
    run.array(len(a))
    return [x for x, y in pairs if y is True], [x for x, y in pairs if y is not True]


def retain(run: Run, a: list[Any], start: int, size: int) -> Any:
    inside, outside = _cut(run, a, *span(len(a), start, size))
    return outside, inside


def retain_range(run: Run, a: list[Any], part: Range) -> Any:
    inside, outside = _cut(run, a, *slice_of(part, len(a)))
    return outside, inside


def retain_if(run: Run, a: list[Any], function: FnPtr) -> Any:
    matching, rest = drain_if(run, a, function)
    return rest, matching


def _spliced(run: Run, a: list[Any], start: int, end: int, items: list[Any]) -> Any:
    run.array(len(a) + len(items))
    if run.owned:
        run.disown(a)
        run.disown(items)
    return None, [*a[:start], *items, *a[end:]]


def splice(run: Run, a: list[Any], start: int, size: int, items: list[Any]) -> Any:
    return _spliced(run, a, *span(len(a), start, size), items)


def splice_range(run: Run, a: list[Any], part: Range, items: list[Any]) -> Any:
    return _spliced(run, a, *slice_of(part, len(a)), items)


def dedup(run: Run, a: list[Any], function: FnPtr | None = None) -> Any:
    run.array(len(a))
    if run.owned:
        run.disown(a)
    out: list[Any] = []
    for item in a:
        if out:
            same = (
                equal(run, out[-1], item)
                if function is None
                else run.call(function, out[-1], item) is True
            )
            if same:
                continue
        out.append(item)
    return None, out


def sort(run: Run, a: list[Any]) -> Any:
    return None, natural(run, a, reverse=False)


def sort_desc(run: Run, a: list[Any]) -> Any:
    return None, natural(run, a, reverse=True)


def sort_by(run: Run, a: list[Any], function: FnPtr) -> Any:
    return None, compared(run, a, function)


NATIVES: Final[tuple[Native, ...]] = (
    *changing(push, "push", list, ANY),
    *changing(append, "append", list, list),
    *changing(pop, "pop", list),
    *changing(shift, "shift", list),
    *changing(insert, "insert", list, int, ANY),
    *changing(remove, "remove", list, int),
    *changing(set_, "set", list, int, ANY),
    *changing(reverse, "reverse", list),
    *changing(clear, "clear", list),
    *changing(truncate, "truncate", list, int),
    *changing(chop, "chop", list, int),
    *changing(pad, "pad", list, int, ANY),
    *changing(split, "split", list, int),
    *changing(drain, "drain", list, int, int),
    *changing(drain_range, "drain", list, Range),
    *changing(drain_if, "drain", list, FnPtr),
    *changing(retain, "retain", list, int, int),
    *changing(retain_range, "retain", list, Range),
    *changing(retain_if, "retain", list, FnPtr),
    *changing(splice, "splice", list, int, int, list),
    *changing(splice_range, "splice", list, Range, list),
    *changing(dedup, "dedup", list),
    *changing(dedup, "dedup", list, FnPtr),
    *changing(sort, "sort", list),
    *changing(sort_desc, "sort_desc", list),
    *changing(sort_by, "sort sort_by", list, FnPtr),
)
