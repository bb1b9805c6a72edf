"""Expressions to Python, apart from operators and calls."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ._emit import LOAD, Out
from ._gen_operators import OperatorEmitter, is_bool
from ._tree import (
    ArrayLiteral,
    Binary,
    Call,
    Closure,
    Expression,
    Index,
    Interpolation,
    Literal,
    MapLiteral,
    MethodCall,
    Property,
    StatementExpression,
    This,
    Unary,
    Variable,
)


if TYPE_CHECKING:
    from collections.abc import Callable


class ExpressionEmitter(OperatorEmitter):
    """Literals, variables, chains."""

    def expression(self, node: Expression, out: Out) -> ast.expr:
        self.frame.cost += 1
        return _EMIT[type(node)](self, node, out)

    def take(self, node: Expression, out: Out) -> ast.expr:
        value = self.expression(node, out)
        if not self.changes:
            return value
        if isinstance(node, Variable | Property | Index | This):
            return self.call("share", node, value)
        if isinstance(node, Binary) and node.operator == "??":
            return self.call("share", node, value)
        return value

    def literal(self, node: Literal, _out: Out) -> ast.expr:
        return self.value(node.value, node)

    def interpolation(self, node: Interpolation, out: Out) -> ast.expr:
        return self.call("joined", node, *self.sequence(node.parts, out))

    def array(self, node: ArrayLiteral, out: Out) -> ast.expr:
        self.frame.cost += 2 + len(node.items)
        return self.put(ast.List(self.sequence(node.items, out, take=True), LOAD), node)

    def map(self, node: MapLiteral, out: Out) -> ast.expr:
        self.frame.cost += 4 + 2 * len(node.entries)
        values = self.sequence([value for _, value in node.entries], out, take=True)
        keys: list[ast.expr | None] = [self.value(key, node) for key, _ in node.entries]
        return self.put(ast.Dict(keys, values), node)

    def variable(self, node: Variable, _out: Out) -> ast.expr:
        if node.namespace is not None:
            if node.namespace == "global":
                return self.call("global_constant", node, self.value(node.name, node))
            return self.raises("no_module", node.namespace, node)
        binding = self.resolve(node)
        if binding is not None:
            return self.read(binding, node)
        if self.frame.top:
            return self.call("scope_variable", node, self.value(node.name, node))
        if any(function.name == node.name for function in self.script.functions):
            return self.bare_call("FnPtr", node, self.value(node.name, node))
        return self.raises("missing", node.name, node)

    def this(self, node: This, _out: Out) -> ast.expr:
        return self.bare_call("this_value", node, self.name("this", node))

    def unary(self, node: Unary, out: Out) -> ast.expr:
        value = self.expression(node.operand, out)
        if node.operator == "!":
            if is_bool(node.operand):
                return self.negate(value, node)
            return self.call("invert", node, value)
        return self.call("negate" if node.operator == "-" else "plus", node, value)

    def inner_statement(self, node: StatementExpression, out: Out) -> ast.expr:
        value = self.statement(node.statement, out, want=True)
        return self.value(None, node) if value is None else value

    def _is_optional(self, node: Expression) -> bool:
        while isinstance(node, Property | Index | MethodCall):
            if node.optional:
                return True
            node = node.target
        return False

    def link(self, node: Property | Index | MethodCall, out: Out) -> ast.expr:
        """The end of a chain; where a `?` meets `()`, the whole chain is `()`."""
        if not self._is_optional(node):
            return self.plain_link(node, out)
        if isinstance(node, MethodCall):
            changed = self.optional_change(node, out)
            if changed is not None:
                return changed
        result = self.temporary("r")
        out.append(self.assign(result, self.value(None, node), node))
        value, inner = self._optional_link(node, out)
        inner.append(self.assign(result, value, node))
        return self.name(result, node)

    def _optional_link(self, node: Property | Index | MethodCall, out: Out) -> tuple[ast.expr, Out]:
        target = node.target
        inner = out
        if isinstance(target, Property | Index | MethodCall):
            value, inner = self._optional_link(target, out)
        elif node.optional:
            value = self.expression(target, out)
        else:
            return self.plain_link(node, inner), inner
        if node.optional:
            value = self.save(value, inner, node)
            body: Out = []
            test = self.is_none(value, node, negate=True)
            inner.append(self.branch(test, body, [], node))
            if isinstance(inner[-1], ast.If):
                inner[-1].body = body
            inner = body
        return self.linked(node, value, inner), inner

    def plain_link(self, node: Property | Index | MethodCall, out: Out) -> ast.expr:
        if isinstance(node, MethodCall):
            return self.method_call(node, out)
        if isinstance(node, Index):
            target, key = self.sequence([node.target, node.index], out)
            return self.two_places(self.call("index", node, target, key), node)
        return self.linked(node, self.expression(node.target, out), out)

    def linked(self, node: Property | Index | MethodCall, target: ast.expr, out: Out) -> ast.expr:
        """One link, on a target already evaluated."""
        if isinstance(node, MethodCall):
            return self.method_on(node, target, out)
        if isinstance(node, Index):
            target = self.save(target, out, node)
            key = self.expression(node.index, out)
            return self.two_places(self.call("index", node, target, key), node)
        if node.name == "tag" and isinstance(node.target, Variable):
            binding = self.resolve(node.target)
            if binding is not None and binding.tagged:
                return self.call("tag_of", node, target, self.value(binding.python, node))
        first, again = self.named(target, node)
        name = self.value(node.name, node)
        getter = self.put(ast.Call(self.attribute(again, "get", node), [name], []), node)
        return self.choose(
            self.is_type(first, "dict", node),
            getter,
            self.call("prop", node, again, name),
            node,
        )

    def call_function(self, node: Call, out: Out) -> ast.expr:
        raise NotImplementedError

    def method_call(self, node: MethodCall, out: Out) -> ast.expr:
        raise NotImplementedError

    def optional_change(self, node: MethodCall, out: Out) -> ast.expr | None:
        raise NotImplementedError

    def method_on(self, node: MethodCall, target: ast.expr, out: Out) -> ast.expr:
        raise NotImplementedError

    def closure(self, node: Closure, out: Out) -> ast.expr:
        raise NotImplementedError


_EMIT: Final[dict[type, Callable[..., ast.expr]]] = {
    Literal: ExpressionEmitter.literal,
    Interpolation: ExpressionEmitter.interpolation,
    ArrayLiteral: ExpressionEmitter.array,
    MapLiteral: ExpressionEmitter.map,
    Variable: ExpressionEmitter.variable,
    This: ExpressionEmitter.this,
    Unary: ExpressionEmitter.unary,
    Binary: ExpressionEmitter.binary,
    Property: ExpressionEmitter.link,
    Index: ExpressionEmitter.link,
    MethodCall: ExpressionEmitter.link,
    StatementExpression: ExpressionEmitter.inner_statement,
    Call: lambda self, node, out: self.call_function(node, out),
    Closure: lambda self, node, out: self.closure(node, out),
}
