"""Statements to Python.

Every statement answers the expression of its value when that is wanted, because in Rhai a block's
value is its last statement's. An expression that needs statements first (a loop with a value, an
in-place change) puts them before itself.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ._emit import STORE, Out
from ._gen_calls import CallEmitter
from ._gen_places import root_of
from ._tree import (
    Assign,
    Binary,
    Block,
    Break,
    Case,
    Continue,
    Do,
    Export,
    Expression,
    ExpressionStatement,
    For,
    If,
    Import,
    Index,
    Let,
    Literal,
    Property,
    Return,
    Statement,
    Switch,
    This,
    Throw,
    Try,
    Variable,
    While,
)


if TYPE_CHECKING:
    from collections.abc import Callable


class StatementEmitter(CallEmitter):
    """Everything between two semicolons."""

    def statement(self, node: Statement, out: Out, *, want: bool) -> ast.expr | None:
        self.frame.cost += 1
        return _EMIT[type(node)](self, node, out, want)

    def block(self, node: Block, out: Out, want: bool) -> ast.expr | None:
        last = len(node.statements) - 1
        value: ast.expr | None = None
        for position, statement in enumerate(node.statements):
            value = self.statement(statement, out, want=want and position == last)
        return value

    def alone(self, node: ExpressionStatement, out: Out, want: bool) -> ast.expr | None:
        if want:
            return self.take(node.expression, out)
        value = self.expression(node.expression, out)
        if not isinstance(value, ast.Constant):
            out.append(self.do(value, node))
        return None

    def let(self, node: Let, out: Out, _want: bool) -> None:
        value = self.value(None, node) if node.value is None else self.take(node.value, out)
        binding = node.binding
        if node.is_global and binding.constant:
            value = self.save(value, out, node)
            constants = self.of_run("constants", node)
            target = self.put(ast.Subscript(constants, self.value(binding.name, node), STORE), node)
            out.append(self.put(ast.Assign([target], value), node))
        out.append(self.declare(binding, value, node))

    def _set(self, name: str, value: ast.expr | None, out: Out, node: Statement) -> None:
        out.append(self.assign(name, value or self.value(None, node), node))

    def if_(self, node: If, out: Out, want: bool) -> ast.expr | None:
        test = self.condition(node.condition, out)
        yes: Out = []
        no: Out = []
        then = self.statement(node.then, yes, want=want)
        other = None
        if node.otherwise is not None:
            other = self.statement(node.otherwise, no, want=want)
        if not want:
            out.append(self.branch(test, yes, no, node))
            return None
        if not yes and not no:
            nothing = self.value(None, node)
            return self.choose(test, then or nothing, other or nothing, node)
        name = self.temporary("i")
        self._set(name, then, yes, node)
        self._set(name, other, no, node)
        out.append(self.branch(test, yes, no, node))
        return self.name(name, node)

    # -- loops

    def _loop(
        self, node: Statement, out: Out, want: bool, make: Callable[[Out], ast.stmt]
    ) -> ast.expr | None:
        """The parts all loops share: their value, and paying for each round."""
        frame = self.frame
        result = None
        if want:
            result = self.temporary("l")
            self._set(result, None, out, node)
        frame.loop_values.append(result)
        cost, frame.cost = frame.cost, 2
        body: Out = []
        loop = make(body)
        frame.cost = cost
        frame.loop_values.pop()
        out.append(loop)
        return None if result is None else self.name(result, node)

    def while_(self, node: While, out: Out, want: bool) -> ast.expr | None:
        def make(body: Out) -> ast.stmt:
            before: Out = []
            test: ast.expr = self.value(True, node)  # noqa: FBT003
            if node.condition is not None:
                test = self.condition(node.condition, before)
            self.statement(node.body, body, want=False)
            start = self.charge(self.frame.cost, node)
            if before:
                stop: Out = [self.put(ast.Break(), node)]
                before.append(self.branch(self.negate(test, node), stop, [], node))
                test = self.value(True, node)  # noqa: FBT003
            return self.put(ast.While(test, start + before + body, []), node)

        return self._loop(node, out, want, make)

    def do_(self, node: Do, out: Out, want: bool) -> ast.expr | None:
        # The condition stands first, skipped in the first round, so that `continue` reaches it.
        again = self.temporary("d")
        out.append(self.assign(again, self.value(False, node), node))  # noqa: FBT003

        def make(body: Out) -> ast.stmt:
            self.statement(node.body, body, want=False)
            check: Out = []
            test = self.condition(node.condition, check)
            if not node.until:
                test = self.negate(test, node)
            check.append(self.branch(test, [self.put(ast.Break(), node)], [], node))
            first: Out = [self.assign(again, self.value(True, node), node)]  # noqa: FBT003
            start = self.charge(self.frame.cost, node)
            start.append(self.branch(self.name(again, node), check, first, node))
            forever = self.value(True, node)  # noqa: FBT003
            return self.put(ast.While(forever, start + body, []), node)

        return self._loop(node, out, want, make)

    def for_(self, node: For, out: Out, want: bool) -> ast.expr | None:
        source = self.expression(node.iterable, out)
        targets: list[ast.expr] = []
        start: Out = []
        for binding in (node.counter, node.variable):
            if binding is None:
                continue
            python = binding.python
            if self.is_boxed(binding):
                # One variable for the whole loop, which closures share.
                out.append(self.declare(binding, self.value(None, node), node))
                python = self.temporary("e")
                start.append(self.write(binding, self.name(python, node), node))
            targets.append(self.put(ast.Name(python, STORE), node))

        def make(body: Out) -> ast.stmt:
            self.statement(node.body, body, want=False)
            steps = self.call("iterate", node.iterable, source, self.value(self.frame.cost, node))
            target = targets[0]
            if node.counter is not None:
                target = self.put(ast.Tuple(targets, STORE), node)
                steps = self.bare_call("enumerate", node, steps)
            inside = start + body or [self.put(ast.Pass(), node)]
            return self.put(ast.For(target, steps, inside, []), node)

        return self._loop(node, out, want, make)

    def break_(self, node: Break, out: Out, _want: bool) -> None:
        name = self.frame.loop_values[-1]
        if node.value is not None:
            value = self.take(node.value, out)
            if name is not None:
                self._set(name, value, out, node)
            else:
                out.append(self.do(value, node))
        out.append(self.put(ast.Break(), node))

    def continue_(self, node: Continue, out: Out, _want: bool) -> None:
        out.append(self.put(ast.Continue(), node))

    def return_(self, node: Return, out: Out, _want: bool) -> None:
        value = self.value(None, node) if node.value is None else self.take(node.value, out)
        out.append(self.put(ast.Return(value), node))

    def throw(self, node: Throw, out: Out, _want: bool) -> None:
        if node.rethrow:
            out.append(self.put(ast.Raise(None, None), node))
            return
        value = self.value(None, node) if node.value is None else self.take(node.value, out)
        out.append(self.do(self.call("throw", node, value), node))

    def try_(self, node: Try, out: Out, want: bool) -> ast.expr | None:
        body: Out = []
        value = self.statement(node.body, body, want=want)
        result = None
        if want:
            result = self.temporary("y")
            self._set(result, value, body, node)
        caught = self.temporary("e")
        error = self.call("caught", node, self.name(caught, node))
        handler: Out = [self.do(error, node)]
        if node.binding is not None:
            handler = [self.declare(node.binding, error, node)]
        self.statement(node.handler, handler, want=False)
        if result is not None:
            self._set(result, None, handler, node)
        clause = self.put(ast.ExceptHandler(self.name("RhaiError", node), caught, handler), node)
        body = body or [self.put(ast.Pass(), node)]
        out.append(self.put(ast.Try(body, [clause], [], []), node))
        return None if result is None else self.name(result, node)

    def import_(self, node: Import, out: Out, _want: bool) -> None:
        path = self.expression(node.path, out)
        out.append(self.do(self.call("import_module", node, path), node))

    def export(self, node: Export, out: Out, _want: bool) -> None:
        out.append(self.do(self.expression(node.variable, out), node))

    # -- switch

    def switch(self, node: Switch, out: Out, want: bool) -> ast.expr | None:
        """Which arm is decided first, flat, so that a long switch nests nothing."""
        subject = self.save(self.expression(node.subject, out), out, node)
        arm = self.temporary("w")
        result = self.temporary("y") if want else None
        if result is not None:
            self._set(result, None, out, node)
        exact = {id(value) for case in node.cases for value in case.values if not _is_range(value)}
        keyed = any(not isinstance(value, Literal) for case in node.cases for value in case.values
                    if id(value) in exact)  # fmt: skip
        key: ast.expr | None = None
        if keyed:
            key = self.save(self.call("switch_key", node, subject), out, node)
        out.append(self.assign(arm, self.value(0, node), node))
        for ranges in (False, True):
            for number, case in enumerate(node.cases, 1):
                for value in case.values:
                    if _is_range(value) is ranges:
                        self._select(arm, number, case, value, subject, key, out)
        for number, case in enumerate(node.cases, 1):
            self._arm(arm, number, case.body, result, out, case)
        if node.default is not None:
            self._arm(arm, 0, node.default, result, out, node)
        return None if result is None else self.name(result, node)

    def _select(
        self,
        arm: str,
        number: int,
        case: Case,
        value: Expression,
        subject: ast.expr,
        key: ast.expr | None,
        out: Out,
    ) -> None:
        undecided = self.compare(self.name(arm, value), ast.Eq(), self.value(0, value), value)
        tests = [undecided]
        if isinstance(value, Binary):
            ends = [self.expression(end, out) for end in (value.left, value.right)]
            inclusive = self.value(value.operator == "..=", value)
            tests.append(self.bare_call("in_range", value, subject, *ends, inclusive))
        elif isinstance(value, Literal) and type(value.value) in _PLAIN:
            kind = _PLAIN[type(value.value)]
            if kind is None:
                same = ast.Is()
                tests.append(self.compare(subject, same, self.value(value.value, value), value))
            else:
                tests.append(self.is_type(subject, kind, value))
                literal = self.value(value.value, value)
                tests.append(self.compare(subject, ast.Eq(), literal, value))
        else:
            if key is None:
                key = self.call("switch_key", value, subject)
            wanted = self.call("switch_key", value, self.expression(value, out))
            tests.append(self.compare(key, ast.Eq(), wanted, value))
        chosen: Out = [self.assign(arm, self.value(number, value), value)]
        if case.guard is not None:
            before: Out = []
            guard = self.condition(case.guard, before)
            chosen = [*before, self.branch(guard, chosen, [], value)]
        out.append(self.branch(self.both(value, *tests), chosen, [], value))

    def _arm(
        self,
        arm: str,
        number: int,
        body: Statement,
        result: str | None,
        out: Out,
        place: Case | Switch,
    ) -> None:
        inside: Out = []
        value = self.statement(body, inside, want=result is not None)
        if result is not None and value is not None:
            self._set(result, value, inside, body)
        test = self.compare(self.name(arm, place), ast.Eq(), self.value(number, place), place)
        out.append(self.branch(test, inside, [], place))

    # -- assignment

    def assign_to(self, node: Assign, out: Out, _want: bool) -> None:
        value = self.take(node.value, out)
        target = node.target
        if isinstance(target, Variable):
            self._assign_variable(node, target, value, out)
            return
        root = root_of(target)
        refusal = self.unassignable(root, "constant_change", getattr(root, "name", ""))
        if refusal is not None:
            out.append(self.do(refusal, node))
            return
        value = self.save(value, out, node)
        if isinstance(target, This):
            self._assign_this(node, target, value, out)
        elif isinstance(target, Property | Index):
            self._assign_member(node, target, value, out)

    def _combined(self, node: Assign, now: ast.expr, value: ast.expr) -> ast.expr:
        """`now op value`."""
        if node.operator == "=":
            return value
        operator = node.operator[:-1]
        if operator != "+":
            binary = Binary(node.line, node.column, operator, node.target, node.value)
            return self.operate(binary, now, value)
        call = self.call("add_assign", node, now, value)
        if isinstance(node.value, Literal) and isinstance(now, ast.Name):
            binary = Binary(node.line, node.column, "+", node.target, node.value)
            quick = self.operate(binary, now, value)
            if isinstance(quick, ast.IfExp):
                quick.orelse = call
                return quick
        return call

    def _assign_variable(self, node: Assign, target: Variable, value: ast.expr, out: Out) -> None:
        binding = self.resolve(target)
        if binding is None:
            if not self.frame.top:
                out.append(self.do(self.raises("missing", target.name, target), node))
                return
            name = self.value(target.name, target)
            if node.operator != "=":
                # A bare function name is a value, but no variable to be added to.
                now = self.call("own_scope", target, name)
                value = self._combined(node, self.save(now, out, node), value)
            out.append(self.do(self.call("set_scope", target, name, value), node))
            return
        if binding.constant:
            out.append(self.do(self.raises("constant_change", target.name, target), node))
            return
        now = self.read(binding, target)
        out.append(self.write(binding, self._combined(node, now, value), node))
        if binding.tagged:
            out.append(
                self.do(
                    self.call(
                        "set_tag", node, self.value(binding.python, node), self.value(0, node)
                    ),
                    node,
                )  # fmt: skip
            )

    def _assign_this(self, node: Assign, target: This, value: ast.expr, out: Out) -> None:
        now, store = self.fetch(target, {}, out)
        out += store(self._combined(node, now, value))

    def _assign_member(
        self, node: Assign, target: Property | Index, value: ast.expr, out: Out
    ) -> None:
        keys = self.keys(target, out)
        if isinstance(target, Property) and isinstance(target.target, Variable):
            binding = self.resolve(target.target)
            if target.name == "tag" and binding is not None and binding.tagged:
                tag = self.call("assign_tag", node, self.read(binding, node),
                                self.value(binding.python, node), value)  # fmt: skip
                out.append(self.branch(tag, [], self._member(node, target, keys, value), node))
                return
        out += self._member(node, target, keys, value)

    def _member(
        self, node: Assign, target: Property | Index, keys: dict[int, ast.expr], value: ast.expr
    ) -> Out:
        out: Out = []
        parent, store_parent = self.fetch(target.target, keys, out)
        if isinstance(target, Property):
            name = self.value(target.name, target)
            if node.operator != "=":
                now = self.save(self.call("own_prop", target, parent, name), out, node)
                value = self._combined(node, now, value)
            out.append(self.do(self.call("set_prop", target, parent, name, value), node))
            return out
        key = keys[id(target)]
        if node.operator != "=":
            read = self.two_places(self.call("own_index", target, parent, key), target)
            value = self._combined(node, self.save(read, out, node), value)
        out += self.put_index(target, parent, key, value, store_parent, node)
        return out


def _is_range(value: Expression) -> bool:
    return isinstance(value, Binary)


# Switch cases that are matched by type and ==; None: by identity.
_PLAIN: Final[dict[type, str | None]] = {
    str: "str", int: "int", bool: None, type(None): None,
}  # fmt: skip
_EMIT: Final[dict[type, Callable[..., ast.expr | None]]] = {
    Assign: StatementEmitter.assign_to,
    Block: StatementEmitter.block,
    Break: StatementEmitter.break_,
    Continue: StatementEmitter.continue_,
    Do: StatementEmitter.do_,
    Export: StatementEmitter.export,
    ExpressionStatement: StatementEmitter.alone,
    For: StatementEmitter.for_,
    If: StatementEmitter.if_,
    Import: StatementEmitter.import_,
    Let: StatementEmitter.let,
    Return: StatementEmitter.return_,
    Switch: StatementEmitter.switch,
    Throw: StatementEmitter.throw,
    Try: StatementEmitter.try_,
    While: StatementEmitter.while_,
}
