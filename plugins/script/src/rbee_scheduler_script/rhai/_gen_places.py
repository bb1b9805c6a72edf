"""Places: what can be assigned to or changed in place.

A place is a variable (or `this`) followed by properties and indexes. To change what is at its end,
every container on the way must be owned by this run: `fetch` emits that walk, copying what is not,
and answers how to store a new value at the end.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from ._emit import LOAD, STORE, Emitter, Out
from ._tree import Binding, Expression, Index, Node, Property, This, Variable


if TYPE_CHECKING:
    from collections.abc import Callable


def root_of(node: Expression) -> Expression:
    """The variable, `this`, or anything else a place starts from."""
    while isinstance(node, Property | Index):
        node = node.target
    return node


def is_place(node: Expression) -> bool:
    """Whether it can be changed where it is."""
    while isinstance(node, Property | Index):
        if node.optional:
            return False
        node = node.target
    return isinstance(node, This) or (isinstance(node, Variable) and node.namespace is None)


class PlaceEmitter(Emitter):
    """Reads and writes variables, and what they contain."""

    def resolve(self, node: Variable) -> Binding | None:
        """The variable's declaration; in an `f!()` body, the caller's counts."""
        if node.binding is not None or node.namespace is not None:
            return node.binding
        return self.frame.visible.get(node.name)

    def is_boxed(self, binding: Binding) -> bool:
        """Each round of a loop has its own such variable, shared with closures: a list of one."""
        return binding.captured and binding.in_loop and binding.assigned

    def read(self, binding: Binding, place: Node) -> ast.expr:
        """The variable's value."""
        name = self.name(binding.python, place)
        if self.is_boxed(binding):
            return self.item(name, self.value(0, place), place)
        return name

    def write(self, binding: Binding, value: ast.expr, place: Node) -> ast.stmt:
        """Assign to the variable."""
        if self.is_boxed(binding):
            target = self.put(
                ast.Subscript(self.name(binding.python, place), self.value(0, place), STORE), place
            )
            return self.put(ast.Assign([target], value), place)
        if binding.owner != self.frame.number:
            self.frame.nonlocals.add(binding.python)
        return self.assign(binding.python, value, place)

    def declare(self, binding: Binding, value: ast.expr, place: Node) -> ast.stmt:
        """Bring the variable into being."""
        if self.is_boxed(binding):
            value = self.put(ast.List([value], LOAD), place)
        return self.assign(binding.python, value, place)

    def raises(self, function: str, text: str, place: Node) -> ast.expr:
        """An expression that fails when it is reached."""
        return self.bare_call(function, place, self.value(text, place))

    def unassignable(self, root: Expression, kind: str, name: str) -> ast.expr | None:
        """What a change of a constant raises, if the root is one."""
        binding = self.resolve(root) if isinstance(root, Variable) else None
        if binding is None or not binding.constant:
            return None
        return self.raises(kind, name, root)

    def keys(self, node: Expression, out: Out) -> dict[int, ast.expr]:
        """Evaluate the index expressions of a place, from left to right, once."""
        indexes: list[Index] = []
        while isinstance(node, Property | Index):
            if isinstance(node, Index):
                indexes.append(node)
            node = node.target
        found: dict[int, ast.expr] = {}
        for index in reversed(indexes):
            value = self.expression(index.index, out)
            if not isinstance(value, ast.Constant):
                value = self.save(value, out, index.index)
            found[id(index)] = value
        return found

    def fetch(
        self, node: Expression, keys: dict[int, ast.expr], out: Out
    ) -> tuple[ast.expr, Callable[[ast.expr], Out]]:
        """Emit the walk to a place.

        Args:
            node: The place.
            keys: Its indexes, evaluated by `keys`.
            out: Where statements go.

        Returns:
            The value there, owned, and what makes the statements that put another value there.
        """
        if isinstance(node, Variable):
            return self._fetch_variable(node, out)
        if isinstance(node, This):
            return self._fetch_this(node, out)
        if isinstance(node, Property):
            parent, _ = self.fetch(node.target, keys, out)
            name = self.value(node.name, node)
            value = self.save(self.call("own_prop", node, parent, name), out, node)

            def store_prop(new: ast.expr) -> Out:
                return [self.do(self.call("set_prop", node, parent, name, new), node)]

            return value, store_prop
        if isinstance(node, Index):
            return self._fetch_index(node, keys, out)
        return self.save(self.expression(node, out), out, node), lambda _: []

    def _fetch_variable(
        self, node: Variable, out: Out
    ) -> tuple[ast.expr, Callable[[ast.expr], Out]]:
        binding = self.resolve(node)
        if binding is None:
            if not self.frame.top:
                return self.raises("missing", node.name, node), lambda _: []
            name = self.value(node.name, node)
            value = self.save(self.call("own_scope", node, name), out, node)
            return value, lambda new: [self.do(self.call("set_scope", node, name, new), node)]
        owned = self.temporary("o")
        out.append(self.assign(owned, self.method("own", node, self.read(binding, node)), node))
        out.append(self.write(binding, self.name(owned, node), node))
        return self.name(owned, node), lambda new: [self.write(binding, new, node)]

    def _fetch_this(self, node: This, out: Out) -> tuple[ast.expr, Callable[[ast.expr], Out]]:
        value = self.save(self.call("own_this", node, self.name("this", node)), out, node)

        def store(new: ast.expr) -> Out:
            target = self.put(
                ast.Subscript(self.name("this", node), self.value(0, node), STORE), node
            )
            return [self.put(ast.Assign([target], new), node)]

        return value, store

    def _fetch_index(
        self, node: Index, keys: dict[int, ast.expr], out: Out
    ) -> tuple[ast.expr, Callable[[ast.expr], Out]]:
        parent, store_parent = self.fetch(node.target, keys, out)
        key = keys[id(node)]
        value = self.save(
            self.two_places(self.call("own_index", node, parent, key), node), out, node
        )

        def store(new: ast.expr) -> Out:
            return self.put_index(node, parent, key, new, store_parent, node)

        return value, store

    def put_index(  # noqa: PLR0917 - all parts of one instruction
        self,
        node: Index,
        parent: ast.expr,
        key: ast.expr,
        new: ast.expr,
        store_parent: Callable[[ast.expr], Out],
        place: Node,
    ) -> Out:
        """`parent[key] = new`; a string or an integer is itself replaced by that."""
        done = self.temporary("n")
        call = self.two_places(self.call("set_index", place, parent, key, new), node)
        changed = self.compare(self.name(done, node), ast.IsNot(), parent, node)
        back = store_parent(self.name(done, node))
        out: Out = [self.assign(done, call, node)]
        if back:
            out.append(self.branch(changed, back, [], node))
        return out

    def two_places(self, call: ast.Call, node: Index) -> ast.Call:
        """Put the index's own place into the end of the instruction's."""
        call.end_lineno = node.index.line
        call.end_col_offset = node.index.column - 1
        if (call.end_lineno, call.end_col_offset) < (call.lineno, call.col_offset):
            call.lineno, call.col_offset = node.line, node.column - 1
        return call

    def boxed(self, value: ast.expr, place: Node) -> Any:
        """`this` for a callee: a list of one."""
        return self.put(ast.List([value], LOAD), place)
