"""The pages on policies say what is so."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import rbee_scheduler_script
from rbee_scheduler_script import Options, Policy
from rbee_scheduler_script._answers import _KEYS
from rbee_scheduler_script._helpers._page import page
from rbee_scheduler_script._job_data import COSTLY_FIELDS, job_map
from rbee_scheduler_script._pool_data import PoolData
from rbee_scheduler_script._sample import sample_request, sample_snapshot
from rbee_scheduler_script._worker_data import WorkerData, worker_map


ROOT = Path(__file__).parents[3]
POLICIES = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```rhai\n(.*?)```", POLICIES, re.DOTALL)


def test_the_page_of_helpers_is_up_to_date():
    written = (ROOT / "docs" / "helpers.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m rbee_scheduler_script.helpers_page > docs/helpers.md"


def test_the_page_can_be_made():
    made = subprocess.run(
        [sys.executable, "-m", "rbee_scheduler_script.helpers_page"],
        capture_output=True, text=True, check=True, encoding="utf-8",
    )  # fmt: skip
    assert made.stdout == page()


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_compile(script):
    assert Policy(script).role == "select"


def test_every_option_is_there():
    for field in attrs.fields(Options):
        assert f"`{field.name}`" in POLICIES


def test_every_action_is_there():
    for action, (needed, optional) in _KEYS.items():
        if action == "delegate":
            continue
        [row] = [line for line in POLICIES.splitlines() if line.startswith(f'| `"{action}"`')]
        for key in needed:
            assert f"`{key}`" in row
        for key in optional:
            # A batch takes a reason, and a wait a job, without anyone being told to give one.
            assert f"`{key}?`" in row or (action, key) in {("batch", "reason"), ("wait", "job_id"),
                                                           ("dispatch", "reason")}  # fmt: skip


def fields(heading):
    return set(re.findall(r"`([a-z_0-9.]+)`", re.search(rf"\*\*{heading}\*\*[^\n]*", POLICIES)[0]))


def test_every_field_is_there():
    job = job_map(sample_request(), 0.0, tuple(COSTLY_FIELDS))
    assert job.keys() - {"user", "resume"} <= fields("A job")
    worker = worker_map(sample_snapshot().worker("gpu-1"))
    assert worker.keys() == fields("A worker")
    pool = PoolData(WorkerData()).all(sample_snapshot())[0]
    assert pool.keys() | pool["gpus"][0].keys() <= fields("A pool")


@pytest.mark.parametrize(
    "name",
    [
        "rbee_scheduler_script",
        *(f"rbee_scheduler_script.{m.name}"
          for m in pkgutil.iter_modules(rbee_scheduler_script.__path__)),
        "rbee_scheduler_script._helpers._catalog",
    ],
)  # fmt: skip
def test_the_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_public_names():
    for name in rbee_scheduler_script.__all__:
        assert getattr(rbee_scheduler_script, name) is not None
    assert sorted(rbee_scheduler_script.__all__) == dir(rbee_scheduler_script)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rbee_scheduler_script.nonsense  # noqa: B018


def test_the_engine_alone_needs_no_scheduler():
    code = "import sys, rbee_scheduler_script.rhai; exit('rbee_scheduler' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
