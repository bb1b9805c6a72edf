"""docs/gateway-hooks.md has a heading for each hook of the gateway: its literal signature."""

import inspect
import re
from pathlib import Path

import pytest

from rbee_scheduler_gateway import _hookspecs


PAGE = (Path(__file__).parents[3] / "docs" / "gateway-hooks.md").read_text(encoding="utf-8")
HOOKS = sorted(name for name in vars(_hookspecs) if name.startswith("rbee_"))


def signature(hook):
    # Annotations are kept as text, which inspect shows in quotes.
    return f"{hook}{inspect.signature(getattr(_hookspecs, hook))}".replace("'", "")


def sections():
    """Return heading -> text of each hook's section."""
    parts = re.split(r"^### `(.*)`$", PAGE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_headings_are_the_literal_signatures():
    assert {signature(hook) for hook in HOOKS} == set(sections())


@pytest.mark.parametrize("hook", HOOKS)
def test_each_section_says_when_how_answers_merge_and_what_a_failure_does(hook):
    text = sections()[signature(hook)]
    for part in ("**When**", "**Answers**", "**Merge**", "**Failure**"):
        assert part in text
    for argument in inspect.signature(getattr(_hookspecs, hook)).parameters:
        assert f"| `{argument}` |" in text


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_implemented_in_an_example(hook):
    blocks = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    assert f"def {hook}(" in blocks


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_test_of_its_own(hook):
    tests = Path(__file__).parents[1] / "gateway" / "test_gateway_hooks.py"
    assert f"def test_hook_{hook}_" in tests.read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_each_docstring_says_when(hook):
    assert inspect.getdoc(getattr(_hookspecs, hook)).startswith("Called ")
