"""From what went wrong in a script to an error that says where, what came, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rbee_scheduler import InferenceRequest, PolicyError, PolicyTimeout
from rbee_scheduler_script import rhai
from rbee_scheduler_script._secrets import scrubbed


__all__ = ["WrongAnswer", "as_policy_error", "shown", "wrong_answer"]

SHOWN_LENGTH: Final = 60
MESSAGE_LENGTH: Final = 500

# Limits that stand for "it takes too long": time itself, and work.
_TOO_LONG: Final = frozenset({"ErrorTerminated", "ErrorTooManyOperations"})


class WrongAnswer(Exception):
    """A policy answered something that is no answer.

    Args:
        came: What came.
        expected: What was expected.
    """

    def __init__(self, came: str, expected: str) -> None:
        super().__init__(came)
        self.came = came
        self.expected = expected


def shown(value: Any) -> str:
    """Return a script's value for a message: its type and its start."""
    describe = _DESCRIPTIONS.get(type(value))
    return f"a {type(value).__name__}" if describe is None else describe(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."


_DESCRIPTIONS: Final[Mapping[type, Callable[[Any], str]]] = {
    type(None): lambda _: "()",
    bool: lambda value: "true" if value else "false",
    int: lambda value: f"the number {value}",
    float: lambda value: f"the number {value}",
    str: lambda value: f"the string {_cut(repr(value))}",
    list: lambda value: f"an array of {len(value)}",
    dict: lambda value: f"a map with the keys {_cut(', '.join(sorted(value)) or 'none')}",
}


def as_policy_error(
    error: rhai.RhaiError, file: str, request: InferenceRequest | None = None
) -> PolicyError:
    """Return a script's failure as the error the scheduler tells.

    Args:
        error: What the engine raised.
        file: Name of the script, for the place.
        request: The job it failed for; its prompt is taken out of the message.
    """
    place = file
    if error.where is not None:
        place = f"{file}:{error.where[0]}:{error.where[1]}"
    message = f"{error.kind}: {scrubbed(error.message, request)[:MESSAGE_LENGTH]}"
    if error.snippet:
        message = f"{message}\n{_indented(error.snippet)}"
    kind = PolicyTimeout if error.kind in _TOO_LONG else PolicyError
    made = kind(message, place=place)
    made.__cause__ = error.__cause__
    return made


def wrong_answer(
    wrong: WrongAnswer, place: str, request: InferenceRequest | None = None
) -> PolicyError:
    """Return a wrong answer as the error the scheduler tells."""
    came = scrubbed(wrong.came, request)
    return PolicyError(f"answered {came}", place=place, hint=f"expected {wrong.expected}")


def _indented(snippet: str) -> str:
    return "\n".join(f"    {line}" for line in snippet.split("\n"))
