"""Operators to Python, with the commonest cases written out.

The written-out cases are guarded by exact types, so they mean what the helper they bypass means:
`w.gpus > 1` becomes `(x > 1 if type(x := ...) is int else greater(M, x, 1))`.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from ._compare import EPSILON
from ._emit import Out, fits
from ._gen_places import PlaceEmitter
from ._tokens import I64_MAX, I64_MIN
from ._tree import Binary, Expression, Literal, Property, Unary
from ._values import Char


if TYPE_CHECKING:
    from collections.abc import Callable


_HELPERS: Final = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo", "**": "power",
    "<<": "shift_left", ">>": "shift_right", "&": "bit_and", "|": "bit_or", "^": "bit_xor",
    "==": "equal", "!=": "unequal", "<": "less", ">": "greater", "<=": "less_equal",
    ">=": "greater_equal", "..": "range_exclusive", "..=": "range_inclusive",
}  # fmt: skip
_COMPARE: Final[dict[str, type[ast.cmpop]]] = {
    "<": ast.Lt, ">": ast.Gt, "<=": ast.LtE, ">=": ast.GtE, "==": ast.Eq, "!=": ast.NotEq,
}  # fmt: skip
_ARITHMETIC: Final[dict[str, type[ast.operator]]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_BOOLEAN: Final = frozenset(("<", ">", "<=", ">=", "==", "!=", "&&", "||", "in", "!in"))


def is_bool(node: Expression) -> bool:
    """Whether it can only be true or false."""
    if isinstance(node, Binary):
        return node.operator in _BOOLEAN
    if isinstance(node, Unary):
        return node.operator == "!"
    return isinstance(node, Literal) and type(node.value) is bool


class OperatorEmitter(PlaceEmitter):
    """Binary operators and conditions."""

    def condition(self, node: Expression, out: Out) -> ast.expr:
        """A value that must be a bool."""
        value = self.expression(node, out)
        return value if is_bool(node) else self.bare_call("truth", node, value)

    def binary(self, node: Binary, out: Out) -> ast.expr:
        operator = node.operator
        if operator in ("&&", "||"):
            return self._logical(node, out)
        if operator == "??":
            return self._coalesce(node, out)
        left, right = self.sequence([node.left, node.right], out)
        if operator in ("in", "!in"):
            found = self.call("contains", node, left, right)
            return found if operator == "in" else self.negate(found, node)
        return self.operate(node, left, right)

    def operate(self, node: Binary, left: ast.expr, right: ast.expr) -> ast.expr:
        """The operator on operands already evaluated."""
        operator = node.operator
        written = None
        if isinstance(node.right, Literal):
            written = self._with_literal(node, left, node.right.value, right)
        elif operator in _ARITHMETIC:
            written = self._float_pair(node, left, right)
        elif operator in ("==", "!="):
            written = self._equal_pair(node, left, right)
        return written or self.call(_HELPERS[operator], node, left, right)

    def _with_literal(  # noqa: PLR0911 - one return a written-out case
        self, node: Binary, left: ast.expr, value: Any, right: ast.expr
    ) -> ast.expr | None:
        operator, kind = node.operator, type(value)
        if operator in _COMPARE:
            compare = _COMPARE[operator]
            if operator in ("==", "!="):
                if kind is str or kind is Char:
                    return self.compare(left, compare(), right, node)
                if (kind is bool or value is None) and not isinstance(left, ast.Constant):
                    same = ast.Is() if operator == "==" else ast.IsNot()
                    return self.compare(left, same, right, node)
            first, again = self.named(left, node)
            other = self.call(_HELPERS[operator], node, again, right)
            if kind is int:
                quick = self.compare(again, compare(), right, node)
                return self.choose(self.is_type(first, "int", node), quick, other, node)
            if isinstance(value, float) and operator not in ("==", "!="):
                return self._fuzzy(node, first, again, value, other)
            return self.call(_HELPERS[operator], node, left, right)
        if operator in _ARITHMETIC and kind is float:
            first, again = self.named(left, node)
            quick = self.put(ast.BinOp(again, _ARITHMETIC[operator](), right), node)
            other = self.call(_HELPERS[operator], node, again, right)
            return self.choose(self.is_type(first, "float", node), quick, other, node)
        if kind is int and (operator in ("+", "-") or (operator == "%" and value > 0)):
            return self._with_integer(node, left, value, right)
        return None

    def _with_integer(
        self, node: Binary, left: ast.expr, value: int, right: ast.expr
    ) -> ast.expr | None:
        """`a + 1` where nothing can overflow; `a % 8` of what is not negative."""
        first, again = self.named(left, node)
        if node.operator == "%":
            bound, test, operator = 0, ast.GtE(), ast.Mod()
        else:
            step = value if node.operator == "+" else -value
            up = step >= 0
            bound = I64_MAX - step if up else I64_MIN - step
            test = ast.LtE() if up else ast.GtE()  # type: ignore[assignment]
            operator = ast.Add() if node.operator == "+" else ast.Sub()  # type: ignore[assignment]
            if not fits(bound):
                return None
        guard = self.both(
            node,
            self.is_type(first, "int", node),
            self.compare(again, test, self.value(bound, node), node),
        )
        quick = self.put(ast.BinOp(again, operator, right), node)
        other = self.call(_HELPERS[node.operator], node, again, right)
        return self.choose(guard, quick, other, node)

    def _fuzzy(
        self, node: Binary, first: ast.expr, again: ast.expr, value: float, other: ast.expr
    ) -> ast.expr:
        """Outside a few epsilons around the literal, plain comparison is the fuzzy one."""
        margin = 4 * EPSILON * (abs(value) or 1.0)
        outside = self.put(
            ast.BoolOp(
                ast.Or(),
                [
                    self.compare(again, ast.Lt(), self.value(value - margin, node), node),
                    self.compare(again, ast.Gt(), self.value(value + margin, node), node),
                ],
            ),
            node,
        )
        guard = self.both(node, self.is_type(first, "float", node), outside)
        quick = self.compare(again, _COMPARE[node.operator](), self.value(value, node), node)
        return self.choose(guard, quick, other, node)

    def _pair(
        self, node: Binary, left: ast.expr, right: ast.expr, kind: str, quick: Callable[..., Any]
    ) -> ast.expr:
        a, a_again = self.named(left, node)
        b, b_again = self.named(right, node)
        other = self.call(_HELPERS[node.operator], node, a_again, b_again)
        if b is right:
            test = self.both(node, self.is_type(a, kind, node), self.is_type(b, kind, node))
        elif a is left and isinstance(node.right, Property):
            # Looking at the right side first changes nothing: reading a property is pure.
            test = self.both(node, self.is_type(b, kind, node), self.is_type(a, kind, node))
        else:
            if a is left:
                name = self.temporary()
                a, a_again = self.walrus(name, left, node), self.name(name, node)
                other = self.call(_HELPERS[node.operator], node, a_again, b_again)
            # Both are evaluated, in order, before either is looked at.
            types = [self.bare_call("type", node, side) for side in (a, b)]
            same = self.compare(types[0], ast.Is(), types[1], node)
            test = self.both(node, same, self.is_type(a_again, kind, node))
        return self.choose(test, quick(a_again, b_again), other, node)

    def _float_pair(self, node: Binary, left: ast.expr, right: ast.expr) -> ast.expr:
        operator = _ARITHMETIC[node.operator]
        return self._pair(
            node, left, right, "float",
            lambda a, b: self.put(ast.BinOp(a, operator(), b), node),
        )  # fmt: skip

    def _equal_pair(self, node: Binary, left: ast.expr, right: ast.expr) -> ast.expr:
        compare = _COMPARE[node.operator]
        return self._pair(
            node, left, right, "str", lambda a, b: self.compare(a, compare(), b, node)
        )

    def _logical(self, node: Binary, out: Out) -> ast.expr:
        left = self.condition(node.left, out)
        before: Out = []
        right = self.condition(node.right, before)
        is_and = node.operator == "&&"
        if not before:
            operator = ast.And() if is_and else ast.Or()
            return self.put(ast.BoolOp(operator, [left, right]), node)
        name = self.temporary("b")
        out.append(self.assign(name, left, node))
        test: ast.expr = self.name(name, node)
        if not is_and:
            test = self.negate(test, node)
        before.append(self.assign(name, right, node))
        out.append(self.branch(test, before, [], node))
        return self.name(name, node)

    def _coalesce(self, node: Binary, out: Out) -> ast.expr:
        left = self.expression(node.left, out)
        before: Out = []
        right = self.expression(node.right, before)
        if not before:
            first, again = self.named(left, node)
            return self.choose(self.is_none(first, node, negate=True), again, right, node)
        name = self.temporary("c")
        out.append(self.assign(name, left, node))
        before.append(self.assign(name, right, node))
        out.append(self.branch(self.is_none(self.name(name, node), node), before, [], node))
        return self.name(name, node)
