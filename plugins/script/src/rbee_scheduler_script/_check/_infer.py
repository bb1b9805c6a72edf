"""What every expression of a script is, as far as it can be known without running it.

Flow-insensitive: a variable is what any of its assignments makes it. Parameters of the entry points
are known, those of other functions are what their callers give, those of closures what the helper
hands them. Unknown is `any`, of which nothing is ever reported.
"""

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


__all__ = ["Types"]

# What a function answers is known after those it calls; chains of calls are short.
_ROUNDS: Final = 4

_LITERALS: Final = {
    int: "int", float: "float", bool: "bool", str: "string", Char: "char", type(None): NOTHING,
}  # fmt: skip
_QUESTIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "&&", "||", "in", "!in"})


class Types:
    """The types of a script's expressions.

    Args:
        script: It.
        vocabulary: The words it may use.
    """

    def __init__(self, script: tree.Script, vocabulary: Vocabulary) -> None:
        self.script = script
        self.vocabulary = vocabulary
        self._functions = {(f.name, len(f.parameters)): f for f in script.functions}
        self._nodes: dict[int, str] = {}
        self._variables: dict[int, list[str]] = {}
        self._before: dict[int, str] = {}
        self._answers: dict[int, str] = {}
        # Functions whose name is used as a value may be given anything.
        self._as_values = {
            node.name
            for node in tree.walk(script)
            if isinstance(node, tree.Variable) and node.binding is None
        }
        for _ in range(_ROUNDS):
            if not self._round():
                break

    def of(self, node: tree.Node) -> str:
        """Return the type of an expression."""
        known = self._nodes.get(id(node))
        if known is None:
            self._nodes[id(node)] = ANY  # ends a recursion
            read = _EXPRESSIONS.get(type(node))
            known = self._nodes[id(node)] = ANY if read is None else read(self, node)
        return known

    def field(self, target: str, name: str) -> str | None:
        """Return the type of a field of a map; None when such maps never have it."""
        shape = bare(target)
        if shape not in self.vocabulary.shapes:
            return ANY
        return self.vocabulary.field(shape, name)

    # ---- rounds ------------------------------------------------------------------------

    def _round(self) -> bool:
        """Look at everything once; return whether anything new came out."""
        before = (dict(self._before), dict(self._answers))
        self._nodes.clear()
        self._variables.clear()
        for function in self.script.functions:
            kinds = self.vocabulary.entries.get(function.name, ())
            if len(kinds) == len(function.parameters):
                for parameter, kind in zip(function.parameters, kinds, strict=True):
                    self._note(parameter, kind)
            elif function.name in self._as_values:
                for parameter in function.parameters:
                    self._note(parameter, ANY)
        for node in tree.walk(self.script):
            self._visit(node)
        self._before = {key: merged(kinds) for key, kinds in self._variables.items()}
        self._nodes.clear()
        self._answers = {id(f): self._answer(f) for f in self.script.functions}
        self._nodes.clear()
        return before != (self._before, self._answers)

    def _visit(self, node: tree.Node) -> None:
        read = _STATEMENTS.get(type(node))
        if read is not None:
            read(self, node)

    def _note(self, binding: tree.Binding, kind: str) -> None:
        self._variables.setdefault(id(binding), []).append(kind)

    def _variable(self, binding: tree.Binding) -> str:
        return self._before.get(id(binding)) or merged(self._variables.get(id(binding), [ANY]))

    def _answer(self, function: tree.FunctionDefinition) -> str:
        kinds = [self.value(function.body)]
        for node in _inside(function.body):
            if isinstance(node, tree.Return):
                kinds.append(NOTHING if node.value is None else self.of(node.value))
        return merged(kind for kind in kinds if kind)

    # ---- statements --------------------------------------------------------------------

    def _let(self, node: tree.Let) -> None:
        self._note(node.binding, NOTHING if node.value is None else self.of(node.value))

    def _assign(self, node: tree.Assign) -> None:
        target = node.target
        if isinstance(target, tree.Variable) and target.binding is not None:
            kind = self.of(node.value)
            if node.operator != "=":
                kind = _calculated(node.operator[:-1], self._variable(target.binding), kind)
            self._note(target.binding, kind)

    def _for(self, node: tree.For) -> None:
        kind = self.of(node.iterable)
        self._note(node.variable, "int" if kind == "range" else element(kind))
        if node.counter is not None:
            self._note(node.counter, "int")

    def _try(self, node: tree.Try) -> None:
        if node.binding is not None:
            self._note(node.binding, ANY)

    def value(self, statement: tree.Node | None) -> str:
        """Return the type of a statement's value; empty when it never gets to its end."""
        if isinstance(statement, tree.Block):
            return self.value(statement.statements[-1]) if statement.statements else NOTHING
        if isinstance(statement, tree.ExpressionStatement):
            return self.of(statement.expression)
        if isinstance(statement, tree.If):
            otherwise = NOTHING if statement.otherwise is None else self.value(statement.otherwise)
            return _joined([self.value(statement.then), otherwise])
        if isinstance(statement, tree.Switch):
            kinds = [self.value(case.body) for case in statement.cases]
            default = statement.default
            kinds.append(NOTHING if default is None else self.value(default))
            return _joined(kinds)
        if isinstance(statement, tree.Try):
            return _joined([self.value(statement.body), self.value(statement.handler)])
        if isinstance(statement, tree.Return | tree.Throw | tree.Break | tree.Continue):
            return ""
        if isinstance(statement, tree.While) and statement.condition is None:
            return ANY
        return NOTHING

    # ---- expressions -------------------------------------------------------------------

    def _literal(self, node: tree.Literal) -> str:
        return _LITERALS.get(type(node.value), ANY)

    def _array(self, node: tree.ArrayLiteral) -> str:
        return f"[{merged(map(self.of, node.items))}]"

    def _name(self, node: tree.Variable) -> str:
        if node.binding is not None:
            return self._variable(node.binding)
        if node.namespace == "global":
            for statement in self.script.body.statements:
                if isinstance(statement, tree.Let) and statement.binding.name == node.name:
                    return self._variable(statement.binding)
        elif any(name == node.name for name, _ in self._functions):
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
        return _calculated(node.operator, left, right)

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
        function = self._functions.get((node.name, len(node.arguments)))
        if function is not None:
            for parameter, argument in zip(function.parameters, node.arguments, strict=True):
                self._note(parameter, self.of(argument))
            return self._answers.get(id(function), ANY)
        receiver = self.of(node.arguments[0]) if node.arguments else ANY
        return self._known(node.name, receiver, node.arguments)

    def _method(self, node: tree.MethodCall) -> str:
        receiver = self.of(node.target)
        if (node.name, len(node.arguments)) in self._functions or node.name in (
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
                    self._note(parameter, element(receiver) if kind == "item" else kind)
                for parameter in argument.parameters[len(function.callback) :]:
                    self._note(parameter, ANY)
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


def _joined(kinds: Iterable[str]) -> str:
    """Return the type of what is one of these; empty ones never get there."""
    there = [kind for kind in kinds if kind]
    return merged(there) if there else ""


def _calculated(operator: str, left: str, right: str) -> str:
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


def _inside(node: tree.Node) -> Iterable[tree.Node]:
    """Return what belongs to a function, without the closures in it, which return for themselves."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(c for c in tree.children(current) if not isinstance(c, tree.Closure))


# Tables from node types to methods, typed loosely: each method takes its own type of node.
_Read = Callable[[Types, Any], str]
_EXPRESSIONS: Final[dict[type, _Read]] = {
    tree.Literal: Types._literal,  # noqa: SLF001 - a table of its own methods
    tree.Interpolation: lambda _self, _node: "string",
    tree.ArrayLiteral: Types._array,  # noqa: SLF001
    tree.MapLiteral: lambda _self, _node: "map",
    tree.Variable: Types._name,  # noqa: SLF001
    tree.Unary: Types._unary,  # noqa: SLF001
    tree.Binary: Types._binary,  # noqa: SLF001
    tree.Property: Types._property,  # noqa: SLF001
    tree.Index: Types._index,  # noqa: SLF001
    tree.Call: Types._call,  # noqa: SLF001
    tree.MethodCall: Types._method,  # noqa: SLF001
    tree.Closure: lambda _self, _node: "Fn",
    tree.StatementExpression: Types._statement,  # noqa: SLF001
}
_STATEMENTS: Final[dict[type, Callable[[Types, Any], object]]] = {
    tree.Let: Types._let,  # noqa: SLF001
    tree.Assign: Types._assign,  # noqa: SLF001
    tree.For: Types._for,  # noqa: SLF001
    tree.Try: Types._try,  # noqa: SLF001
    tree.Call: Types.of,
    tree.MethodCall: Types.of,
}
