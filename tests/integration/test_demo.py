"""`rbee-scheduler demo` as its users see it: on both event loops, on a terminal and on none."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from rbee_scheduler.cli import cli


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler", "demo"]
FEW = ("--requests", "8", "--concurrency", "4", "--workers", "2")
ONE = ("--no-kill", "--requests", "1", "--workers", "1")
BACKENDS = ("asyncio", "trio")


@pytest.fixture(scope="module")
def environment(demo_cache):
    """A cache of its own, with the model in it; no colours but the terminal's."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    return kept | {
        "XDG_CACHE_HOME": str(demo_cache), "PYTHONIOENCODING": "utf-8", "TERM": "xterm",
    }  # fmt: skip


@pytest.fixture
def call(environment):
    def call(*arguments, **more):
        return subprocess.run(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", timeout=60, check=False, env=environment | more,
        )  # fmt: skip

    return call


@pytest.fixture
def in_process(environment, monkeypatch, capsys):
    """Run the demo in this process, for what needs no servers."""
    monkeypatch.setenv("XDG_CACHE_HOME", environment["XDG_CACHE_HOME"])

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["demo", *arguments])
        return end.value.code, capsys.readouterr()

    return call


@pytest.fixture
def call_on_terminal(environment):
    """Run the demo on a terminal of 24 lines and 80 columns; return status and output."""

    def call(*arguments, **more):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=theirs,
            stderr=subprocess.PIPE, env=environment | more,
        )  # fmt: skip
        os.close(theirs)
        data = b""
        with process, suppress(OSError):  # Linux: EIO once the other side is closed
            while chunk := os.read(ours, 65536):
                data += chunk
        os.close(ours)
        assert process.returncode is not None
        return process.returncode, data.decode()

    return call


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_request_is_answered_although_a_worker_is_killed(call, backend):
    done = call("--json", "--backend", backend, *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["requests"], report["completed"], report["exact"]) == (8, 8, 8)
    assert report["retried"] >= 1
    assert (report["backend"], report["strategy"], report["failures"]) == (backend, "simple", {})
    assert [worker["killed"] for worker in report["workers"]].count(True) == 1
    assert sum(worker["requests"] for worker in report["workers"]) == 8
    assert 0 < report["first_token_p50"] <= report["first_token_p99"] <= report["total_p99"]
    assert report["tokens_per_second"] > 0


def test_without_a_terminal_there_are_plain_lines_that_need_no_unicode(call):
    done = call(*FEW, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\\U0001f41d" in done.stdout
    lines = done.stdout.splitlines()
    assert sum(" done by worker-" in line for line in lines) == 8
    (killed,) = re.findall(r"\*\*\* (worker-\d) was killed \(SIGKILL", done.stdout)
    moved = rf"job-\d+ -> worker-\d, for {killed} failed it before its first token"
    assert re.search(moved, done.stdout)
    assert any(line.split() == ["requests", "8"] for line in lines)


def test_on_a_terminal_a_few_lines_are_drawn_anew(call_on_terminal):
    code, shown = call_on_terminal(*FEW)
    assert code == 0
    assert "\x1b[?25l" in shown
    # The cursor comes back before the tables, and nothing is drawn after it.
    _, _, after = shown.rpartition("\x1b[?25h")
    assert "8, 8 of them exact to the letter" in after
    assert "\x1b[J" not in after
    drawn = shown.split("\x1b[J")
    assert len(drawn) > 8
    assert all(len(line) < 80 for picture in drawn[:-1] for line in picture.split("\r\n"))


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_may_wish_for_plain_lines(call_on_terminal, more):
    code, shown = call_on_terminal(*ONE, **more)
    assert (code, "\x1b" in shown) == (0, False)
    assert shown.count(" done by worker-") == 1


def test_another_strategy_and_nobody_killed(call):
    done = call("--json", "--strategy", "best-score", *ONE)
    report = json.loads(done.stdout)
    assert (done.returncode, report["exact"], report["retried"]) == (0, 1, 0)
    assert report["strategy"] == "best-score"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--workers", "1"), "CONFIG_INVALID"),
        (("--requests", "0"), "USAGE"),
        (("--strategy", "nonsense"), "CONFIG_INVALID"),
    ],
)
def test_wrong_usage(in_process, arguments, code):
    status, said = in_process(*arguments)
    assert status == 2
    assert said.out == ""
    assert f"[{code}]" in said.err


@pytest.mark.parametrize("missing", ["gguf", "xllamacpp"])
def test_a_missing_extra_is_said_with_its_remedy(in_process, missing, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, missing, None)
    status, said = in_process()
    assert (status, said.out) == (1, "")
    assert "pip install 'rbee-scheduler[demo]'" in said.err
    assert said.err.endswith("[DEMO_EXTRA_MISSING]\n")


def test_a_wrong_answer_is_a_failure(in_process, monkeypatch):
    monkeypatch.setattr("rbee_scheduler.demo._scenario.story_after", lambda _: "something else")
    status, said = in_process("--json", *ONE)
    assert status == 1
    assert json.loads(said.out)["exact"] == 0
    assert said.err.startswith("warning: job-01: the text is not as expected: ' Once")


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_it_and_its_servers(environment, backend):
    process = subprocess.Popen(
        [*COMMAND, "--plain", "--no-kill", "--backend", backend, "--requests", "1000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        bufsize=0, env=environment,
    )  # fmt: skip
    with process:
        begun = b""
        while b" done by " not in begun:
            chunk = process.stdout.read(65536)
            assert chunk, process.stderr.read()
            begun += chunk
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, b"")
    pids = re.findall(rb"llama\.cpp at \S+, process (\d+)", begun)
    assert len(pids) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
