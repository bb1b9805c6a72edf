"""The nodes between two semicolons; see `_tree`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._nodes import Node, Statement


if TYPE_CHECKING:
    from ._nodes import Binding, Expression
    from ._tree_expressions import Variable


@attrs.define(eq=False)
class ExpressionStatement(Statement):
    """An expression on its own."""

    expression: Expression


@attrs.define(eq=False)
class Let(Statement):
    """`let a = 1` or `const A = 1`."""

    binding: Binding
    value: Expression | None
    exported: bool
    is_global: bool


@attrs.define(eq=False)
class Assign(Statement):
    """`a.b = 1`, `a += 1`."""

    target: Expression
    operator: str
    value: Expression


@attrs.define(eq=False)
class Block(Statement):
    """`{ ... }`."""

    statements: list[Statement]


@attrs.define(eq=False)
class If(Statement):
    """`if a { } else { }`."""

    condition: Expression
    then: Block
    otherwise: Statement | None


@attrs.define(eq=False)
class While(Statement):
    """`while a { }`, or `loop { }` when there is no condition."""

    condition: Expression | None
    body: Block


@attrs.define(eq=False)
class Do(Statement):
    """`do { } while a`, or `until a`."""

    body: Block
    condition: Expression
    until: bool


@attrs.define(eq=False)
class For(Statement):
    """`for x in a { }`, `for (x, i) in a { }`."""

    variable: Binding
    counter: Binding | None
    iterable: Expression
    body: Block


@attrs.define(eq=False)
class Case(Node):
    """One arm of a switch: its literals and ranges, its guard, what it does."""

    values: list[Expression]
    guard: Expression | None
    body: Statement


@attrs.define(eq=False)
class Switch(Statement):
    """`switch a { 1 | 2 => b, 3..5 if c => d, _ => e }`."""

    subject: Expression
    cases: list[Case]
    default: Statement | None


@attrs.define(eq=False)
class Break(Statement):
    """`break`, `break value`."""

    value: Expression | None


class Continue(Statement):
    """`continue`."""

    __slots__ = ()


@attrs.define(eq=False)
class Return(Statement):
    """`return`, `return value`."""

    value: Expression | None


@attrs.define(eq=False)
class Throw(Statement):
    """`throw`, `throw value`; without a value inside `catch` it throws again."""

    value: Expression | None
    rethrow: bool


@attrs.define(eq=False)
class Try(Statement):
    """`try { } catch (e) { }`."""

    body: Block
    binding: Binding | None
    handler: Block


@attrs.define(eq=False)
class Import(Statement):
    """`import "path" as m`; there is no resolver, so running it fails."""

    path: Expression
    alias: str | None


@attrs.define(eq=False)
class Export(Statement):
    """`export a as b`."""

    variable: Variable
    alias: str | None


@attrs.define(eq=False)
class FunctionDefinition(Statement):
    """`fn f(a, b) { }`; `this_type` is the type before the dot of `fn int.f()`."""

    name: str
    parameters: list[Binding]
    body: Block
    private: bool
    this_type: str | None
    uses_this: bool
    is_leaf: bool
    number: int
