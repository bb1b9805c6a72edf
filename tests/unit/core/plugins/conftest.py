"""Distributions as pip would leave them: a dist-info folder and modules on sys.path."""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from textwrap import dedent

import pytest

from rbee_scheduler import Plugins
from rbee_scheduler._plugins import installed_plugins


FILTER = """
    from rbee_scheduler import hookimpl

    @hookimpl
    def rbee_filter_workers(candidates):
        return {w.id: "no" for w in candidates if w.id == "w0"}
    """


class Site:
    """A folder of installed distributions, and the plugins found in it."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, distribution, source=FILTER, *, version="1.0", name=None, entry_points=None):
        """Install a distribution of one module with one entry point; return its module's name."""
        name = name or distribution.removeprefix("rbee-scheduler-")
        module = distribution.replace("-", "_")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
        text = entry_points or f"[rbee_scheduler]\n{name} = {module}\n"
        (info / "entry_points.txt").write_text(text)
        (self.folder / f"{module}.py").write_text(dedent(source))
        return module

    def installed(self):
        return installed_plugins(distributions(path=[str(self.folder)]))

    def plugins(self, sources=None, *, environ=None, **options):
        return Plugins(sources, installed=self.installed(), environ=environ or {}, **options)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
