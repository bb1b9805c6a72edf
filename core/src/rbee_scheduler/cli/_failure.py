"""How a command that failed says so: one line (or a JSON object) and an exit code.

====  =========================================================================
code  meaning
====  =========================================================================
0     done
1     a negative answer: no worker, a check that found something, a failed request
2     wrong usage, configuration, input file or plugin
70    a bug of ours or of a plugin's command; the traceback comes with it
130   Ctrl-C
141   whoever read stdout went away
====  =========================================================================
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from rbee_scheduler._errors import ConfigError, InvalidRequest, PluginError, SchedulerError
from rbee_scheduler.cli._output import is_terminal, safe


if TYPE_CHECKING:
    from rbee_scheduler.cli._output import Output


__all__ = [
    "BROKEN_PIPE",
    "BUG",
    "INTERRUPTED",
    "NEGATIVE",
    "OK",
    "USAGE",
    "exit_code_of",
    "report_failure",
    "say_error",
]

OK: Final = 0
NEGATIVE: Final = 1
USAGE: Final = 2
BUG: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

# The first one that fits.
_CODES: Final = (
    ((KeyboardInterrupt, click.Abort), INTERRUPTED),
    ((BrokenPipeError,), BROKEN_PIPE),
    ((ConfigError, InvalidRequest, PluginError, click.ClickException), USAGE),
    ((SchedulerError,), NEGATIVE),
)


def report_failure(failure: BaseException, output: Output) -> int:
    """Say on stderr what went wrong, unless it needs no word.

    Returns:
        The exit code.
    """
    failure = _innermost(failure)
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    if isinstance(failure, SystemExit):
        return _system_exit(failure)
    code = exit_code_of(failure)
    if isinstance(failure, SchedulerError):
        say_error(failure, output)
    elif isinstance(failure, click.ClickException):
        _say_usage(failure, output)
    elif code == INTERRUPTED and is_terminal(sys.stderr):
        click.echo(file=sys.stderr)  # the terminal stands behind its own ^C
    elif code == BROKEN_PIPE:
        _discard_stdout()
    elif code == BUG:
        _say_bug(failure, output)
    return code


def exit_code_of(failure: BaseException) -> int:
    """Return the exit code for ``failure``."""
    return next((code for kinds, code in _CODES if isinstance(failure, kinds)), BUG)


def say_error(error: SchedulerError, output: Output) -> None:
    """Print ``error`` on stderr: a line with place, cause, hint and code, or JSON."""
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    if output.as_json:
        _say_json(error.to_dict() | ({"notes": notes} if notes else {}), output)
        return
    mark = click.style("error", fg="red", bold=True)
    lines = [f"{mark}: {_one_line(str(error))} [{error.code}]"]
    lines += [f"  {_one_line(note)}" for note in notes]
    click.echo("\n".join(lines), file=sys.stderr, color=output.colored(sys.stderr))


def _say_usage(failure: click.ClickException, output: Output) -> None:
    context = getattr(failure, "ctx", None)
    command = context.command_path if context is not None else "rbee-scheduler"
    error = SchedulerError(
        failure.format_message().rstrip(".").replace("\n", " "),
        place=command,
        hint=f"see {command} --help",
    )
    if output.as_json:
        _say_json(error.to_dict() | {"code": "USAGE"}, output)
        return
    mark = click.style("error", fg="red", bold=True)
    click.echo(
        f"{mark}: {_one_line(str(error))} [USAGE]",
        file=sys.stderr,
        color=output.colored(sys.stderr),
    )


def _say_bug(failure: BaseException, output: Output) -> None:
    if output.verbosity >= 0 and not output.as_json:
        click.echo(safe("".join(traceback.format_exception(failure)).rstrip()), file=sys.stderr)
    error = SchedulerError(
        f"{type(failure).__name__}: {failure}",
        hint="this is a bug of rbee-scheduler, or of the plugin named in the traceback",
    )
    say_error(error, output)


def _say_json(error: dict[str, Any], output: Output) -> None:
    click.echo(output.to_json({"error": error}), file=sys.stderr)


def _one_line(text: str) -> str:
    return " ".join(safe(text).split())


def _innermost(failure: BaseException) -> BaseException:
    """Return what a task group's exception group is about.

    Ctrl-C before all, then our own errors, else whatever comes first.
    """
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    kinds = (KeyboardInterrupt, BrokenPipeError, SchedulerError, BaseException)
    first: BaseException = next(filter(None, map(failure.subgroup, kinds)))
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _system_exit(failure: SystemExit) -> int:
    if failure.code is None or isinstance(failure.code, int):
        return failure.code or OK
    click.echo(str(failure.code), file=sys.stderr)
    return NEGATIVE


def _discard_stdout() -> None:
    """Let what is still buffered go nowhere: the interpreter flushes once more at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
