"""Who declares what: the parser's picture of the scopes around the token it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import LimitError
from ._tree import Binding


if TYPE_CHECKING:
    from ._limits import Limits


class FunctionScope:
    """The function, closure or top level being read.

    Attributes:
        number: Distinguishes it from all others of the script; the top level is 0.
        outer: What a closure may capture from; None for functions and the top level.
        blocks: Names by block, innermost last.
        loops: Loops around the current token, inside this function.
        handlers: `catch` blocks around it.
        uses_this: Whether `this` was seen.
        captures: Variables of outer functions it uses.
        calls: Whether it calls anything whose depth counts.
        closures: Whether a closure is written inside.
    """

    __slots__ = (
        "blocks", "calls", "captures", "closures", "handlers", "loops", "number", "outer",
        "uses_this",
    )  # fmt: skip

    def __init__(self, number: int, outer: FunctionScope | None) -> None:
        self.number = number
        self.outer = outer
        self.blocks: list[dict[str, Binding]] = [{}]
        self.loops = 0
        self.handlers = 0
        self.uses_this = False
        self.captures: dict[str, Binding] = {}
        self.calls = False
        self.closures = False


class Scopes:
    """All scopes of a script being parsed.

    Attributes:
        current: The innermost function.
    """

    __slots__ = ("_functions", "_limits", "_variables", "current")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._functions = 0
        self._variables = 0
        self.current = FunctionScope(0, None)

    def enter(self, *, closure: bool) -> FunctionScope:
        """Start a function (which sees nothing outside) or a closure (which sees everything)."""
        self._functions += 1
        if self._functions > self._limits.functions:
            raise LimitError("ErrorParsing/TooManyFunctions", "Number of functions exceeds limit")
        outer = self.current
        if closure:
            outer.closures = True
            outer.calls = True
        self.current = FunctionScope(self._functions, outer if closure else None)
        return outer

    def leave(self, outer: FunctionScope) -> FunctionScope:
        """End it; answers the scope that ended."""
        inner = self.current
        self.current = outer
        if inner.outer is outer:
            for python, binding in inner.captures.items():
                if binding.owner != outer.number:
                    outer.captures[python] = binding
        return inner

    def declare(self, name: str, *, constant: bool = False) -> Binding:
        """A new variable in the innermost block."""
        self._variables += 1
        if self._variables > self._limits.variables:
            raise LimitError("ErrorTooManyVariables", "Too many variables defined")
        scope = self.current
        python = f"v_{name}_{self._variables}"
        binding = Binding(name, python, scope.number, constant=constant, in_loop=scope.loops > 0)
        scope.blocks[-1][name] = binding
        return binding

    def find(self, name: str) -> Binding | None:
        """The variable a name means here; marks it captured when a closure reaches out for it."""
        scope: FunctionScope | None = self.current
        while scope is not None:
            for block in reversed(scope.blocks):
                if name in block:
                    binding = block[name]
                    if scope is not self.current:
                        binding.captured = True
                        self.current.captures[binding.python] = binding
                    return binding
            scope = scope.outer
        return None

    def names(self) -> dict[str, Binding]:
        """Every variable in sight, as it is (for `is_def_var`)."""
        out: dict[str, Binding] = {}
        scope: FunctionScope | None = self.current
        while scope is not None:
            for block in reversed(scope.blocks):
                for name in block:
                    out.setdefault(name, block[name])
            scope = scope.outer
        return out

    def visible(self) -> dict[str, Binding]:
        """Every variable in sight; all count as captured and assigned (for `f!()`)."""
        out = self.names()
        for binding in out.values():
            binding.captured = binding.assigned = True
            if binding.owner != self.current.number:
                self.current.captures[binding.python] = binding
        return out
