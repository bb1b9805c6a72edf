"""Every Rhai example of docs/rhai.md and of the package's README is true.

Their Python examples run with those of all pages, in tests/unit/docs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rbee_scheduler_script import rhai


ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / "rhai.md", ROOT / "plugins" / "script" / "README.md"]


def blocks(language):
    found = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [
        pytest.param(match.group(1), id=f"{page.name}-{number}")
        for page in PAGES
        for number, match in enumerate(found.finditer(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("source", blocks("rhai"))
def test_rhai(source):
    *_, last = source.strip().split("\n")
    try:
        value = rhai.compile(source).eval()
    except rhai.RhaiError as error:
        shown = f"// error: {error.kind}"
    else:
        shown = "// => " + rhai.compile("to_debug(x)").eval({"x": value})
    assert last == shown


def test_every_default_of_the_table_is_told():
    text = PAGES[0].read_text("utf-8")
    for name in ("time_ms", "operations", "memory", "call_depth", "nesting", "source_size"):
        assert f"`{name}`" in text
