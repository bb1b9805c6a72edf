"""Values as Rhai source: the one place where a user's text becomes part of a script."""

from __future__ import annotations

import re
from typing import Any, Final


__all__ = ["as_comment", "as_literal", "as_text"]

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_BLANKS: Final = re.compile(r"\s+")
_BYTE, _PLANE = 0x100, 0x10000


def _escaped(char: str) -> str:
    known = _ESCAPES.get(char)
    if known is not None:
        return known
    # A blank that only looks like one, or a mark that turns the line around, must be seen.
    if char == " " or char.isprintable():
        return char
    code = ord(char)
    if code < _BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _PLANE else f"\\U{code:08x}"


def as_text(value: str) -> str:
    """Return a string literal that means ``value``, whatever is in it."""
    return f'"{"".join(map(_escaped, value))}"'


def as_literal(value: Any) -> str:
    """Return a literal that means ``value``: a text, number, bool, None or a list of these."""
    if isinstance(value, str):
        return as_text(value)
    if value is None:
        return "()"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_literal, value))}]"
    return repr(value)


def as_comment(value: str) -> str:
    """Return ``value`` for a line comment: one line, nothing that does not print."""
    line = _BLANKS.sub(" ", value)
    return "".join(char for char in line if char.isprintable()).strip()
