"""The comments of a YAML file, which the parser's events leave out."""

from __future__ import annotations

import re
from collections.abc import Iterable


__all__ = ["comments_of"]

_HASH = re.compile(r"(?:^|(?<=[ \t]))#")


def comments_of(
    text: str, spans: Iterable[tuple[int, int, int, int]]
) -> tuple[dict[int, str], frozenset[int]]:
    """Return the comments by line, and the lines that hold nothing else.

    Args:
        text: The file.
        spans: Where scalars stand: line (from 1) and column (from 0) of start and end. A `#` inside
            one is no comment.
    """
    lines = text.split("\n")
    # By line: from which column on a scalar covers it, and up to where.
    covered: dict[int, list[tuple[int, float]]] = {}
    for first, start, last, end in spans:
        for line in range(first, last + 1):
            span = (start if line == first else 0, end if line == last else float("inf"))
            covered.setdefault(line, []).append(span)
    comments: dict[int, str] = {}
    alone: set[int] = set()
    for number, written in enumerate(lines, 1):
        inside = covered.get(number, [])
        for found in _HASH.finditer(written):
            at = found.start()
            if not any(start <= at < end for start, end in inside):
                comments[number] = written[at:].lstrip("#").strip()
                if not written[:at].strip():
                    alone.add(number)
                break
    return comments, frozenset(alone)
