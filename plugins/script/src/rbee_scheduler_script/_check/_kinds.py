"""Types as words (see `_shapes`), and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


__all__ = ["ANY", "NOTHING", "bare", "comparable", "element", "field_of", "merged", "optional"]

ANY: Final = "any"
NOTHING: Final = "()"

_NUMBERS: Final = frozenset({"int", "float", "number"})
_TEXTS: Final = frozenset({"string", "char"})
_SCALARS: Final = _NUMBERS | _TEXTS | {"bool", NOTHING}


def bare(kind: str) -> str:
    """Return the type without the question mark."""
    return kind.removesuffix("?")


def optional(kind: str) -> str:
    """Return the type with `()` added."""
    return kind if kind in (ANY, NOTHING) or kind.endswith("?") else f"{kind}?"


def element(kind: str) -> str:
    """Return what an array holds; `any` when it is none."""
    kind = bare(kind)
    if kind == "string":
        return "char"
    return kind[1:-1] if kind.startswith("[") else ANY


def field_of(kind: str) -> str:
    """Return the family in which a type is compared: numbers with numbers, texts with texts."""
    kind = bare(kind)
    if kind in _NUMBERS:
        return "number"
    if kind in _TEXTS:
        return "text"
    if kind.startswith("["):
        return "array"
    return kind if kind in _SCALARS or kind in (ANY, "Fn", "range") else "map"


def comparable(left: str, right: str) -> bool:
    """Whether a comparison of the two can be anything but a constant."""
    a, b = field_of(left), field_of(right)
    if ANY in (a, b) or a == b:
        return True
    # With `()` everything may be compared: that is how absence is asked for.
    return NOTHING in (a, b)


def merged(kinds: Iterable[str]) -> str:
    """Return the type of a value that is one of these."""
    kinds = set(kinds)
    plain = {bare(kind) for kind in kinds} - {NOTHING}
    maybe = NOTHING in kinds or any(kind.endswith("?") for kind in kinds)
    if not plain:
        return NOTHING if maybe else ANY
    if plain <= _NUMBERS:
        kind = plain.pop() if len(plain) == 1 else "number"
    elif len(plain) == 1:
        kind = plain.pop()
    else:
        return ANY
    return optional(kind) if maybe else kind
