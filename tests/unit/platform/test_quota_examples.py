"""The examples in the docstrings of quotas, fairness, capacity and targets."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "room",
    [
        "_gcra", "_quota._book", "_quota._estimate", "_quota._headers",
        "_fairness._expected", "_fairness._order", "_fairness._rate", "_capacity._prefill",
        "_targets._attainment", "_targets._residency",
    ],
)  # fmt: skip
def test_examples_of(room):
    module = import_module(f"rbee_scheduler_platform.{room}")
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)
