"""Ranges, `range(a, b, step)`, and pointers to functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._compare import contains
from rbee_scheduler_script.rhai._errors import arithmetic
from rbee_scheduler_script.rhai._tokens import I64_MAX, I64_MIN
from rbee_scheduler_script.rhai._values import FnPtr, Range, Steps

from ._native import Native, rows


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def stepped(_run: Run, start: int, end: int, step: int) -> Steps:
    if step == 0:
        raise arithmetic("step value cannot be zero")
    if not I64_MIN <= start + step <= I64_MAX:
        return Steps("range", [])
    return Steps("range", range(start, end, step))


def stepped_range(run: Run, part: Range, step: int) -> Steps:
    return stepped(run, part.start, part.end, step)


def stepped_float(run: Run, start: float, end: float, step: float) -> Steps:
    if start + step == start:
        raise arithmetic("step value cannot be zero")
    size = (end - start) / step
    if size != size or size <= 0:  # noqa: PLR0124 - NaN
        return Steps("range", [])
    run.array(int(min(size, run.limits.array_size + 1)) + 1)
    items: list[Any] = []
    value = start
    while value < end if step > 0 else value > end:
        items.append(value)
        value += step
    return Steps("range", items)


def _in(run: Run, part: Range, item: int) -> bool:
    return contains(run, item, part)


NATIVES: Final[tuple[Native, ...]] = (
    *rows(lambda _, a, b: Range(a, b), "range", int, int),
    *rows(stepped, "range", int, int, int),
    *rows(stepped_range, "range", Range, int),
    *rows(stepped_float, "range", float, float, float),
    *rows(_in, "contains", Range, int),
    *rows(lambda _, r: r.start, "start", Range),
    *rows(lambda _, r: r.end, "end", Range),
    *rows(lambda _, r: r.inclusive, "is_inclusive", Range),
    *rows(lambda _, r: not r.inclusive, "is_exclusive", Range),
    *rows(lambda _, r: not r.numbers(), "is_empty", Range),
    *rows(lambda _, f: f.name, "name", FnPtr),
    *rows(lambda _, f: f.name.startswith("anon$"), "is_anonymous", FnPtr),
)
