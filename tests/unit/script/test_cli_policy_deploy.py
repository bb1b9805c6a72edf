"""`policy deploy`, `rollback`, `versions`: the file that a scheduler reads, and its history."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler.cli import cli


FIRST = "fn schedule_job(job, pools, workers) { workers.first() }\n"
LAST = "fn schedule_job(job, pools, workers) { workers.last() }\n"
WRONG = "fn schedule_job(job, pools, workers) { job.max_tokens }\n"
FLEET = [{"id": "w", "url": "http://h:1", "model": "m"}]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ann")
    for name in ("XDG_CONFIG_HOME", "RBEE_SCHEDULER_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    for name, text in {"live.rhai": FIRST, "new.rhai": LAST, "wrong.rhai": WRONG}.items():
        Path(name).write_text(text)
    Path("workers.json").write_text(json.dumps(FLEET))
    return tmp_path


def policy(*args, **options):
    return CliRunner().invoke(cli, ["policy", *args], **options)


def listed(*args):
    return [
        (one["number"], one["state"], one["author"])
        for one in json.loads(policy("versions", *args, "--json").stdout)["versions"]
    ]


def test_deploy_replaces_the_file_and_notes_who_did():
    Path("live.rhai").chmod(0o640)
    result = policy("deploy", "new.rhai", "--to", "live.rhai")
    assert result.exit_code == 0
    assert "version 2 (" in result.stdout
    assert Path("live.rhai").read_text() == LAST
    assert stat.S_IMODE(Path("live.rhai").stat().st_mode) == 0o640
    assert listed("live.rhai") == [(1, "superseded", ""), (2, "deployed", "ann")]
    table = policy("versions", "live.rhai").stdout
    assert "new.rhai" in table
    assert policy("versions", "live.rhai", "--show", "1").stdout == FIRST


@pytest.mark.parametrize("source", ["wrong.rhai", "unfinished.rhai"])
def test_a_bad_version_is_refused_and_the_file_stays(source):
    Path("unfinished.rhai").write_text("fn schedule_job(")
    result = policy("deploy", source, "--to", "live.rhai", "--workers", "workers.json")
    assert result.exit_code == 1
    assert f"{source}:1:" in result.stderr or "live.rhai:1:" in result.stderr
    assert Path("live.rhai").read_text() == FIRST
    assert listed("live.rhai") == [(1, "deployed", ""), (2, "refused", "ann")]


def test_going_back_and_forth():
    policy("deploy", "new.rhai", "--to", "live.rhai")
    back = policy("rollback", "live.rhai", "--author", "bob")
    assert back.exit_code == 0
    assert Path("live.rhai").read_text() == FIRST
    assert policy("rollback", "live.rhai", "--version", "2").exit_code == 0
    assert Path("live.rhai").read_text() == LAST
    assert listed("live.rhai")[2:] == [(3, "superseded", "bob"), (4, "deployed", "ann")]
    assert policy("rollback", "live.rhai", "--version", "9").exit_code == 2


def test_the_configuration_names_the_file(folder):
    (folder / "rbee-scheduler.toml").write_text(
        '[[plugins]]\nname = "mine"\nplugin = "script"\noptions = {file = "live.rhai"}\n'
    )
    assert policy("deploy", "new.rhai").exit_code == 0
    assert Path("live.rhai").read_text() == LAST
    assert policy("rollback").exit_code == 0
    assert len(listed()) == 3


def test_without_a_file_it_says_what_to_do():
    result = policy("deploy", "new.rhai")
    assert result.exit_code == 2
    assert "lists no policy files" in result.stderr
    assert policy("versions", "other.rhai").stdout == "no versions yet\n"
    assert policy("rollback", "live.rhai").exit_code == 2


def test_the_first_deployment_makes_the_file(folder):
    result = policy("deploy", "-", "--to", "deep/fresh.rhai", input=FIRST)
    assert result.exit_code == 0
    assert (folder / "deep" / "fresh.rhai").read_text() == FIRST


def test_the_language_stays():
    Path("r.yaml").write_text("rules: []\n")
    result = policy("deploy", "r.yaml", "--to", "live.rhai")
    assert (result.exit_code, "different languages" in result.stderr) == (2, True)
