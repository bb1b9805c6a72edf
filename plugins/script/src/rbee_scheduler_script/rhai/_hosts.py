"""Functions the host gives to scripts.

A plain callable gets the script's arguments; one made by `host` gets the `Run` first, to pay for
work that grows with its arguments and to call closures the script passed.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, overload

import attrs

from ._errors import RhaiError
from ._failures import not_found, refused
from ._stdlib import CHANGING, NATIVES
from ._tokens import I64_MAX, I64_MIN
from ._values import Blob, Char, FnPtr, Range, Steps


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


PLAIN: Final = frozenset(
    (int, float, bool, str, type(None), list, dict, Char, Range, FnPtr, Blob, Steps)
)
_UNLIMITED: Final = 32


@attrs.frozen(slots=True, kw_only=True)
class HostFunction:
    """A function for scripts and how it wants to be called.

    Attributes:
        code: The callable.
        arities: How many arguments a script may pass.
        wants_run: Whether `code` takes the `Run` before them.
        types: Exact types of the arguments, or None to take any; with other types the standard
            function of the name, if there is one, is called instead.
        checked: Whether results are checked to be script values. Off, a call costs one Python call
            less; for functions that are called for each of many elements.
    """

    code: Callable[..., Any]
    arities: frozenset[int]
    wants_run: bool = False
    types: tuple[type, ...] | None = None
    checked: bool = True


def _arities(code: Callable[..., Any], *, wants_run: bool) -> frozenset[int]:
    least = most = 0
    for parameter in inspect.signature(code).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = _UNLIMITED
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
    return frozenset(range(max(least - wants_run, 0), most - wants_run + 1))


@overload
def host(code: Callable[..., Any], /) -> HostFunction: ...
@overload
def host(
    *, types: tuple[type, ...] | None = None, checked: bool = True
) -> Callable[[Callable[..., Any]], HostFunction]: ...
def host(
    code: Callable[..., Any] | None = None,
    /,
    *,
    types: tuple[type, ...] | None = None,
    checked: bool = True,
) -> HostFunction | Callable[[Callable[..., Any]], HostFunction]:
    """Make a function that gets the `Run` before the script's arguments.

    Args:
        code: `code(run, *arguments)`.
        types: See `HostFunction`.
        checked: See `HostFunction`.
    """
    if code is None:
        return lambda code: _make(code, types, checked=checked)
    return _make(code, types, checked=checked)


def _make(
    code: Callable[..., Any], types: tuple[type, ...] | None, *, checked: bool
) -> HostFunction:
    arities = _arities(code, wants_run=True)
    if types is not None:
        arities = frozenset((len(types),))
    return HostFunction(code=code, arities=arities, wants_run=True, types=types, checked=checked)


def pure_native(name: str, arity: int) -> Callable[..., Any] | None:
    """A standard function for a receiver that is not changed where it came from."""
    code = NATIVES.get((name, arity))
    if code is None or (name, arity) not in CHANGING:
        return code
    pair = code
    return lambda run, *arguments: pair(run, *arguments)[0]


class Hosts:
    """The host's functions, adapted as scripts call for them.

    Attributes:
        functions: What the host gave, by name.
    """

    __slots__ = ("_adapted", "functions")

    def __init__(self, functions: Mapping[str, Callable[..., Any] | HostFunction]) -> None:
        self.functions = functions
        self._adapted: dict[tuple[str, int], Callable[..., Any] | None] = {}

    def find(self, name: str, arity: int) -> Callable[..., Any] | None:
        """`code(run, *arguments)` for a call by a script, or None when the host has no such."""
        if name not in self.functions:
            return None
        key = (name, arity)
        if key not in self._adapted:
            self._adapted[key] = self._adapt(name, arity)
        return self._adapted[key]

    def native(self, name: str, arity: int) -> Callable[..., Any] | None:
        """The same, or the standard function."""
        return self.find(name, arity) or pure_native(name, arity)

    def _adapt(self, name: str, arity: int) -> Callable[..., Any] | None:
        given = self.functions[name]
        function = given
        if not isinstance(function, HostFunction):
            function = HostFunction(code=function, arities=_arities(function, wants_run=False))
        if arity not in function.arities:
            return None
        code = function.code
        if not function.wants_run:
            code = functools.partial(_without_run, code)
        if function.checked:
            code = functools.partial(_checked, code)
        if function.types is not None:
            code = functools.partial(_typed, code, function.types, name, pure_native(name, arity))
        return code


def _without_run(code: Callable[..., Any], _run: Any, *arguments: Any) -> Any:
    return code(*arguments)


def _checked(code: Callable[..., Any], run: Any, *arguments: Any) -> Any:
    result = code(run, *arguments)
    if type(result) not in PLAIN:
        raise refused(result)
    return result


def _typed(
    code: Callable[..., Any],
    types: tuple[type, ...],
    name: str,
    otherwise: Callable[..., Any] | None,
    run: Any,
    *arguments: Any,
) -> Any:
    if tuple(map(type, arguments)) == types:
        return code(run, *arguments)
    if otherwise is None:
        raise not_found(name, arguments)
    return otherwise(run, *arguments)


def accept(value: Any) -> None:
    """Refuse what no script value is; what is inside containers is refused where it is used."""
    if type(value) not in PLAIN:
        raise refused(value)
    if type(value) is int and not I64_MIN <= value <= I64_MAX:
        raise RhaiError("ErrorMismatchDataType", "the host passed an integer of more than 64 bits")
