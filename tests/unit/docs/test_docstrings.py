"""The examples in docstrings (`>>>`) say what happens."""

import doctest
import importlib
import pkgutil

import pytest

import rbee_scheduler
import rbee_scheduler_simple


def modules():
    for package in (rbee_scheduler, rbee_scheduler_simple):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_the_examples_of_a_module(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:  # an extra of the demo that is not installed
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(
        module, optionflags=doctest.ELLIPSIS, extraglobs={"rbee_scheduler": rbee_scheduler}
    )
    assert result.failed == 0
