"""requirements-dev.txt, for plain pip, says the same as the workspace does for uv."""

import tomllib
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[3]


@pytest.fixture
def lines():
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def workspace():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_dependency_groups_are_the_same(lines, workspace):
    groups = workspace["dependency-groups"]
    expected = [item for name in ("test", "bench", "lint") for item in groups[name]]
    assert sorted(expected) == sorted(line for line in lines if not line.startswith("-e"))


def test_the_members_are_the_same(lines, workspace):
    def project(folder):
        text = (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]["name"]

    given = []
    for line in lines:
        if line.startswith("-e"):
            folder, bracket, extras = line.removeprefix("-e ").partition("[")
            given.append(project(folder) + bracket + extras)
    assert sorted(workspace["project"]["dependencies"]) == sorted(given)
