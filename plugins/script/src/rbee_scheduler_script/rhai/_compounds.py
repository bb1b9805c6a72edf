"""Expressions with parts in brackets: lists, maps, closures, interpolation, switch."""

from __future__ import annotations

from typing import Final

from ._errors import parsing
from ._reader import TokenReader, at
from ._tokens import ASSIGNMENTS, Token
from ._tree import (
    ArrayLiteral,
    Binary,
    Block,
    Case,
    Closure,
    Expression,
    If,
    Interpolation,
    Literal,
    MapLiteral,
    Node,
    Statement,
    StatementExpression,
    Switch,
)


_NOT_BOOL: Final = {
    int: "a number", float: "a floating-point number", str: "a string", type(None): "()",
}  # fmt: skip


class CompoundParser(TokenReader):
    """Reads them."""

    def condition(self) -> Expression:
        """An expression that must be boolean: a literal of another type is an error here."""
        place = self.peek()
        if self.at_symbol("{"):
            self.fail("ExprExpected", "Expecting a boolean expression")
        expression = self.expression()
        self._check_bool(expression, place)
        ahead = self.peek()
        if ahead.kind == "symbol" and ahead.value in ASSIGNMENTS:
            hint = "Possibly a typo of '=='?"
            if ahead.value != "=":
                hint = "Expecting a boolean expression, not an assignment"
            self.fail("BadInput", hint)
        return expression

    def _check_bool(self, expression: Expression, place: Node | Token) -> None:
        what = None
        if isinstance(expression, Literal):
            what = _NOT_BOOL.get(type(expression.value))
            if type(expression.value).__name__ == "Char":
                what = "a character"
        elif isinstance(expression, ArrayLiteral):
            what = "an array"
        elif isinstance(expression, MapLiteral):
            what = "an object map"
        elif isinstance(expression, Interpolation):
            what = "a string"
        if what is not None:
            raise parsing(
                "MismatchedType", f"Expecting a boolean expression, not {what}", *at(place)
            )

    def _arguments(self) -> list[Expression]:
        self.expect("(", "to start the arguments")
        return self._list(")", "to separate the arguments to this function call")

    def _list(self, closing: str, why: str) -> list[Expression]:
        """Expressions up to the closing symbol; a trailing comma is fine."""
        in_case, self._in_case = self._in_case, False
        out: list[Expression] = []
        while not self.accept(closing):
            if self.peek().kind == "end":
                self.fail("MissingToken", f"Expecting '{closing}' to close this list")
            out.append(self.expression())
            if not self.at_symbol(closing):
                self.expect(",", why)
        self._in_case = in_case
        return out

    def parenthesis(self, token: Token) -> Expression:
        if self.accept(")"):
            return Literal(token.line, token.column, None)
        in_case, self._in_case = self._in_case, False
        inner = self.expression()
        self._in_case = in_case
        self.expect(")", "for a matching ( in this expression")
        return inner

    def array(self, token: Token) -> Expression:
        self.builds = True
        items = self._list("]", "to separate the items of this array literal")
        return ArrayLiteral(token.line, token.column, items)

    def map(self, token: Token) -> Expression:
        self.builds = True
        in_case, self._in_case = self._in_case, False
        entries: list[tuple[str, Expression]] = []
        seen: set[str] = set()
        while not self.accept("}"):
            key = self.next()
            if key.kind == "reserved":
                self.fail_at(key, "Reserved", f"'{key.value}' is a reserved keyword")
            if key.kind not in ("name", "string"):
                if not entries or key.kind == "end":
                    self.fail_at(
                        key, "MissingToken", "Expecting '}' to end this object map literal"
                    )
                self.fail_at(key, "PropertyExpected", "Expecting name of a property")
            if key.value in seen:
                self.fail_at(
                    key, "DuplicatedProperty",
                    f"Duplicated property '{key.value}' for object map literal",
                )  # fmt: skip
            seen.add(key.value)
            self.expect(":", f"to follow the property '{key.value}' in this object map literal")
            value = self.expression()
            entries.append((key.value, value))
            if not isinstance(value, Literal):
                self.map_keys.add(key.value)
            if not self.at_symbol("}"):
                self.expect(",", "to separate the items of this object map literal")
        self._in_case = in_case
        return MapLiteral(token.line, token.column, entries)

    def block_expression(self, token: Token) -> Expression:
        self.position -= 1
        return StatementExpression(token.line, token.column, self.block())

    def closure(self, token: Token) -> Expression:
        outer = self.scopes.enter(closure=True)
        parameters = self.parameters("|", "anonymous") if token.value == "|" else []
        in_case, self._in_case = self._in_case, False
        level, limit = self.depth, self.depth_limit
        self.deeper()
        body = self.statement() or Block(token.line, token.column, [])
        self.depth, self.depth_limit = level, limit
        self._in_case = in_case
        scope = self.scopes.leave(outer)
        return Closure(
            token.line, token.column, parameters, body, scope.number, scope.uses_this,
            scope.captures, scope.closures,
        )  # fmt: skip

    def _interpolation(self, token: Token) -> Expression:
        parts: list[Expression] = []
        for part in token.value:
            if isinstance(part, str):
                if part:
                    parts.append(Literal(token.line, token.column, part))
                continue
            # The block's tokens were read by the lexer; splice them in between braces.
            last = part[-1]
            opening = Token("symbol", "{", part[0].line, part[0].column)
            closing = Token("symbol", "}", last.line, last.column)
            body = part if part[-2:-1] and part[-2].kind == "error" else [*part[:-1], closing]
            saved, position = self.tokens, self.position
            self.tokens, self.position = [opening, *body, last], 0
            block = self.block()
            self.tokens, self.position = saved, position
            parts.append(StatementExpression(block.line, block.column, block))
        return Interpolation(token.line, token.column, parts)

    def switch_(self) -> Switch:
        """`switch`, from its keyword."""
        token = self.next()
        subject = self.expression()
        self.expect("{", "to start this switch block")
        cases: list[Case] = []
        default: Statement | None = None
        default_place: Token | None = None
        seen_range = False
        while not self.accept("}"):
            place = self.peek()
            if place.kind == "end":
                self.fail("MissingToken", "Expecting '}' to end this switch block")
            if default_place is not None:
                message = "Default switch case must be the last"
                self.fail_at(default_place, "WrongSwitchDefaultCase", message)
            is_default = place.kind == "underscore"
            if is_default:
                default_place = place
                self.position += 1
                values: list[Expression] = []
                if self.accept("if"):
                    self.position -= 1
                    self.fail(
                        "WrongSwitchCaseCondition",
                        "This switch case cannot have a condition",
                    )
            else:
                values, seen_range = self._case_values(seen_range=seen_range)
            guard = self.condition() if self.accept("if") else None
            self.expect("=>", "in this switch case")
            body = self.statement() or Block(place.line, place.column, [])
            if is_default:
                default = body
            else:
                cases.append(Case(place.line, place.column, values, guard, body))
            if not self.accept(",") and not self.at_symbol("}") and not self._needs_no_comma(body):
                self.fail(
                    "MissingToken", "Expecting ',' to separate the items in this switch block"
                )
        return Switch(token.line, token.column, subject, cases, default)

    def _needs_no_comma(self, body: Statement) -> bool:
        return isinstance(body, Block | If | Switch) or type(body).__name__ in (
            "While", "For", "Do", "Try",
        )  # fmt: skip

    def _case_values(self, *, seen_range: bool) -> tuple[list[Expression], bool]:
        values: list[Expression] = []
        while True:
            in_case, self._in_case = self._in_case, True
            value = self.expression()
            self._in_case = in_case
            is_range = isinstance(value, Binary) and value.operator in ("..", "..=")
            if not is_literal(value):
                raise parsing("ExprExpected", "Expecting a literal expression", *at(value))
            if is_range:
                seen_range = True
            elif seen_range and isinstance(value, Literal) and type(value.value) in (int, float):
                message = "Numeric switch case cannot follow a range case"
                raise parsing("WrongSwitchIntegerCase", message, *at(value))
            values.append(value)
            if not self.accept("|"):
                return values, seen_range


def is_literal(value: Expression) -> bool:
    """Whether it can stand in a switch case."""
    if isinstance(value, Literal):
        return True
    if isinstance(value, ArrayLiteral):
        return all(is_literal(item) for item in value.items)
    if isinstance(value, MapLiteral):
        return all(is_literal(item) for _, item in value.entries)
    if isinstance(value, Binary) and value.operator in ("..", "..="):
        return all(
            isinstance(end, Literal) and type(end.value) is int for end in (value.left, value.right)
        )
    return False
