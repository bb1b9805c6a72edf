"""What every part of the parser stands on: the tokens, and the errors about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ._errors import parsing
from ._scopes import Scopes
from ._tree import (
    Binding,
    Block,
    Expression,
    FunctionDefinition,
    Index,
    Node,
    Property,
    Statement,
    This,
    Variable,
)


if TYPE_CHECKING:
    from ._limits import Limits
    from ._tokens import Token


def at(node: Node | Token) -> tuple[int, int]:
    """Line and column."""
    return node.line, node.column


class TokenReader:
    """Tokens, and what the parser has found out so far.

    Attributes:
        tokens: All tokens.
        position: Index of the next one.
        depth: Nested blocks and expressions right now.
        depth_limit: The most there may be.
        scopes: What is declared where.
        functions: Those read so far.
        changes: See `Script`.
        builds: See `Script`.
    """

    def __init__(self, tokens: list[Token], limits: Limits) -> None:
        self.tokens = tokens
        self.position = 0
        self.limits = limits
        self.depth = 0
        self.depth_limit = limits.expression_depth
        self.scopes = Scopes(limits)
        self.functions: list[FunctionDefinition] = []
        self.changes = False
        self.builds = False
        # Variables that script methods are called on: changed, if any function writes `this`.
        self.method_targets: list[Binding] = []
        # Keys that a map may hold a function under: `m.filter(1)` may then mean it.
        self.map_keys: set[str] = set()
        self.writes_this = False
        # `|` separates the values of a switch case instead of meaning "or".
        self._in_case = False

    def peek(self) -> Token:
        """The next token; a lexical error surfaces here."""
        token = self.tokens[self.position]
        if token.kind == "error":
            raise token.value
        return token

    def next(self) -> Token:
        """The next token, consumed."""
        token = self.peek()
        if token.kind != "end":
            self.position += 1
        return token

    def at_symbol(self, value: str) -> bool:
        """Whether the next token is that symbol."""
        token = self.peek()
        return token.kind == "symbol" and token.value == value

    def accept(self, value: str) -> bool:
        """Consume that symbol or keyword if it is next."""
        token = self.peek()
        if token.value == value and token.kind in ("symbol", "keyword"):
            self.position += 1
            return True
        return False

    def expect(self, value: str, why: str) -> Token:
        """Consume that symbol or keyword, or fail."""
        token = self.peek()
        if not self.accept(value):
            self.fail("MissingToken", f"Expecting '{value}' {why}")
        return token

    def fail(self, kind: str, message: str) -> NoReturn:
        """An error at the next token."""
        raise parsing(kind, message, *at(self.peek()))

    def fail_at(self, token: Token, kind: str, message: str) -> NoReturn:
        """An error at that token."""
        raise parsing(kind, message, token.line, token.column)

    def deeper(self) -> None:
        """Count one more level."""
        self.depth += 1
        if self.depth > self.depth_limit:
            self.fail("ExprTooDeep", "Expression exceeds maximum complexity")

    def variable_name(self) -> str:
        """The name of a variable to be declared."""
        token = self.next()
        if token.kind == "reserved":
            self.fail_at(token, "Reserved", f"'{token.value}' is a reserved keyword")
        if token.kind != "name":
            self.fail_at(token, "VariableExpected", "Expecting name of a variable")
        return str(token.value)

    def parameters(self, closing: str, owner: str) -> list[Binding]:
        """Names up to the closing symbol."""
        out: list[Binding] = []
        while not self.accept(closing):
            place = self.peek()
            if place.kind not in ("name", "reserved"):
                why = f"to close the parameters list of function '{owner}'"
                self.fail("MissingToken", f"Expecting '{closing}' {why}")
            name = self.variable_name()
            if any(binding.name == name for binding in out):
                self.fail_at(
                    place, "FnDuplicatedParam", f"Duplicated parameter {name} for function {owner}"
                )
            out.append(self.scopes.declare(name))
            if not self.at_symbol(closing):
                self.expect(",", f"to separate the parameters of function '{owner}'")
        return out

    def changed(self, target: Expression) -> None:
        """Something may be changed in place: note which variable holds it."""
        self.changes = True
        while isinstance(target, Property | Index):
            target = target.target
        if isinstance(target, Variable) and target.binding is not None:
            target.binding.assigned = True
        elif isinstance(target, This):
            self.writes_this = True

    def _may_write_this(self, target: Expression) -> None:
        """A script function called as a method may change what it is called on."""
        while isinstance(target, Property | Index):
            target = target.target
        if isinstance(target, Variable) and target.binding is not None:
            self.method_targets.append(target.binding)

    # -- what the parts of the parser ask of each other

    def expression(self, minimum: int = 1) -> Expression:
        """See `ExpressionParser`."""
        raise NotImplementedError

    def statement(self, *, is_global: bool = False) -> Statement | None:
        """See `Parser`."""
        raise NotImplementedError

    def block(self) -> Block:
        """See `Parser`."""
        raise NotImplementedError
