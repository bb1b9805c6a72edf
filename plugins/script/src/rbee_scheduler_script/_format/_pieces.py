"""A script as pieces: tokens and comments with their own text, and what stood between them.

The engine's lexer says where each token ends; a string is one piece, whatever is interpolated.
"""

from __future__ import annotations

from typing import Final

import attrs

from rbee_scheduler_script.rhai import Limits
from rbee_scheduler_script.rhai._lexer import _PLAIN, Lexer
from rbee_scheduler_script.rhai._literals import read_string
from rbee_scheduler_script.rhai._tokens import KEYWORDS


__all__ = ["Piece", "pieces_of"]

_KINDS: Final = {
    "quote": "operand", "raw": "operand", "number": "number", "radix": "number", "notin": "symbol",
    "comment": "comment", "block": "comment", "symbol": "symbol",
}  # fmt: skip

# Keywords that are values.
_VALUES: Final = frozenset({"true", "false"})


@attrs.define
class Piece:
    """A token or a comment.

    Attributes:
        kind: ``"operand"``, ``"number"``, ``"keyword"``, ``"symbol"``, ``"comment"``; the grouping
            adds ``"unary"`` and ``"closure"`` (its parameters).
        text: As written.
        breaks: Line breaks in front of it.
        touching: Whether nothing is in front of it.
    """

    kind: str
    text: str
    breaks: int
    touching: bool = attrs.field(kw_only=True)


def pieces_of(source: str) -> list[Piece]:
    """Return the pieces of a script that parses."""
    lexer = Lexer(source, Limits(source_size=len(source) * 4 + 1))
    out: list[Piece] = []
    breaks, touching = 0, True
    while lexer.position < len(source):
        start = lexer.position
        found = _PLAIN.match(source, start)
        assert found is not None  # noqa: S101 - it was parsed already
        group, text = str(found.lastgroup), found.group()
        lexer.position = found.end()
        if group == "blank":
            lexer.newlines(start, lexer.position)
            breaks, touching = breaks + text.count("\n"), False
            continue
        if group in ("quote", "raw"):
            lexer.position = start
            read_string(lexer, text)
        elif group == "block":
            lexer._skip_block()  # noqa: SLF001 - the same package; comments nest
        kind = _KINDS.get(group) or _word_kind(text)
        text = source[start : lexer.position]
        text = text.rstrip() if kind == "comment" else text
        out.append(Piece(kind, text, breaks, touching=touching))
        breaks, touching = 0, True
    return out


def _word_kind(word: str) -> str:
    return "keyword" if word in KEYWORDS and word not in _VALUES else "operand"
