"""`rbee-scheduler demo --policy FILE`: a policy edited while it runs takes effect at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from rbee_scheduler.cli import cli


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler", "demo"]
MANY = ("--plain", "--no-kill", "--requests", "10000", "--concurrency", "4", "--workers", "2")
BACKENDS = ("asyncio", "trio")

# Jobs that find their worker full wait for it.
ALL_TO = "fn schedule_job(job, pools, workers) {{ workers.filter(|w| w.id == `{}`).first() }}\n"
DONE = re.compile(r"^job-\d+ done by (worker-\d)")
GIVEN = re.compile(r"^job-\d+ -> (worker-\d)")


@pytest.fixture
def environment(demo_cache, tmp_path):
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    more = {"XDG_CACHE_HOME": str(demo_cache), "XDG_STATE_HOME": str(tmp_path / "state")}
    return kept | more | {"PYTHONIOENCODING": "utf-8"}


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
    # This is said once the version is kept on disk; it decides from a moment before.
    demo.read_until("*** policy policy: version 2 ")
    after = demo.read_until(" done by worker-2", times=4)
    assert demo.given(after) == {"worker-2"}

    policy.write_text("fn schedule_job(job, pools, workers) {\n    workers.first(\n")
    refused = demo.read_until("is refused")
    assert f"{policy}:" in refused[-1]
    assert demo.given(demo.read_until(" done by ", times=4)) == {"worker-2"}


@pytest.fixture
def refuse(environment, monkeypatch, capsys):
    """Run the demo in this process, as it does not come to its servers; return what it said."""
    monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
    monkeypatch.setenv("XDG_CACHE_HOME", environment["XDG_CACHE_HOME"])

    def refuse(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["demo", *arguments])
        said = capsys.readouterr()
        assert (end.value.code, said.out) == (2, "")
        return said.err

    return refuse


def test_a_policy_and_a_strategy_are_one_too_many(refuse):
    assert "use --strategy or --policy" in refuse("--policy", "p.rhai", "--strategy", "simple")


def test_a_policy_that_is_not_there(refuse, tmp_path):
    assert "none.rhai" in refuse("--policy", str(tmp_path / "none.rhai"))
