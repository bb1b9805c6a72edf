"""No link of our pages is dead, anchors included, and the README leads to every page."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("core/*.md"),
        *ROOT.glob("plugins/*/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


def text_of(page):
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """Return the anchors of a page's headings, made as GitHub makes them."""
    found = set()
    for heading in HEADING.findall(text_of(page)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        again = sum(1 for one in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", one))
        found.add(f"{name}-{again}" if again else name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page):
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_leads_to_every_page():
    linked = set(LINK.findall(text_of(ROOT / "README.md")))
    written = {str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")}
    assert written
    assert written - linked == set()


def test_the_readme_has_every_package():
    linked = set(LINK.findall(text_of(ROOT / "README.md")))
    packages = [file.parent for file in ROOT.glob("plugins/*/pyproject.toml")]
    assert packages
    for package in [ROOT / "core", *packages]:
        assert f"{package.relative_to(ROOT)}/" in linked
