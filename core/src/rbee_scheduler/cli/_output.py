"""What a command says: data to stdout, messages to stderr, each fit for where it goes.

A command gets an `Output` and never prints by itself. That keeps the rules in one place:
JSON when asked for, colours only where they are welcome, no half-written line on a
terminal that can't show a character, and no escape sequence that a worker or a plugin
smuggled into its name.
"""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, Literal

import click


__all__ = ["ColorChoice", "Output", "is_terminal", "plain", "safe", "use_color"]

ColorChoice = Literal["auto", "always", "never"]


class Output:
    """Where the words of one command go.

    Args:
        as_json: Whether data is wanted as JSON.
        verbosity: 0 as usual; below: quieter (``-q``); above: more (``-v``).
        color: Whether to colour: ``"auto"`` asks the terminal and the environment.

    Attributes:
        as_json: Whether data is wanted as JSON.
        verbosity: How talkative to be.
    """

    __slots__ = ("_color", "as_json", "verbosity")

    def __init__(
        self, *, as_json: bool = False, verbosity: int = 0, color: ColorChoice = "auto"
    ) -> None:
        self.as_json = as_json
        self.verbosity = verbosity
        self._color: ColorChoice = color

    # ---- data: stdout ------------------------------------------------------------------

    def emit(self, data: Any, text: str | Callable[[], str]) -> None:
        """Print a command's answer: ``data`` as JSON under ``--json``, else ``text``.

        Args:
            data: JSON values, attrs instances, or a mix of them.
            text: The same for people, or a function that makes it.
        """
        if self.as_json:
            self.print(self.to_json(data, indent=2))
        else:
            self.print(text if isinstance(text, str) else text())

    def json_line(self, data: Any) -> None:
        """Print ``data`` as one line of JSON and flush it: for answers that arrive in time."""
        self.write(self.to_json(data) + "\n")

    def print(self, text: str = "") -> None:
        """Print ``text`` and a newline on stdout."""
        # The stream by name: by default click writes UTF-8 where the encoding is ASCII.
        click.echo(text, file=sys.stdout, color=self.colored(sys.stdout))

    def write(self, text: str) -> None:
        """Write ``text`` on stdout as it is, at once: for a stream of tokens."""
        click.echo(text, nl=False, file=sys.stdout, color=self.colored(sys.stdout))
        sys.stdout.flush()

    # ---- messages: stderr ----------------------------------------------------------------

    def message(self, text: str) -> None:
        """Say something that is not the answer; ``-q`` silences it."""
        if self.verbosity >= 0:
            self._say(text)

    def detail(self, text: str) -> None:
        """Say something that only ``-v`` wants to know."""
        if self.verbosity > 0:
            self._say(text)

    def warn(self, text: str) -> None:
        """Say that something is wrong but work goes on; ``-qq`` silences it."""
        if self.verbosity > -2:  # noqa: PLR2004 - -qq
            self._say(f"{click.style('warning', fg='yellow', bold=True)}: {text}")

    def _say(self, text: str) -> None:
        click.echo(text, file=sys.stderr, color=self.colored(sys.stderr))

    # ---- the terminal --------------------------------------------------------------------

    def colored(self, stream: IO[str]) -> bool:
        """Whether escape sequences may go to ``stream``."""
        return use_color(self._color, stream, os.environ)

    @property
    def live(self) -> bool:
        """Whether a display that redraws itself is welcome on stderr."""
        return (
            self.verbosity >= 0
            and not self.as_json
            and is_terminal(sys.stderr)
            and os.environ.get("TERM", "") != "dumb"
        )

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
        """Return rows as text in aligned columns, in plain characters, without a tail of blanks.

        Args:
            columns: Headings.
            rows: As many cells each; None shows as ``-``.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        heads = [column.upper() for column in columns]
        widths = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
        lines = [click.style(_aligned(heads, widths), bold=True)]
        lines += [_aligned(row, widths) for row in cells]
        return "\n".join(lines)

    def to_json(self, data: Any, **layout: Any) -> str:
        """Return ``data`` as JSON that stdout can show."""
        # Escapes keep JSON whole on a terminal or pipe that has no Unicode.
        unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        return json.dumps(plain(data), ensure_ascii=not unicode, allow_nan=False, **layout)


def use_color(choice: ColorChoice, stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Return whether to colour what goes to ``stream``.

    An explicit choice wins; then NO_COLOR, FORCE_COLOR and TERM=dumb, in this order; then
    whether it is a terminal.
    """
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return environ.get("TERM", "") != "dumb" and is_terminal(stream)


def plain(value: Any) -> Any:
    """Return ``value`` as JSON values.

    Attrs instances become objects, NaN and infinity null, anything unknown its text.
    """
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | str() | int():
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    fields = getattr(type(value), "__attrs_attrs__", None)
    if fields is not None:
        return {field.alias: plain(getattr(value, field.name)) for field in fields}
    return str(value)


def safe(text: str) -> str:
    r"""Return ``text`` with control characters made visible, newlines and tabs kept.

    What a worker or a plugin calls itself must not move the cursor or ring the bell::

        >>> safe("gpu\x1b[2J-1")
        'gpu\\x1b[2J-1'
    """
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) != "Cc" else f"\\x{ord(c):02x}" for c in text
    )


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value)) or "-"
    return safe(str(value)).replace("\n", " ").replace("\t", " ")


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)
    ).rstrip()


def is_terminal(stream: IO[str]) -> bool:
    """Whether ``stream`` is a terminal; one that is closed or replaced is none."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # replaced by something simpler, or closed
        return False
