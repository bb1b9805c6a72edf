"""Source text to tokens.

One pass, one compiled pattern for the plain tokens (linear: no pattern backtracks over more than
one token), hand-written readers for strings (`_literals`) because they nest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from ._errors import RhaiError, parsing
from ._literals import number, read_string
from ._tokens import IMPROPER, KEYWORDS, RESERVED, SYMBOLS, Token


if TYPE_CHECKING:
    from ._limits import Limits


_PLAIN: Final = re.compile(
    r"(?P<blank>[ \t\r\n\f\v]+)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<comment>//[^\n]*)"
    r"|(?P<block>/\*)"
    r"|(?P<radix>0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*)"
    r"|(?P<number>[0-9][0-9_]*(?:\.(?:[0-9][0-9_]*|(?=[^A-Za-z0-9_.])))?(?:[eE][+-]?[0-9][0-9_]*)?)"
    r"|(?P<raw>\#+\")"
    r"|(?P<notin>!in(?![A-Za-z0-9_]))"
    r"|(?P<quote>[\"'`])"
    r"|(?P<symbol>" + "|".join(map(re.escape, SYMBOLS)) + ")"
)
_BLOCK_EDGE: Final = re.compile(r"/\*|\*/")
_MAX_INTERPOLATION: Final = 16


@attrs.frozen(slots=True, kw_only=True)
class Comment:
    """A comment, for formatters and linters.

    Attributes:
        line: Where it starts, from 1.
        column: The same.
        text: All of it, with its `//` or `/* */`.
    """

    line: int
    column: int
    text: str


class Lexer:
    """Reads a whole script.

    Attributes:
        source: The text.
        position: Index of the next character.
        line: Its line, from 1.
        line_start: Index of that line's first character.
        comments: What was skipped, when asked for.
    """

    __slots__ = ("comments", "depth", "keep", "limits", "line", "line_start", "position", "source")

    def __init__(self, source: str, limits: Limits, *, keep_comments: bool = False) -> None:
        self.source = source
        self.limits = limits
        self.position = 0
        self.line = 1
        self.line_start = 0
        self.depth = 0
        self.keep = keep_comments
        self.comments: list[Comment] = []

    def column(self) -> int:
        """Column of the next character, from 1."""
        return self.position - self.line_start + 1

    def newlines(self, start: int, end: int) -> None:
        """Account for the line ends of what was just read."""
        count = self.source.count("\n", start, end)
        if count:
            self.line += count
            self.line_start = self.source.rfind("\n", start, end) + 1

    def tokens(self, *, nested: bool = False) -> list[Token]:
        """All tokens up to the end (`nested`: up to the brace that closes an interpolation)."""
        out: list[Token] = []
        try:
            self._read(out, nested=nested)
        except RhaiError as error:
            line, column = error.where or (self.line, self.column())
            out.append(Token("error", error, line, column))
        out.append(Token("end", "", self.line, self.column()))
        return out

    def _read(self, out: list[Token], *, nested: bool) -> None:  # noqa: C901, PLR0912 - the hot loop
        source = self.source
        end = len(source)
        match = _PLAIN.match
        braces = 0
        while self.position < end:
            found = match(source, self.position)
            line, column = self.line, self.position - self.line_start + 1
            if found is None:
                raise parsing("BadInput", f"Unexpected '{source[self.position]}'", line, column)
            group = found.lastgroup
            text = found.group()
            start = self.position
            if group in ("quote", "raw"):
                out.append(read_string(self, text))
                continue
            self.position = found.end()
            if group == "blank":
                self.newlines(start, self.position)
            elif group == "name":
                out.append(_name(text, line, column))
            elif group == "symbol":
                if text in IMPROPER:
                    raise parsing("BadInput", IMPROPER[text], line, column)
                if nested:
                    braces += (text in ("{", "#{")) - (text == "}")
                    if braces < 0:
                        return
                out.append(Token("symbol", text, line, column))
            elif group in ("number", "radix"):
                out.append(number(text, line, column))
            elif group == "notin":
                out.append(Token("symbol", "!in", line, column))
            else:
                if group == "block":
                    self._skip_block()
                if self.keep:
                    comment = source[start : self.position]
                    self.comments.append(Comment(line=line, column=column, text=comment))
        if nested:
            raise parsing("BadInput", "Open string is not terminated", self.line, self.column())

    def _skip_block(self) -> None:
        """Past a block comment; they nest, and the end of input closes them all."""
        start = self.position
        depth = 1
        while depth:
            edge = _BLOCK_EDGE.search(self.source, self.position)
            if edge is None:
                self.position = len(self.source)
                break
            depth += 1 if edge.group() == "/*" else -1
            self.position = edge.end()
        self.newlines(start, self.position)

    def interpolation(self) -> list[Token]:
        """The tokens of `${ ... }`, read up to its closing brace."""
        self.depth += 1
        if self.depth > _MAX_INTERPOLATION:
            raise parsing(
                "ExprTooDeep", "Expression exceeds maximum complexity", self.line, self.column()
            )
        inner = self.tokens(nested=True)
        self.depth -= 1
        return inner


def _name(text: str, line: int, column: int) -> Token:
    if text in KEYWORDS:
        return Token("keyword", text, line, column)
    if text in RESERVED:
        return Token("reserved", text, line, column)
    if text == "_":
        return Token("underscore", text, line, column)
    first = text.lstrip("_")[:1]
    if not first.isalpha():
        raise parsing("BadInput", f"Variable name is not proper: '{text}'", line, column)
    return Token("name", text, line, column)
