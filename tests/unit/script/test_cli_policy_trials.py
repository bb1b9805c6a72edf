"""`policy test` and `policy simulate`: cases, coverage, and many jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler.cli import cli
from rbee_scheduler_script import Policy
from rbee_scheduler_script._simulation import simulate
from rbee_scheduler_script._still_clock import StillClock
from rbee_scheduler_script._synthetic import jobs, synthetic_registry


POLICY = """fn schedule_job(job, pools, workers) {
    if job.model == "big" {
        return workers.filter(|w| w.gpus > 1).first();
    }
    switch job.task_type {
        "image-gen" => reject("no images"),
        _ => workers.min_by(|w| w.cost_per_token),
    }
}
"""
CASES = """
workers:
  - {id: one, url: "http://h:1", models: [big, small], cost_per_token: 0.1}
  - {id: two, url: "http://h:2", models: [big, small], gpus: 2, cost_per_token: 0.2,
     capabilities: [text-gen, image-gen]}
job: {model: small}
cases:
  - {name: big ones, job: {model: big}, expect: two}
  - {name: small ones, expect: {one_of: [one, three]}}
  - {name: images, job: {task_type: image-gen}, expect: {reject: no images}}
"""
TOML_CASES = """
job = {model = "m"}
workers = [{url = "http://h:1", model = "m"}]
[[cases]]
expect = "h:1"
[[cases]]
workers = [{id = "full", url = "http://h:1", model = "m", slots = 1, running = 1}]
expect = {wait = ""}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RBEE_SCHEDULER_PLUGINS", raising=False)
    Path("p.rhai").write_text(POLICY)
    Path("p.test.yaml").write_text(CASES)
    return tmp_path


def policy(*args):
    return CliRunner().invoke(cli, ["policy", *args])


# ---- test ----------------------------------------------------------------------------------


def test_cases_that_come_out_as_expected():
    result = policy("test", "p.rhai")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "ok    big ones", "ok    small ones", "ok    images", "3 of 3 cases as expected",
        "lines covered: 5 of 5 (100%)", "rules covered: 3 of 3 (100%)",
    ]  # fmt: skip


def test_a_case_that_comes_out_differently():
    Path("p.test.yaml").write_text(CASES.replace("expect: two", "expect: one"))
    result = policy("test", "p.rhai")
    assert result.exit_code == 1
    assert "FAIL  big ones\n      expected one, but got two\n" in result.stdout
    report = json.loads(policy("test", "p.rhai", "--json").stdout)
    assert (report["ok"], [case["ok"] for case in report["cases"]]) == (False, [False, True, True])


def test_what_was_never_taken_is_said():
    Path("p.test.yaml").write_text(CASES[: CASES.index("  - {name: images")])
    result = policy("test", "p.rhai")
    assert result.exit_code == 0
    assert "rules covered: 2 of 3 (67%)" in result.stdout
    assert 'never taken: p.rhai:6:24  "image-gen" => reject("no images"),' in result.stdout
    assert policy("test", "p.rhai", "--min-coverage", "90").exit_code == 1
    report = json.loads(policy("test", "p.rhai", "--json").stdout)
    assert report["coverage"]["rules_missed"] == ["p.rhai:6:24"]


def test_a_policy_that_fails_fails_the_case():
    Path("p.rhai").write_text("fn schedule_job(job, pools, workers) {\n    nope\n}")
    result = policy("test", "p.rhai")
    assert result.exit_code == 1
    assert "p.rhai:2:5" in result.stdout


def test_cases_in_toml_and_elsewhere():
    Path("other.toml").write_text(TOML_CASES)
    Path("q.rhai").write_text("fn schedule_job(job, pools, workers) { workers.first() }")
    assert policy("test", "q.rhai", "--cases", "other.toml").exit_code == 0
    missing = policy("test", "q.rhai")
    assert (missing.exit_code, "q.test.yaml" in missing.stderr) == (2, True)


