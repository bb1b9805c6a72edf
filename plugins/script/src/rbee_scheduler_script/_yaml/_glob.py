"""Patterns with `*` and `?`: what the simple ones come to, and the function for the others."""

from __future__ import annotations

import re
from typing import Final


__all__ = ["GLOB_FUNCTION", "glob_matches", "simple_form"]

_SPECIAL: Final = re.compile(r"[*?]")

# Where the rest of the text is looked for after the last `*` moves on by one character each time,
# so it is at most len(text) * len(pattern) steps; patterns are short.
GLOB_FUNCTION: Final = """\
// Whether the whole text matches: `*` is any text, `?` any one character.
fn matches_glob(text, pattern) {
    if type_of(text) != "string" {
        return false;
    }
    let chars = text.to_chars();
    let wanted = pattern.to_chars();
    let at = 0;
    let next = 0;
    let star = -1;
    let resume = 0;
    while at < chars.len() {
        if next < wanted.len() && wanted[next] == '*' {
            star = next;
            resume = at;
            next += 1;
        } else if next < wanted.len() && (wanted[next] == '?' || wanted[next] == chars[at]) {
            at += 1;
            next += 1;
        } else if star >= 0 {
            resume += 1;
            at = resume;
            next = star + 1;
        } else {
            return false;
        }
    }
    while next < wanted.len() && wanted[next] == '*' {
        next += 1;
    }
    next == wanted.len()
}
"""


def simple_form(pattern: str) -> tuple[str, str] | None:
    """Return the method that does the same, and its argument; None when there is none."""
    if not pattern.strip("*"):
        return ("exists", "") if pattern else ("equals", "")
    inner = pattern.strip("*")
    if _SPECIAL.search(inner):
        return None
    before, after = pattern.startswith("*"), pattern.endswith("*")
    methods = {
        (False, False): "equals",
        (False, True): "starts_with",
        (True, False): "ends_with",
        (True, True): "contains",
    }
    return methods[before, after], inner


def glob_matches(text: str, pattern: str) -> bool:
    """Whether the whole of ``text`` matches."""
    parts = (
        {"*": ".*", "?": "."}.get(char) or re.escape(char) for char in re.sub(r"\*+", "*", pattern)
    )
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
