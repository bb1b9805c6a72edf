"""Statements: declarations, assignments, control flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._errors import parsing
from ._expressions import ExpressionParser
from ._reader import at
from ._tree import (
    Assign,
    Block,
    Break,
    Call,
    Continue,
    Do,
    Export,
    Expression,
    For,
    If,
    Import,
    Index,
    Let,
    Literal,
    Property,
    Return,
    Statement,
    This,
    Throw,
    Try,
    Variable,
    While,
)


if TYPE_CHECKING:
    from ._tokens import Token


_NOT_ITERABLE: Final = {int: "a number", float: "a floating-point number", bool: "a boolean",
                        type(None): "()"}  # fmt: skip


class StatementParser(ExpressionParser):
    """Reads one statement, from its keyword."""

    def _let(self, *, exported: bool, is_global: bool) -> Let:
        token = self.next()
        name = self.variable_name()
        # The value is read first: `let x = x` means the outer one.
        value = self.expression() if self.accept("=") else None
        binding = self.scopes.declare(name, constant=token.value == "const")
        return Let(token.line, token.column, binding, value, exported, is_global)

    def _export(self, *, is_global: bool) -> Statement:
        token = self.next()
        if not is_global:
            raise parsing(
                "WrongExport", "Export statement can only appear at global level", *at(token)
            )
        if self.peek().kind == "keyword" and self.peek().value in ("let", "const"):
            return self._let(exported=True, is_global=True)
        place = self.peek()
        name = self.variable_name()
        alias = self.variable_name() if self.accept("as") else None
        variable = Variable(place.line, place.column, name, self.scopes.find(name))
        return Export(token.line, token.column, variable, alias)

    def _assign(self, target: Expression, start: Token) -> Assign:
        operator = self.next()
        value = self.expression()
        root = target
        while isinstance(root, Property | Index):
            if root.optional:
                self._bad_target(root, start)
            root = root.target
        direct = root is target
        if isinstance(root, Variable) and root.namespace is None:
            binding = root.binding
            if binding is not None and binding.constant and direct:
                raise parsing(
                    "AssignmentToConstant", f"Cannot assign to constant {root.name}", *at(root)
                )
            if binding is not None:
                binding.assigned = True
                if isinstance(target, Property) and target.name == "tag":
                    binding.tagged = True
        elif isinstance(root, This):
            self.writes_this = True
        else:
            self._bad_target(target, start)
        if isinstance(target, Property):
            self.map_keys.add(target.name)
        elif isinstance(target, Index) and isinstance(target.index, Literal):
            self.map_keys.add(str(target.index.value))
        self.changes = self.changes or not direct or operator.value == "+="
        return Assign(operator.line, operator.column, target, operator.value, value)

    def _bad_target(self, target: Expression, start: Token) -> None:
        if isinstance(target, Literal):
            raise parsing("AssignmentToConstant", "Cannot assign to a constant value", *at(start))
        place = target if isinstance(target, Call) else start
        raise parsing(
            "AssignmentToInvalidLHS", "Expression cannot be assigned to", place.line, place.column
        )

    def if_(self) -> If:
        """`if`, from its keyword."""
        token = self.next()
        condition = self.condition()
        then = self.block()
        otherwise: Statement | None = None
        if self.accept("else"):
            self.deeper()
            ahead = self.peek()
            is_if = ahead.kind == "keyword" and ahead.value == "if"
            otherwise = self.if_() if is_if else self.block()
            self.depth -= 1
        return If(token.line, token.column, condition, then, otherwise)

    def _loop_body(self) -> Block:
        self.scopes.current.loops += 1
        body = self.block()
        self.scopes.current.loops -= 1
        return body

    def while_(self) -> While:
        """`while` or `loop`, from the keyword."""
        token = self.next()
        # The condition runs every round: what a closure in it captures is of that round.
        self.scopes.current.loops += 1
        condition = self.condition() if token.value == "while" else None
        self.scopes.current.loops -= 1
        return While(token.line, token.column, condition, self._loop_body())

    def do_(self) -> Do:
        """`do`, from its keyword."""
        token = self.next()
        body = self._loop_body()
        ahead = self.next()
        if ahead.kind != "keyword" or ahead.value not in ("while", "until"):
            self.fail_at(ahead, "MissingToken", "Expecting 'while' or 'until' for the do statement")
        condition = self.condition()
        return Do(token.line, token.column, body, condition, ahead.value == "until")

    def for_(self) -> For:
        """`for`, from its keyword."""
        token = self.next()
        counter_name = None
        if self.accept("("):
            name = self.variable_name()
            self.expect(",", "after the iteration variable")
            place = self.peek()
            counter_name = self.variable_name()
            if counter_name == name:
                raise parsing(
                    "DuplicatedVariable", f"Duplicated variable name '{name}'", *at(place)
                )
            self.expect(")", "to close the iteration variable")
        else:
            name = self.variable_name()
        if not self.accept("in"):
            self.fail("MissingToken", "Expecting 'in' after the iteration variable")
        place = self.peek()
        if self.at_symbol("{"):
            self.fail("ExprExpected", "Expecting a value to iterate over")
        iterable = self.expression()
        self._check_iterable(iterable, place)
        self.scopes.current.blocks.append({})
        variable = self.scopes.declare(name)
        counter = None if counter_name is None else self.scopes.declare(counter_name)
        for binding in (variable, counter):
            if binding is not None:
                # By the loop itself: a closure sees the last round's value.
                binding.assigned = True
        body = self._loop_body()
        self.scopes.current.blocks.pop()
        return For(token.line, token.column, variable, counter, iterable, body)

    def _check_iterable(self, iterable: Expression, place: Token) -> None:
        what = None
        if isinstance(iterable, Literal):
            what = _NOT_ITERABLE.get(type(iterable.value))
        elif type(iterable).__name__ == "MapLiteral":
            what = "an object map"
        if what is not None:
            raise parsing("MismatchedType", f"Expecting an iterable value, not {what}", *at(place))

    def break_(self) -> Statement:
        """`break` or `continue`."""
        token = self.next()
        if not self.scopes.current.loops:
            message = "Break statement should only be used inside a loop"
            raise parsing("LoopBreak", message, *at(token))
        if token.value == "continue":
            return Continue(token.line, token.column)
        return Break(token.line, token.column, self._optional_value())

    def _optional_value(self) -> Expression | None:
        ahead = self.peek()
        if ahead.kind == "end":
            return None
        if ahead.kind == "symbol" and ahead.value in (";", "}", ",", ")", "]"):
            return None
        return self.expression()

    def return_(self) -> Return:
        """`return`."""
        token = self.next()
        return Return(token.line, token.column, self._optional_value())

    def throw_(self) -> Throw:
        """`throw`."""
        token = self.next()
        value = self._optional_value()
        again = value is None and self.scopes.current.handlers > 0
        return Throw(token.line, token.column, value, again)

    def try_(self) -> Try:
        """`try`, from its keyword."""
        token = self.next()
        body = self.block()
        if not self.accept("catch"):
            self.fail("MissingToken", "Expecting 'catch' for the 'try' statement")
        scope = self.scopes.current
        scope.blocks.append({})
        binding = None
        if self.accept("("):
            binding = self.scopes.declare(self.variable_name())
            self.expect(")", "to enclose the catch variable")
        scope.handlers += 1
        handler = self.block()
        scope.handlers -= 1
        scope.blocks.pop()
        return Try(token.line, token.column, body, binding, handler)

    def import_(self) -> Import:
        """`import`, read but never resolved."""
        token = self.next()
        path = self.expression()
        alias = self.variable_name() if self.accept("as") else None
        return Import(token.line, token.column, path, alias)
