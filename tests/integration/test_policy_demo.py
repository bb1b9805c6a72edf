"""`rbee-scheduler demo --policy FILE`: a policy edited while it runs takes effect at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from rbee_scheduler.demo._scenario import watchable_model


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler", "demo"]
MANY = ("--plain", "--no-kill", "--requests", "10000", "--concurrency", "4", "--workers", "2")
BACKENDS = ("asyncio", "trio")

# Jobs that find their worker full wait for it.
ALL_TO = "fn schedule_job(job, pools, workers) {{ workers.filter(|w| w.id == `{}`).first() }}\n"
DONE = re.compile(r"^job-\d+ done by (worker-\d)")
GIVEN = re.compile(r"^job-\d+ -> (worker-\d)")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    model = watchable_model(cache / "rbee-scheduler")
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    more = {"XDG_CACHE_HOME": str(cache), "XDG_STATE_HOME": str(cache / "state")}
    yield kept | more | {"PYTHONIOENCODING": "utf-8"}
    model.unlink()


class Demo:
    """The demo under way, read line by line: what it says is the only clock."""

    def __init__(self, process):
        self.process = process
        self.said = []

    def read_until(self, words, times=1):
        """Return the lines up to the one in which ``words`` stand for the given time."""
        lines = []
        while times:
            line = self.process.stdout.readline()
            assert line, "".join(self.said) + self.process.stderr.read()
            self.said.append(line)
            lines.append(line)
            times -= words in line
        return lines

    def given(self, lines):
        return {match[1] for match in map(GIVEN.match, lines) if match}


@pytest.fixture
def start(environment):
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [*COMMAND, *MANY, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8", env=environment,
        )  # fmt: skip
        started.append(process)
        return Demo(process)

    yield start
    for process in started:
        with process:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_policy_that_is_edited_takes_effect_at_once(start, tmp_path, backend):
    policy = tmp_path / "policy.rhai"
    policy.write_text(ALL_TO.format("worker-1"))
    demo = start("--policy", str(policy), "--backend", backend)
    before = demo.read_until(" done by ", times=4)
    assert demo.given(before) == {"worker-1"}

    policy.write_text(ALL_TO.format("worker-2"))
    meanwhile = demo.read_until("*** policy policy: version 2 ")
    assert demo.given(meanwhile) <= {"worker-1"}
    after = demo.read_until(" done by worker-2", times=4)
    assert demo.given(after) == {"worker-2"}

    policy.write_text("fn schedule_job(job, pools, workers) {\n    workers.first(\n")
    refused = demo.read_until("is refused")
    assert f"{policy}:" in refused[-1]
    assert demo.given(demo.read_until(" done by ", times=4)) == {"worker-2"}


def test_a_policy_and_a_strategy_are_one_too_many(environment):
    done = subprocess.run(
        [*COMMAND, "--policy", "p.rhai", "--strategy", "simple"],
        capture_output=True, encoding="utf-8", check=False, env=environment, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "use --strategy or --policy" in done.stderr


def test_a_policy_that_is_not_there(environment, tmp_path):
    done = subprocess.run(
        [*COMMAND, "--policy", str(tmp_path / "none.rhai")],
        capture_output=True, encoding="utf-8", check=False, env=environment, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.rhai" in done.stderr
