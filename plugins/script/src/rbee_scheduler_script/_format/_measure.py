"""How wide things are in one line, and where a space belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rbee_scheduler_script._format._groups import Bracket, Item
from rbee_scheduler_script._format._pieces import Piece
from rbee_scheduler_script.rhai._tokens import SYMBOLS


__all__ = ["fits_flat", "flat_width", "is_flat", "needs_space", "span"]

_TIGHT_BEFORE: Final = frozenset({",", ";", ".", "?.", "::", "..", "..=", ":", ")", "]", "?["})
_TIGHT_AFTER: Final = frozenset({".", "?.", "::", "..", "..="})
_SYMBOLS: Final = frozenset(SYMBOLS)


def needs_space(left: Item, right: Item) -> bool:  # noqa: PLR0911 - one return a rule
    """Whether a space stands between two neighbours."""
    if isinstance(right, Bracket):
        return _space_before_bracket(left, right)
    text = right.text
    if right.kind == "comment":
        return True
    if right.kind == "symbol" and text in _TIGHT_BEFORE:
        return False
    if isinstance(left, Bracket):
        return True
    if left.kind == "comment":
        return True
    if left.kind == "symbol" and left.text in _TIGHT_AFTER:
        # `..` and a unary sign might read as one symbol.
        return left.text + text[:1] in _SYMBOLS
    if left.kind == "unary":
        if right.kind == "number":
            return not right.touching  # `-5.abs()` is another thing than `- 5.abs()`
        return left.text + text[:1] in _SYMBOLS
    # `f!(x)`
    return not (text == "!" and right.kind == "symbol" and left.kind == "operand")


def _space_before_bracket(left: Item, right: Bracket) -> bool:
    if right.kind in ("block", "switch", "map"):
        return not (isinstance(left, Piece) and left.kind == "unary")
    if right.kind == "index":
        return False
    if isinstance(left, Bracket):
        return right.kind != "paren" or left.kind in ("block", "switch")
    if right.kind == "paren" and (left.kind == "operand" or left.text == "!"):
        return False
    if left.kind == "unary":
        return False
    return not (left.kind == "symbol" and left.text in _TIGHT_AFTER)


def is_flat(item: Item) -> bool:
    """Whether it may stand in one line: it holds no comment, and was not broken on purpose."""
    if isinstance(item, Piece):
        return "\n" not in item.text and item.kind != "comment"
    if item.kind in ("block", "switch"):
        if not item.lines:
            return True
        several = len(item.lines) > 1 or item.kind == "switch"
        return not several and not _was_broken(item) and all(map(is_flat, item.lines[0].items))
    if item.kind in ("array", "map") and _was_broken(item):
        return False
    return all(map(is_flat, item.items))


def _was_broken(bracket: Bracket) -> bool:
    """Whether a line ended behind the opening bracket."""
    first: Item | None = next(iter(bracket.items), None)
    if bracket.lines:
        return bracket.lines[0].breaks > 0 or bracket.closing.breaks > 0
    if isinstance(first, Bracket):
        return first.opening.breaks > 0
    return first is not None and first.breaks > 0


def flat_width(items: Sequence[Item]) -> int:
    """Return how wide the items are in one line."""
    width = 0
    previous: Item | None = None
    for item in items:
        if previous is not None and needs_space(previous, item):
            width += 1
        width += len(item.text) if isinstance(item, Piece) else _bracket_width(item)
        previous = item
    return width


def _bracket_width(bracket: Bracket) -> int:
    width = len(bracket.opening.text) + len(bracket.closing.text)
    if bracket.lines:
        return width + 2 + sum(1 + flat_width(line.items) for line in bracket.lines) - 1
    padding = 2 if bracket.kind == "map" and bracket.items else 0
    return width + padding + flat_width(bracket.items)


def fits_flat(bracket: Bracket, column: int, width: int) -> bool:
    """Whether the bracket ends before the edge when it starts at ``column``."""
    return column + _bracket_width(bracket) <= width


def span(items: Sequence[Item], start: int, broken: frozenset[int]) -> int:
    """Return the width from an item up to where the line may end next: a break, or a block."""
    out: list[Item] = []
    for at in range(start, len(items)):
        item = items[at]
        if at in broken:
            break
        if not is_flat(item):
            if isinstance(item, Bracket):
                out.append(Bracket(item.opening, item.kind))
            break
        out.append(item)
    return flat_width(out)
