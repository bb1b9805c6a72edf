"""`policy check`, `compile`, `run`, `helpers`, `new`, `fmt`: what they print, and their codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler.cli import cli
from rbee_scheduler_script import HELPERS


GOOD = """// The least loaded.
fn schedule_job(job, pools, workers) {
    let free = workers.available();
    if free.is_empty() {
        return ();
    } else if job.max_tokens > 1000 && free.len() > 1 {
        return free.max_by(|w| w.slots);
    }
    free.least_loaded()
}
"""
MISSPELT = "fn schedule_job(job, pools, workers) {\n    workers.filter(|w| w.gpu > 1).first()\n}\n"
RULES = """rules:
  - name: Big ones
    condition: { model_contains: "70b" }
    action: { select: "workers.filter(gpus > 1).first()" }
  - name: Others
    condition: true
    action: { select: "workers.min_by(cost_per_token)" }
"""
JOB = {"job_id": "j", "model": "m", "prompt": "a secret", "max_tokens": 20}
FLEET = [
    {"id": "full", "url": "http://h:1", "model": "m", "slots": 1, "running": 1},
    {"id": "one", "url": "http://h:2", "model": "m", "load": 0.5},
    {"id": "two", "url": "http://h:3", "model": "m", "slots": 8},
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "RBEE_SCHEDULER_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    texts = {"good.rhai": GOOD, "misspelt.rhai": MISSPELT, "rules.yaml": RULES}
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("job.json").write_text(json.dumps(JOB))
    Path("workers.json").write_text(json.dumps(FLEET))
    return tmp_path


def policy(*args, **options):
    return CliRunner().invoke(cli, ["policy", *args], **options)


def data(*args):
    return json.loads(policy(*args, "--json").stdout)


def test_the_group_lists_its_commands():
    for arguments in ([], ["--help"]):
        shown = policy(*arguments)
        assert shown.exit_code == 0
        for name in ("check", "compile", "run", "test", "simulate", "deploy", "versions"):
            assert f"  {name} " in shown.stdout
    slip = policy("chek")
    assert (slip.exit_code, "Did you mean 'check'?" in slip.stderr) == (2, True)


# ---- check ---------------------------------------------------------------------------------


def test_check_finds_what_rhai_lets_pass():
    fine = policy("check", "good.rhai", "rules.yaml")
    assert (fine.exit_code, fine.stdout) == (0, "good.rhai: fine\nrules.yaml: fine\n")
    found = policy("check", "misspelt.rhai")
    assert found.exit_code == 1
    assert found.stdout.startswith("misspelt.rhai:2:")
    assert "gpus" in found.stdout
    report = data("check", "good.rhai", "misspelt.rhai")
    assert (report["ok"], len(report["findings"])) == (False, 1)
    assert report["findings"][0]["code"] == "unknown-field"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("fn schedule_job(job, pools, workers) {", "bad.rhai:1:", "}"),
        ("fn other() { 1 }", "bad.rhai", "decides"),
    ],
)
def test_check_says_what_does_not_compile(text, place, words):
    Path("bad.rhai").write_text(text)
    found = policy("check", "bad.rhai")
    assert found.exit_code == 1
    assert found.stdout.startswith(place)
    assert words in found.stdout


def test_check_says_what_is_wrong_in_yaml():
    Path("bad.yaml").write_text("rules:\n  - nmae: x\n    condition: true\n")
    found = policy("check", "bad.yaml")
    assert found.exit_code == 1
    assert found.stdout.startswith("bad.yaml:2:")


def test_warnings_fail_when_asked_to():
    Path("warns.rhai").write_text(
        "fn schedule_job(job, pools, workers) {\n    let x = 1;\n    workers.first()\n}\n"
    )
    assert policy("check", "warns.rhai").exit_code == 0
    assert policy("check", "--strict", "warns.rhai").exit_code == 1


def test_a_file_that_is_not_there_is_wrong_usage():
    for command in (("check", "no.rhai"), ("run", "no.rhai", "-f", "job.json"), ("fmt", "no.rhai")):
        missing = policy(*command)
        assert missing.exit_code == 2
        assert missing.stdout == ""


def test_the_role_that_is_wanted_must_be_there():
    found = policy("check", "good.rhai", "--role", "score")
    assert found.exit_code == 1
    assert "can be a score" in found.stdout


# ---- compile -------------------------------------------------------------------------------


def test_compile_prints_rhai_that_runs(folder):
    shown = policy("compile", "rules.yaml")
    assert shown.exit_code == 0
    assert "// Big ones" in shown.stdout
    written = policy("compile", "rules.yaml", "-o", "rules.rhai")
    assert (written.exit_code, written.stdout) == (0, "rules.rhai written\n")
    assert (folder / "rules.rhai").read_text().rstrip("\n") == shown.stdout.rstrip("\n")
    assert policy("check", "rules.rhai").exit_code == 0
    assert data("compile", "rules.yaml")["rhai"] == (folder / "rules.rhai").read_text()


# ---- run -----------------------------------------------------------------------------------


def run(*args):
    return policy("run", *args, "-f", "job.json", "--workers", "workers.json")


def test_run_prints_the_worker_alone():
    for file in ("good.rhai", "rules.yaml"):
        result = run(file)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout in ("one\n", "two\n")


def test_a_trace_shows_lines_conditions_and_helper_calls():
    result = run("good.rhai", "--trace")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split(maxsplit=1) == ["good.rhai:3:5", "let free = workers.available();"]
    assert any("available([one, two]) = [one, two]" in line for line in lines)
    assert any("is_empty([one, two]) = false" in line for line in lines)
    # The `&&` of the last one and its left side, which decided it.
    assert sum("is false" in line for line in lines) == 3
    assert any(line.endswith("least_loaded([one, two]) = #{id: two, ..}") for line in lines)
    # A line that was not come by is not shown.
    assert not any("good.rhai:7" in line for line in lines)
    assert "job j, model m: goes to two (strategy policy)" in lines


def test_a_trace_as_json():
    result = json.loads(run("good.rhai", "--trace", "--json").stdout)
    assert (result["worker_id"], result["action"]) == ("two", "dispatch")
    kinds = [step["kind"] for step in result["trace"]]
    assert (kinds[0], set(kinds)) == ("line", {"line", "test", "helper"})
    assert result["trace"][0]["place"] == "good.rhai:3:5"
    assert [worker["worker_id"] for worker in result["workers"]] == ["full", "one", "two"]


def test_a_trace_of_rules_points_into_the_yaml():
    result = json.loads(run("rules.yaml", "--trace", "--json").stdout)
    places = {step["place"].split(":")[1] for step in result["trace"]}
    assert places <= {str(line) for line in range(1, 9)}


def test_a_trace_keeps_the_prompt_to_itself():
    Path("p.rhai").write_text(
        "fn schedule_job(job, pools, workers) {\n"
        "    if string_contains(job.prompt, `x`) { return (); }\n"
        "    workers.first()\n}\n"
    )
    result = run("p.rhai", "--trace")
    assert "a secret" not in result.stdout
    assert "<prompt " in result.stdout


def test_closures_are_counted_and_not_repeated():
    Path("p.rhai").write_text(
        "fn schedule_job(job, pools, workers) { workers.filter(|w| w.slots == 8).first() }"
    )
    fleet = [{"id": f"w{n}", "url": "http://h:1", "model": "m", "slots": 8} for n in range(50)]
    Path("workers.json").write_text(json.dumps(fleet))
    result = run("p.rhai", "--trace")
    assert "(50 times)" in result.stdout
    assert len(result.stdout.splitlines()) < 60


def test_filters_and_scores_are_run_and_traced_too():
    Path("score.rhai").write_text("fn score(job, worker) {\n    worker.slots ?? 0\n}\n")
    assert run("score.rhai").stdout == "two\n"
    traced = run("score.rhai", "--trace").stdout
    assert "score.rhai:2:5" in traced
    assert "score_all" not in traced


def test_no_worker_and_a_failure_exit_with_1():
    Path("none.rhai").write_text("fn schedule_job(job, pools, workers) { () }")
    assert run("none.rhai").exit_code == 1
    Path("fails.rhai").write_text("fn schedule_job(job, pools, workers) {\n    nope\n}")
    failed = run("fails.rhai")
    assert failed.exit_code == 1
    assert "fails.rhai:2:5" in failed.stderr
    assert json.loads(run("fails.rhai", "--json").stdout)["failures"]


# ---- helpers -------------------------------------------------------------------------------


def test_helpers_come_from_the_catalogue():
    assert data("helpers")["helpers"] == HELPERS.to_dict()
    table = policy("helpers")
    assert len(table.stdout.splitlines()) == len(HELPERS) + 1
    one = policy("helpers", "least_loaded")
    assert "workers.least_loaded()" in one.stdout
    assert "->" in one.stdout
    assert policy("helpers", "nonsense").exit_code == 2


# ---- new -----------------------------------------------------------------------------------


def test_new_writes_and_never_overwrites(folder):
    assert policy("new", "mine.rhai", "--template", "Nearest").exit_code == 0
    assert "distance" in (folder / "mine.rhai").read_text()
    again = policy("new", "mine.rhai", "--template", "cheapest")
    assert again.exit_code == 2
    assert "distance" in (folder / "mine.rhai").read_text()
    assert policy("new", "--template", "cheapest").stdout.startswith("// The worker with")
    assert policy("new", "x.rhai").exit_code == 2
    assert policy("new", "--template", "nonsense").exit_code == 2


# ---- fmt -----------------------------------------------------------------------------------


def test_fmt_writes_what_check_complains_of(folder):
    path = folder / "ugly.rhai"
    path.write_text("fn schedule_job(job,pools,workers){workers.first()}\n")
    assert policy("fmt", "--check", "ugly.rhai").exit_code == 1
    assert policy("fmt", "ugly.rhai").stdout == "ugly.rhai: formatted\n"
    assert policy("fmt", "--check", "ugly.rhai").stdout == "nothing to change\n"
    assert run("ugly.rhai").stdout == "one\n"
    printed = policy("fmt", "-", input="fn f( ){1}")
    assert (printed.exit_code, printed.stdout.startswith("fn f()")) == (0, True)
    assert policy("fmt", "rules.yaml").exit_code == 2
