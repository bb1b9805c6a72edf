"""Rhai's values as Python objects.

| Rhai | Python |
|---|---|
| i64, f64, bool, string, () | int, float, bool, str, None |
| char | `Char`, a str of length 1 |
| array, map | list, dict with str keys |
| range, range= | `Range` |
| Fn | `FnPtr` |
| blob | `Blob` |

Types are always compared exactly (`type(x) is int`), so that bool is no int and Char no str.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Char(str):
    """One Unicode scalar value."""

    __slots__ = ()


class Blob(bytearray):
    """A byte array."""

    __slots__ = ()


@attrs.frozen(slots=True)
class Range:
    """`start..end` or, inclusive, `start..=end`, of integers.

    Attributes:
        start: First number.
        end: Where it ends.
        inclusive: Whether `end` belongs to it.
    """

    start: int
    end: int
    inclusive: bool = False

    def numbers(self) -> range:
        """The numbers in it."""
        return range(self.start, self.end + 1 if self.inclusive else self.end)


class Steps:
    """What `range(a, b, step)`, `bits()` and `chars()` answer: a sequence only `for` may walk."""

    __slots__ = ("items", "name")

    def __init__(self, name: str, items: range | list[Any]) -> None:
        self.name = name
        self.items = items


class ScriptFunction:
    """A compiled function or closure (a plain class: one is made each time a closure is met).

    Attributes:
        arity: Number of parameters.
        code: `code(run, *arguments)`, and `this=box` when it uses `this`.
        cost: Steps of one call outside its loops, for callers that charge for many at once.
        uses_this: Whether it looks at `this`.
    """

    __slots__ = ("arity", "code", "cost", "uses_this")

    def __init__(self, arity: int, code: Callable[..., Any], cost: int, uses_this: bool) -> None:
        self.arity = arity
        self.code = code
        self.cost = cost
        self.uses_this = uses_this


class FnPtr:
    """A function as a value: a closure, or the name of a function.

    Attributes:
        name: The function's name; a closure's starts with `anon$`.
        function: The closure, or None when calls go by name.
        curried: Arguments put before those of the call.
    """

    __slots__ = ("curried", "function", "name")

    def __init__(
        self, name: str, function: ScriptFunction | None = None, curried: tuple[Any, ...] = ()
    ) -> None:
        self.name = name
        self.function = function
        self.curried = curried

    def __repr__(self) -> str:
        return f"FnPtr({self.name!r})"


TYPE_NAMES: Final[Mapping[type, str]] = {
    int: "i64",
    float: "f64",
    bool: "bool",
    str: "string",
    Char: "char",
    type(None): "()",
    list: "array",
    dict: "map",
    FnPtr: "Fn",
    Blob: "blob",
}
# What `fn int.f()` may name, beside the names above.
TYPE_ALIASES: Final[Mapping[str, str]] = {"int": "i64", "float": "f64"}
SCALARS: Final = frozenset((int, float, bool, str, Char, type(None)))


def type_name(value: Any) -> str:
    """The type as `type_of` names it; `"?"` for what no script value is."""
    kind = type(value)
    if kind is Range:
        return "range=" if value.inclusive else "range"
    if kind is Steps:
        return str(value.name)
    return TYPE_NAMES.get(kind, "?")


_IN_SIGNATURE: Final = {"string": "&str | ImmutableString | String"}
_IN_MISMATCH: Final = {
    "range": "core::ops::range::Range<i64>",
    "range=": "core::ops::range::RangeInclusive<i64>",
}


def signature(name: str, arguments: tuple[Any, ...]) -> str:
    """`name (types)`, as "Function not found" spells it."""
    types = [type_name(argument) for argument in arguments]
    inner = ", ".join(_IN_SIGNATURE.get(name) or _IN_MISMATCH.get(name, name) for name in types)
    return f"{name} ({inner})"


def long_type_name(value: Any) -> str:
    """The type as "Data type incorrect" spells it."""
    name = type_name(value)
    return _IN_MISMATCH.get(name, name)
