"""The hook reference has a heading for each hook: its literal signature, in order."""

import inspect
import re
from pathlib import Path

import pytest

from rbee_scheduler import _hookspecs
from rbee_scheduler._plugins._inspect import HOOKS


PAGE = Path(__file__).parents[3] / "docs" / "hooks.md"


def signature(hook):
    # Annotations are kept as text, which inspect shows in quotes.
    return f"{hook}{inspect.signature(getattr(_hookspecs, hook))}".replace("'", "")


def sections():
    """Return heading -> text of each hook's section."""
    parts = re.split(r"^### `(.*)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_headings_are_the_literal_signatures_in_order():
    assert [signature(hook) for hook in HOOKS] == list(sections())


@pytest.mark.parametrize("hook", HOOKS)
def test_each_section_says_when_how_answers_merge_and_what_a_failure_does(hook):
    text = sections()[signature(hook)]
    for part in ("**When**", "**Merge**", "**Failure**"):
        assert part in text
    for argument in inspect.signature(getattr(_hookspecs, hook)).parameters:
        assert f"| `{argument}` |" in text


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_implemented_in_an_example(hook):
    blocks = "".join(
        re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    )
    assert f"def {hook}(" in blocks


@pytest.mark.parametrize("hook", HOOKS)
def test_each_docstring_says_when_and_has_an_example(hook):
    text = inspect.getdoc(getattr(_hookspecs, hook))
    assert text.startswith("Called ")
    assert "Example::" in text
