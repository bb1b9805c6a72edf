"""Groups to text: one space where one belongs, four spaces a level, lines under 100."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rbee_scheduler_script._format._groups import Bracket, Item, Line
from rbee_scheduler_script._format._measure import fits_flat, flat_width, is_flat, needs_space, span
from rbee_scheduler_script._format._pieces import Piece


__all__ = ["Writer"]

WIDTH: Final = 100
_STEP: Final = 4
_CHAIN: Final = (".", "?.")
_LOGIC: Final = ("&&", "||")
_OPERATORS: Final = (*_LOGIC, "+", "??")


class Writer:
    """Puts pieces into lines."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._line = ""
        self._indent = 0
        self._fresh = True  # nothing stands in the line yet

    def text(self) -> str:
        """Return everything written."""
        self._end_line()
        return "\n".join(self._out).rstrip("\n") + "\n" if self._out else ""

    # ---- lines -------------------------------------------------------------------------

    def _end_line(self) -> None:
        if not self._fresh:
            self._out.append(self._line)
            self._line, self._fresh = "", True

    def _put(self, text: str) -> None:
        if self._fresh:
            self._line = " " * self._indent
            self._fresh = False
        first, *rest = text.split("\n")
        self._line += first
        for line in rest:  # a text or comment in several lines, as it is
            self._out.append(self._line)
            self._line = line

    def _column(self) -> int:
        return self._indent if self._fresh else len(self._line)

    def lines(self, lines: Sequence[Line]) -> None:
        """Write statements, cases and comments, each on a line of its own."""
        for at, line in enumerate(lines):
            if line.is_comment and not line.breaks and not self._fresh_start(at):
                self._put(f" {_text(line.items[0])}")
                continue
            self._end_line()
            if line.breaks > 1 and at:
                self._out.append("")
            self._statement(line.items)

    def _fresh_start(self, at: int) -> bool:
        return self._fresh and at == 0

    # ---- statements and what stands in brackets ----------------------------------------------

    def _statement(self, items: Sequence[Item]) -> None:
        self._sequence(items, self._indent)

    def _sequence(self, items: Sequence[Item], base: int) -> None:
        """Write items; where they are too long, or were broken, in several lines."""
        broken = _breaks(items, self._column())
        before = self._indent
        previous: Item | None = None
        for at, item in enumerate(items):
            if at in broken:
                self._end_line()
                self._indent = before + _STEP
            elif previous is not None and needs_space(previous, item) and not self._fresh:
                self._put(" ")
            if isinstance(item, Bracket):
                following = span(items, at + 1, broken)
                self._bracket(item, base, following, open_up=bool(broken))
            else:
                self._put(item.text)
                if item.kind == "comment" and item.text.startswith("//"):
                    self._end_line()
            previous = item
        self._indent = before

    def _bracket(self, bracket: Bracket, base: int, following: int, *, open_up: bool) -> None:
        opening, closing = bracket.opening.text, bracket.closing.text
        if bracket.kind in ("block", "switch"):
            self._block(bracket, base, open_up=open_up)
            return
        if is_flat(bracket) and fits_flat(bracket, self._column() + following, WIDTH):
            self._put(opening)
            pad = bracket.kind == "map" and bracket.items
            if pad:
                self._put(" ")
            self._sequence(bracket.items, self._indent)
            self._put(f" {closing}" if pad else closing)
            return
        parts = _parts(bracket.items)
        if _hugs(bracket, parts, self._column()):
            self._put(opening)
            for at, part in enumerate(parts):
                if at:
                    self._put(" ")
                self._sequence(part, self._indent)
            self._put(closing)
            return
        self._put(opening)
        self._indent += _STEP
        for part in parts:
            first = part[0]
            trailing = isinstance(first, Piece) and first.kind == "comment" and not first.breaks
            if trailing and not self._fresh:
                self._put(" ")
            else:
                self._end_line()
            self._sequence(part, self._indent)
        self._end_line()
        self._indent -= _STEP
        self._put(closing)

    def _block(self, bracket: Bracket, base: int, *, open_up: bool) -> None:
        if not bracket.lines:
            self._put("{}")
            return
        # Behind a head in several lines, a body in the last of them would not be seen.
        if not open_up and is_flat(bracket) and self._column() + flat_width([bracket]) <= WIDTH:
            self._put("{ ")
            for at, line in enumerate(bracket.lines):
                if at:
                    self._put(" ")
                self._sequence(line.items, self._indent)
            self._put(" }")
            return
        self._put("{")
        before = self._indent
        self._indent = base + _STEP if before - base <= _STEP else before + _STEP
        outer = self._indent - _STEP
        first = bracket.lines[0]
        if not (first.is_comment and not first.breaks):
            self._end_line()
        self.lines(bracket.lines)
        self._end_line()
        self._indent = outer
        self._put("}")
        self._indent = before


def _text(item: Item) -> str:
    return item.text if isinstance(item, Piece) else ""


def _breaks(items: Sequence[Item], column: int) -> frozenset[int]:
    """Return in front of which items a line ends."""
    dots = [at for at, item in enumerate(items) if _is_link(items, at, item)]
    signs = [
        at
        for at, item in enumerate(items)
        if isinstance(item, Piece) and item.kind == "symbol" and item.text in _OPERATORS and at
    ]
    chosen = {at for at in dots if _begins_line(items, at)}
    chosen |= {at for at in signs if _begins_line(items, at) or _begins_line(items, at + 1)}
    if not chosen and column + span(items, 0, frozenset()) > WIDTH:
        logic = [at for at in signs if _text(items[at]) in _LOGIC]
        if logic:
            chosen = set(logic)
        elif len(dots) > 1:
            chosen = set(dots)
    return frozenset(chosen)


def _is_link(items: Sequence[Item], at: int, item: Item) -> bool:
    """Whether it is the dot of a method call."""
    return (
        isinstance(item, Piece)
        and item.text in _CHAIN
        and item.kind == "symbol"
        and at + 2 < len(items)
        and isinstance(items[at + 2], Bracket)
    )


def _begins_line(items: Sequence[Item], at: int) -> bool:
    item = items[at] if at < len(items) else None
    if isinstance(item, Bracket):
        return item.opening.breaks > 0
    return item is not None and item.breaks > 0 and item.kind != "comment"


def _parts(items: Sequence[Item]) -> list[list[Item]]:
    """Cut what stands in brackets behind its commas."""
    out: list[list[Item]] = [[]]
    for item in items:
        starts_anew = isinstance(item, Piece) and item.kind == "comment"
        if starts_anew and out[-1]:
            out.append([])
        out[-1].append(item)
        if starts_anew or _text(item) == ",":
            out.append([])
    return [part for part in out if part]


def _hugs(bracket: Bracket, parts: list[list[Item]], column: int) -> bool:
    """Whether only a block inside takes several lines: `filter(|w| {` ... `})`."""
    if bracket.kind not in ("paren", "index") or not parts:
        return False
    if any(isinstance(item, Piece) and item.kind == "comment" for item in bracket.items):
        return False
    last = parts[-1][-1]
    if not (isinstance(last, Bracket) and last.kind in ("block", "switch", "map", "array")):
        return False
    if is_flat(last) and last.kind in ("block", "switch"):
        return False
    head = [item for part in parts for item in part][:-1]
    return is_flat_sequence(head) and column + 1 + flat_width(head) + 2 <= WIDTH


def is_flat_sequence(items: Sequence[Item]) -> bool:
    """Whether nothing in it has to take several lines."""
    return all(is_flat(item) for item in items)
