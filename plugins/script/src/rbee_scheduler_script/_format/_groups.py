"""Pieces to groups: what stands in brackets, and which statements a block holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from rbee_scheduler_script._format._pieces import Piece


__all__ = ["Bracket", "Item", "Line", "group"]

_CLOSING: Final = {"(": ")", "[": "]", "?[": "]", "#{": "}", "{": "}"}
_UNARY: Final = frozenset({"-", "+", "!"})
_SELF_ENDING: Final = frozenset({"if", "while", "loop", "for", "switch", "do", "try", "fn",
                                 "private", "{"})  # fmt: skip
# What may go on behind the block of a statement that ends itself.
_GOES_ON: Final = {"if": ("else",), "try": ("catch",), "do": ("while", "until")}


@attrs.define
class Bracket:
    """Something in brackets.

    Attributes:
        opening: The opening bracket.
        kind: ``"paren"`` (a call or parentheses), ``"array"``, ``"index"``, ``"map"``,
            ``"block"`` or ``"switch"``.
        items: What is inside, of the first four.
        lines: The statements, cases and comments inside, of the last two.
        closing: The closing bracket.
    """

    opening: Piece
    kind: str
    items: list[Item] = attrs.field(factory=list)
    lines: list[Line] = attrs.field(factory=list)
    closing: Piece = attrs.field(factory=lambda: Piece("symbol", "", 0, touching=False))


Item = Piece | Bracket


@attrs.define
class Line:
    """A statement, a case of a switch, or a comment of its own.

    Attributes:
        items: What it is made of.
        breaks: Line breaks in front of it.
    """

    items: list[Item]
    breaks: int

    @property
    def is_comment(self) -> bool:
        """Whether it is a comment and nothing else."""
        first = self.items[0]
        return isinstance(first, Piece) and first.kind == "comment"


def group(pieces: list[Piece]) -> list[Line]:
    """Return the statements of a whole script."""
    return _Grouper(pieces).lines("", ";")


class _Grouper:
    """Reads pieces from left to right."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._at = 0

    def _peek(self) -> str:
        return self._pieces[self._at].text if self._at < len(self._pieces) else ""

    def lines(self, closing: str, separator: str) -> list[Line]:
        """Return statements (or cases) up to the bracket that closes them."""
        out: list[Line] = []
        while self._at < len(self._pieces) and self._peek() != closing:
            piece = self._pieces[self._at]
            if piece.kind == "comment":
                self._at += 1
                out.append(Line([piece], piece.breaks))
            else:
                items = list(self._statement(closing, separator))
                out.append(Line(items, piece.breaks))
        return out

    def _statement(  # noqa: C901 - one branch a kind of piece
        self, closing: str, separator: str
    ) -> Iterator[Item]:
        first = "" if separator == "," else self._peek()
        operand = False
        in_switch = False
        while self._at < len(self._pieces) and self._peek() != closing:
            piece = self._pieces[self._at]
            text = piece.text
            self._at += 1
            if text in _CLOSING and piece.kind == "symbol":
                bracket = self._bracket(piece, operand=operand, in_switch=in_switch)
                yield bracket
                operand = bracket.kind != "block"
                if bracket.kind in ("block", "switch"):
                    in_switch = False
                    if first in _SELF_ENDING and self._is_over(first):
                        if self._peek() == separator:
                            yield self._take()
                        return
                continue
            if piece.kind == "symbol" and text in ("|", "||") and not operand:
                yield self._closure(piece)
                continue
            if piece.kind == "symbol" and text in _UNARY and not operand:
                piece.kind = "unary"
            in_switch = in_switch or text == "switch"
            if piece.kind != "comment":
                operand = piece.kind in ("operand", "number")
            yield piece
            if text == separator and piece.kind == "symbol":
                return
            if text == "=>" and separator == ",":
                # The body of a case is a statement, and may end itself.
                first = self._peek()

    def _take(self) -> Piece:
        piece = self._pieces[self._at]
        self._at += 1
        return piece

    def _is_over(self, first: str) -> bool:
        """Whether a statement that may end with a block ends with this one."""
        ahead = next((p.text for p in self._pieces[self._at :] if p.kind != "comment"), "")
        return ahead not in _GOES_ON.get(first, ())

    def _bracket(self, opening: Piece, *, operand: bool, in_switch: bool) -> Bracket:
        kind = {"#{": "map", "(": "paren", "?[": "index"}.get(opening.text, "")
        if opening.text == "[":
            kind = "index" if operand else "array"
        elif opening.text == "{":
            kind = "switch" if in_switch else "block"
        bracket = Bracket(opening, kind)
        closing = _CLOSING[opening.text]
        if kind in ("block", "switch"):
            bracket.lines = self.lines(closing, ";" if kind == "block" else ",")
        else:
            while self._at < len(self._pieces) and self._peek() != closing:
                bracket.items += self._statement(closing, ",")
        if self._at < len(self._pieces):
            bracket.closing = self._take()
        return bracket

    def _closure(self, opening: Piece) -> Piece:
        """Return the parameters of a closure as one piece."""
        text = opening.text
        while text == "|" or not text.endswith("|"):
            piece = self._take()
            comma = piece.text == ","
            text += piece.text + (" " if comma and self._peek() != "|" else "")
        return Piece("closure", text, opening.breaks, touching=opening.touching)
