"""Tokens to statements; `_expressions` reads what stands inside them.

Recursive descent, one token of look-ahead. `level` counts every nested block and expression the
way the official engine does, so that no source makes Python recurse far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._errors import LimitError, RhaiError, parsing
from ._lexer import Lexer
from ._limits import Limits
from ._reader import at
from ._statements import StatementParser
from ._tokens import ASSIGNMENTS
from ._tree import (
    Block,
    Do,
    ExpressionStatement,
    For,
    FunctionDefinition,
    If,
    Script,
    Statement,
    Switch,
    Try,
    While,
)
from ._values import TYPE_ALIASES, TYPE_NAMES


if TYPE_CHECKING:
    from collections.abc import Callable


_SELF_ENDING: Final = (Block, If, While, Do, For, Switch, Try)
_TYPES: Final = {name: name for name in TYPE_NAMES.values()} | dict(TYPE_ALIASES)


class Parser(StatementParser):
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

    def statement(  # noqa: PLR0911 - one return a kind of statement
        self, *, is_global: bool = False
    ) -> Statement | None:
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
