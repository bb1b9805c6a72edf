"""Method calls and closures to Python."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import attrs

from ._emit import Frame, Out
from ._gen_calls import CallEmitter
from ._gen_places import is_place, root_of
from ._tree import Closure, Expression, Index, MethodCall, Property, This, Variable


if TYPE_CHECKING:
    from collections.abc import Callable


class MethodEmitter(CallEmitter):
    """`x.f(a)` and `|a| b`."""

    def method_call(self, node: MethodCall, out: Out) -> ast.expr:
        count = len(node.arguments)
        key = (node.name, count)
        place = is_place(node.target)
        if key in self.arities:
            if place and self.script.writes_this:
                return self._method_by_reference(node, out)
        elif place and self.is_changing(node.name, count + 1):
            return self.change(node, node.target, node.arguments, out, method=True)
        elif place and self.script.writes_this and self._is_dynamic(node):
            return self._method_by_reference(node, out)
        special = _SPECIAL_METHODS.get(node.name)
        if special is not None:
            found = special(self, node, out)
            if found is not None:
                return found
        if node.name == "filter":
            inlined = self._inline_filter(node, out)
            if inlined is not None:
                return inlined
        values = self._operands(node, out)
        return self._called(node, values[0], values[1:])

    def _operands(self, node: MethodCall, out: Out) -> list[ast.expr]:
        """The receiver and the arguments, in order.

        A receiver that is no place is taken: what changes it must not change where it came from.
        """
        read = self.expression if is_place(node.target) else self.take
        receiver = read(node.target, out)
        before: Out = []
        arguments = self.sequence(node.arguments, before, take=True)
        if before:
            receiver = self.save(receiver, out, node)
            out += before
        return [receiver, *arguments]

    def optional_change(self, node: MethodCall, out: Out) -> ast.expr | None:
        """`a?.b.push(1)`: a place after all, unless a `?` meets `()`."""
        root = root_of(node.target)
        changes = self.is_changing(node.name, len(node.arguments) + 1) or self.script.writes_this
        if not changes or not isinstance(root, Variable | This) or node.name in _DYNAMIC:
            return None
        guards: list[Expression] = []
        target = self._without_questions(node.target, guards)
        if node.optional:
            guards.append(target)
        result = self.temporary("r")
        out.append(self.assign(result, self.value(None, node), node))
        inside = out
        for guard in guards:
            test = self.is_none(self.expression(guard, inside), node, negate=True)
            branch = self.put(ast.If(test, [], []), node)
            inside.append(branch)
            inside = branch.body
        plain = MethodCall(
            node.line, node.column, target, node.name, node.arguments, optional=False
        )
        inside.append(self.assign(result, self.method_call(plain, inside), node))
        return self.name(result, node)

    def _without_questions(self, node: Expression, guards: list[Expression]) -> Expression:
        """The same place with plain links; what must not be `()` goes into `guards`."""
        if not isinstance(node, Property | Index):
            return node
        target = self._without_questions(node.target, guards)
        if node.optional:
            guards.append(target)
        return attrs.evolve(node, target=target, optional=False)

    def method_on(self, node: MethodCall, target: ast.expr, out: Out) -> ast.expr:
        if self.changes:
            target = self.call("share", node, target)
        target = self.save(target, out, node)
        return self._called(node, target, self.sequence(node.arguments, out, take=True))

    def _is_dynamic(self, node: MethodCall) -> bool:
        """Only the receiver decides what is called: perhaps a function it holds."""
        if node.name in _DYNAMIC:
            return False
        arity = len(node.arguments) + 1
        return node.name in self.script.map_keys or self.native(node.name, arity) is None

    def _called(  # noqa: PLR0911 - a look-up order
        self, node: MethodCall, target: ast.expr, arguments: list[ast.expr]
    ) -> ast.expr:
        """A method on a value that is not changed where it came from."""
        if node.name == "call":
            return self.method("call", node, target, *arguments)
        if node.name == "curry":
            return self.bare_call("curry", node, target, *arguments)
        key = (node.name, len(arguments))
        name = self.value(node.name, node)
        if key in self.arities:
            return self._script_method(node, self.boxed(target, node), arguments)
        if node.name in self.script.map_keys:
            return self.call("method", node, target, name, *arguments)
        python = self.native(node.name, key[1] + 1)
        if python is None:
            return self.call("method", node, target, name, *arguments)
        if self.is_changing(node.name, key[1] + 1):
            pair = self.call(python, node, target, *arguments)
            return self.item(pair, self.value(0, node), node)
        return self.call(python, node, target, *arguments)

    def _script_method(
        self, node: MethodCall, box: ast.expr, arguments: list[ast.expr]
    ) -> ast.expr:
        key = (node.name, len(arguments))
        types = self.arities[key]
        if types == {None}:
            call = self.call(f"f_{node.name}_{key[1]}", node, *arguments)
            if key in self.uses_this:
                call.keywords.append(self.put(ast.keyword("this", box), node))
            return call
        return self.call("typed_method", node, self.value(node.name, node), box, *arguments)

    def _method_by_reference(self, node: MethodCall, out: Out) -> ast.expr:
        """`this` is the caller's variable: what the callee makes of it is put back."""
        root = root_of(node.target)
        keys = self.keys(node.target, out)
        arguments = [
            self.save(argument, out, node)
            for argument in self.sequence(node.arguments, out, take=True)
        ]
        value = self.save(self._read_place(node.target, keys), out, node)
        box = self.temporary("h")
        out.append(self.assign(box, self.boxed(value, node), node))
        name = self.value(node.name, node)
        if (node.name, len(arguments)) in self.arities:
            call = self._script_method(node, self.name(box, node), arguments)
        else:
            call = self.call("method_box", node, self.name(box, node), name, *arguments)
        result = self.temporary("r")
        now = self.item(self.name(box, node), self.value(0, node), node)
        back: Out = []
        refusal = self.unassignable(root, "constant_method", node.name)
        if refusal is not None:
            back.append(self.do(refusal, node))
        else:
            _, store = self.fetch(node.target, keys, back)
            back += store(now)
        changed = self.compare(now, ast.IsNot(), value, node)
        final: Out = [self.branch(changed, back, [], node)]
        attempt: Out = [self.assign(result, call, node)]
        out.append(self.put(ast.Try(attempt, [], [], final), node))
        return self.name(result, node)

    def _read_place(self, node: Expression, keys: dict[int, ast.expr]) -> ast.expr:
        """The value at a place whose indexes are evaluated already."""
        if isinstance(node, Property):
            target = self._read_place(node.target, keys)
            return self.call("prop", node, target, self.value(node.name, node))
        if isinstance(node, Index):
            target = self._read_place(node.target, keys)
            return self.two_places(self.call("index", node, target, keys[id(node)]), node)
        return self.expression(node, [])

    def type_of(self, node: MethodCall, out: Out) -> ast.expr | None:
        """`x.is_shared()`."""
        del out
        if node.arguments:
            return None
        return self._shared(node.target, node)

    def _inline_filter(self, node: MethodCall, out: Out) -> ast.expr | None:
        """`a.filter(|w| test)` as a comprehension: a Python call per element less."""
        if len(node.arguments) != 1 or self.hosts("filter", 2) or "filter" in self.script.map_keys:
            return None
        closure = node.arguments[0]
        plain = (
            isinstance(closure, Closure)
            and len(closure.parameters) == 1
            and not closure.has_closures
            and not closure.uses_this
        )
        if not plain or not isinstance(closure, Closure):
            return None
        frame = self.frame
        cost, frame.cost = frame.cost, 2
        before: Out = []
        test = self.statement(closure.body, before, want=True)
        each, frame.cost = frame.cost, cost
        if before or test is None:
            return None
        if not isinstance(test, ast.Compare | ast.BoolOp):
            test = self.compare(test, ast.Is(), self.value(True, closure), closure)  # noqa: FBT003
        receiver = self.expression(node.target, out)
        first, again = self.named(receiver, node)
        item = closure.parameters[0].python
        source = self.call("chunked", node, again, self.value(each, node))
        target = self.put(ast.Name(item, ast.Store()), closure)
        generator = ast.comprehension(target, source, [test], 0)
        inlined = self.put(ast.ListComp(self.name(item, closure), [generator]), node)
        # A map (or an error) takes the ordinary way.
        python = self.native("filter", 2)
        assert python is not None  # noqa: S101 - it is in the standard library
        other = self.call(python, node, again, self.closure(closure, out))
        return self.choose(self.is_type(first, "list", node), inlined, other, node)

    def closure(self, node: Closure, out: Out) -> ast.expr:
        outer = self.frame
        self.frame = Frame(node.number, outer, top=outer.top)
        self.frame.visible = outer.visible
        body: Out = []
        value = self.statement(node.body, body, want=True)
        frame = self.frame
        self.frame = outer
        if value is None:
            value = self.value(None, node)
        python = self.temporary("c")
        names = [binding.python for binding in node.parameters]
        this = ["this"] if node.uses_this else []
        bound = [
            binding.python for binding in node.captures.values()
            if binding.in_loop and not outer.visible
        ]  # fmt: skip
        loose = not node.captures and not outer.visible and not frame.nonlocals
        arguments = self.parameters(names, this, bound, node)
        function: ast.expr
        if body or frame.nonlocals or loose:
            body.append(self.put(ast.Return(value), node))
            inherited = frame.nonlocals
            self._reach_out(inherited, body, node)
            definition = self.define(python, arguments, body, node)
            function = self.name(python, node)
            if loose:
                # It captures nothing: one value for all runs.
                self.module.append(definition)
                self.pointers.append((python, len(names), frame.cost, node.uses_this))
                return self.name(f"p_{python}", node)
            out.append(definition)
        else:
            function = self.put(ast.Lambda(arguments, value), node)
        return self.bare_call(
            "FnPtr", node, self.value(f"anon${node.number:x}", node),
            self.bare_call(
                "ScriptFunction", node, self.value(len(names), node), function,
                self.value(frame.cost, node), self.value(node.uses_this, node),
            ),
        )  # fmt: skip


# Methods of function values, and of all values.
_DYNAMIC: Final = frozenset(("call", "curry", "is_shared"))
_SPECIAL_METHODS: Final[dict[str, Callable[[MethodEmitter, MethodCall, Out], ast.expr | None]]] = {
    "is_shared": MethodEmitter.type_of,
}
