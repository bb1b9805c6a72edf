"""Integers and what integers and floats share; bit fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import BITS, bit_bounds, bit_span, set_bits
from rbee_scheduler_script.rhai._compare import greater, less
from rbee_scheduler_script.rhai._errors import arithmetic
from rbee_scheduler_script.rhai._operators import wrap
from rbee_scheduler_script.rhai._tokens import I64_MIN
from rbee_scheduler_script.rhai._values import Char, Range, Steps

from ._native import Native, changing, rows


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def absolute(_run: Run, x: int) -> int:
    if x == I64_MIN:
        raise arithmetic(f"Negation overflow: -{x}", placed=True)
    return abs(x)


def sign(_run: Run, x: float) -> int:
    return (x > 0) - (x < 0)


def larger(run: Run, a: float, b: float) -> float:
    if type(a) is not type(b):
        a, b = float(a), float(b)
    return b if greater(run, b, a) else a


def smaller(run: Run, a: float, b: float) -> float:
    if type(a) is not type(b):
        a, b = float(a), float(b)
    return b if less(run, b, a) else a


def _unsigned(x: int) -> int:
    return x & 0xFFFF_FFFF_FFFF_FFFF


def _bit_at(at: int) -> int:
    if not -BITS <= at < BITS:
        raise bit_bounds(at)
    return at % BITS


def _bit_run(start: int, count: int) -> Range:
    first = _bit_at(start)
    return Range(first, min(first + max(count, 0), BITS))


def get_bits(_run: Run, x: int, start: int, count: int) -> int:
    first, mask = bit_span(_bit_run(start, count))
    return wrap((x >> first) & mask)


def get_bits_range(_run: Run, x: int, part: Range) -> int:
    first, mask = bit_span(part)
    return wrap((x >> first) & mask)


def bits(_run: Run, x: int, start: int = 0, count: int = BITS) -> Steps:
    part = _bit_run(start, count)
    return Steps("bits", [bool(x >> bit & 1) for bit in range(part.start, part.end)])


def bits_range(_run: Run, x: int, part: Range) -> Steps:
    first, mask = bit_span(part)
    return Steps("bits", [bool(x >> (first + bit) & 1) for bit in range(mask.bit_length())])


def set_bit(_run: Run, x: int, at: int, value: bool) -> Any:
    return None, set_bits(x, at, value)


def set_bits_at(_run: Run, x: int, start: int, count: int, value: int) -> Any:
    return None, set_bits(x, _bit_run(start, count), value)


def set_bits_range(_run: Run, x: int, part: Range, value: int) -> Any:
    return None, set_bits(x, part, value)


NATIVES: Final[tuple[Native, ...]] = (
    *rows(absolute, "abs", int),
    *rows(sign, "sign", int),
    *[row for a in (int, float) for b in (int, float) for row in (
        *rows(larger, "max", a, b),
        *rows(smaller, "min", a, b),
    )],
    *rows(lambda _, x: not x & 1, "is_even", int),
    *rows(lambda _, x: bool(x & 1), "is_odd", int),
    *rows(lambda _, x: x == 0, "is_zero", int),
    *rows(lambda _, x: x, "to_int", int),
    *rows(lambda _, c: ord(c), "to_int", Char),
    *rows(lambda _, x: float(x), "to_float", int),
    *rows(lambda _, x: f"{_unsigned(x):b}", "to_binary", int),
    *rows(lambda _, x: f"{_unsigned(x):x}", "to_hex", int),
    *rows(lambda _, x: f"{_unsigned(x):o}", "to_octal", int),
    *rows(lambda _, x, at: bool(x >> _bit_at(at) & 1), "get_bit", int, int),
    *rows(get_bits, "get_bits", int, int, int),
    *rows(get_bits_range, "get_bits", int, Range),
    *rows(bits, "bits", int),
    *rows(bits, "bits", int, int),
    *rows(bits, "bits", int, int, int),
    *rows(bits_range, "bits", int, Range),
    *changing(set_bit, "set_bit", int, int, bool),
    *changing(set_bits_at, "set_bits", int, int, int, int),
    *changing(set_bits_range, "set_bits", int, Range, int),
)  # fmt: skip
