"""The Python examples of every page run, each page in one namespace.

A block is left out with a comment in front of it that says why::

    <!-- skip: needs a GPU -->

``await``, ``async with`` and ``async for`` may stand at the top level of a block; such a
page runs on asyncio and on trio. Workers at 127.0.0.1:8080 to 8099 are fake ones.
"""

import ast
import inspect
import re
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from rbee_scheduler.testing import FakeWorker, Script


ROOT = Path(__file__).parents[3]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("core/*.md"),
    *ROOT.glob("plugins/*/*.md"),
]
BLOCK = re.compile(
    r"(?:^<!-- *(?P<mark>.*?) *-->\n+)?^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
WORKER = re.compile(r"http://127\.0\.0\.1:80[89]\d")


class Page:
    """A page's blocks, each at the line where it stands."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf-8")
        self.blocks = []
        for match in BLOCK.finditer(self.text):
            line = self.text.count("\n", 0, match.start("code"))
            mark = match["mark"] or ""
            if mark.startswith("skip"):
                assert mark.removeprefix("skip").strip(": "), (
                    f"{path}:{line}: say why it is skipped"
                )
            else:
                self.blocks.append((line, match["code"]))
        self.path = str(path)

    @property
    def is_async(self):
        return any(
            compile(code, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).co_flags
            & inspect.CO_COROUTINE
            for _, code in self.blocks
        )

    def compiled(self, urls):
        """Yield each block's code; line numbers are the page's, workers are those of ``urls``."""
        for line, code in self.blocks:
            reachable = WORKER.sub(lambda match: urls[match[0]], code)
            tree = ast.increment_lineno(ast.parse(reachable, self.path), line)
            yield compile(tree, self.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    @property
    def urls(self):
        return sorted({url for _, code in self.blocks for url in WORKER.findall(code)})


def examples():
    for path in sorted(PAGES):
        page = Page(path)
        if page.blocks:
            for backend in ["asyncio", "trio"] if page.is_async else ["asyncio"]:
                yield pytest.param(page, backend, id=f"{path.relative_to(ROOT)}-{backend}")


async def run_async(page, names):
    async with AsyncExitStack() as stack:
        urls = {
            url: (await stack.enter_async_context(FakeWorker(Script(tokens=("Hi",))))).url
            for url in page.urls
        }
        for code in page.compiled(urls):
            running = eval(code, names)
            if running is not None:
                await running


def run_plain(page, names):
    """Run a page that starts event loops of its own; its workers live in another thread."""
    with ExitStack() as stack:
        urls = {}
        if page.urls:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            for url in page.urls:
                worker = portal.wrap_async_context_manager(FakeWorker(Script(tokens=("Hi",))))
                urls[url] = stack.enter_context(worker).url
        for code in page.compiled(urls):
            eval(code, names)


@pytest.mark.parametrize(("page", "backend"), list(examples()))
def test_the_examples_of_a_page_run(page, backend, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    names = {"__name__": "example"}
    if page.is_async:
        anyio.run(run_async, page, names, backend=backend)
    else:
        run_plain(page, names)


def test_no_page_is_forgotten():
    written = {path.name for path in PAGES}
    assert {"README.md", "hooks.md", "plugins.md", "quickstart.md", "testing.md"} <= written
