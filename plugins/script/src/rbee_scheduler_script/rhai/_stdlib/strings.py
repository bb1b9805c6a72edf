"""Strings and chars: reading them. They count and index by Unicode scalar value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import prop, slice_of
from rbee_scheduler_script.rhai._compare import contains
from rbee_scheduler_script.rhai._errors import arithmetic
from rbee_scheduler_script.rhai._text import characters
from rbee_scheduler_script.rhai._tokens import I64_MAX, I64_MIN
from rbee_scheduler_script.rhai._values import Blob, Char, Range, Steps

from ._native import Native, rows
from .arrays import offset, span


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def sub_string(run: Run, s: str, start: int, length: int = I64_MAX) -> str:
    begin, end = span(len(s), start, length)
    run.text(end - begin)
    return s[begin:end]


def sub_range(run: Run, s: str, part: Range) -> str:
    begin, end = slice_of(part, len(s))
    run.text(end - begin)
    return s[begin:end]


def get(_run: Run, s: str, at: int) -> Char | None:
    return Char(s[at]) if -len(s) <= at < len(s) else None


def index_of(run: Run, s: str, what: str, start: int = 0) -> int:
    run.charge((len(s) >> 6) + 1)
    begin = offset(start, len(s))
    return -1 if start and begin >= len(s) else s.find(what, begin)


def has(run: Run, s: str, what: str) -> bool:
    return contains(run, what, s)


def _pieces(run: Run, s: str, parts: list[str]) -> list[Any]:
    run.array(len(parts))
    run.allocate(len(s) + 49 * len(parts))
    return parts


def _before_split(run: Run, s: str) -> None:
    """A split may make a piece of every character: pay before it does."""
    run.charge((len(s) >> 3) + 1)
    if len(s) > run.limits.array_size:
        run.allocate(49 * len(s))


def split_blank(run: Run, s: str) -> list[Any]:
    _before_split(run, s)
    return _pieces(run, s, s.split())


def split(run: Run, s: str, by: str, count: int = I64_MAX) -> list[Any]:
    _before_split(run, s)
    if count <= 0:
        return []
    if not by:
        # An empty separator splits between all characters, the ends included.
        parts = ["", *s, ""]
        if count < len(parts):
            parts = [*parts[: count - 1], "".join(parts[count - 1 :])]
        return _pieces(run, s, parts)
    return _pieces(run, s, s.split(by, min(count, len(s) + 1) - 1))


def split_rev(run: Run, s: str, by: str, count: int = I64_MAX) -> list[Any]:
    _before_split(run, s)
    if count <= 0:
        return []
    if not by:
        return split(run, s, by)[::-1]
    return _pieces(run, s, s.rsplit(by, min(count, len(s) + 1) - 1)[::-1])


def split_at(run: Run, s: str, at: int) -> list[Any]:
    where = offset(at, len(s))
    run.text(len(s))
    return [s[:where], s[where:]]


def chars(run: Run, s: str, start: int = 0, length: int = I64_MAX) -> Steps:
    begin, end = span(len(s), start, length)
    return Steps("chars", characters(run, s[begin:end]))


def chars_range(run: Run, s: str, part: Range) -> Steps:
    begin, end = slice_of(part, len(s))
    return Steps("chars", characters(run, s[begin:end]))


def to_chars(run: Run, s: str) -> list[Char]:
    return characters(run, s)


def to_blob(run: Run, s: str) -> Blob:
    run.charge((len(s) >> 4) + 1)
    data = s.encode("utf-8", "surrogatepass")
    run.array(len(data))
    return Blob(data)


def upper(run: Run, s: str) -> str:
    run.text(len(s))
    return s.upper()


def lower(run: Run, s: str) -> str:
    run.text(len(s))
    return s.lower()


def char_upper(_run: Run, c: Char) -> Char:
    changed = c.upper()
    return Char(changed) if len(changed) == 1 else c


def char_lower(_run: Run, c: Char) -> Char:
    changed = c.lower()
    return Char(changed) if len(changed) == 1 else c


def parse_int(run: Run, s: str, radix: int = 10) -> int:
    if not 2 <= radix <= 36:  # noqa: PLR2004 - digits and letters
        raise arithmetic(f"Invalid radix: '{radix}'", placed=True)
    run.text(len(s))
    digits = s.strip()
    body = digits[1:] if digits[:1] in ("+", "-") else digits
    why = "invalid digit found in string"
    if not body:
        why = "cannot parse integer from empty string"
    elif body.isascii() and body.isalnum():
        if len(body.lstrip("0")) > 64:  # noqa: PLR2004 - more than 64 bits in any radix
            why = "number too large to fit in target type"
        else:
            try:
                value = int(digits, radix)
            except ValueError:
                pass
            else:
                if I64_MIN <= value <= I64_MAX:
                    return value
                why = f"number too {'small' if value < 0 else 'large'} to fit in target type"
    raise arithmetic(f"Error parsing integer number '{s}': {why}", placed=True)


def parse_float(run: Run, s: str) -> float:
    run.text(len(s))
    text = s.strip()
    if text and "_" not in text and text.isascii() and len(text) <= 4_096:  # noqa: PLR2004
        try:
            return float(text)
        except ValueError:
            pass
    raise arithmetic(
        f"Error parsing floating-point number '{s}': invalid float literal", placed=True
    )


NATIVES: Final[tuple[Native, ...]] = (
    *rows(lambda _, s: len(s), "len", str),
    *rows(lambda _, s: not s, "is_empty", str),
    *rows(lambda run, s: prop(run, s, "bytes"), "bytes", str),
    *[row for kind in (str, Char) for row in (
        *rows(has, "contains", str, kind),
        *rows(lambda _, s, t: s.startswith(t), "starts_with", str, kind),
        *rows(lambda _, s, t: s.endswith(t), "ends_with", str, kind),
        *rows(index_of, "index_of", str, kind),
        *rows(index_of, "index_of", str, kind, int),
        *rows(split, "split", str, kind),
        *rows(split, "split", str, kind, int),
        *rows(split_rev, "split_rev", str, kind),
        *rows(split_rev, "split_rev", str, kind, int),
    )],
    *rows(split_blank, "split", str),
    *rows(split_at, "split", str, int),
    *rows(sub_string, "sub_string", str, int),
    *rows(sub_string, "sub_string", str, int, int),
    *rows(sub_range, "sub_string", str, Range),
    *rows(get, "get", str, int),
    *rows(chars, "chars", str),
    *rows(chars, "chars", str, int),
    *rows(chars, "chars", str, int, int),
    *rows(chars_range, "chars", str, Range),
    *rows(to_chars, "to_chars", str),
    *rows(to_blob, "to_blob", str),
    *rows(upper, "to_upper", str),
    *rows(lower, "to_lower", str),
    *rows(char_upper, "to_upper", Char),
    *rows(char_lower, "to_lower", Char),
    *rows(lambda _, a, b: max(a, b), "max", str, str),
    *rows(lambda _, a, b: min(a, b), "min", str, str),
    *rows(lambda _, a, b: max(a, b), "max", Char, Char),
    *rows(lambda _, a, b: min(a, b), "min", Char, Char),
    *rows(parse_int, "parse_int", str),
    *rows(parse_int, "parse_int", str, int),
    *rows(parse_float, "parse_float", str),
)  # fmt: skip
