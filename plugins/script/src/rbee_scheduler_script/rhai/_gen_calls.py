"""Calls: of script functions, host functions, standard functions, closures, and methods.

A name is looked up as the official engine does: script function of that arity, then host function,
then standard function. Which it is, is known when the script is compiled, so a call is a plain
Python call; only the types of the arguments are looked at when it runs.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from ._emit import Frame, Out
from ._errors import LimitError
from ._gen_expressions import ExpressionEmitter
from ._gen_places import is_place, root_of
from ._stdlib import CHANGING, NATIVES
from ._tree import Call, Expression, Literal, MethodCall, Node, Script, Variable


if TYPE_CHECKING:
    from collections.abc import Callable


_MAX_EXPANSIONS: Final = 4


class CallEmitter(ExpressionEmitter):
    """Calls of functions by name.

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

    def call_function(self, node: Call, out: Out) -> ast.expr:  # noqa: PLR0911 - a look-up order
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
            call = self.call(python, node, *values)
            return self.item(call, self.value(0, node), node)
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
                tag = self.call("set_tag", node, self.value(binding.python, node), arguments[0])
                out.append(self.do(tag, node))
        return self.item(pair, self.value(0, node), node)

    def _reach_out(self, nonlocals: set[str], body: Out, node: Node) -> None:
        """Declare what the function assigns outside itself; so must those around it."""
        if not nonlocals:
            return
        body.insert(0, self.put(ast.Nonlocal(sorted(nonlocals)), node))

    def parameters(
        self, names: list[str], this: list[str], bound: list[str], place: Node
    ) -> ast.arguments:
        """`(M, names..., *, this=None, bound=bound)`."""
        positional = [self.put(ast.arg(name), place) for name in ["M", *names]]
        keyword = [self.put(ast.arg(name), place) for name in [*this, *bound]]
        defaults: list[ast.expr | None] = [self.value(None, place) for _ in this]
        defaults += [self.name(name, place) for name in bound]
        return ast.arguments([], positional, None, keyword, defaults, None, [])

    def function_body(self, body: Any, *, is_leaf: bool) -> Out:
        """See `_gen_functions`."""
        raise NotImplementedError


_SPECIAL: Final[dict[str, Callable[[CallEmitter, Call, Out], ast.expr | None]]] = {
    "Fn": CallEmitter.pointer,
    "call": CallEmitter.call_pointer,
    "curry": CallEmitter.curry,
    "is_shared": CallEmitter.is_shared,
    "is_def_var": CallEmitter.is_def_var,
    "is_def_fn": CallEmitter.is_def_fn,
}
