"""A tracing build of a program: the same code with probes, for `policy run --trace` and coverage.

A probe stands before each statement and around each condition. They are calls in the generated
code, so a traced run costs what its probes cost, an ordinary one nothing; and because they are in
the code, no debugger's hook (`sys.settrace`) is needed, which would slow down the whole thread.
Steps are charged as without them; only the time limit should be more generous.
"""

from __future__ import annotations

import ast
import time
from typing import TYPE_CHECKING, Any, Protocol

from ._codegen import Generator
from ._limits import Limits
from ._program import Program
from ._tree import Block


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._emit import Out
    from ._hosts import HostFunction
    from ._tree import Expression, Node, Script, Statement


__all__ = ["Tracer", "compile_traced"]


class Tracer(Protocol):
    """Who is told what a run does."""

    def enter(self, node: Node) -> None:
        """A statement is about to run."""

    def test(self, node: Node, value: Any) -> None:
        """A condition was evaluated."""


class TracingGenerator(Generator):
    """Puts the probes in."""

    def __init__(
        self, script: Script, hosts: Callable[[str, int], Callable[..., Any] | None], tracer: Tracer
    ) -> None:
        super().__init__(script, hosts)
        self._nodes: list[Node] = []
        nodes = self._nodes
        self._enter = self.constant_name(lambda number: tracer.enter(nodes[number]))

        def test(number: int, value: Any) -> Any:
            tracer.test(nodes[number], value)
            return value

        self._test = self.constant_name(test)

    def statement(self, node: Statement, out: Out, *, want: bool) -> ast.expr | None:
        # A block says nothing that its statements don't; an arm may be an empty one, though.
        if not isinstance(node, Block) or not node.statements:
            probe = self.bare_call(self._enter, node, self._number(node))
            out.append(self.do(probe, node))
        return super().statement(node, out, want=want)

    def condition(self, node: Expression, out: Out) -> ast.expr:
        value = super().condition(node, out)
        return self.bare_call(self._test, node, self._number(node), value)

    def _number(self, node: Node) -> ast.expr:
        self._nodes.append(node)
        return self.value(len(self._nodes) - 1, node)


class TracedProgram(Program):
    """A program that tells a tracer what it does."""

    def __init__(
        self,
        source: str,
        limits: Limits,
        functions: Mapping[str, Callable[..., Any] | HostFunction],
        clock: Callable[[], float],
        tracer: Tracer,
    ) -> None:
        self._tracer = tracer
        super().__init__(source, limits, functions, clock)

    def _generator(self) -> Generator:
        return TracingGenerator(self.script, self._hosts.find, self._tracer)


def compile_traced(
    source: str,
    tracer: Tracer,
    *,
    limits: Limits | None = None,
    functions: Mapping[str, Callable[..., Any] | HostFunction] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Program:
    """Compile a script whose runs tell ``tracer`` what they do; else as `compile`.

    Raises:
        RhaiError: As `compile`.
    """
    return TracedProgram(source, limits or Limits(), functions or {}, clock, tracer)
