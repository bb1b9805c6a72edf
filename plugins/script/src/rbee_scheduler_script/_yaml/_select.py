"""`select: "workers.filter(gpus > 1).first()"`: an expression, read and rewritten.

The text is never pasted unread: it must be one Rhai expression, without comments (an open one would
swallow the rest of the script). Two things are eased: a text may stand in single quotes, and a bare
field name inside `filter(...)` and the like means the field of the element, so that
`filter(gpus > 1)` becomes `filter(|w| w.gpus > 1)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

from rbee_scheduler_script import rhai
from rbee_scheduler_script._check._answers import CALLBACKS
from rbee_scheduler_script._check._shapes import SHAPES
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script._yaml._literals import as_text
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["BadExpression", "read_select"]

# What an expression may name.
NAMES: Final = ("job", "metrics", "pools", "workers")

# Strings and comments as they are; what is left in single quotes becomes a string.
_QUOTED: Final = re.compile(
    r"""
    (?P<kept> "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*` | //[^\n]* | /\* )
  | '(?P<single> (?:[^'\\]|\\.)* )'
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)

# Functions whose first argument is a closure over elements.
_TAKERS: Final = frozenset(
    name for name, parameters in CALLBACKS.items() if parameters[0] not in ("any", "int")
)
_ELEMENTS: Final = {"pools": "pool", "workers": "worker"}


class BadExpression(Exception):
    """The text is no expression for `select`.

    Args:
        message: What is wrong.
        hint: What to do.
        column: Where, counted from the start of the text, from 0.
    """

    def __init__(self, message: str, hint: str = "", column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.column = column


def read_select(text: str) -> tuple[str, frozenset[str]]:
    """Return the expression as Rhai, and which of `NAMES` it uses.

    Raises:
        BadExpression: It is none, or names what is not there.
    """
    source = _QUOTED.sub(_double_quoted, text).strip()
    root = _parsed(source)
    # Found parents first: `|w| ` stands before the `w.` of the same place.
    edits: dict[int, str] = {}
    for at, added in _Rewriter(source).edits(root):
        edits[at] = edits.get(at, "") + added
    rewritten = source
    for at in sorted(edits, reverse=True):
        rewritten = rewritten[:at] + edits[at] + rewritten[at:]
    used = {part.name for part in tree.walk(root) if isinstance(part, tree.Variable)}
    return rewritten, frozenset(used.intersection(NAMES))


def _double_quoted(found: re.Match[str]) -> str:
    single = found["single"]
    if single is None:
        return found[0]
    return as_text(_ESCAPE.sub(r"\1", single))


def _parsed(source: str) -> tree.Expression:
    try:
        script = rhai.parse(source, comments=True)
    except rhai.RhaiError as error:
        column = error.where[1] - 1 if error.where and error.where[0] == 1 else 0
        raise BadExpression(f"not an expression: {error.message}", column=column) from None
    if script.comments:
        raise BadExpression("a comment inside an expression", "write it behind a # of YAML")
    statements = script.body.statements
    if script.functions or len(statements) != 1:
        raise BadExpression("not one expression", "write what is to be chosen, nothing else")
    (statement,) = statements
    if not isinstance(statement, tree.ExpressionStatement):
        raise BadExpression(
            "a statement instead of an expression",
            "put decisions into rules, or write the policy in Rhai",
        )
    if source.rstrip().endswith(";"):
        raise BadExpression("a semicolon behind the expression", "leave it out")
    return statement.expression


@attrs.frozen
class _Element:
    """What bare names mean inside the argument of `filter` and the like.

    Attributes:
        shape: What the elements are.
        name: Parameter of the closure.
    """

    shape: str
    name: str


@attrs.frozen
class _Rewriter:
    """Finds where text has to be put in."""

    source: str

    def edits(self, root: tree.Node) -> Iterator[tuple[int, str]]:
        """Yield offsets and what goes in front of them."""
        yield from self._visit(root, None)

    def _offset(self, node: tree.Node) -> int:
        lines = self.source.split("\n")
        return sum(len(line) + 1 for line in lines[: node.line - 1]) + node.column - 1

    def _visit(self, node: tree.Node, element: _Element | None) -> Iterator[tuple[int, str]]:
        if isinstance(node, tree.Variable):
            yield from self._variable(node, element)
            return
        arguments = getattr(node, "arguments", None)
        taker = None
        if isinstance(node, tree.MethodCall | tree.Call) and arguments and node.name in _TAKERS:
            taker = arguments[0]
            inner = _Element(_shape_of(node), _parameter(taker))
            if _has_bare(taker):
                yield self.source.index("(", self._offset(node)) + 1, f"|{inner.name}| "
                yield from self._visit(taker, inner)
            else:
                yield from self._visit(taker, element)
        for child in tree.children(node):
            if child is not taker:
                yield from self._visit(child, element)

    def _variable(self, node: tree.Variable, element: _Element | None) -> Iterator[tuple[int, str]]:
        if node.binding is not None or (node.name in NAMES and node.namespace is None):
            return
        fields = SHAPES[element.shape] if element else {}
        if element and node.name in fields and node.namespace is None:
            yield self._offset(node), f"{element.name}."
            return
        near = nearest(node.name, [*NAMES, *fields])
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(NAMES)}"
        if not element and node.name in SHAPES["worker"]:
            hint = f"fields stand inside filter(...), min_by(...): min_by({node.name})"
        raise BadExpression(f"unknown name `{node.name}`", hint, self._offset(node))


def _shape_of(node: tree.MethodCall | tree.Call) -> str:
    """Return the shape of what the closure is given."""
    declared = CALLBACKS[node.name][0]
    if declared != "item":
        return declared
    target: tree.Node | None = node.target if isinstance(node, tree.MethodCall) else None
    while isinstance(target, tree.MethodCall | tree.Property | tree.Index):
        if isinstance(target, tree.Property) and target.name in _ELEMENTS:
            return _ELEMENTS[target.name]
        target = target.target
    name = target.name if isinstance(target, tree.Variable) else ""
    return _ELEMENTS.get(name, "worker")


def _has_bare(node: tree.Node) -> bool:
    """Whether the argument is a condition or key over fields rather than a closure."""
    if isinstance(node, tree.Closure | tree.Literal):
        return False
    return any(
        isinstance(part, tree.Variable) and part.binding is None and part.name not in NAMES
        for part in tree.walk(node)
    )


def _parameter(node: tree.Node) -> str:
    """Return a name for the closure's parameter that no closure inside takes for its own."""
    taken = {
        binding.name
        for part in tree.walk(node)
        if isinstance(part, tree.Closure)
        for binding in part.parameters
    }
    return next(name for name in ("w", "worker", "each", "element_") if name not in taken)
