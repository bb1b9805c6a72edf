"""`route`: the decision on files, its explanation, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler.cli import cli


JOB = {"job_id": "j", "model": "m", "prompt": "Hi"}
FLEET = [
    {"id": "full", "url": "http://h:1", "model": "m", "slots": 1, "running": 1},
    {"url": "http://h:2", "model": "m"},
    {"id": "other", "url": "http://h:3", "model": "other"},
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "")
    write("job.json", JOB)
    write("workers.json", FLEET)
    return tmp_path


def write(name, data):
    Path(name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")


def route(*args, **options):
    return CliRunner().invoke(cli, ["route", *args], **options)


def dry_run(*args, **options):
    return route("-f", "job.json", "--workers", "workers.json", *args, **options)


def test_the_chosen_worker_alone_is_printed():
    result = dry_run()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "h:2\n", "")


def test_explain_says_what_became_of_each_worker():
    headline, *workers = dry_run("--explain").stdout.splitlines()
    assert headline.startswith("job j, model m: goes to h:2 (strategy best-score")
    assert workers == ["  - full: full: 1 of 1 slots", "  1. h:2"]


def test_json_is_brief_and_in_full_with_explain():
    brief = json.loads(dry_run("--json").stdout)
    assert (brief["action"], brief["worker_id"], brief["strategy"]) == (
        "dispatch",
        "h:2",
        "best-score",
    )
    assert "workers" not in brief
    full = json.loads(dry_run("--json", "--explain").stdout)
    assert [worker["worker_id"] for worker in full["workers"]] == ["full", "h:2"]
    assert full | brief == full


def test_verify_exits_with_1_when_another_is_chosen():
    assert dry_run("--verify", "h:2").exit_code == 0
    result = dry_run("--verify", "full")
    assert (result.exit_code, result.stdout) == (1, "h:2\n")
    assert result.stderr == "expected full, but h:2 is chosen\n"
    assert dry_run("--verify", "full", "-q").stderr == ""
    assert json.loads(dry_run("--verify", "full", "--json").stdout)["verified"] is False
    assert json.loads(dry_run("--verify", "h:2", "--json").stdout)["verified"] is True


@pytest.mark.parametrize(("model", "action"), [("nobody's", "reject"), ("m", "wait")])
def test_nobody_chosen_exits_with_1_and_says_why(model, action):
    write("job.json", JOB | {"model": model})
    write("workers.json", FLEET[:1])
    result = dry_run("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["action"] == action
    assert dry_run("--verify", "full").stderr == "expected full, but no worker is chosen\n"
    assert dry_run().stdout.startswith(f"job j, model {model}: ")


def test_the_request_may_come_from_stdin():
    result = route("-f", "-", "--workers", "workers.json", input=json.dumps(JOB))
    assert result.stdout == "h:2\n"


def test_workers_may_be_an_object_or_come_from_the_configuration():
    write("workers.json", {"workers": FLEET[1:]})
    assert dry_run().stdout == "h:2\n"
    write(
        "rbee-scheduler.toml",
        '[[workers]]\nurl = "http://c:1"\nmodel = "big"\n'
        '[[models]]\nmodel_ref = "big"\naliases = ["m"]\n',
    )
    assert route("-f", "job.json").stdout == "c:1\n"
    # The configuration's catalog holds for workers from a file, too.
    write("workers.json", [{"url": "http://h:9", "model": "big"}])
    assert dry_run().stdout == "h:9\n"


def test_the_operators_strategy_wins_over_the_requests():
    write("job.json", JOB | {"strategy": "nobody-has-it"})
    assert dry_run().exit_code == 2
    assert dry_run("--strategy", "best-score").exit_code == 0
    assert dry_run("--strategy", "nobody-has-it").exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("job.json", "{", "job.json:1:2: no JSON: "),
        ("job.json", '{"job_id": "j", "modle": "m"}', "job.json:$.modle: unknown key"),
        ("job.json", '{"job_id": "j", "model": "m"}', "job.json:$.prompt: prompt is empty"),
        ("workers.json", "3", "workers.json:$: no array of workers"),
        ("workers.json", "[3]", "workers.json:$[0]: 3 is not an object"),
        ("workers.json", '{"workers": [{}]}', "workers.json:$.workers[0]"),
        ("workers.json", '[{"url": "h:1"}]', "workers.json:$[0].url: "),
        (
            "workers.json",
            '[{"url": "http://h"}, {"url": "http://h"}]',
            "workers.json:$[1].id: 'h' is there twice",
        ),
    ],
)
def test_a_wrong_file_exits_with_2_and_names_the_place(name, text, message):
    write(name, text)
    result = dry_run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")


def test_a_missing_file_is_named():
    result = route("-f", "gone.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: gone.json: can't read it: No such file or directory")


def test_a_plugin_that_fails_is_named_and_the_fallback_decides(folder, monkeypatch):
    (folder / "cli_route_broken.py").write_text(
        "from rbee_scheduler import hookimpl\n"
        "@hookimpl\n"
        "def rbee_filter_workers(candidates):\n"
        "    raise ValueError('broken filter')\n"
    )
    info = folder / "cli_route_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rbee-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rbee_scheduler]\nbroken = cli_route_broken\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "broken")
    result = dry_run()
    assert (result.exit_code, result.stdout) == (0, "h:2\n")
    assert result.stderr.startswith("warning: plugin 'broken' (rbee-broken 1.0)")
    assert "broken filter" in result.stderr
