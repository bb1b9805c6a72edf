"""Tokens to statements; `_expressions` reads what stands inside them.

Recursive descent, one token of look-ahead. `level` counts every nested block and expression the
way the official engine does, so that no source makes Python recurse far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._errors import LimitError, RhaiError, parsing
from ._expressions import ExpressionParser, at
from ._lexer import Lexer
from ._limits import Limits
from ._tokens import ASSIGNMENTS
from ._tree import (
    Assign,
    Block,
    Break,
    Call,
    Continue,
    Do,
    Export,
    Expression,
    ExpressionStatement,
    For,
    FunctionDefinition,
    If,
    Import,
    Index,
    Let,
    Literal,
    Property,
    Return,
    Script,
    Statement,
    Switch,
    This,
    Throw,
    Try,
    Variable,
    While,
)
from ._values import TYPE_ALIASES, TYPE_NAMES


if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tokens import Token


_SELF_ENDING: Final = (Block, If, While, Do, For, Switch, Try)
_NOT_ITERABLE: Final = {int: "a number", float: "a floating-point number", bool: "a boolean",
                        type(None): "()"}  # fmt: skip
_TYPES: Final = {name: name for name in TYPE_NAMES.values()} | dict(TYPE_ALIASES)


class Parser(ExpressionParser):
    """Reads one script."""

    def script(self) -> Script:
        """All of it."""
        statements: list[Statement] = []
        while self.peek().kind != "end":
            token = self.peek()
            if token.kind == "keyword" and token.value in ("fn", "private"):
                self.functions.append(self._function())
                continue
            statement = self.statement(is_global=True)
            if statement is not None:
                statements.append(statement)
                self._end_of(statement, None)
        if self.writes_this:
            # Any method call may then change what it is called on.
            self.changes = True
            for binding in self.method_targets:
                binding.assigned = True
        body = Block(1, 1, statements)
        return Script(
            1, 1, body, self.functions, self.changes, self.builds, self.writes_this,
            frozenset(self.map_keys), [], "",
        )  # fmt: skip

    def _end_of(self, statement: Statement, closing: str | None) -> None:
        if self.accept(";") or self.peek().kind == "end":
            return
        if closing is not None and self.at_symbol(closing):
            return
        if not isinstance(statement, _SELF_ENDING):
            self.fail("MissingToken", "Expecting ';' to terminate this statement")

    def _function(self) -> FunctionDefinition:
        private = self.accept("private")
        token = self.expect("fn", "to start a function")
        name = self.next()
        this_type = None
        if self.at_symbol(".") and name.kind in ("name", "string"):
            if name.value not in _TYPES:
                raise parsing("FnMissingName", f"'{name.value}' is no type", name.line, name.column)
            this_type = _TYPES[name.value]
            self.next()
            name = self.next()
        if name.kind == "reserved":
            raise parsing("Reserved", f"'{name.value}' is a reserved keyword", *at(name))
        if name.kind != "name":
            self.fail_at(name, "FnMissingName", "Expecting name of a function")
        if not self.at_symbol("("):
            self.fail("FnMissingParams", f"Expecting parameters for function '{name.value}'")
        outer = self.scopes.enter(closure=False)
        level, limit = self.depth, self.depth_limit
        self.depth, self.depth_limit = 0, self.limits.function_expression_depth
        self.expect("(", "to start the parameters")
        parameters = self.parameters(")", str(name.value))
        if not self.at_symbol("{"):
            self.fail(
                "FnMissingBody", f"Expecting body statement block for function '{name.value}'"
            )
        body = self.block()
        self.depth, self.depth_limit = level, limit
        scope = self.scopes.leave(outer)
        key = (name.value, len(parameters), this_type)
        if any((f.name, len(f.parameters), f.this_type) == key for f in self.functions):
            raise parsing(
                "FnDuplicatedDefinition", f"Function {name.value} already exists", *at(token)
            )
        return FunctionDefinition(
            token.line, token.column, name.value, parameters, body, private, this_type,
            scope.uses_this, not scope.calls, scope.number,
        )  # fmt: skip

    def block(self) -> Block:
        """`{ ... }`, with a scope of its own."""
        token = self.expect("{", "to start a statement block")
        self.deeper()
        self.scopes.current.blocks.append({})
        statements: list[Statement] = []
        while not self.accept("}"):
            ahead = self.peek()
            if ahead.kind == "end":
                self.fail("MissingToken", "Expecting '}' to end this block")
            if ahead.kind == "keyword" and ahead.value in ("fn", "private"):
                self.fail(
                    "WrongFnDefinition",
                    "Function definitions must be at global level and cannot be inside a block "
                    "or another function",
                )
            statement = self.statement()
            if statement is not None:
                statements.append(statement)
                self._end_of(statement, "}")
        self.scopes.current.blocks.pop()
        self.depth -= 1
        return Block(token.line, token.column, statements)

    def statement(self, *, is_global: bool = False) -> Statement | None:
        """One statement without its semicolon; None for a lone one."""
        token = self.peek()
        if token.kind == "symbol":
            if token.value == ";":
                self.next()
                return None
            if token.value == "{":
                return self.block()
        elif token.kind == "keyword":
            if token.value in ("let", "const"):
                return self._let(exported=False, is_global=is_global)
            if token.value == "export":
                return self._export(is_global=is_global)
            read = _STATEMENTS.get(token.value)
            if read is not None:
                return read(self)
        expression = self.expression()
        ahead = self.peek()
        if ahead.kind == "symbol" and ahead.value in ASSIGNMENTS:
            return self._assign(expression, token)
        return ExpressionStatement(token.line, token.column, expression)

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
        iterable = self.expression()
        self._check_iterable(iterable, place)
        self.scopes.current.blocks.append({})
        variable = self.scopes.declare(name)
        counter = None if counter_name is None else self.scopes.declare(counter_name)
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


_STATEMENTS: Final[dict[str, Callable[[Parser], Statement]]] = {
    "if": Parser.if_,
    "switch": Parser.switch_,
    "while": Parser.while_,
    "loop": Parser.while_,
    "do": Parser.do_,
    "for": Parser.for_,
    "break": Parser.break_,
    "continue": Parser.break_,
    "return": Parser.return_,
    "throw": Parser.throw_,
    "try": Parser.try_,
    "import": Parser.import_,
}


def parse(source: str, limits: Limits | None = None, *, comments: bool = False) -> Script:
    """Read a script into its syntax tree.

    Args:
        source: The script.
        limits: Limits on its size and depth.
        comments: Keep the comments, in `Script.comments`.

    Raises:
        RhaiError: The script does not follow the grammar, or is too large.
    """
    limits = limits or Limits()
    size = len(source) if source.isascii() else len(source.encode("utf-8", "surrogatepass"))
    if size > limits.source_size:
        raise LimitError(
            "ErrorParsing/LiteralTooLarge",
            f"Script of {size} bytes exceeds the limit of {limits.source_size}",
            line=1,
            column=1,
        )
    lexer = Lexer(source, limits, keep_comments=comments)
    parser = Parser(lexer.tokens(), limits)
    try:
        script = parser.script()
    except RecursionError:
        raise parsing(
            "ExprTooDeep", "Expression exceeds maximum complexity", *at(parser.peek())
        ) from None
    except RhaiError as error:
        if error.where is None:
            token = parser.peek()
            error.place(source, at(token), at(token))
        error.show(source)
        raise
    script.source = source
    script.comments = lexer.comments
    return script