def test_yaml_rules_have_cases_too():
    Path("r.yaml").write_text(
        "rules:\n  - {name: All, condition: true, action: {select: workers.first()}}\n"
    )
    Path("r.test.toml").write_text(TOML_CASES)
    assert policy("test", "r.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cases: [{expct: x}]", "p.test.yaml:$.cases[0]"),
        ("cases: [{job: {model: m}, expect: {worker: a, wait: b}}]", "p.test.yaml:$.cases[0].exp"),
        ("cases: [{expect: a, job: {modle: m}}]", "p.test.yaml:$.cases[0].job.modle"),
        ("cases: [{expect: a, workers: [{id: 7}]}]", "p.test.yaml:$.cases[0].workers[0]"),
        ("cases: [", "p.test.yaml"),
    ],
)
def test_what_is_wrong_with_cases_is_said_at_its_place(text, place):
    Path("p.test.yaml").write_text(text)
    result = policy("test", "p.rhai")
    assert (result.exit_code, result.stdout) == (2, "")
    assert place in result.stderr


# ---- simulate ------------------------------------------------------------------------------


def simulated(source, *, workers=6, count=300, seed=0):
    clock = StillClock()
    registry = synthetic_registry(workers, seed, clock)
    coming = jobs(count, seed, registry, clock)
    # Time stands still for the measurement, so that reports can be compared.
    return simulate(Policy(source), registry, coming, clock, seed=seed, timer=lambda: 0.0), registry


RANDOM = "fn schedule_job(job, pools, workers) { workers.random() }"


def test_the_same_seed_gives_the_same_decisions():
    assert simulated(RANDOM)[0] == simulated(RANDOM)[0]
    assert simulated(RANDOM)[0] != simulated(RANDOM, seed=1)[0]


def test_every_job_is_accounted_for_and_every_slot_given_back():
    report, registry = simulated(RANDOM)
    assert report.jobs == 300 == report.placed + sum(report.rejected.values()) + report.unplaced
    assert sum(one.jobs for one in report.workers) == report.placed
    assert sum(one.share for one in report.workers) == pytest.approx(1)
    assert all(0 <= one.busy <= 1 for one in report.workers)
    assert all(worker.running == 0 for worker in registry.snapshot().workers())


def test_a_policy_shows_in_the_distribution():
    several = "fn schedule_job(job, pools, workers) { workers.filter(|w| w.gpus > 1).first() }"
    report, _ = simulated(several)
    assert {one.worker_id.split("-")[0] for one in report.workers if one.jobs} == {"cuda4"}
    assert report.waited > 0
    refusing, _ = simulated('fn schedule_job(job, pools, workers) { reject("no") }')
    assert refusing.rejected == {"no": 300}
    failing, _ = simulated("fn schedule_job(job, pools, workers) { nope }")
    assert sum(failing.failures.values()) == failing.decisions > 0


def test_the_command_and_its_figures(folder):
    result = policy("simulate", "p.rhai", "--workers", "5", "--jobs", "50")
    assert result.exit_code == 0
    assert "time per decision" in result.stdout
    report = json.loads(policy("simulate", "p.rhai", "--jobs", "50", "--json").stdout)
    assert (report["jobs"], len(report["workers"])) == (50, 20)
    assert 0 < report["decision_p50"] <= report["decision_p99"]
    fleet = [{"id": "w", "url": "http://h:1", "model": "m"}]
    (folder / "fleet.json").write_text(json.dumps(fleet))
    report = json.loads(
        policy("simulate", "p.rhai", "--fleet", "fleet.json", "--jobs", "5", "--json").stdout
    )
    assert [one["worker_id"] for one in report["workers"]] == ["w"]
    (folder / "f.rhai").write_text("fn schedule_job(job, pools, workers) { nope }")
    assert policy("simulate", "f.rhai", "--jobs", "5").exit_code == 1
