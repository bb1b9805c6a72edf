"""A compiled script, and its runs."""

from __future__ import annotations

import builtins
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ._codegen import Generator, function_name
from ._errors import ExitScript, LimitError, RhaiError, parsing, too_large
from ._failures import refused
from ._hosts import PLAIN, HostFunction, Hosts, accept
from ._limits import Limits
from ._parser import parse
from ._run import Run
from ._runtime import BUILTINS, HELPERS
from ._values import FnPtr, ScriptFunction, Steps, signature


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ._tree import Script


_FILE: Final = "<rhai>"


class Program:
    """A script ready to run; made by `compile`.

    A program may be used by several threads at once: all that a run changes is in its own `Run`.

    Attributes:
        source: The script.
        script: Its syntax tree.
        limits: What each run may cost.
    """

    def __init__(
        self,
        source: str,
        limits: Limits,
        functions: Mapping[str, Callable[..., Any] | HostFunction],
        clock: Callable[[], float],
    ) -> None:
        self.source = source
        self.limits = limits
        self._clock = clock
        self._hosts = Hosts(functions)
        self._natives = self._hosts.native
        self.script: Script = parse(source, limits)
        self._functions: dict[str, dict[int, ScriptFunction]] = {}
        self._namespace = self._link()
        self._main: Callable[..., Any] = self._namespace["main"]
        self._constants: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._last = threading.local()
        # Whether any run wrote output: only then must each run's be noted.
        self._wrote = False

    def __repr__(self) -> str:
        names = ", ".join(sorted({f.name for f in self.script.functions}))
        return f"<rhai.Program ({names})>"

    @property
    def output(self) -> list[str]:
        """What `print` and `debug` wrote in this thread's latest run, capped by the limits."""
        return list(getattr(self._last, "output", ()))

    def functions(self) -> dict[str, tuple[int, ...]]:
        """The script's functions and how many parameters each takes."""
        return {
            name: tuple(sorted(by_arity))
            for name, by_arity in self._functions.items()
            if "." not in name
        }

    def eval(self, scope: Mapping[str, Any] | None = None) -> Any:
        """Run the top level.

        Args:
            scope: Variables the script sees. They are never changed: what the script changes is
                copied first, along its path.

        Returns:
            The value of the last statement as plain Python; it may share structure with `scope`.

        Raises:
            RhaiError: The script failed, or hit a limit.
        """
        run = self._start()
        run.scope = dict(scope or {})
        run.constants = {}
        for value in run.scope.values():
            accept(value)
        return self._guarded(run, self._main, (), tuple(run.scope.values()))

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one of the script's functions.

        The top level runs once per program, at the first call, for its global constants.

        Args:
            name: The function.
            *arguments: Plain Python values, read-only by contract and never copied as a whole.

        Returns:
            What the function answers, as plain Python; it may share structure with the arguments.

        Raises:
            RhaiError: There is no such function, it failed, or hit a limit.
        """
        by_arity = self._functions.get(name)
        function = by_arity.get(len(arguments)) if by_arity else None
        if function is None:
            raise self._no_function(name, arguments)
        for argument in arguments:
            if type(argument) is not list and type(argument) is not dict:
                accept(argument)
        run = Run(self.limits, self._clock, self._functions, self._natives, self.place)
        constants = self._constants
        run.constants = self._prepare() if constants is None else constants
        return self._guarded(run, function.code, arguments)

    def _no_function(self, name: str, arguments: tuple[Any, ...]) -> RhaiError:
        known = sorted(
            f"{known}/{arity}" for known, counts in self.functions().items() for arity in counts
        )
        return RhaiError(
            "ErrorFunctionNotFound",
            f"Function not found: {signature(name, arguments)}; "
            f"the script has {', '.join(known) or 'no functions'}",
        )

    def _start(self) -> Run:
        return Run(self.limits, self._clock, self._functions, self._natives, self.place)

    def _prepare(self) -> dict[str, Any]:
        """Run the top level for its constants, once."""
        with self._lock:
            if self._constants is None:
                run = self._start()
                run.constants = {}
                if self.script.body.statements:
                    self._guarded(run, self._main, ())
                self._constants = run.constants
            return self._constants

    def _guarded(
        self,
        run: Run,
        code: Callable[..., Any],
        arguments: tuple[Any, ...],
        given: tuple[Any, ...] = (),
    ) -> Any:
        """The one border: nothing but `RhaiError` leaves it."""
        try:
            try:
                result = code(run, *arguments)
            except ExitScript as exit_:
                result = exit_.value
            if type(result) in _SIMPLE:
                return result
            return self._result(run, result, given or arguments)
        except RhaiError as error:
            self.place(error)
            error.show(self.source)
            raise
        except RecursionError as error:
            failure: RhaiError = LimitError("ErrorStackOverflow", "Stack overflow")
            self.place(failure, error.__traceback__)
            cause = None
        except MemoryError as error:
            failure = too_large("Memory of this run")
            self.place(failure, error.__traceback__)
            cause = None
        except Exception as error:  # noqa: BLE001 - the border
            # Host functions may raise anything; its text is for the host's log, not the script.
            message = f"a host function failed ({type(error).__name__})"
            failure = RhaiError("ErrorSystem", message)
            self.place(failure, error.__traceback__)
            cause = error
        finally:
            if run.output or self._wrote:
                self._wrote = True
                self._last.output = run.output
        raise failure from cause

    def _result(self, run: Run, result: Any, arguments: tuple[Any, ...]) -> Any:
        """Only look at what a script built through a bounded walk: it may be `a = [a, a]`."""
        kind = type(result)
        if kind is Steps:
            return list(itertools.islice(result.items, self.limits.array_size))
        if kind not in PLAIN:
            raise refused(result)
        if kind not in _CONTAINERS or not (self.script.builds or self.script.changes):
            return result
        pending = [(result, 0)]
        looked = 0
        known: frozenset[int] | set[int] = frozenset()
        while pending:
            value, depth = pending.pop()
            looked += 1
            if looked == _FEW:
                # Many workers, probably: those that came in need no look.
                known = {id(x) for given in arguments if type(given) is list for x in given}
                run.charge(len(known) >> 2)
            if id(value) in known:
                run.left -= 1
                continue
            run.nested(depth)
            run.charge(len(value) + 1)
            inside = value if type(value) is list else value.values()
            if not _CONTAINERS.isdisjoint(map(type, inside)):
                pending += [(x, depth + 1) for x in inside if type(x) in _CONTAINERS]
        return result

    # -- compiling

    def _generator(self) -> Generator:
        return Generator(self.script, self._hosts.find)

    def _link(self) -> dict[str, Any]:
        try:
            generator = self._generator()
            module = generator.module_of()
            code = builtins.compile(module, _FILE, "exec", dont_inherit=True, optimize=0)
        except (RecursionError, MemoryError):
            raise parsing("ExprTooDeep", "Expression exceeds maximum complexity", 1, 1) from None
        except RhaiError as error:
            error.show(self.source)
            raise
        namespace: dict[str, Any] = {"__builtins__": BUILTINS, **HELPERS, **generator.constants}
        # The code is ours: made from a tree, never from text.
        exec(code, namespace)  # noqa: S102
        for python, arity, cost, uses_this in generator.pointers:
            function = ScriptFunction(arity, namespace[python], cost, uses_this)
            number = python.partition("_")[2]
            namespace[f"p_{python}"] = FnPtr(f"anon$c{number}", function)
        for node in self.script.functions:
            python = function_name(node)
            name = node.name if node.this_type is None else f"{node.this_type}.{node.name}"
            self._functions.setdefault(name, {})[len(node.parameters)] = ScriptFunction(
                len(node.parameters), namespace[python], generator.costs[python], node.uses_this
            )
        return namespace

    def place(self, error: RhaiError, trace: TracebackType | None = None) -> None:
        """Find out where in the script an error happened, from its traceback."""
        if error.where is not None:
            return
        found: tuple[Any, int] | None = None
        trace = trace or error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals is self._namespace:
                found = (trace.tb_frame.f_code, trace.tb_lasti)
                if error.kind == "ErrorStackOverflow":
                    # The outermost call, as the official engine says.
                    break
            trace = trace.tb_next
        if found is None:
            return
        code, instruction = found
        positions = next(itertools.islice(code.co_positions(), instruction // 2, None), None)
        if positions is None or positions[0] is None:
            return
        line, end_line, column, end_column = positions
        first = (line, (column or 0) + 1)
        second = (end_line or line, (end_column or 0) + 1)
        error.place(self.source, first, second)


_CONTAINERS: Final = frozenset((list, dict))
# Containers of a result that are walked before asking which of them the host passed in.
_FEW: Final = 64
_SIMPLE: Final = frozenset((int, float, bool, str, type(None)))


def compile(  # noqa: A001 - `rhai.compile`, like `re.compile`
    source: str,
    *,
    limits: Limits | None = None,
    functions: Mapping[str, Callable[..., Any] | HostFunction] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Program:
    """Compile a script.

    Args:
        source: The script.
        limits: What it may cost; see `Limits`.
        functions: The host's functions by name; see `host`.
        clock: Seconds for the time limit.

    Raises:
        RhaiError: It does not follow the grammar or exceeds a limit on sources.
    """
    return Program(source, limits or Limits(), functions or {}, clock)
