"""Assignments to Python."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ._gen_methods import MethodEmitter
from ._gen_places import root_of
from ._tree import Assign, Binary, Index, Literal, Property, This, Variable


if TYPE_CHECKING:
    from ._emit import Out


class AssignmentEmitter(MethodEmitter):
    """`a = 1`, `a.b[0] += 1`, `this = 2`."""

    def assign_to(self, node: Assign, out: Out, _want: bool) -> None:
        value: ast.expr = self.take(node.value, out)
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
                now: ast.expr = self.call("own_scope", target, name)
                value = self._combined(node, self.save(now, out, node), value)
            out.append(self.do(self.call("set_scope", target, name, value), node))
            return
        if binding.constant:
            out.append(self.do(self.raises("constant_change", target.name, target), node))
            return
        now = self.read(binding, target)
        out.append(self.write(binding, self._combined(node, now, value), node))
        if binding.tagged:
            tag = self.call("set_tag", node, self.value(binding.python, node), self.value(0, node))
            out.append(self.do(tag, node))

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
