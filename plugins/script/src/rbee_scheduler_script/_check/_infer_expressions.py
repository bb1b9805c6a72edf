"""The types of expressions, from those of their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from rbee_scheduler_script._check._kinds import (
    ANY,
    NOTHING,
    bare,
    element,
    field_of,
    merged,
    optional,
)
from rbee_scheduler_script._check._vocabulary import Vocabulary
from rbee_scheduler_script.rhai import _tree as tree
from rbee_scheduler_script.rhai._values import Char


__all__ = ["EXPRESSIONS", "ExpressionTypes", "calculated", "joined"]

_LITERALS: Final = {
    int: "int", float: "float", bool: "bool", str: "string", Char: "char", type(None): NOTHING,
}  # fmt: skip
_QUESTIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "&&", "||", "in", "!in"})


class ExpressionTypes:
    """What an expression is; `Types` adds variables, functions and statements.

    Args:
        script: It.
        vocabulary: The words it may use.
    """

    def __init__(self, script: tree.Script, vocabulary: Vocabulary) -> None:
        self.script = script
        self.vocabulary = vocabulary
        self.functions = {(f.name, len(f.parameters)): f for f in script.functions}
        # What each function of the script answers, by identity, as far as it is known.
        self.answers: dict[int, str] = {}

    # ---- what `Types` knows --------------------------------------------------------------

    def of(self, node: tree.Node) -> str:
        """Return the type of an expression."""
        raise NotImplementedError

    def value(self, statement: tree.Node | None) -> str:
        """Return the type of a statement's value; empty when it never gets to its end."""
        raise NotImplementedError

    def note(self, binding: tree.Binding, kind: str) -> None:
        """Note what a variable is, among other things."""
        raise NotImplementedError

    def variable(self, binding: tree.Binding) -> str:
        """Return what a variable is."""
        raise NotImplementedError

    def field(self, target: str, name: str) -> str | None:
        """Return the type of a field of a map; None when such maps never have it."""
        shape = bare(target)
        if shape not in self.vocabulary.shapes:
            return ANY
        return self.vocabulary.field(shape, name)

    # ---- expressions -------------------------------------------------------------------

    def _literal(self, node: tree.Literal) -> str:
        return _LITERALS.get(type(node.value), ANY)

    def _array(self, node: tree.ArrayLiteral) -> str:
        return f"[{merged(map(self.of, node.items))}]"

    def _name(self, node: tree.Variable) -> str:
        if node.binding is not None:
            return self.variable(node.binding)
        if node.namespace == "global":
            for statement in self.script.body.statements:
                if isinstance(statement, tree.Let) and statement.binding.name == node.name:
                    return self.variable(statement.binding)
        elif any(name == node.name for name, _ in self.functions):
            return "Fn"
        return self.vocabulary.globals.get(node.name, ANY)

    def _unary(self, node: tree.Unary) -> str:
        if node.operator == "!":
            return "bool"
        kind = bare(self.of(node.operand))
        return kind if field_of(kind) == "number" else ANY

    def _binary(self, node: tree.Binary) -> str:
        if node.operator in _QUESTIONS:
            return "bool"
        if node.operator in ("..", "..="):
            return "range"
        left, right = self.of(node.left), self.of(node.right)
        if node.operator == "??":
            if left == NOTHING:
                return right
            diverges = isinstance(node.right, tree.StatementExpression) and not right
            return bare(left) if diverges else merged([bare(left), right])
        return calculated(node.operator, left, right)

    def _property(self, node: tree.Property) -> str:
        target = self.of(node.target)
        kind = self.field(target, node.name) or ANY
        if field_of(target) in ("array", "text") and node.name in ("len", "is_empty"):
            kind = "int" if node.name == "len" else "bool"
        return optional(kind) if node.optional else kind

    def _index(self, node: tree.Index) -> str:
        target = self.of(node.target)
        if isinstance(node.index, tree.Literal) and type(node.index.value) is str:
            return self.field(target, node.index.value) or ANY
        kind = element(target)
        return optional(kind) if node.optional else kind

    def _call(self, node: tree.Call) -> str:
        function = self.functions.get((node.name, len(node.arguments)))
        if function is not None:
            for parameter, argument in zip(function.parameters, node.arguments, strict=True):
                self.note(parameter, self.of(argument))
            return self.answers.get(id(function), ANY)
        receiver = self.of(node.arguments[0]) if node.arguments else ANY
        return self._known(node.name, receiver, node.arguments)

    def _method(self, node: tree.MethodCall) -> str:
        receiver = self.of(node.target)
        if (node.name, len(node.arguments)) in self.functions or node.name in (
            self.script.map_keys if field_of(receiver) in ("map", ANY) else ()
        ):
            return ANY
        kind = self._known(node.name, receiver, node.arguments)
        return optional(kind) if node.optional and kind else kind

    def _known(self, name: str, receiver: str, arguments: list[tree.Expression]) -> str:
        """Return what a helper or standard function answers; tell its closures what they get."""
        function = self.vocabulary.functions.get(name)
        if function is None:
            return ANY
        body = ANY
        for argument in arguments:
            if isinstance(argument, tree.Closure):
                for parameter, kind in zip(argument.parameters, function.callback, strict=False):
                    self.note(parameter, element(receiver) if kind == "item" else kind)
                for parameter in argument.parameters[len(function.callback) :]:
                    self.note(parameter, ANY)
                body = self.value(argument.body) or ANY
        answers = function.answers
        stem = bare(answers)
        if stem == "self":
            return bare(receiver)
        if stem == "item":
            kind = element(receiver)
            return optional(kind) if answers != stem else kind
        if stem == "[closure]":
            return f"[{body}]" if receiver.startswith("[") else bare(receiver)
        return answers

    def _statement(self, node: tree.StatementExpression) -> str:
        return self.value(node.statement)


def joined(kinds: Iterable[str]) -> str:
    """Return the type of what is one of these; empty ones never get there."""
    there = [kind for kind in kinds if kind]
    return merged(there) if there else ""


def calculated(operator: str, left: str, right: str) -> str:
    a, b = field_of(left), field_of(right)
    if operator == "+" and "string" in (bare(left), bare(right)):
        return "string"
    if a == b == "number":
        kinds = {bare(left), bare(right)}
        if kinds == {"int"}:
            return "int"
        return "float" if "float" in kinds else "number"
    if operator == "+" and a == b == "array":
        return merged([bare(left), bare(right)])
    return ANY


# Tables from node types to methods, typed loosely: each method takes its own type of node.
_Read = Callable[[ExpressionTypes, Any], str]
EXPRESSIONS: Final[dict[type, _Read]] = {
    tree.Literal: ExpressionTypes._literal,  # noqa: SLF001 - a table of its own methods
    tree.Interpolation: lambda _self, _node: "string",
    tree.ArrayLiteral: ExpressionTypes._array,  # noqa: SLF001
    tree.MapLiteral: lambda _self, _node: "map",
    tree.Variable: ExpressionTypes._name,  # noqa: SLF001
    tree.Unary: ExpressionTypes._unary,  # noqa: SLF001
    tree.Binary: ExpressionTypes._binary,  # noqa: SLF001
    tree.Property: ExpressionTypes._property,  # noqa: SLF001
    tree.Index: ExpressionTypes._index,  # noqa: SLF001
    tree.Call: ExpressionTypes._call,  # noqa: SLF001
    tree.MethodCall: ExpressionTypes._method,  # noqa: SLF001
    tree.Closure: lambda _self, _node: "Fn",
    tree.StatementExpression: ExpressionTypes._statement,  # noqa: SLF001
}
