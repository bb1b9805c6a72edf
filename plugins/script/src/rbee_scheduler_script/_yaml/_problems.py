"""What is wrong with a rules file: every problem at its place, told in one error."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from rbee_scheduler import PolicyError


__all__ = ["Problem", "Problems", "RulesError"]

# As many as fit on a screen; a file with more has one cause.
_SHOWN = 20


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        line: From 1.
        column: From 1.
        message: What is wrong.
        hint: What to write instead; may be empty.
    """

    line: int
    column: int
    message: str
    hint: str = ""


class RulesError(PolicyError):
    """Raised when rules can't be read.

    Args:
        problems: What is wrong, at least one thing.
        file: Name of the file, for the place.

    Attributes:
        problems: The same, by place.
    """

    code = "POLICY_ERROR"

    def __init__(self, problems: Iterable[Problem], file: str) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        first = self.problems[0]
        message = first.message
        if len(self.problems) > 1:
            others = [
                f"{p.line}:{p.column}: {p.message}" + (f" ({p.hint})" if p.hint else "")
                for p in self.problems[1:_SHOWN]
            ]
            message = "\n".join([message, "and:", *(f"    {line}" for line in others)])
        super().__init__(message, place=f"{file}:{first.line}:{first.column}", hint=first.hint)


class Problems:
    """Gathers problems, so that one reading tells them all."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, place: tuple[int, int], message: str, hint: str = "") -> None:
        """Note one."""
        self.found.append(Problem(line=place[0], column=place[1], message=message, hint=hint))

    def stop(self, place: tuple[int, int], message: str, hint: str = "") -> Stop:
        """Note one after which reading on makes no sense; return what to raise."""
        self.add(place, message, hint)
        return Stop()


class Stop(Exception):
    """Ends the reading; the problem is noted."""
