"""The file that the type checkers read (in .ci/run) also runs, so that it can't grow stale."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from rbee_scheduler.testing import FakeWorker, Script


@pytest.fixture
def author() -> Any:
    path = Path(__file__).with_name("plugin_author.py")
    spec = importlib.util.spec_from_file_location("plugin_author", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_author_chooses(author: Any) -> None:
    assert author.choose() == "w0"


async def test_the_author_streams(author: Any) -> None:
    async with FakeWorker(Script(tokens=("Hel", "lo"))) as worker:
        assert await author.run(worker.url) == "Hello"


def test_the_author_keeps_the_contract(author: Any) -> None:
    assert [f for f in author.findings() if not f.ok] == []
