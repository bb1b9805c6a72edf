"""What every expression of a script is, as far as it can be known without running it.

Flow-insensitive: a variable is what any of its assignments makes it. Parameters of the entry points
are known, those of other functions are what their callers give, those of closures what the helper
hands them. Unknown is `any`, of which nothing is ever reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from rbee_scheduler_script._check._infer_expressions import (
    EXPRESSIONS,
    ExpressionTypes,
    calculated,
    joined,
)
from rbee_scheduler_script._check._kinds import ANY, NOTHING, element, merged
from rbee_scheduler_script._check._vocabulary import Vocabulary
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["Types"]

# What a function answers is known after those it calls; chains of calls are short.
_ROUNDS: Final = 4


class Types(ExpressionTypes):
    """The types of a script's expressions.

    Args:
        script: It.
        vocabulary: The words it may use.
    """

    def __init__(self, script: tree.Script, vocabulary: Vocabulary) -> None:
        super().__init__(script, vocabulary)
        self._nodes: dict[int, str] = {}
        self._variables: dict[int, list[str]] = {}
        self._before: dict[int, str] = {}
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
            read = EXPRESSIONS.get(type(node))
            known = self._nodes[id(node)] = ANY if read is None else read(self, node)
        return known

    # ---- rounds ------------------------------------------------------------------------

    def _round(self) -> bool:
        """Look at everything once; return whether anything new came out."""
        before = (dict(self._before), dict(self.answers))
        self._nodes.clear()
        self._variables.clear()
        for function in self.script.functions:
            kinds = self.vocabulary.entries.get(function.name, ())
            if len(kinds) != len(function.parameters):
                kinds = (ANY,) * (
                    len(function.parameters) if function.name in self._as_values else 0
                )
            for parameter, kind in zip(function.parameters, kinds, strict=False):
                self.note(parameter, kind)
        for node in tree.walk(self.script):
            self._visit(node)
        self._before = {key: merged(kinds) for key, kinds in self._variables.items()}
        self._nodes.clear()
        self.answers = {id(f): self._answer(f) for f in self.script.functions}
        self._nodes.clear()
        return before != (self._before, self.answers)

    def _visit(self, node: tree.Node) -> None:
        read = _STATEMENTS.get(type(node))
        if read is not None:
            read(self, node)

    def note(self, binding: tree.Binding, kind: str) -> None:
        self._variables.setdefault(id(binding), []).append(kind)

    def variable(self, binding: tree.Binding) -> str:
        return self._before.get(id(binding)) or merged(self._variables.get(id(binding), [ANY]))

    def _answer(self, function: tree.FunctionDefinition) -> str:
        kinds = [self.value(function.body)]
        kinds += [
            NOTHING if node.value is None else self.of(node.value)
            for node in _inside(function.body)
            if isinstance(node, tree.Return)
        ]
        return merged(kind for kind in kinds if kind)

    # ---- statements --------------------------------------------------------------------

    def _let(self, node: tree.Let) -> None:
        self.note(node.binding, NOTHING if node.value is None else self.of(node.value))

    def _assign(self, node: tree.Assign) -> None:
        target = node.target
        if isinstance(target, tree.Variable) and target.binding is not None:
            kind = self.of(node.value)
            if node.operator != "=":
                kind = calculated(node.operator[:-1], self.variable(target.binding), kind)
            self.note(target.binding, kind)

    def _for(self, node: tree.For) -> None:
        kind = self.of(node.iterable)
        self.note(node.variable, "int" if kind == "range" else element(kind))
        if node.counter is not None:
            self.note(node.counter, "int")

    def _try(self, node: tree.Try) -> None:
        if node.binding is not None:
            self.note(node.binding, ANY)

    def value(self, statement: tree.Node | None) -> str:
        """Return the type of a statement's value; empty when it never gets to its end."""
        read = _VALUES.get(type(statement))
        return NOTHING if read is None else read(self, statement)

    def _value_of_block(self, node: tree.Block) -> str:
        return self.value(node.statements[-1]) if node.statements else NOTHING

    def _value_of_if(self, node: tree.If) -> str:
        return joined([self.value(node.then), self.value(node.otherwise)])

    def _value_of_switch(self, node: tree.Switch) -> str:
        bodies = [case.body for case in node.cases]
        return joined(map(self.value, [*bodies, node.default]))

    def _value_of_while(self, node: tree.While) -> str:
        # What its `break` says.
        return ANY if node.condition is None else NOTHING


def _inside(node: tree.Node) -> Iterable[tree.Node]:
    """Return what belongs to a function; the closures in it return for themselves."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(c for c in tree.children(current) if not isinstance(c, tree.Closure))


_STATEMENTS: Final[dict[type, Callable[[Types, Any], object]]] = {
    tree.Let: Types._let,  # noqa: SLF001
    tree.Assign: Types._assign,  # noqa: SLF001
    tree.For: Types._for,  # noqa: SLF001
    tree.Try: Types._try,  # noqa: SLF001
    tree.Call: Types.of,
    tree.MethodCall: Types.of,
}
_VALUES: Final[dict[type, Callable[[Types, Any], str]]] = {
    tree.Block: Types._value_of_block,  # noqa: SLF001
    tree.ExpressionStatement: lambda self, node: self.of(node.expression),
    tree.If: Types._value_of_if,  # noqa: SLF001
    tree.Switch: Types._value_of_switch,  # noqa: SLF001
    tree.Try: lambda self, node: joined([self.value(node.body), self.value(node.handler)]),
    tree.While: Types._value_of_while,  # noqa: SLF001
    **dict.fromkeys((tree.Return, tree.Throw, tree.Break, tree.Continue), lambda *_: ""),
}
