"""The one exception that leaves this package.

    RhaiError                 any failure of a script: .kind says which
      LimitError (private)    a limit was hit: a script's `catch` never sees it

Kinds are the official engine's: `ErrorVariableNotFound`, `ErrorParsing/MissingToken`, ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Mapping


class RhaiError(Exception):
    """A script that does not compile, or a run of it that failed.

    Attributes:
        kind: The official kind, for example `"ErrorArithmetic"` or `"ErrorParsing/Reserved"`.
        message: What happened, without the place.
        line: Line of the script, from 1, as the official engine reports it: it gives none for the
            arithmetic of built-in operators (`1 / 0`) and then this is None too.
        column: Column in that line, from 1, or None.
        where: `(line, column)` whenever any place is known, also where the official engine gives
            none; this is the one to show to people.
        snippet: The line with a caret under the column, or an empty string.
        value: What the script threw (`throw value`), else None.
        details: Kind-specific facts, as a script's `catch (e)` sees them.
    """

    catchable = True

    def __init__(
        self,
        kind: str,
        message: str = "",
        *,
        line: int | None = None,
        column: int | None = None,
        value: Any = None,
        details: Mapping[str, Any] | None = None,
        placed: bool = True,
        at_operand: bool = False,
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.line = line
        self.column = column
        self.where: tuple[int, int] | None = None
        if line is not None:
            self.where = (line, column or 1)
        self.snippet = ""
        self.value = value
        self.details: Mapping[str, Any] = details or {}
        # The official engine places this error (False: built-in arithmetic).
        self._placed = placed
        # The place is the second of the two an instruction carries (`a[i]`: `[` and `i`).
        self._at_operand = at_operand

    def __str__(self) -> str:
        place = f" (line {self.where[0]}, column {self.where[1]})" if self.where else ""
        return f"{self.kind}: {self.message}{place}"

    def place(self, source: str, first: tuple[int, int], second: tuple[int, int]) -> None:
        """Fill in where it happened, once.

        Args:
            source: The script, for the snippet.
            first: The place of the failing instruction.
            second: The place of its operand.
        """
        if self.where is None:
            self.where = second if self._at_operand else first
            if self._placed:
                self.line, self.column = self.where
        self.show(source)

    def show(self, source: str) -> None:
        """Cut the snippet out of the source."""
        if self.snippet or self.where is None:
            return
        lines = source.split("\n")
        line, column = self.where
        if line <= len(lines):
            # A window around the column: a minified script is one line of 64 KiB.
            start = max(0, column - 60)
            text = lines[line - 1][start : column + 60]
            self.snippet = f"{text}\n{' ' * (column - 1 - start)}^"


class LimitError(RhaiError):
    """A limit was hit; not catchable by the script."""

    catchable = False


class ExitScript(Exception):
    """Ends the whole run with a value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def parsing(kind: str, message: str, line: int, column: int) -> RhaiError:
    """An error found before anything ran."""
    return RhaiError(f"ErrorParsing/{kind}", message, line=line, column=column)


def arithmetic(message: str, *, placed: bool = False) -> RhaiError:
    """`placed=False` for built-in operators, whose errors the official engine does not place."""
    return RhaiError("ErrorArithmetic", message, placed=placed)


def mismatch(got: str, expected: str, *, at_operand: bool = False) -> RhaiError:
    """A value of the wrong type."""
    return RhaiError(
        "ErrorMismatchDataType",
        f"Data type incorrect: {got} (expecting {expected})",
        details={"requested": expected, "actual": got},
        at_operand=at_operand,
    )


def too_large(what: str) -> LimitError:
    """A string, array, map or the run's whole memory grew over its limit."""
    return LimitError("ErrorDataTooLarge", f"{what} exceeds its limit")
