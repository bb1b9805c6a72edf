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

from typing import TYPE_CHECKING, Any

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._lexer import Comment


class Binding:
    """One declared variable (shadowing makes a new one).

    Attributes:
        name: As written.
        constant: Declared by `const`.
        owner: Number of the function or closure that declares it.
        in_loop: Whether a loop of that function surrounds it, so that each round has its own.
        captured: Whether a closure uses it.
        assigned: Whether anything assigns to it or changes it in place after its declaration.
        tagged: Whether the script sets its `tag`.
        python: Its name in the generated code.
    """

    __slots__ = (
        "assigned", "captured", "constant", "in_loop", "name", "owner", "python", "tagged",
    )  # fmt: skip

    def __init__(
        self, name: str, python: str, owner: int, *, constant: bool, in_loop: bool
    ) -> None:
        self.name = name
        self.constant = constant
        self.owner = owner
        self.in_loop = in_loop
        self.captured = False
        self.assigned = False
        self.tagged = False
        self.python = python


@attrs.define(eq=False)
class Node:
    """Anything in the tree."""

    line: int
    column: int


class Expression(Node):
    """Anything with a value."""

    __slots__ = ()


class Statement(Node):
    """Anything between two semicolons."""

    __slots__ = ()


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
