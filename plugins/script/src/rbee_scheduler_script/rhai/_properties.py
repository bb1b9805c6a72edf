"""Properties of values that are no maps: `"abc".len`, `1.5.floor`, `(1..5).start`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ._values import Blob, Char, FnPtr, Range, Steps


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def round_half_away(value: float) -> float:
    """Rust's `round`: halves go away from zero."""
    if not math.isfinite(value):
        return value
    whole = math.trunc(value)
    up = abs(value - whole) >= 0.5  # noqa: PLR2004 - a half
    return math.copysign(float(abs(whole) + up), value)


def floor(value: float) -> float:
    """The whole number below."""
    return float(math.floor(value)) if math.isfinite(value) else value


def ceiling(value: float) -> float:
    """The whole number above."""
    return float(math.ceil(value)) if math.isfinite(value) else value


def whole(value: float) -> float:
    """Without the fraction."""
    return float(math.trunc(value)) if math.isfinite(value) else value


def fraction(value: float) -> float:
    """The fraction alone."""
    return value - math.trunc(value) if math.isfinite(value) else math.nan


def _zero_tag(_value: Any) -> int:
    return 0


_OWN: Final[Mapping[tuple[type, str], Callable[[Any], Any]]] = {
    (list, "len"): len,
    (list, "is_empty"): lambda v: not v,
    (Blob, "len"): len,
    (Blob, "is_empty"): lambda v: not v,
    (str, "len"): len,
    (str, "is_empty"): lambda v: not v,
    (str, "bytes"): lambda v: len(v.encode("utf-8", "surrogatepass")),
    (int, "is_odd"): lambda v: bool(v & 1),
    (int, "is_even"): lambda v: not v & 1,
    (int, "is_zero"): lambda v: v == 0,
    (int, "bits"): lambda v: Steps("bits", [bool(v >> bit & 1) for bit in range(64)]),
    (float, "floor"): floor,
    (float, "ceiling"): ceiling,
    (float, "round"): round_half_away,
    (float, "int"): whole,
    (float, "fraction"): fraction,
    (float, "is_zero"): lambda v: v == 0,
    (float, "is_nan"): math.isnan,
    (float, "is_infinite"): math.isinf,
    (float, "is_finite"): math.isfinite,
    (FnPtr, "name"): lambda v: v.name,
    (FnPtr, "is_anonymous"): lambda v: v.name.startswith("anon$"),
    (Range, "start"): lambda v: v.start,
    (Range, "end"): lambda v: v.end,
    (Range, "is_inclusive"): lambda v: v.inclusive,
    (Range, "is_exclusive"): lambda v: not v.inclusive,
    (Range, "is_empty"): lambda v: not v.numbers(),
}
_TAGGED: Final = (list, Blob, str, Char, int, float, bool, type(None), FnPtr, Range)
PROPERTIES: Final[Mapping[tuple[type, str], Callable[[Any], Any]]] = {
    **_OWN,
    # Tags are kept per variable by the generated code; any other value's tag is 0.
    **{(kind, "tag"): _zero_tag for kind in _TAGGED},
}
