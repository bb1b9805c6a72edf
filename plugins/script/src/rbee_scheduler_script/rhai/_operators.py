"""Arithmetic: checked 64-bit integers, floats, and `+ -` on text and containers.

All take `(run, a, b)`. The generated code inlines the commonest cases and comes here for the rest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ._errors import arithmetic
from ._failures import not_found, refused
from ._text import show
from ._tokens import I64_MAX, I64_MIN
from ._values import Blob, Char, Range, type_name


if TYPE_CHECKING:
    from collections.abc import Callable

    from ._run import Run


_NUMBERS: Final = (int, float)


def checked(value: int, what: str, a: int, operator: str, b: int) -> int:
    """The value, if 64 bits hold it."""
    if I64_MIN <= value <= I64_MAX:
        return value
    raise arithmetic(f"{what} overflow: {a} {operator} {b}")


def add(run: Run, a: Any, b: Any) -> Any:
    """`a + b`."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        return checked(a + b, "Addition", a, "+", b)
    if ta in _NUMBERS and tb in _NUMBERS:
        return a + b
    if ta is str or tb is str or (ta is Char and tb is Char):
        left, right = show(run, a), show(run, b)
        run.text(len(left) + len(right))
        return left + right
    if ta is list and tb is list:
        run.array(len(a) + len(b))
        _sharing(run, a, b)
        return a + b
    if ta is dict and tb is dict:
        run.map(len(a) + len(b))
        _sharing(run, a, b)
        return {**a, **b}
    if ta is Blob and tb is Blob:
        run.array(len(a) + len(b))
        return Blob(a + b)
    raise not_found("+", (a, b))


def _sharing(run: Run, *containers: Any) -> None:
    """Their elements are about to be in a second container."""
    if run.owned:
        for container in containers:
            run.disown(container)


def add_assign(run: Run, a: Any, b: Any) -> Any:
    """`a += b`: pushes to an array, extends a map, else `a + b`."""
    ta = type(a)
    if ta is list:
        a = run.own(a)
        if type(b) is list:
            run.array(len(a) + len(b))
            _sharing(run, b)
            a += b
        else:
            if type_name(b) == "?":
                raise refused(b)
            a.append(b)
            if not len(a) & 63:
                run.array(len(a) if len(a) > run.limits.array_size else 64)
        return a
    if ta is dict and type(b) is dict:
        a = run.own(a)
        run.map(len(a) + len(b))
        _sharing(run, b)
        a.update(b)
        return a
    return add(run, a, b)


def subtract(run: Run, a: Any, b: Any) -> Any:
    """`a - b`; of strings, a without every b in it."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        return checked(a - b, "Subtraction", a, "-", b)
    if ta in _NUMBERS and tb in _NUMBERS:
        return a - b
    if ta is str and (tb is str or tb is Char):
        run.text(len(a))
        return a.replace(b, "") if b else a
    raise not_found("-", (a, b))


def multiply(_run: Run, a: Any, b: Any) -> Any:
    """`a * b`."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        return checked(a * b, "Multiplication", a, "*", b)
    if ta in _NUMBERS and tb in _NUMBERS:
        return a * b
    raise not_found("*", (a, b))


def divide(_run: Run, a: Any, b: Any) -> Any:
    """`a / b`: integers truncate toward zero, a float divided by zero is inf or NaN."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        if b == 0:
            raise arithmetic(f"Division by zero: {a} / {b}")
        quotient = abs(a) // abs(b)
        return checked(quotient if (a < 0) == (b < 0) else -quotient, "Division", a, "/", b)
    if ta in _NUMBERS and tb in _NUMBERS:
        if b != 0:
            return a / b
        if a == 0 or a != a:  # noqa: PLR0124 - NaN
            return math.nan
        return math.copysign(math.inf, float(a)) * math.copysign(1.0, float(b))
    raise not_found("/", (a, b))


def modulo(_run: Run, a: Any, b: Any) -> Any:
    """`a % b`, with the sign of a."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        if b == 0 or (b == -1 and a == I64_MIN):
            raise arithmetic(f"Modulo division by zero or overflow: {a} % {b}")
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    if ta in _NUMBERS and tb in _NUMBERS:
        return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)
    raise not_found("%", (a, b))


def power(_run: Run, a: Any, b: Any) -> Any:
    """`a ** b`; refuses what 64 bits cannot hold before computing it."""
    ta, tb = type(a), type(b)
    if ta is int and tb is int:
        if b < 0:
            raise arithmetic(f"Integer raised to a negative power: {a} ** {b}")
        if a in (0, 1) or (a == -1 and b <= 0xFFFFFFFF):  # noqa: PLR2004 - exponents are u32
            return (a if b & 1 else 1) if a == -1 else (a if b else 1)
        if b > 63:  # noqa: PLR2004 - 2**63 no longer fits
            raise arithmetic(f"Exponential overflow: {a} ** {b}")
        return checked(a**b, "Exponential", a, "**", b)
    if ta in _NUMBERS and tb in _NUMBERS:
        try:
            return math.pow(a, b)
        except OverflowError:
            return -math.inf if a < 0 and b % 2 == 1 else math.inf
        except ValueError:
            return math.inf if a == 0 else math.nan
    raise not_found("**", (a, b))


def shift_left(_run: Run, a: Any, b: Any) -> Any:
    """`a << b`; a negative count shifts right."""
    if type(a) is int and type(b) is int:
        return _shift(a, b)
    raise not_found("<<", (a, b))


def shift_right(_run: Run, a: Any, b: Any) -> Any:
    """`a >> b`, keeping the sign."""
    if type(a) is int and type(b) is int:
        return _shift(a, -b)
    raise not_found(">>", (a, b))


def _shift(a: int, count: int) -> int:
    if count < 0:
        return a >> min(-count, 63)
    if count > 63:  # noqa: PLR2004 - every bit is gone
        return 0
    return wrap(a << count)


def wrap(value: int) -> int:
    """The low 64 bits as a signed number."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - 2**64 if value > I64_MAX else value


def _bitwise(name: str, apply: Callable[[Any, Any], Any]) -> Callable[[Run, Any, Any], Any]:
    def operate(_run: Run, a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is type(b) and (kind is int or kind is bool):
            return apply(a, b)
        raise not_found(name, (a, b))

    return operate


bit_and: Final = _bitwise("&", lambda a, b: a & b)
bit_or: Final = _bitwise("|", lambda a, b: a | b)
bit_xor: Final = _bitwise("^", lambda a, b: a ^ b)


def _ranging(name: str, *, inclusive: bool) -> Callable[[Run, Any, Any], Any]:
    def make(_run: Run, a: Any, b: Any) -> Range:
        if type(a) is int and type(b) is int:
            return Range(a, b, inclusive)
        raise not_found(name, (a, b))

    return make


range_exclusive: Final = _ranging("..", inclusive=False)
range_inclusive: Final = _ranging("..=", inclusive=True)


def negate(_run: Run, a: Any) -> Any:
    """`-a`."""
    kind = type(a)
    if kind is int:
        if a == I64_MIN:
            raise arithmetic(f"Negation overflow: -{a}", placed=True)
        return -a
    if kind is float:
        return -a
    raise not_found("-", (a,))


def plus(_run: Run, a: Any) -> Any:
    """`+a`."""
    if type(a) in _NUMBERS:
        return a
    raise not_found("+", (a,))


def invert(_run: Run, a: Any) -> Any:
    """`!a`."""
    if type(a) is bool:
        return not a
    raise not_found("!", (a,))
