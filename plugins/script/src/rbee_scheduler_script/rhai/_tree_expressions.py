"""The nodes with a value; see `_tree`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ._nodes import Expression


if TYPE_CHECKING:
    from ._nodes import Binding, Statement


@attrs.define(eq=False)
class Literal(Expression):
    """A number, string, char, bool or `()`."""

    value: Any


@attrs.define(eq=False)
class Interpolation(Expression):
    """A back-tick string: `Literal` text and `StatementExpression` blocks."""

    parts: list[Expression]


@attrs.define(eq=False)
class ArrayLiteral(Expression):
    """`[a, b]`."""

    items: list[Expression]


@attrs.define(eq=False)
class MapLiteral(Expression):
    """`#{a: 1}`: keys and their values, in the order written."""

    entries: list[tuple[str, Expression]]


@attrs.define(eq=False)
class Variable(Expression):
    """A name; `binding` is None when nothing in the script declares it."""

    name: str
    binding: Binding | None
    namespace: str | None = None


class This(Expression):
    """`this`."""

    __slots__ = ()


@attrs.define(eq=False)
class Unary(Expression):
    """`-a`, `+a`, `!a`."""

    operator: str
    operand: Expression


@attrs.define(eq=False)
class Binary(Expression):
    """`a + b`, also `&& || ?? in !in .. ..=`; the right of `??` may be a statement."""

    operator: str
    left: Expression
    right: Expression


@attrs.define(eq=False)
class Property(Expression):
    """`a.b`, or `a?.b` when `optional`."""

    target: Expression
    name: str
    optional: bool


@attrs.define(eq=False)
class Index(Expression):
    """`a[b]`, or `a?[b]` when `optional`."""

    target: Expression
    index: Expression
    optional: bool


@attrs.define(eq=False)
class Call(Expression):
    """`f(a)`; `f!(a)` when `in_scope`, and then `visible` is what the caller's scope shows it."""

    name: str
    arguments: list[Expression]
    namespace: str | None = None
    in_scope: bool = False
    visible: dict[str, Binding] | None = None


@attrs.define(eq=False)
class MethodCall(Expression):
    """`a.f(b)`, or `a?.f(b)` when `optional`."""

    target: Expression
    name: str
    arguments: list[Expression]
    optional: bool


@attrs.define(eq=False)
class Closure(Expression):
    """`|a, b| body`."""

    parameters: list[Binding]
    body: Statement
    number: int
    uses_this: bool
    captures: dict[str, Binding]
    has_closures: bool


@attrs.define(eq=False)
class StatementExpression(Expression):
    """A block, `if`, `switch`, loop, or the right of `??`, where a value is wanted."""

    statement: Statement
