"""A plugin written by `plugins new` is a package: built, installed by pip, tested, chosen.

Everything happens in a fresh environment with built wheels, as at a user's: nothing of the
workspace or of its editable installs takes part.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
NAME = "by-template"
WORKERS = [
    {"id": "busy", "url": "http://127.0.0.1:8001", "model": "m", "slots": 4, "running": 3},
    {"id": "idle", "url": "http://127.0.0.1:8002", "model": "m", "slots": 4},
]
JOB = {"job_id": "j", "model": "m", "prompt": "Hi"}


def call(*command, cwd):
    # What steers this test run must not steer the fresh environment.
    ours = ("PYTHON", "VIRTUAL_ENV", "COVERAGE", "RBEE_", "PYTEST", "UV_PROJECT")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=environ, check=False, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Uv:
    def build(self, python, project, wheels):
        call("uv", "build", "--quiet", "--wheel", "--out-dir", wheels, project, cwd=wheels)

    def environment(self, folder):
        call("uv", "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)

    def install(self, python, *requirements):
        call("uv", "pip", "install", "--quiet", "--python", python, *requirements, cwd=ROOT)


class Pip:
    # The pip of the fresh environment: this one may have none.
    def build(self, python, project, wheels):
        pip = (python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check")
        call(*pip, "--wheel-dir", wheels, project, cwd=wheels)

    def environment(self, folder):
        call(sys.executable, "-m", "venv", folder, cwd=folder.parent)

    def install(self, python, *requirements):
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        call(*pip, *requirements, cwd=ROOT)


def installer():
    """Return uv where it works (a shim of it may not), else pip."""
    uv = shutil.which("uv")
    works = (
        uv and subprocess.run([uv, "--version"], check=False, capture_output=True).returncode == 0
    )
    return Uv() if works else Pip()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Return the package's folder, and a function that runs a script of its environment."""
    base = tmp_path_factory.mktemp("template")
    package, wheels, environment = base / "package", base / "wheels", base / "environment"
    wheels.mkdir()
    new = ("plugins", "new", NAME, "--dir", package, "--author", 'Ann "A" Äuthor')
    call(sys.executable, "-m", "rbee_scheduler", *new, cwd=base)
    tool = installer()
    tool.environment(environment)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    for project in (ROOT / "core", package):
        tool.build(scripts / "python", project, wheels)
    (core,) = wheels.glob("rbee_scheduler-*.whl")
    (plugin,) = wheels.glob("rbee_scheduler_by_template-*.whl")
    tool.install(scripts / "python", f"rbee-scheduler[testing] @ {core.as_uri()}", plugin)
    return package, lambda name, *args: call(scripts / name, *args, cwd=package)


def test_its_own_tests_pass(fresh):
    _, run = fresh
    out = run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in out
    assert "failed" not in out


def test_it_is_listed_with_its_strategy(fresh):
    _, run = fresh
    (row,) = json.loads(run("rbee-scheduler", "plugins", "--json"))
    assert (row["name"], row["distribution"]) == (NAME, f"rbee-scheduler-{NAME}")
    assert (row["status"], row["strategies"]) == ("active", [NAME])
    pins = run("rbee-scheduler", "plugins", "--requirements").splitlines()
    assert pins[1] == f"rbee-scheduler-{NAME}==0.1.0"


def test_it_keeps_the_contract(fresh):
    _, run = fresh
    assert json.loads(run("rbee-scheduler", "plugins", "check", NAME, "--json"))["ok"] is True


def test_its_strategy_is_chosen_and_chooses(fresh, tmp_path):
    _, run = fresh
    job, workers = tmp_path / "job.json", tmp_path / "workers.json"
    job.write_text(json.dumps(JOB))
    workers.write_text(json.dumps(WORKERS))
    route = ("rbee-scheduler", "route", "-f", job, "--workers", workers, "--json")
    for strategy in ((), ("--strategy", NAME)):
        decision = json.loads(run(*route, *strategy, "--verify", "idle"))
        assert (decision["strategy"], decision["worker_id"]) == (NAME, "idle")
