"""Formatting changes blanks and nothing else, and once is enough."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler_script import rhai
from rbee_scheduler_script._format import format_source
from rbee_scheduler_script._format._pieces import pieces_of
from rbee_scheduler_script.rhai import _tree as tree


CASES = Path(__file__).parents[1] / "conformance" / "rhai_cases.jsonl"
POLICIES = Path(__file__).parents[2] / "examples" / "policies"


def said(value):
    """Return what a tree says, written here once more: the product's own is not asked."""
    if isinstance(value, tree.Node):
        skipped = {"line", "column", "number", "captures", "visible", "source", "comments"}
        names = [f.name for f in attrs.fields(type(value)) if f.name not in skipped]
        return [type(value).__name__, *(said(getattr(value, name)) for name in names)]
    if isinstance(value, tree.Binding):
        return value.name
    if isinstance(value, list | tuple):
        return [said(item) for item in value]
    return repr(value)


def readable():
    with CASES.open(encoding="utf-8") as lines:
        sources = [json.loads(line)["script"] for line in lines]
    sources += [path.read_text(encoding="utf-8") for path in POLICIES.glob("*.rhai")]
    out = []
    for source in sources:
        try:
            rhai.parse(source)
        except rhai.RhaiError:
            continue
        out.append(source)
    return out


SOURCES = readable()


def test_all_scripts_of_the_conformance_suite():
    assert len(SOURCES) > 500
    for source in SOURCES:
        formatted = format_source(source)
        assert said(rhai.parse(formatted)) == said(rhai.parse(source)), source
        assert format_source(formatted) == formatted, source
        assert all(line == line.rstrip() for line in formatted.split("\n") if "`" not in source)


BLANKS = st.sampled_from(
    ["", " ", "  ", "\n", "\n\n\n", "\t", " // c\n", "\n// own\n", " /* b */ "]
)


@given(st.sampled_from(SOURCES), st.data())
def test_whatever_stands_between_the_tokens(source, data):
    mangled = ""
    for piece in pieces_of(source):
        mangled += data.draw(BLANKS) + piece.text
        if piece.text.startswith("//"):
            mangled += "\n"
    try:
        before = said(rhai.parse(mangled, comments=True))
    except rhai.RhaiError:
        return  # two tokens have become one
    formatted = format_source(mangled)
    assert said(rhai.parse(formatted)) == before
    assert format_source(formatted) == formatted
    comments = [c.text.rstrip() for c in rhai.parse(mangled, comments=True).comments]
    assert [c.text for c in rhai.parse(formatted, comments=True).comments] == comments
