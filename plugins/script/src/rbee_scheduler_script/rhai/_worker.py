"""The child of `Isolated`: compiles one script under an address-space limit and answers calls."""

from __future__ import annotations

import resource
from typing import Any, Final

from ._errors import RhaiError
from ._frames import Gone, pack, receive, send
from ._limits import Limits
from ._program import Program, compile  # noqa: A004 - `rhai.compile`


_STDIN: Final = 0
_STDOUT: Final = 1


def _failure(error: RhaiError) -> dict[str, Any]:
    return {
        "error": {
            "kind": error.kind,
            "message": error.message,
            "line": error.line,
            "column": error.column,
            "where": error.where,
            "snippet": error.snippet,
        },
        "value": error.value,
        "details": dict(error.details),
    }


def _reply(answer: dict[str, Any]) -> bytes:
    try:
        return pack(answer)
    except RhaiError as error:
        return pack({**_failure(error), "value": None, "details": {}})
    except (RecursionError, MemoryError, ValueError):
        return pack({"error": {"kind": "ErrorDataTooLarge", "message": "the result cannot travel"}})


def _answer(program: Program, message: dict[str, Any]) -> dict[str, Any]:
    try:
        if "scope" in message:
            value = program.eval(message["scope"])
        else:
            value = program.call(message["name"], *message["arguments"])
    except RhaiError as error:
        return _failure(error) | {"output": program.output}
    return {"result": value, "output": program.output}


def main() -> None:
    """Serve until the parent closes the pipe."""
    try:
        start = receive(_STDIN)
        memory = start["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        # No new files or sockets: the two pipes are all it has.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            program = compile(start["source"], limits=Limits(**start["limits"]))
        except RhaiError as error:
            send(_STDOUT, _reply(_failure(error)))
            return
        send(_STDOUT, pack({"result": None, "functions": program.functions()}))
        while True:
            send(_STDOUT, _reply(_answer(program, receive(_STDIN))))
    except (Gone, KeyboardInterrupt):
        return
