"""A script in a process of its own, for those who don't trust its author."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from ._errors import LimitError, RhaiError
from ._frames import Gone, Late, pack, receive, send
from ._limits import Limits


if TYPE_CHECKING:
    from collections.abc import Mapping


# Isolated mode: no environment, no user site; the parent's own path instead.
_COMMAND: Final = (
    "-I",
    "-c",
    (
        "import sys; sys.path[:] = sys.argv[1:]; "
        "from rbee_scheduler_script.rhai._worker import main; main()"
    ),
)
# Starting Python and compiling the worst 64 KiB.
_START: Final = 30.0


class Isolated:
    """A `Program` in a child process with an address-space limit (POSIX only).

    The script's own limits hold as in `compile`; around them, the operating system limits the
    child's memory, it can open no file or socket, and it is killed when it does not answer. The
    next call after that starts a new one. Arguments and results travel as JSON: chars become
    strings, ranges maps, functions are refused. There are no host functions.

    Costs some 20 MB and 150 ms to start, and per call some 50 us plus what JSON takes (10 ms for
    1,000 workers of 16 fields).

    Attributes:
        source: The script.
        limits: What each run may cost.
        output: What the latest run wrote.
    """

    def __init__(
        self,
        source: str,
        *,
        limits: Limits | None = None,
        memory: int = 512 * 1024 * 1024,
        grace: float = 1.0,
    ) -> None:
        """Start the process and compile the script in it.

        Args:
            source: The script.
            limits: What it may cost; see `Limits`.
            memory: Bytes of address space of the child, Python included (at least 200 MB).
            grace: Seconds beyond `limits.time_ms` after which an unanswered call kills the child.

        Raises:
            RhaiError: The script does not compile.
        """
        self.source = source
        self.limits = limits or Limits()
        self.output: list[str] = []
        self._memory = memory
        self._wait = self.limits.time_ms / 1e3 + grace
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        with self._lock:
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def eval(self, scope: Mapping[str, Any] | None = None) -> Any:
        """Run the top level; see `Program.eval`."""
        return self._ask({"scope": dict(scope or {})})

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one of the script's functions; see `Program.call`."""
        return self._ask({"name": name, "arguments": arguments})

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, *_COMMAND, *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
        )
        hello = {
            "source": self.source,
            "limits": attrs.asdict(self.limits),
            "memory": self._memory,
        }
        try:
            self._exchange(self._child, pack(hello), _START)
        except RhaiError:
            self._stop()
            raise
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _ask(self, message: dict[str, Any]) -> Any:
        data = pack(message)
        with self._lock:
            return self._exchange(self._child or self._start(), data, self._wait)

    def _exchange(self, child: subprocess.Popen[bytes], data: bytes, wait: float) -> Any:
        assert child.stdin is not None  # noqa: S101 - opened as a pipe
        assert child.stdout is not None  # noqa: S101 - the same
        try:
            send(child.stdin.fileno(), data)
            answer = receive(child.stdout.fileno(), wait)
        except Late:
            self._stop()
            message = f"no answer for {wait:g} s: the process was killed"
            raise LimitError("ErrorTerminated", message) from None
        except (Gone, ValueError):
            self._stop()
            message = "the process ended, probably at its memory limit"
            raise LimitError("ErrorDataTooLarge", message) from None
        self.output = answer.get("output", [])
        if "error" in answer:
            raise _error(answer)
        return answer["result"]


def _error(answer: dict[str, Any]) -> RhaiError:
    told = answer["error"]
    error = RhaiError(
        told["kind"],
        told["message"],
        line=told.get("line"),
        column=told.get("column"),
        value=answer.get("value"),
        details=answer.get("details"),
    )
    if told.get("where"):
        error.where = (told["where"][0], told["where"][1])
    error.snippet = told.get("snippet", "")
    return error
