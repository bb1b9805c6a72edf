"""Every example in a docstring of core says what really happens."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import rbee_scheduler


def modules():
    """The modules of core that can be imported without the demo's extra packages."""
    found = pkgutil.walk_packages(rbee_scheduler.__path__, "rbee_scheduler.")
    return [info.name for info in found if not info.name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_examples_of(name):
    failures = []
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in finder.find(import_module(name), name):
        runner.run(test, out=failures.append)
    assert failures == []
