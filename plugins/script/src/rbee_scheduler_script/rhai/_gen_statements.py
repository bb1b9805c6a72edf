"""Statements to Python.

Every statement answers the expression of its value when that is wanted, because in Rhai a block's
value is its last statement's. An expression that needs statements first (a loop with a value, an
in-place change) puts them before itself.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ._emit import STORE, Out
from ._gen_switch import SwitchEmitter
from ._tree import (
    Assign,
    Block,
    Break,
    Continue,
    Do,
    Export,
    ExpressionStatement,
    For,
    If,
    Import,
    Let,
    Return,
    Statement,
    Switch,
    Throw,
    Try,
    While,
)


if TYPE_CHECKING:
    from collections.abc import Callable


class StatementEmitter(SwitchEmitter):
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
