"""Values as text: `to_string` (and print, interpolation, +) and `to_debug`.

Floats follow the official engine: always a point, scientific above 1e13 and below 1e-13.
Every nested value is paid for, so that `a = [a, a]` sixty times over ends at a limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ._failures import refused
from ._values import Blob, Char, FnPtr, Range, Steps


if TYPE_CHECKING:
    from ._meter import Meter


# f32's nearest to 1e13, as the official engine compares.
_MAX_NATURAL: Final = 9_999_999_827_968.0
_MIN_NATURAL: Final = 9.999999824516700e-14
_MAX_DEBUG: Final = 1e16
_MIN_DEBUG: Final = 1e-4
_SLICE: Final = 2_048
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r",
                                 "\0": "\\0"})  # fmt: skip


def _scientific(value: float) -> str:
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        digits = len(mantissa)
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            mantissa = mantissa.rstrip("0")
    mantissa = mantissa.removesuffix(".0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _float(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "NaN" if value != value else "inf" if value > 0 else "-inf"  # noqa: PLR0124
    size = abs(value)
    if size > high or (size < low and size != 0):
        return _scientific(value)
    text = repr(value)
    if "e" in text:
        # Python turns to exponents at 1e16 and 1e-4; spell the digits out.
        mantissa, _, exponent = text.partition("e")
        digits = len(mantissa.replace("-", "").replace(".", ""))
        text = f"{value:.{max(digits - 1 - int(exponent), 1)}f}"
    return text


def float_text(value: float) -> str:
    """A float as `to_string` shows it."""
    if value == 0:
        return "0.0"
    return _float(value, _MIN_NATURAL, _MAX_NATURAL)


def show(run: Meter, value: Any) -> str:
    """The value as `to_string`, print and interpolation show it: strings bare, `()` empty."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is Char:
        return str(value)
    if value is None:
        return ""
    if kind is int:
        return str(value)
    if kind is float:
        return float_text(value)
    return debug(run, value)


def debug(  # noqa: C901, PLR0911 - one return a type
    run: Meter, value: Any, depth: int = 0
) -> str:
    """The value as it stands inside arrays and maps: strings quoted, chars bare."""
    kind = type(value)
    if kind is str:
        run.text(len(value))
        return f'"{value.translate(_ESCAPES)}"'
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "()"
    if kind is int or kind is Char:
        return str(value)
    if kind is float:
        return _float(value, _MIN_DEBUG, math.nextafter(_MAX_DEBUG, 0))
    if kind is list or kind is dict:
        return _container(run, value, depth)
    if kind is Range:
        return f"{value.start}{'..=' if value.inclusive else '..'}{value.end}"
    if kind is FnPtr:
        return f"Fn({value.name})"
    if kind is Blob:
        run.text(2 * len(value))
        return f"[{value.hex(' ')}]"
    if kind is Steps:
        return str(value.name)
    raise refused(value)


def _container(run: Meter, value: Any, depth: int) -> str:
    run.charge(len(value) + 1)
    run.nested(depth)
    if type(value) is list:
        parts = [debug(run, item, depth + 1) for item in value]
        opening, closing = "[", "]"
    else:
        parts = [
            f'"{key.translate(_ESCAPES)}": {debug(run, value[key], depth + 1)}'
            for key in sorted(value)
        ]
        opening, closing = "#{", "}"
    run.text(sum(map(len, parts)) + 2 * len(parts))
    return opening + ", ".join(parts) + closing


def characters(run: Meter, text: str) -> list[Char]:
    """The text's characters, paid for and made a slice at a time: each is an object."""
    run.array(len(text))
    out: list[Char] = []
    for start in range(0, len(text), _SLICE):
        part = text[start : start + _SLICE]
        run.charge(4 * len(part))
        run.allocate(50 * len(part))
        out += map(Char, part)
    return out


def joined(run: Meter, *values: Any) -> str:
    """The parts of an interpolated string, put together."""
    parts = [value if type(value) is str else show(run, value) for value in values]
    run.text(sum(map(len, parts)))
    return "".join(parts)
