"""Floats: none of these raises; what has no answer is NaN or infinite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._errors import arithmetic
from rbee_scheduler_script.rhai._properties import ceiling, floor, fraction, round_half_away, whole

from ._native import Native, rows
from .numbers import sign


if TYPE_CHECKING:
    from collections.abc import Callable

    from rbee_scheduler_script.rhai._run import Run


def _safe(function: Callable[[float], float]) -> Callable[[Any, float], float]:
    """Python raises where IEEE arithmetic answers NaN or infinity."""

    def call(_run: Any, x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return call


def _log(x: float, base: float) -> float:
    if x != x or base != base or x < 0 or base < 0:  # noqa: PLR0124 - NaN
        return math.nan
    top, bottom = _ln(x), _ln(base)
    if bottom == 0:
        return math.nan if top == 0 else math.copysign(math.inf, top)
    return top / bottom


def _ln(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log(x) if x > 0 else math.nan


def _log10(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log10(x) if x > 0 else math.nan


def _sinh(x: float) -> float:
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def _atanh(x: float) -> float:
    return math.copysign(math.inf, x) if abs(x) == 1 else math.atanh(x)


def to_int(_run: Run, x: float) -> int:
    if not -(2.0**63) <= x < 2.0**63:
        raise arithmetic(f"Integer overflow: to_int({x:.0f})", placed=True)
    return int(x)


_ONE: Final[dict[str, Callable[[float], float]]] = {
    "abs": abs,
    "acos": math.acos,
    "acosh": math.acosh,
    "asin": math.asin,
    "asinh": math.asinh,
    "atan": math.atan,
    "atanh": _atanh,
    "ceiling": ceiling,
    "cos": math.cos,
    "cosh": math.cosh,
    "exp": math.exp,
    "floor": floor,
    "fraction": fraction,
    "int": whole,
    "ln": _ln,
    "log": _log10,
    "round": round_half_away,
    "sin": math.sin,
    "sinh": _sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "to_degrees": math.degrees,
    "to_radians": math.radians,
}

NATIVES: Final[tuple[Native, ...]] = (
    *[row for name, function in _ONE.items() for row in rows(_safe(function), name, float)],
    *rows(lambda _, a, b: _log(a, b), "log", float, float),
    *rows(lambda _, a, b: math.hypot(a, b), "hypot", float, float),
    *rows(lambda _, a, b: math.atan2(a, b), "atan", float, float),
    *rows(sign, "sign", float),
    *rows(lambda _, x: x == 0, "is_zero", float),
    *rows(lambda _, x: math.isnan(x), "is_nan", float),
    *rows(lambda _, x: math.isinf(x), "is_infinite", float),
    *rows(lambda _, x: math.isfinite(x), "is_finite", float),
    *rows(to_int, "to_int", float),
    *rows(lambda _, x: x, "to_float", float),
    *rows(lambda _: math.pi, "PI"),
    *rows(lambda _: math.e, "E"),
)
