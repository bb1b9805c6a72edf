"""How a helper is declared: as data, which scripts, `policy helpers` and the docs all use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from rbee_scheduler_script import rhai


if TYPE_CHECKING:
    from rbee_scheduler_script._view import Desk, View


__all__ = ["Helper", "number", "text"]

Code = Callable[..., Any]


@attrs.frozen(kw_only=True)
class Helper:
    """One function that policies may call.

    Attributes:
        name: As scripts call it.
        forms: How it is called, the usual form first.
        answers: What it answers, one or two sentences.
        example: A Rhai expression over the sample fleet (`sample_view`).
        gives: What the example gives.
        code: ``code(run, *arguments)``, or ``code(view, run, *arguments)`` when `sees`.
        arities: How many arguments a script may pass, the receiver included.
        sees: Whether it looks beyond its arguments.
        whole: Whether it may also be called on `registry`, `pools` or `hives`, a receiver that says
            nothing and is left out.
        types: Exact types of the arguments; with others the standard function is called.
        checked: Whether its answers need the engine's check; off for those called per worker.
    """

    name: str
    forms: tuple[str, ...]
    answers: str
    example: str
    gives: Any
    code: Code
    arities: tuple[int, ...]
    sees: bool = False
    whole: bool = False
    types: tuple[type, ...] | None = None
    checked: bool = False

    def bind(self, desk: Desk) -> rhai.HostFunction:
        """Return it as a host function of the scripts that share ``desk``."""
        code = _seeing(self.code, desk) if self.sees else self.code
        arities = frozenset(self.arities)
        if self.whole:
            code = _without_receiver(code, arities)
            arities |= {arity + 1 for arity in arities}
        return rhai.HostFunction(
            code=code, arities=arities, wants_run=True, types=self.types, checked=self.checked
        )


def _seeing(code: Code, desk: Desk) -> Code:
    def call(run: rhai.Run, *arguments: Any) -> Any:
        view: View = desk.view
        return code(view, run, *arguments)

    return call


def _without_receiver(code: Code, arities: frozenset[int]) -> Code:
    """Leave out `registry` in ``registry.find_ready_worker(m)``: one argument too many."""
    fewest = min(arities)

    def call(run: rhai.Run, *arguments: Any) -> Any:
        if len(arguments) > fewest and type(arguments[0]) in (list, dict):
            arguments = arguments[1:]
        if len(arguments) not in arities:
            raise run.fail(f"takes {' or '.join(map(str, sorted(arities)))} arguments")
        return code(run, *arguments)

    return call


def text(run: rhai.Run, value: Any, what: str) -> str:
    """Return ``value`` when it is a string; fail in the script otherwise."""
    if isinstance(value, str):
        return str(value)
    raise run.fail(f"{what} must be a string, not {_kind(value)}")


def number(run: rhai.Run, value: Any, what: str) -> float:
    """Return ``value`` when it is a number; fail in the script otherwise."""
    if type(value) is int or type(value) is float:
        return value
    raise run.fail(f"{what} must be a number, not {_kind(value)}")


def _kind(value: Any) -> str:
    kinds = {
        int: "a number", float: "a number", bool: "a bool", list: "an array", dict: "a map",
        type(None): "()", str: "a string", rhai.FnPtr: "a function",
    }  # fmt: skip
    return kinds.get(type(value), type(value).__name__)
