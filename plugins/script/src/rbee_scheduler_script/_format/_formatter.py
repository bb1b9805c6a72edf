"""`format_source`, and the proof that it changed nothing."""

from __future__ import annotations

from rbee_scheduler_script import rhai
from rbee_scheduler_script._check._same import shape_of
from rbee_scheduler_script._format._groups import group
from rbee_scheduler_script._format._pieces import pieces_of
from rbee_scheduler_script._format._writer import Writer
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["format_source"]


def format_source(source: str, limits: rhai.Limits | None = None) -> str:
    """Return a script with the usual spaces, indents and line breaks; comments stay.

    Formatting twice is formatting once.

    Args:
        source: The script.
        limits: Limits on its size.

    Raises:
        RhaiError: It does not parse.

    Example:
        >>> print(format_source("fn f( a ){a+1}"), end="")
        fn f(a) { a + 1 }
    """
    before = rhai.parse(source, limits, comments=True)
    writer = Writer()
    writer.lines(group(pieces_of(source)))
    text = writer.text()
    try:
        after = rhai.parse(text, limits, comments=True)
    except rhai.RhaiError:
        return source
    same = _meaning(before) == _meaning(after) and _said(before) == _said(after)
    return text if same else source


def _meaning(script: tree.Script) -> object:
    return shape_of([script.body, *script.functions])


def _said(script: tree.Script) -> list[str]:
    return [comment.text.rstrip() for comment in script.comments]
