"""Expressions: precedence climbing over prefix and postfix forms."""

from __future__ import annotations

from typing import Any, Final

from ._compounds import CompoundParser
from ._errors import parsing
from ._reader import at
from ._stdlib import CHANGING
from ._tokens import CALLABLE, I64_MAX, METHOD_CALLABLE, PRECEDENCE, RESERVED_SYMBOLS, Token
from ._tree import (
    ArrayLiteral,
    Binary,
    Call,
    Closure,
    Expression,
    Index,
    Literal,
    MapLiteral,
    MethodCall,
    Property,
    StatementExpression,
    This,
    Unary,
    Variable,
)


_RANGE_ENDS: Final = frozenset(("]", ")", "}", ",", ";", "=>"))
_JUMPS: Final = frozenset(("break", "continue", "return", "throw"))
_BLOCKS: Final = frozenset(("if", "switch", "while", "loop", "do", "for"))
_LITERALS: Final = frozenset(("int", "float", "string", "char"))
# Standard functions that can put arrays into arrays.
_NESTING: Final = frozenset(("map", "parse_json", "zip"))


class ExpressionParser(CompoundParser):
    """Reads whatever has a value."""

    def expression(self, minimum: int = 1) -> Expression:
        """Anything with operators that bind at least as tightly as `minimum`."""
        self.deeper()
        chained = 0
        left = self._unary()
        while True:
            token = self.peek()
            operator = token.value
            if token.kind != "symbol" and operator != "in":
                break
            if operator in RESERVED_SYMBOLS and token.kind == "symbol":
                self.fail("UnknownOperator", f"Unknown operator: '{operator}'")
            precedence = PRECEDENCE.get(operator)
            if precedence is None or precedence < minimum or (self._in_case and operator == "|"):
                break
            self.position += 1
            self.deeper()
            chained += 1
            right = self._right_side(token, precedence)
            if operator in ("&&", "||"):
                self._check_bool(left, left)
                self._check_bool(right, right)
            left = Binary(token.line, token.column, operator, left, right)
        self.depth -= 1 + chained
        return left

    def _right_side(self, token: Token, precedence: int) -> Expression:
        ahead = self.peek()
        if token.value in ("..", "..="):
            ends = ahead.kind == "end" or (ahead.kind == "symbol" and ahead.value in _RANGE_ENDS)
            if ends:
                return Literal(token.line, token.column, I64_MAX)
        if token.value == "??" and ahead.kind == "keyword" and ahead.value in _JUMPS:
            statement = self.statement()
            assert statement is not None  # noqa: S101 - a keyword is never an empty statement
            return StatementExpression(ahead.line, ahead.column, statement)
        return self.expression(precedence if token.value == "**" else precedence + 1)

    def _unary(self) -> Expression:
        token = self.peek()
        if token.kind != "symbol" or token.value not in ("-", "+", "!"):
            return self._postfix(self._primary())
        self.position += 1
        self.deeper()
        ahead = self.peek()
        if token.value == "-" and ahead.kind in ("int", "float"):
            touching = ahead.line == token.line and ahead.column == token.column + 1
            if touching:
                # `-5` is one literal: `-5.abs()` is 5.
                self.position += 1
                self.depth -= 1
                return self._postfix(Literal(token.line, token.column, -ahead.value))
        operand = self._unary()
        self.depth -= 1
        if token.value in "+-" and isinstance(operand, Literal):
            value = operand.value
            if type(value) is float or (type(value) is int and value > -I64_MAX - 1):
                return Literal(token.line, token.column, -value if token.value == "-" else value)
        return Unary(token.line, token.column, token.value, operand)

    def _primary(self) -> Expression:  # noqa: PLR0911 - one return a kind of token
        token = self.peek()
        kind = token.kind
        if kind in _LITERALS:
            self.position += 1
            value = token.value
            if kind == "int" and value > I64_MAX:
                value = float(value)
            return Literal(token.line, token.column, value)
        if kind == "name":
            self.position += 1
            return self._name(token)
        if kind == "symbol":
            return self._symbol(token)
        if kind == "interpolation":
            self.position += 1
            return self._interpolation(token)
        if kind == "keyword":
            return self._keyword(token)
        if kind == "reserved":
            self.position += 1
            return self._reserved(token)
        if kind == "end":
            self.fail("UnexpectedEOF", "Script is incomplete")
        return self.fail("BadInput", f"Unexpected '{token.value}'")

    def _keyword(self, token: Token) -> Expression:
        if token.value in ("true", "false"):
            self.position += 1
            return Literal(token.line, token.column, token.value == "true")
        if token.value in _BLOCKS:
            statement = self.statement()
            assert statement is not None  # noqa: S101 - a keyword is never an empty statement
            return StatementExpression(token.line, token.column, statement)
        return self.fail("BadInput", f"Unexpected '{token.value}'")

    def _reserved(self, token: Token) -> Expression:
        if token.value in CALLABLE and (self.at_symbol("(") or self.at_symbol("!")):
            return self._name(token)
        if token.value != "this":
            self.fail_at(token, "Reserved", f"'{token.value}' is a reserved keyword")
        if not self.scopes.current.number:
            self.fail_at(token, "BadInput", "'this' can only be used in functions")
        self.scopes.current.uses_this = True
        return This(token.line, token.column)

    def _name(self, token: Token) -> Expression:
        name = str(token.value)
        line, column = token.line, token.column
        if self.at_symbol("::"):
            self.position += 1
            member = self.next()
            while self.at_symbol("::"):
                self.position += 1
                name = f"{name}::{member.value}"
                member = self.next()
            if member.kind != "name":
                self.fail_at(member, "VariableExpected", "Expecting name of a variable")
            if self.at_symbol("("):
                return Call(line, column, member.value, self._arguments(), name)
            return Variable(line, column, member.value, None, name)
        if self.at_symbol("("):
            return self._call(token, in_scope=False)
        if self.at_symbol("!") and self._follows("("):
            self.position += 1
            return self._call(token, in_scope=True)
        return Variable(line, column, name, self.scopes.find(name))

    def _follows(self, symbol: str) -> bool:
        after = self.tokens[self.position + 1]
        return after.kind == "symbol" and after.value == symbol

    def _call(self, token: Token, *, in_scope: bool) -> Call:
        arguments = self._arguments()
        name = str(token.value)
        self.scopes.current.calls = True
        visible = self.scopes.visible() if in_scope else None
        if name == "is_def_var":
            visible = self.scopes.names()
        if in_scope:
            self.changes = True
            self.scopes.current.uses_this = bool(self.scopes.current.number)
        if (name, len(arguments)) in CHANGING:
            self.changed(arguments[0])
        if name in _NESTING:
            self.builds = True
        return Call(token.line, token.column, name, arguments, None, in_scope, visible)

    def _symbol(self, token: Token) -> Expression:
        symbol = token.value
        line, column = token.line, token.column
        if symbol in ("..", "..="):
            # `..5` starts at 0; the operator itself is read by `expression`.
            return Literal(line, column, 0)
        read = _PREFIXES.get(symbol)
        if read is None:
            if symbol in RESERVED_SYMBOLS:
                self.fail("Reserved", f"'{symbol}' is a reserved symbol")
            self.fail("BadInput", f"Unexpected '{symbol}'")
        self.position += 1
        found: Expression = read(self, token)
        return found

    def _postfix(self, target: Expression) -> Expression:
        links = 0
        while True:
            token = self.peek()
            if token.kind != "symbol" or token.value not in (".", "?.", "[", "?["):
                break
            self.position += 1
            links += 1
            self.deeper()
            if token.value in (".", "?."):
                target = self._member(target, optional=token.value == "?.")
            else:
                in_case, self._in_case = self._in_case, False
                index = self.expression()
                self._in_case = in_case
                self.expect("]", "for a matching [ in this index expression")
                self._check_index(target, index)
                target = Index(token.line, token.column, target, index, token.value == "?[")
        self.depth -= links
        return target

    def _check_index(self, target: Expression, index: Expression) -> None:
        if not isinstance(index, Literal):
            return
        kind = type(index.value)
        bad = (isinstance(target, ArrayLiteral) and kind is not int) or (
            isinstance(target, MapLiteral) and kind is not str
        )
        if bad:
            raise parsing("MalformedIndexExpr", "Invalid index for this literal", *at(index))

    def _member(self, target: Expression, *, optional: bool) -> Expression:
        token = self.next()
        called = self.at_symbol("(")
        if token.kind == "reserved" and not (called and token.value in METHOD_CALLABLE):
            self.fail_at(token, "Reserved", f"'{token.value}' is a reserved keyword")
        if token.kind not in ("name", "reserved"):
            self.fail_at(token, "PropertyExpected", "Expecting name of a property")
        name = str(token.value)
        if not called:
            return Property(token.line, token.column, target, name, optional)
        arguments = self._arguments()
        self.scopes.current.calls = True
        if (name, len(arguments) + 1) in CHANGING and not _only_reads(name, arguments):
            self.changed(target)
        else:
            self._may_write_this(target)
        if name in _NESTING:
            self.builds = True
        return MethodCall(token.line, token.column, target, name, arguments, optional)


def _only_reads(name: str, arguments: list[Expression]) -> bool:
    """Two names whose usual form changes nothing: `s.split(",")`, `a.for_each(|i| f(i))`."""
    argument = arguments[0] if arguments else None
    if name == "split":
        return isinstance(argument, Literal) and isinstance(argument.value, str)
    return name == "for_each" and isinstance(argument, Closure) and not argument.uses_this


_PREFIXES: Final[dict[str, Any]] = {
    "(": ExpressionParser.parenthesis,
    "[": ExpressionParser.array,
    "#{": ExpressionParser.map,
    "{": ExpressionParser.block_expression,
    "|": ExpressionParser.closure,
    "||": ExpressionParser.closure,
}
