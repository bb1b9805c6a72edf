"""Building blocks of the generated Python: nodes that carry the script's line and column.

The place rides in the node's location, so an error's traceback knows where the script was, at no
cost to a run that succeeds. `line:column` of the start is the place itself; where an instruction
has two (`a[i]`: the bracket and the index), the end holds the second.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from ._tokens import I64_MAX, I64_MIN
from ._values import Char, FnPtr


if TYPE_CHECKING:
    from ._tree import Binding, Expression, Node, Script, Statement


LOAD: Final = ast.Load()
STORE: Final = ast.Store()
RUN: Final = "M"

Out: TypeAlias = list[ast.stmt]
_NOT_CONSTANT: Final = frozenset((Char, FnPtr, dict))
_T = TypeVar("_T", bound=ast.AST)


class Frame:
    """The Python function being generated.

    Attributes:
        number: The script function's number (see `Scopes`); closures know their own.
        cost: Steps charged on entry: every node outside loops and closures.
        nonlocals: Captured variables it assigns.
        loop_values: Temporaries that hold what `break` leaves, innermost last.
        top: Whether the host's variables are in sight (the top level and its closures).
        visible: What an `f!()` body sees of its caller.
    """

    __slots__ = ("cost", "in_loop", "loop_values", "nonlocals", "number", "outer", "top", "visible")

    def __init__(self, number: int, outer: Frame | None, *, top: bool) -> None:
        self.number = number
        self.outer = outer
        self.cost = 2
        self.nonlocals: set[str] = set()
        self.loop_values: list[str | None] = []
        self.in_loop = 0
        self.top = top
        self.visible: dict[str, Binding] = {}


class Emitter:
    """Makes Python nodes; the parts of the generator build on it.

    Attributes:
        script: What is being compiled.
        changes: Whether anything in it changes containers in place.
        constants: Values the generated code refers to by name.
        frame: The function being generated.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.changes = script.changes
        self.constants: dict[str, Any] = {}
        self.frame = Frame(0, None, top=True)
        self._counter = 0

    def temporary(self, letter: str = "t") -> str:
        """A fresh name; script variables start with `v_`."""
        self._counter += 1
        return f"{letter}_{self._counter}"

    def constant_name(self, value: Any) -> str:
        """A name the generated code finds the value under."""
        name = self.temporary("k")
        self.constants[name] = value
        return name

    # -- nodes

    def put(self, node: _T, place: Node) -> _T:
        """Give a new node its place."""
        line, column = place.line, place.column - 1
        node.lineno = node.end_lineno = line  # type: ignore[attr-defined]
        node.col_offset = column  # type: ignore[attr-defined]
        node.end_col_offset = column + 1  # type: ignore[attr-defined]
        return node

    def name(self, name: str, place: Node) -> ast.Name:
        return self.put(ast.Name(name, LOAD), place)

    def value(self, value: Any, place: Node) -> ast.expr:
        """A constant; what Python's compiler does not know as one goes by name."""
        if type(value) in _NOT_CONSTANT:
            return self.name(self.constant_name(value), place)
        return self.put(ast.Constant(value), place)

    def call(self, function: str, place: Node, *arguments: ast.expr) -> ast.Call:
        """A helper called with the run first."""
        callee = self.name(function, place)
        return self.put(ast.Call(callee, [self.name(RUN, place), *arguments], []), place)

    def bare_call(self, function: str, place: Node, *arguments: ast.expr) -> ast.Call:
        """A helper called without the run."""
        return self.put(ast.Call(self.name(function, place), list(arguments), []), place)

    def attribute(self, of: ast.expr, name: str, place: Node) -> ast.Attribute:
        return self.put(ast.Attribute(of, name, LOAD), place)

    def of_run(self, name: str, place: Node) -> ast.Attribute:
        """An attribute of the run."""
        return self.attribute(self.name(RUN, place), name, place)

    def method(self, name: str, place: Node, *arguments: ast.expr) -> ast.Call:
        """A method of the run."""
        return self.put(ast.Call(self.of_run(name, place), list(arguments), []), place)

    def assign(self, name: str, value: ast.expr, place: Node) -> ast.stmt:
        return self.put(ast.Assign([self.put(ast.Name(name, STORE), place)], value), place)

    def walrus(self, name: str, value: ast.expr, place: Node) -> ast.expr:
        return self.put(ast.NamedExpr(self.put(ast.Name(name, STORE), place), value), place)

    def do(self, value: ast.expr, place: Node) -> ast.stmt:
        return self.put(ast.Expr(value), place)

    def compare(self, a: ast.expr, op: ast.cmpop, b: ast.expr, place: Node) -> ast.expr:
        if (
            isinstance(op, ast.Is | ast.IsNot)
            and isinstance(a, ast.Constant)
            and isinstance(b, ast.Constant)
        ):
            # Python warns about `1 is None`.
            return self.value((a.value is b.value) is isinstance(op, ast.Is), place)
        return self.put(ast.Compare(a, [op], [b]), place)

    def both(self, place: Node, *tests: ast.expr) -> ast.expr:
        return self.put(ast.BoolOp(ast.And(), list(tests)), place)

    def negate(self, test: ast.expr, place: Node) -> ast.expr:
        return self.put(ast.UnaryOp(ast.Not(), test), place)

    def choose(self, test: ast.expr, yes: ast.expr, no: ast.expr, place: Node) -> ast.expr:
        return self.put(ast.IfExp(test, yes, no), place)

    def branch(self, test: ast.expr, yes: Out, no: Out, place: Node) -> ast.stmt:
        return self.put(ast.If(test, yes or [self.put(ast.Pass(), place)], no), place)

    def is_type(self, value: ast.expr, kind: str, place: Node) -> ast.expr:
        """`type(value) is kind`."""
        return self.compare(
            self.bare_call("type", place, value), ast.Is(), self.name(kind, place), place
        )

    def is_none(self, value: ast.expr, place: Node, *, negate: bool = False) -> ast.expr:
        operator = ast.IsNot() if negate else ast.Is()
        return self.compare(value, operator, self.value(None, place), place)

    def item(self, of: ast.expr, index: ast.expr, place: Node) -> ast.expr:
        return self.put(ast.Subscript(of, index, LOAD), place)

    def named(self, value: ast.expr, place: Node) -> tuple[ast.expr, ast.expr]:
        """The value to evaluate first, and a cheap way to refer to it again."""
        if isinstance(value, ast.Name | ast.Constant):
            return value, value
        name = self.temporary()
        return self.walrus(name, value, place), self.name(name, place)

    def save(self, value: ast.expr, out: Out, place: Node) -> ast.expr:
        """Evaluate now, refer to it later."""
        if isinstance(value, ast.Constant):
            return value
        name = self.temporary()
        out.append(self.assign(name, value, place))
        return self.name(name, place)

    def charge(self, cost: int, place: Node) -> Out:
        """Pay steps, and look at the clock now and then."""
        left = self.put(ast.Attribute(self.name(RUN, place), "left", STORE), place)
        pay = self.put(ast.AugAssign(left, ast.Sub(), self.value(cost, place)), place)
        test = self.compare(self.of_run("left", place), ast.Lt(), self.of_run("look", place), place)
        return [pay, self.branch(test, [self.do(self.method("check", place), place)], [], place)]

    def define(self, name: str, arguments: ast.arguments, body: Out, place: Node) -> ast.stmt:
        """A function definition (3.12 added a field)."""
        node = ast.FunctionDef(name, arguments, body, [], None, None)
        if "type_params" in ast.FunctionDef._fields:
            node.type_params = []  # type: ignore[attr-defined,unused-ignore]
        return self.put(node, place)

    # -- what the parts of the generator ask of each other

    def expression(self, node: Expression, out: Out) -> ast.expr:
        """The node's value, to look at."""
        raise NotImplementedError

    def take(self, node: Expression, out: Out) -> ast.expr:
        """The node's value, to be stored somewhere else."""
        raise NotImplementedError

    def statement(self, node: Statement, out: Out, *, want: bool) -> ast.expr | None:
        """Generate a statement; answers its value when that is wanted."""
        raise NotImplementedError

    def sequence(self, nodes: list[Expression], out: Out, *, take: bool = False) -> list[ast.expr]:
        """Operands from left to right.

        When a later one needs statements first, what the earlier ones evaluated to is put aside.
        """
        results: list[ast.expr] = []
        for node in nodes:
            before: Out = []
            value = self.take(node, before) if take else self.expression(node, before)
            if before:
                results = [self.save(result, out, node) for result in results]
                out += before
            results.append(value)
        return results


def fits(value: int) -> bool:
    """Whether 64 bits hold it."""
    return I64_MIN <= value <= I64_MAX
