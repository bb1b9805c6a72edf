"""Tokens to expressions: precedence climbing over prefix and postfix forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from ._errors import parsing
from ._scopes import Scopes
from ._stdlib import CHANGING
from ._tokens import (
    CALLABLE,
    I64_MAX,
    METHOD_CALLABLE,
    PRECEDENCE,
    RESERVED_SYMBOLS,
    Token,
)
from ._tree import (
    ArrayLiteral,
    Binary,
    Binding,
    Block,
    Call,
    Case,
    Closure,
    Expression,
    FunctionDefinition,
    If,
    Index,
    Interpolation,
    Literal,
    MapLiteral,
    MethodCall,
    Node,
    Property,
    Statement,
    StatementExpression,
    Switch,
    This,
    Unary,
    Variable,
)


if TYPE_CHECKING:
    from ._limits import Limits


_RANGE_ENDS: Final = frozenset(("]", ")", "}", ",", ";", "=>"))
_JUMPS: Final = frozenset(("break", "continue", "return", "throw"))
_BLOCKS: Final = frozenset(("if", "switch", "while", "loop", "do", "for"))
_LITERALS: Final = frozenset(("int", "float", "string", "char"))
# Standard functions that can put arrays into arrays.
_NESTING: Final = frozenset(("map", "parse_json", "zip"))
_NOT_BOOL: Final = {
    int: "a number", float: "a floating-point number", str: "a string", type(None): "()",
}  # fmt: skip


def at(node: Node | Token) -> tuple[int, int]:
    """Line and column."""
    return node.line, node.column


class ExpressionParser:
    """The half of the parser that reads expressions.

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

    # -- tokens

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
        if token.kind == "name":
            return str(token.value)
        if token.kind == "reserved":
            self.fail_at(token, "Reserved", f"'{token.value}' is a reserved keyword")
        self.fail_at(token, "VariableExpected", "Expecting name of a variable")

    def parameters(self, closing: str, owner: str) -> list[Binding]:
        """Names up to the closing symbol."""
        out: list[Binding] = []
        while not self.accept(closing):
            place = self.peek()
            name = self.variable_name()
            if any(binding.name == name for binding in out):
                self.fail_at(
                    place, "FnDuplicatedParam", f"Duplicated parameter {name} for function {owner}"
                )
            out.append(self.scopes.declare(name))
            if not self.at_symbol(closing):
                self.expect(",", f"to separate the parameters of function '{owner}'")
        return out

    # -- expressions

    def condition(self) -> Expression:
        """An expression that must be boolean: a literal of another type is an error here."""
        place = self.peek()
        expression = self.expression()
        self._check_bool(expression, place)
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

    def _primary(self) -> Expression:
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
        if token.value == "this":
            if self.scopes.current.number:
                self.scopes.current.uses_this = True
                return This(token.line, token.column)
            self.fail_at(token, "BadInput", "'this' can only be used in functions")
        self.fail_at(token, "Reserved", f"'{token.value}' is a reserved keyword")

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

    def changed(self, target: Expression) -> None:
        """Something may be changed in place: note which variable holds it."""
        self.changes = True
        while isinstance(target, Property | Index):
            target = target.target
        if isinstance(target, Variable) and target.binding is not None:
            target.binding.assigned = True
        elif isinstance(target, This):
            self.writes_this = True

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

    def _parenthesis(self, token: Token) -> Expression:
        if self.accept(")"):
            return Literal(token.line, token.column, None)
        in_case, self._in_case = self._in_case, False
        inner = self.expression()
        self._in_case = in_case
        self.expect(")", "for a matching ( in this expression")
        return inner

    def _array(self, token: Token) -> Expression:
        self.builds = True
        items = self._list("]", "to separate the items of this array literal")
        return ArrayLiteral(token.line, token.column, items)

    def _map(self, token: Token) -> Expression:
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

    def _block_expression(self, token: Token) -> Expression:
        self.position -= 1
        return StatementExpression(token.line, token.column, self.block())

    def _closure(self, token: Token) -> Expression:
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

    def _may_write_this(self, target: Expression) -> None:
        """A script function called as a method may change what it is called on."""
        while isinstance(target, Property | Index):
            target = target.target
        if isinstance(target, Variable) and target.binding is not None:
            self.method_targets.append(target.binding)

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

    # -- statements: the other half of the parser

    def statement(self, *, is_global: bool = False) -> Statement | None:
        """See `Parser`."""
        raise NotImplementedError

    def block(self) -> Block:
        """See `Parser`."""
        raise NotImplementedError


def _only_reads(name: str, arguments: list[Expression]) -> bool:
    """Two names whose usual form changes nothing: `s.split(",")`, `a.for_each(|i| f(i))`."""
    argument = arguments[0] if arguments else None
    if name == "split":
        return isinstance(argument, Literal) and isinstance(argument.value, str)
    return name == "for_each" and isinstance(argument, Closure) and not argument.uses_this


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


_PREFIXES: Final[dict[str, Any]] = {
    "(": ExpressionParser._parenthesis,
    "[": ExpressionParser._array,
    "#{": ExpressionParser._map,
    "{": ExpressionParser._block_expression,
    "|": ExpressionParser._closure,
    "||": ExpressionParser._closure,
}
