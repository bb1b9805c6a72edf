"""The public names: one table, all importable, and nothing heavy before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rbee_scheduler
import rbee_scheduler.testing


HEAVY = {
    "anyio", "asyncio", "attr", "attrs", "cattrs", "click", "httpx", "hypothesis", "pluggy",
    "pytest", "ssl", "trio",
}  # fmt: skip


def loaded_by(code):
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    program = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_the_list_is_sorted_and_without_repetition():
    assert sorted(set(rbee_scheduler.__all__)) == rbee_scheduler.__all__
    assert dir(rbee_scheduler) == rbee_scheduler.__all__


@pytest.mark.parametrize("name", rbee_scheduler.__all__)
def test_every_name_is_there_and_is_what_its_room_calls_it(name):
    value = getattr(rbee_scheduler, name)
    assert getattr(value, "__name__", name) in {name, "hookimpl"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match="module 'rbee_scheduler' has no attribute 'Shceduler'"
    ):
        rbee_scheduler.Shceduler  # noqa: B018 - the access is the test


def typed_names(module):
    """Return name -> room of the imports under TYPE_CHECKING."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.asname: node.module.rpartition(".")[2]
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_the_same_names_from_the_same_rooms():
    assert typed_names(rbee_scheduler) == rbee_scheduler._ROOM_OF


def test_type_checkers_see_the_names_of_the_kit():
    expected = rbee_scheduler.testing._ROOM_OF | {"strategies": "testing"}
    assert typed_names(rbee_scheduler.testing) == expected


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import rbee_scheduler") & HEAVY == set()


def test_a_plugin_that_wants_hookimpl_alone_pays_for_pluggy_alone():
    loaded = loaded_by("from rbee_scheduler import hookimpl")
    assert loaded & HEAVY == {"pluggy"}


def test_a_scheduler_loads_no_http_client_and_no_converter_until_it_needs_one():
    code = """
from rbee_scheduler import Scheduler, WorkerRegistry
Scheduler(WorkerRegistry(), ["simple"])
"""
    assert loaded_by(code) & {"cattrs", "click", "httpx", "hypothesis", "pytest", "trio"} == set()


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert version("rbee-scheduler") == rbee_scheduler.__version__
