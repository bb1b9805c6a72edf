"""The parameters of a request's query, read as strictly as its body."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl

from rbee_scheduler import InvalidRequest
from rbee_scheduler_gateway._call import Call


__all__ = ["parameters", "whole_number"]


def parameters(call: Call, *known: str) -> Mapping[str, str]:
    """Return the parameters of a call's query.

    Args:
        call: The call.
        *known: The parameters that there are.

    Raises:
        InvalidRequest: One is unknown, or is there twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(call.exchange.query, keep_blank_values=True):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise InvalidRequest("unknown parameter", place=f"?{name[:100]}", hint=hint)
        if name in found:
            raise InvalidRequest("given twice", place=f"?{name}")
        found[name] = value
    return found


def whole_number(name: str, text: str, *, at_least: int = 0, at_most: int = 2**53) -> int:
    """Return ``text`` as a whole number.

    Raises:
        InvalidRequest: It is none, or out of range.
    """
    # Python's int takes more than digits: signs, blanks, underscores, other scripts.
    if text.isascii() and text.isdigit() and len(text) <= 16 and at_least <= int(text) <= at_most:  # noqa: PLR2004 - digits of 2**53
        return int(text)
    raise InvalidRequest(
        f"{text[:40]!r} is no number from {at_least} to {at_most}", place=f"?{name}"
    )
