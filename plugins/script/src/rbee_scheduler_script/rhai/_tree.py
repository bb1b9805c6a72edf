"""The syntax tree: what a script says, with the place of everything.

Every node has `line` and `column`, both from 1, of the token that errors about it point at: the
operator of a binary expression, the name of a property or call, the first token of anything else.

    Node
      Statement   Let Assign Block If While Do For Switch Break Continue Return Throw Try
                  Import Export ExpressionStatement FunctionDefinition
      Expression  Literal Interpolation ArrayLiteral MapLiteral Variable This Unary Binary
                  Property Index Call MethodCall Closure StatementExpression

Nodes are plain slotted classes that are not frozen: a 30-line policy has some 400 of them and
2 ms to be compiled in. Nothing changes a node once the parser has handed it out, apart from the
facts a `Binding` gathers while the rest of the script is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._nodes import Binding, Expression, Node, Statement
from ._tree_expressions import (
    ArrayLiteral,
    Binary,
    Call,
    Closure,
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
from ._tree_statements import (
    Assign,
    Block,
    Break,
    Case,
    Continue,
    Do,
    Export,
    ExpressionStatement,
    For,
    FunctionDefinition,
    If,
    Import,
    Let,
    Return,
    Switch,
    Throw,
    Try,
    While,
)


if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._lexer import Comment


__all__ = [
    "ArrayLiteral", "Assign", "Binary", "Binding", "Block", "Break", "Call", "Case", "Closure",
    "Continue", "Do", "Export", "Expression", "ExpressionStatement", "For", "FunctionDefinition",
    "If", "Import", "Index", "Interpolation", "Let", "Literal", "MapLiteral", "MethodCall",
    "Node", "Property", "Return", "Script", "Statement", "StatementExpression", "Switch", "This",
    "Throw", "Try", "Unary", "Variable", "While", "children", "walk",
]  # fmt: skip


@attrs.define(eq=False)
class Script(Node):
    """A whole script.

    Attributes:
        body: The top level without the functions.
        functions: They, in the order written.
        changes: Whether anything in it may change an array or a map in place.
        builds: Whether it makes arrays or maps of its own.
        writes_this: Whether any function changes `this`.
        map_keys: Keys that a map of the script may hold a function under.
        comments: All comments, when `parse` was asked to keep them.
        source: The text.
    """

    body: Block
    functions: list[FunctionDefinition]
    changes: bool
    builds: bool
    writes_this: bool
    map_keys: frozenset[str]
    comments: list[Comment]
    source: str


def children(node: Node) -> Iterator[Node]:
    """The nodes directly under one, in the order written (for linters and formatters)."""
    for field in attrs.fields(type(node)):
        value = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Node):
                    yield item
                elif isinstance(item, tuple):
                    yield item[1]


def walk(node: Node) -> Iterator[Node]:
    """The node and everything under it, parents first."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(list(children(current))))
