"""A syntax tree to a Python module: one function for the top level, one for each function.

    def f_score_1(M, v_w_1): ...      # M is the run
    def c_7(M, v_w_9): ...            # a closure that captures nothing
    def main(M): ...

The module's only names are its own, the helpers of `_runtime` and the constants collected here; its
builtins are six types. Nothing a script writes becomes a Python name (its names are prefixed), an
attribute (only `.get` of an exact dict, and the run's own) or Python source.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ._emit import Frame, Out
from ._gen_statements import StatementEmitter


if TYPE_CHECKING:
    from ._tree import Block, FunctionDefinition


class Generator(StatementEmitter):
    """Puts the module together.

    Attributes:
        costs: Steps of a call by function name in the generated code.
    """

    def module_of(self) -> ast.Module:
        """The whole script."""
        functions: Out = []
        self.costs: dict[str, int] = {}
        for function in self.script.functions:
            functions.append(self._function(function))
        self.frame = Frame(0, None, top=True)
        body = self.function_body(self.script.body, is_leaf=True)
        main = self.define("main", self.parameters([], [], [], self.script), body, self.script)
        # Closures that capture nothing were put into `module` on the way.
        return ast.Module([*self.module, *functions, main], [])

    def _function(self, node: FunctionDefinition) -> ast.stmt:
        self.frame = Frame(node.number, None, top=False)
        body = self.function_body(node.body, is_leaf=node.is_leaf)
        name = function_name(node)
        self.costs[name] = self.frame.cost
        names = [binding.python for binding in node.parameters]
        this = ["this"] if node.uses_this else []
        return self.define(name, self.parameters(names, this, [], node), body, node)

    def function_body(self, body: Block, *, is_leaf: bool) -> Out:
        """What a call does: pay, go one level deeper unless it calls nothing, run, come back."""
        inside: Out = []
        value = self.statement(body, inside, want=True)
        inside.append(self.put(ast.Return(value or self.value(None, body)), body))
        start = self.charge(self.frame.cost, body)
        if is_leaf:
            return start + inside
        start.append(self.do(self.method("enter", body), body))
        depth = self.put(ast.Attribute(self.name("M", body), "depth", ast.Store()), body)
        leave: Out = [self.put(ast.AugAssign(depth, ast.Sub(), self.value(1, body)), body)]
        return [*start, self.put(ast.Try(inside, [], [], leave), body)]


def function_name(node: FunctionDefinition) -> str:
    """The Python name of a script function."""
    base = f"f_{node.name}_{len(node.parameters)}"
    if node.this_type is None:
        return base
    kind = "unit" if node.this_type == "()" else node.this_type.replace("=", "_inclusive")
    return f"{base}_of_{kind}"
