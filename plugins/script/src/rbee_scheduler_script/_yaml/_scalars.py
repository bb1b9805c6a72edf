"""What an unquoted word of YAML means: the core schema of YAML 1.2, and nothing else."""

from __future__ import annotations

import re
from typing import Any, Final


__all__ = ["BadScalar", "resolve"]

_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_I64: Final = range(-(2**63), 2**63)

# More digits never fit 64 bits; int() of a long text is quadratic. float() is not.
_MAX_INT: Final = 24
_MAX_FLOAT: Final = 400


class BadScalar(Exception):
    """The word is a number that no policy can hold."""


def resolve(text: str) -> Any:
    """Return what an unquoted word means: a text, number, bool or None.

    Raises:
        BadScalar: It is too large, or not finite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= _MAX_INT:
        number = int(text, 0 if text[1:2] in ("o", "x") else 10)
        if number in _I64:
            return number
    if _FLOAT.fullmatch(text) and len(text) <= _MAX_FLOAT:
        value = float(text)
        if abs(value) != float("inf"):
            return value
        raise BadScalar(f"the number {text[:40]} is too large")
    if _NOT_FINITE.fullmatch(text):
        raise BadScalar(f"{text} is no number that can be compared")
    return text
