"""Comparison: fuzzy floats, deep equality, and no error for different types.

Two floats are equal when their difference, relative to the larger, is within one epsilon; so
`0.1 + 0.2 == 0.3`. NaN compares false with everything, `!=` included.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from ._errors import mismatch
from ._failures import not_found, refused
from ._values import Blob, Char, FnPtr, Range, Steps, long_type_name, type_name


if TYPE_CHECKING:
    from collections.abc import Callable

    from ._run import Run


EPSILON: Final = 2.220446049250313e-16
_NUMBERS: Final = (int, float)
_TEXT: Final = (str, Char)
_HASHED: Final = frozenset((str, int, bool, type(None)))


def _close(x: float, y: float) -> bool:
    """Whether two floats count as equal."""
    apart = x - y
    if apart == 0:
        return True
    larger = 1.0 if x * y == 0 else max(abs(x), abs(y))
    # Nothing but itself is close to infinity, and nothing to NaN.
    return abs(apart) / larger <= EPSILON


def equal(run: Run, a: Any, b: Any, depth: int = 0) -> bool:  # noqa: PLR0911 - one a type
    """`a == b`."""
    ta, tb = type(a), type(b)
    if ta is tb:
        if ta is str or ta is int or ta is bool or ta is Char or a is None:
            return bool(a == b)
        if ta is float:
            return bool(a == b or _close(a, b))
        if ta is list:
            return len(a) == len(b) and _all_equal(run, a, b, depth)
        if ta is dict:
            return bool(a.keys() == b.keys()) and _all_equal(
                run, list(a.values()), [b[key] for key in a], depth
            )
        if ta is Range or ta is Blob:
            return bool(a == b)
        if ta is FnPtr or ta is Steps:
            raise not_found("==", (a, b))
        raise refused(a)
    if ta in _NUMBERS and tb in _NUMBERS:
        return a == b or _close(float(a), float(b))
    if ta in _TEXT and tb in _TEXT:
        return str(a) == str(b)
    return _different(a, b)


def _different(a: Any, b: Any) -> bool:
    """Values of different types: never equal, but both must be script values."""
    if type_name(a) == "?":
        raise refused(a)
    if type_name(b) == "?":
        raise refused(b)
    return False


def _all_equal(run: Run, a: list[Any], b: list[Any], depth: int) -> bool:
    run.charge(len(a) + 1)
    run.nested(depth)
    return all(equal(run, x, y, depth + 1) for x, y in zip(a, b, strict=True))


def unequal(run: Run, a: Any, b: Any) -> bool:
    """`a != b`."""
    if (type(a) is float and a != a) or (type(b) is float and b != b):  # noqa: PLR0124 - NaN
        return not (type(a) in _NUMBERS and type(b) in _NUMBERS)
    return not equal(run, a, b)


def _ordering(
    name: str, exact: Callable[[Any, Any], bool], *, strict: bool
) -> Callable[[Run, Any, Any], bool]:
    def compare(_run: Run, a: Any, b: Any) -> bool:
        ta, tb = type(a), type(b)
        if ta is tb:
            if ta is float:
                # `<` must hold by more than closeness; `<=` holds by closeness too.
                return not strict if exact(a, b) is not strict else _close(a, b) is not strict
            if ta is int or ta is str or ta is Char or ta is bool:
                return exact(a, b)
            if a is None:
                return False
            raise not_found(name, (a, b))
        if ta in _NUMBERS and tb in _NUMBERS:
            return compare(_run, float(a), float(b))
        if ta in _TEXT and tb in _TEXT:
            # The official engine looks at two characters here.
            return exact(str(a)[:2], str(b)[:2])
        return _different(a, b)

    return compare


less: Final = _ordering("<", operator.lt, strict=True)
greater: Final = _ordering(">", operator.gt, strict=True)
less_equal: Final = _ordering("<=", operator.le, strict=False)
greater_equal: Final = _ordering(">=", operator.ge, strict=False)


def truth(value: Any) -> bool:
    """A condition's value; there is no truthiness."""
    if value is True or value is False:
        return bool(value)
    if type_name(value) == "?":
        raise refused(value)
    raise mismatch(long_type_name(value), "bool")


def contains(run: Run, item: Any, container: Any) -> bool:
    """`item in container`."""
    kind = type(container)
    if kind is list:
        if type(item) is str:
            run.charge((len(container) >> 3) + 1)
            return item in container
        run.charge(len(container) + 1)
        return any(equal(run, item, other) for other in container)
    found = type(item)
    if kind is str and found in _TEXT:
        run.charge((len(container) >> 6) + 1)
        return item in container
    if kind is dict and found is str:
        return item in container
    if kind is Range and found is int:
        return bool(container.start <= item <= container.end - (not container.inclusive))
    if kind is Blob and found is int:
        run.charge((len(container) >> 6) + 1)
        return 0 <= item <= 255 and item in container  # noqa: PLR2004 - a byte
    raise not_found("contains", (container, item))


def switch_key(run: Run, value: Any, depth: int = 0) -> Any:
    """A hashable stand-in by which switch cases are matched: exact in type, unlike `==`."""
    kind = type(value)
    if kind is list:
        run.charge(len(value) + 1)
        run.nested(depth)
        return (kind, tuple([switch_key(run, item, depth + 1) for item in value]))
    if kind is dict:
        run.charge(len(value) + 1)
        run.nested(depth)
        keys = sorted(value)
        return (kind, tuple([(key, switch_key(run, value[key], depth + 1)) for key in keys]))
    if kind is Blob:
        run.charge(len(value) + 1)
        return (kind, bytes(value))
    if type_name(value) == "?":
        raise refused(value)
    return (kind, value)


def look_up(table: dict[tuple[type, Any], int], value: Any) -> int:
    """The arm of a switch whose cases are plain literals, or 0."""
    kind = type(value)
    return table.get((kind, value), 0) if kind in _HASHED else 0


def in_range(value: Any, start: int, end: int, inclusive: bool) -> bool:
    """Whether a number falls into a switch case's range."""
    if type(value) not in _NUMBERS:
        return False
    return bool(start <= value and (value <= end if inclusive else value < end))
