"""How standard functions are listed and found.

Each module of this package ends with a table of `Native` rows; a call is resolved by name, number
of arguments and their exact types, as in the official engine. `ANY` stands for every type.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import attrs

from rbee_scheduler_script.rhai._failures import not_found
from rbee_scheduler_script.rhai._values import Blob, Char, FnPtr, Range, Steps


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class ANY:
    """In a row's types: any script value."""


_EVERY: Final[tuple[type, ...]] = (
    int, float, bool, str, Char, type(None), list, dict, FnPtr, Range, Blob, Steps,
)  # fmt: skip


@attrs.frozen(slots=True)
class Native:
    """One overload of a standard function.

    Attributes:
        name: As scripts call it.
        types: Exact types of the arguments, the receiver first.
        code: `code(run, *arguments)`; one that `changes` answers `(result, new receiver)`.
        changes: Whether it changes its receiver.
    """

    name: str
    types: tuple[type, ...]
    code: Callable[..., Any]
    changes: bool = False

    def signatures(self) -> Iterator[tuple[type, ...]]:
        """The types with `ANY` spelled out."""
        return itertools.product(*[_EVERY if kind is ANY else (kind,) for kind in self.types])


def rows(code: Callable[..., Any], names: str, *types: type) -> list[Native]:
    """Rows for a function under one or more names (separated by blanks)."""
    return [Native(name, types, code) for name in names.split()]


def changing(code: Callable[..., Any], names: str, *types: type) -> list[Native]:
    """The same for functions that change their receiver."""
    return [Native(name, types, code, True) for name in names.split()]  # noqa: FBT003


def _keeping(code: Callable[..., Any]) -> Callable[..., Any]:
    """A function that changes nothing, in the shape of one that does."""

    def keep(run: Any, receiver: Any, *rest: Any) -> tuple[Any, Any]:
        return code(run, receiver, *rest), receiver

    return keep


def _dispatcher(
    name: str, arity: int, table: Mapping[Any, Callable[..., Any]]
) -> Callable[..., Any]:
    """One callable for all overloads of a name and arity."""
    if arity == 0:
        return table[()]
    if arity == 1:
        single = {types[0]: code for types, code in table.items()}

        def one(run: Any, a: Any) -> Any:
            code = single.get(type(a))
            if code is None:
                raise not_found(name, (a,))
            return code(run, a)

        return one
    if arity == 2:  # noqa: PLR2004 - spelled out because calls with a tuple are slower

        def two(run: Any, a: Any, b: Any) -> Any:
            code = table.get((type(a), type(b)))
            if code is None:
                raise not_found(name, (a, b))
            return code(run, a, b)

        return two

    def many(run: Any, *arguments: Any) -> Any:
        code = table.get(tuple(map(type, arguments)))
        if code is None:
            raise not_found(name, arguments)
        return code(run, *arguments)

    return many


def dispatchers(
    natives: Iterable[Native],
) -> tuple[dict[tuple[str, int], Callable[..., Any]], frozenset[tuple[str, int]]]:
    """Callables by name and arity, and which of them change their receiver.

    When one overload changes its receiver, all of that name and arity answer pairs.
    """
    grouped: dict[tuple[str, int], list[Native]] = {}
    for native in natives:
        grouped.setdefault((native.name, len(native.types)), []).append(native)
    out: dict[tuple[str, int], Callable[..., Any]] = {}
    pairs: set[tuple[str, int]] = set()
    for key, overloads in grouped.items():
        changes = any(native.changes for native in overloads)
        table: dict[tuple[type, ...], Callable[..., Any]] = {}
        # Rows without ANY win over rows with it.
        for native in sorted(overloads, key=lambda native: ANY in native.types):
            code = native.code
            if changes and not native.changes:
                code = _keeping(code)
            for types in native.signatures():
                table.setdefault(types, code)
        out[key] = _dispatcher(key[0], key[1], table)
        if changes:
            pairs.add(key)
    return out, frozenset(pairs)
