"""Calls: of script functions, host functions, standard functions, closures, and methods.

A name is looked up as the official engine does: script function of that arity, then host function,
then standard function. Which it is, is known when the script is compiled, so a call is a plain
Python call; only the types of the arguments are looked at when it runs.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from ._emit import LOAD, Frame, Out
from ._errors import LimitError
from ._gen_expressions import ExpressionEmitter
from ._gen_places import is_place, root_of
from ._stdlib import CHANGING, NATIVES
from ._tree import (
    Call,
    Closure,
    Expression,
    Index,
    Literal,
    MethodCall,
    Node,
    Property,
    Script,
    This,
    Variable,
)


if TYPE_CHECKING:
    from collections.abc import Callable


_MAX_EXPANSIONS: Final = 4


class CallEmitter(ExpressionEmitter):
    """Everything with parentheses after a name, and closures.

    Attributes:
        hosts: Finds a host function by name and arity.
        arities: Script functions by name and arity, typed methods (`fn int.f()`) apart.
        module: Definitions at the top of the generated module.
        pointers: Closures that capture nothing: name, arity, cost, whether they use `this`.
    """

    def __init__(
        self, script: Script, hosts: Callable[[str, int], Callable[..., Any] | None]
    ) -> None:
        super().__init__(script)
        self.hosts = hosts
        self.arities: dict[tuple[str, int], set[str | None]] = {}
        for function in script.functions:
            key = (function.name, len(function.parameters))
            self.arities.setdefault(key, set()).add(function.this_type)
        self.module: Out = []
        self.pointers: list[tuple[str, int, int, bool]] = []
        self.uses_this = {(f.name, len(f.parameters)) for f in script.functions if f.uses_this}
        self._expansions = 0
        self._known: dict[tuple[str, int], str] = {}

    def native(self, name: str, arity: int) -> str | None:
        """The name under which generated code finds a host or standard function."""
        key = (name, arity)
        if key not in self._known:
            code = self.hosts(name, arity) or NATIVES.get(key)
            if code is None:
                return None
            python = f"n_{name}_{arity}"
            self.constants[python] = code
            self._known[key] = python
        return self._known[key]

    def is_changing(self, name: str, arity: int) -> bool:
        """Whether that is a standard function that changes its receiver."""
        return (name, arity) in CHANGING and self.hosts(name, arity) is None

    # -- f(a)

    def call_function(self, node: Call, out: Out) -> ast.expr:
        if node.namespace is not None:
            return self.raises("no_module", node.namespace, node)
        if node.in_scope:
            return self._expand(node, out)
        key = (node.name, len(node.arguments))
        if None in self.arities.get(key, ()):
            arguments = self.sequence(node.arguments, out, take=True)
            return self.call(f"f_{node.name}_{key[1]}", node, *arguments)
        special = _SPECIAL.get(node.name)
        if special is not None:
            found = special(self, node, out)
            if found is not None:
                return found
        if self.is_changing(*key):
            return self.change(node, node.arguments[0], node.arguments[1:], out, method=False)
        arguments = self.sequence(node.arguments, out, take=True)
        python = self.native(*key)
        if python is None:
            return self.call("absent", node, self.value(node.name, node), *arguments)
        return self.call(python, node, *arguments)

    def pointer(self, node: Call, out: Out) -> ast.expr | None:
        """`Fn("name")`."""
        if len(node.arguments) != 1:
            return None
        argument = node.arguments[0]
        value = self.expression(argument, out)
        # An impossible name is an error at the argument.
        return self.bare_call("make_pointer", argument, value)

    def call_pointer(self, node: Call, out: Out) -> ast.expr | None:
        """`call(f, a)`."""
        if not node.arguments:
            return None
        return self.method("call", node, *self.sequence(node.arguments, out, take=True))

    def curry(self, node: Call, out: Out) -> ast.expr | None:
        """`curry(f, a)`."""
        if not node.arguments:
            return None
        return self.bare_call("curry", node, *self.sequence(node.arguments, out, take=True))

    def is_shared(self, node: Call, _out: Out) -> ast.expr | None:
        """`is_shared(x)`: whether a closure captured it."""
        return self._shared(node.arguments[0], node) if len(node.arguments) == 1 else None

    def _shared(self, subject: Expression, node: Node) -> ast.expr:
        binding = self.resolve(subject) if isinstance(subject, Variable) else None
        return self.value(binding is not None and binding.captured, node)

    def is_def_var(self, node: Call, out: Out) -> ast.expr | None:
        """`is_def_var("x")`."""
        if len(node.arguments) != 1:
            return None
        argument = node.arguments[0]
        known = node.visible or {}
        if isinstance(argument, Literal) and argument.value in known:
            return self.value(True, node)  # noqa: FBT003
        return self.call("in_scope", node, self.expression(argument, out))

    def is_def_fn(self, node: Call, out: Out) -> ast.expr | None:
        """`is_def_fn("f", 1)`."""
        if len(node.arguments) != 2:  # noqa: PLR2004 - name and arity
            return None
        return self.call("defines", node, *self.sequence(node.arguments, out))

    def _expand(self, node: Call, out: Out) -> ast.expr:
        """`f!(a)`: the function's body, compiled anew where it sees the caller's variables."""
        arity = len(node.arguments)
        found = [
            f for f in self.script.functions
            if f.name == node.name and len(f.parameters) == arity and f.this_type is None
        ]  # fmt: skip
        arguments = self.sequence(node.arguments, out, take=True)
        if not found:
            return self.call("absent", node, self.value(node.name, node), *arguments)
        self._expansions += 1
        if self._expansions > _MAX_EXPANSIONS:
            raise LimitError(
                "ErrorParsing/ExprTooDeep", "too many calls in the caller's scope",
                line=node.line, column=node.column,
            )  # fmt: skip
        function = found[0]
        outer = self.frame
        python = self.temporary("x")
        self.frame = Frame(function.number, outer, top=outer.top)
        self.frame.visible = {**outer.visible, **(node.visible or {})}
        names = [binding.python for binding in function.parameters]
        this = ["this"] if function.uses_this else []
        body = self.function_body(function.body, is_leaf=False)
        nonlocals = self.frame.nonlocals
        self.frame = outer
        self._expansions -= 1
        self._reach_out(nonlocals, body, node)
        out.append(self.define(python, self.parameters(names, this, [], node), body, node))
        return self.call(python, node, *arguments)

    def _reach_out(self, nonlocals: set[str], body: Out, node: Node) -> None:
        """Declare what the function assigns outside itself; so must those around it."""
        if not nonlocals:
            return
        body.insert(0, self.put(ast.Nonlocal(sorted(nonlocals)), node))

    # -- x.f(a)

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
        """The receiver (looked at) and the arguments (taken), in order."""
        receiver = self.expression(node.target, out)
        before: Out = []
        arguments = self.sequence(node.arguments, before, take=True)
        if before:
            receiver = self.save(receiver, out, node)
            out += before
        return [receiver, *arguments]

    def method_on(self, node: MethodCall, target: ast.expr, out: Out) -> ast.expr:
        target = self.save(target, out, node)
        return self._called(node, target, self.sequence(node.arguments, out, take=True))

    def _is_dynamic(self, node: MethodCall) -> bool:
        """Only the receiver decides what is called: perhaps a function it holds."""
        arity = len(node.arguments) + 1
        return node.name in self.script.map_keys or self.native(node.name, arity) is None

    def _called(self, node: MethodCall, target: ast.expr, arguments: list[ast.expr]) -> ast.expr:
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

    def change(
        self,
        node: Call | MethodCall,
        target: Expression,
        rest: list[Expression],
        out: Out,
        *,
        method: bool,
    ) -> ast.expr:
        """A standard function that changes its receiver, which may be a place."""
        python = self.native(node.name, len(rest) + 1)
        assert python is not None  # noqa: S101 - `is_changing` found it
        in_place = is_place(target)
        refusal = self.unassignable(root_of(target), "constant_method", node.name)
        if in_place and refusal is not None:
            if method:
                return refusal
            # `push(CONST, 1)` works on a copy.
            in_place = False
        if not in_place:
            values = self.sequence([target, *rest], out, take=True)
            pair = self.call(python, node, *values)
            return self.item(pair, self.value(0, node), node)
        keys = self.keys(target, out)
        arguments = [
            self.save(argument, out, node) for argument in self.sequence(rest, out, take=True)
        ]
        value, store = self.fetch(target, keys, out)
        done = self.temporary("p")
        out.append(self.assign(done, self.call(python, node, value, *arguments), node))
        pair = self.name(done, node)
        out += store(self.item(pair, self.value(1, node), node))
        if isinstance(target, Variable):
            binding = self.resolve(target)
            if node.name == "set_tag" and binding is not None:
                binding.tagged = True
                out.append(
                    self.do(
                        self.call("set_tag", node, self.value(binding.python, node), arguments[0]),
                        node,
                    )  # fmt: skip
                )
        return self.item(pair, self.value(0, node), node)

    def type_of(self, node: MethodCall, out: Out) -> ast.expr | None:
        """`x.is_shared()`."""
        del out
        if node.arguments:
            return None
        return self._shared(node.target, node)

    # -- closures

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

    def parameters(
        self, names: list[str], this: list[str], bound: list[str], place: Node
    ) -> ast.arguments:
        """`(M, names..., *, this=None, bound=bound)`."""
        positional = [self.put(ast.arg(name), place) for name in ["M", *names]]
        keyword = [self.put(ast.arg(name), place) for name in [*this, *bound]]
        defaults: list[ast.expr | None] = [self.value(None, place) for _ in this]
        defaults += [self.name(name, place) for name in bound]
        return ast.arguments([], positional, None, keyword, defaults, None, [])

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

    def function_body(self, body: Any, *, is_leaf: bool) -> Out:
        """See `_gen_functions`."""
        raise NotImplementedError

    def list_of(self, values: list[ast.expr], place: Node) -> ast.expr:
        """A Python list."""
        return self.put(ast.List(values, LOAD), place)


_SPECIAL: Final[dict[str, Callable[[CallEmitter, Call, Out], ast.expr | None]]] = {
    "Fn": CallEmitter.pointer,
    "call": CallEmitter.call_pointer,
    "curry": CallEmitter.curry,
    "is_shared": CallEmitter.is_shared,
    "is_def_var": CallEmitter.is_def_var,
    "is_def_fn": CallEmitter.is_def_fn,
}
_SPECIAL_METHODS: Final[dict[str, Callable[[CallEmitter, MethodCall, Out], ast.expr | None]]] = {
    "is_shared": CallEmitter.type_of,
}
