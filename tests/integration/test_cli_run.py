"""`rbee-scheduler run` and `workers` with real workers.

What only a process can show (signals, pipes, terminals) is shown by one; all else runs
in this one, which saves a second each.
"""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import NamedTuple

import anyio
import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from rbee_scheduler.cli import cli
from rbee_scheduler.demo import STORY_TEXT, story_after
from rbee_scheduler.testing import Dialect, FakeWorker, Gate, Script


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler"]
PROMPT = "Tell me a story!"


@pytest.fixture(params=["asyncio", "trio"])
def backend(request):
    return request.param


@pytest.fixture
def environment(tmp_path):
    """No configuration of the user's own, and no wish for colours."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("RBEE_", "NO_COLOR", "FORCE_"))
    }
    return kept | {"XDG_CONFIG_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def call(environment, tmp_path, monkeypatch, capsys):
    """Run a command in this process; return its exit code, and what it said where."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", environment["XDG_CONFIG_HOME"])

    def call(*arguments, stdin="", **more):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(end.value.code, said.out, said.err)

    return call


@pytest.fixture
def serve():
    """Run a fake worker beside the test; its event loop is in a thread of its own."""
    with start_blocking_portal() as portal, ExitStack() as workers:
        yield lambda worker: workers.enter_context(portal.wrap_async_context_manager(worker))


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def workers(*servers):
    return [word for server in servers for word in ("--worker", server.url)]


def begin(environment, folder, *arguments):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env=environment, cwd=folder, bufsize=0,
    )  # fmt: skip


# ---- run ----------------------------------------------------------------------------------


def test_a_chat_is_the_default(call, llama_cluster, backend):
    done = call(
        "run", "tiny-bee", PROMPT, *workers(*llama_cluster),
        "--temperature", 0, "--max-tokens", 100, "--backend", backend,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == STORY_TEXT + "\n"


def test_the_prompt_may_come_from_stdin(call, llama_cluster):
    prompt = PROMPT + " Once upon a time"
    done = call(
        "run", "tiny-bee", "-", *workers(llama_cluster[0]), "--completion", "--temperature", 0,
        stdin=prompt + "\n",
    )  # fmt: skip
    assert done.stdout == story_after(prompt) + "\n"


def test_stats_go_to_stderr(call, llama_cluster):
    done = call("run", "tiny-bee", PROMPT, *workers(*llama_cluster), "--temperature", 0, "--stats")
    assert done.stdout == STORY_TEXT + "\n"
    facts = done.stderr.split(", ")
    assert facts[0] == f"worker {llama_cluster[0].url.removeprefix('http://')}"
    assert facts[-1] == "finish reason stop\n"
    assert any(fact.endswith(" tokens") for fact in facts)


def test_json_is_a_line_for_each_event(call, llama_cluster, backend):
    done = call(
        "run", "tiny-bee", PROMPT, *workers(*llama_cluster), "--temperature", 0, "--json",
        "--backend", backend,
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "end")
    assert set(kinds[1:-1]) == {"token", "metrics"}
    assert "".join(e["text"] for e in events if e["type"] == "token") == STORY_TEXT
    assert events[-1]["outcome"]["kind"] == "success"


def test_output_that_knows_no_unicode(environment, tmp_path, llama_cluster):
    process = begin(
        environment | {"PYTHONIOENCODING": "ascii"}, tmp_path,
        "run", "tiny-bee", PROMPT, *workers(*llama_cluster), "--temperature", 0,
    )  # fmt: skip
    with process:
        shown, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"")
    assert shown.decode("ascii") == STORY_TEXT[:-1] + "\\U0001f41d\n"


async def test_a_worker_that_dies_half_way_is_replaced(environment, tmp_path, anyio_backend_name):
    gate = Gate(after=2)
    first = FakeWorker(Script(tokens=(" one", " two", " no"), gate=gate), model="m")
    second = FakeWorker(Script(tokens=(" three", " four")), model="m")
    async with first, second:
        process = await anyio.open_process(
            [
                *COMMAND, "run", "m", PROMPT, *workers(first, second), "--completion", "--resume",
                "--backend", anyio_backend_name,
            ],
            stdin=subprocess.DEVNULL, env=environment, cwd=tmp_path,
        )  # fmt: skip
        async with process:
            shown, said = b"", b""
            while shown != b" one two":
                shown += await process.stdout.receive()
            first.kill()
            async for chunk in process.stdout:
                shown += chunk
            async for chunk in process.stderr:
                said += chunk
            assert await process.wait() == 0
        assert second.requests[-1].json["prompt"] == PROMPT + " one two"
    # Nothing on stdout tells of it.
    assert shown == b" one two three four\n"
    assert said.decode() == f"a worker failed; {second.host}:{second.port} goes on\n"


def test_an_unknown_model_is_an_answer_and_says_what_there_is(call, llama_cluster):
    done = call("run", "llama-9", PROMPT, *workers(llama_cluster[0]))
    assert (done.returncode, done.stdout) == (1, "")
    assert "[NO_WORKERS_AVAILABLE]" in done.stderr
    assert "serves: tiny-bee" in done.stderr


def test_a_dead_worker_is_an_answer(call):
    done = call("run", "m", PROMPT, "--worker", "127.0.0.1:1", "--json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "NO_WORKERS_AVAILABLE"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "CONFIG_INVALID"),
        (("--worker", "ftp://x"), "CONFIG_INVALID"),
        (("--worker", "x:1", "--resume"), "USAGE"),
        (("--worker", "x:1", "--temperature", "-1"), "UNPROCESSABLE_REQUEST"),
        (("--worker", "x:1", "--max-tokens", "0"), "UNPROCESSABLE_REQUEST"),
    ],
)
def test_wrong_usage(call, arguments, code):
    done = call("run", "m", PROMPT, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"[{code}]\n")


def test_the_configuration_may_name_the_workers(call, llama_cluster, tmp_path):
    (tmp_path / "rbee-scheduler.toml").write_text(
        f'[[workers]]\nid = "mine"\nurl = "{llama_cluster[0].url}"\n', encoding="utf-8"
    )
    done = call("run", "tiny-bee", PROMPT, "--temperature", 0, "--stats")
    assert done.stdout == STORY_TEXT + "\n"
    assert done.stderr.startswith("worker mine, ")


def test_ctrl_c_ends_it_cleanly(
    environment, tmp_path, endless_model, llama_server_factory, backend
):
    server = llama_server_factory(endless_model, context=32_000)
    process = begin(
        environment, tmp_path, "run", "tiny-bee", PROMPT, *workers(server), "--temperature", 1,
        "--completion", "--max-tokens", 30_000, "--backend", backend,
    )  # fmt: skip
    with process:
        assert process.stdout.read(1), process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.decode()) == (130, "")
    with httpx.Client(base_url=server.url) as client:
        looks = (client.get("/slots").json() for _ in range(10_000))  # 20 ms are a few dozen
        assert any(not any(slot["is_processing"] for slot in slots) for slots in looks)


def test_whoever_reads_may_leave(
    environment, tmp_path, endless_model, llama_server_factory, backend
):
    server = llama_server_factory(endless_model, context=32_000)
    process = begin(
        environment, tmp_path, "run", "tiny-bee", PROMPT, *workers(server), "--completion",
        "--max-tokens", 30_000, "--backend", backend,
    )  # fmt: skip
    with process:
        assert process.stdout.read(1), process.stderr.read()
        process.stdout.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr.read() == b""


def test_a_terminal_shows_escape_sequences_and_does_not_obey(environment, tmp_path, serve):
    ours, theirs = pty.openpty()
    worker = serve(FakeWorker(Script(tokens=(" red\x1b[31m", " bell\x07", "\n", "end")), model="m"))
    process = subprocess.Popen(
        [*COMMAND, "run", "m", PROMPT, "--worker", worker.url],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path,
    )  # fmt: skip
    os.close(theirs)
    with process:
        shown = read_all(ours)
    assert process.returncode == 0
    assert shown == " red\\x1b[31m bell\\x07\r\nend\r\n"


def read_all(terminal):
    data = b""
    with suppress(OSError):  # Linux: EIO once the other side is closed
        while chunk := os.read(terminal, 65536):
            data += chunk
    os.close(terminal)
    return data.decode()


def test_a_worker_that_names_no_model_is_taken_for_one_that_has_it(call, serve):
    paths = {"/v1/models": Script(status=404), "/props": Script(status=404)}
    worker = serve(FakeWorker(Script(tokens=(" yes",)), paths=paths))
    done = call("run", "any", PROMPT, "-v", "--worker", worker.url)
    assert (done.returncode, done.stdout) == (0, " yes\n")
    assert done.stderr == f"worker {worker.host}:{worker.port}\n"
    assert worker.requests[-1].json["model"] == "any"


def test_a_worker_that_answers_an_error_is_tried_again_and_told_of(call, serve):
    worker = serve(FakeWorker(Script(tokens=(" yes",)), model="m"))
    worker.enqueue(Script(status=500))
    done = call("run", "m", PROMPT, "--stats", "--worker", worker.url)
    assert (done.returncode, done.stdout) == (0, " yes\n")
    assert "2 workers tried" in done.stderr


def test_a_failure_is_an_event_and_an_error(call, llama_cluster):
    done = call(
        "run", "tiny-bee", "word " * 4000, *workers(llama_cluster[0]), "--completion", "--json"
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["type"], last["error"]["code"]) == (1, "error", "WORKER_ERROR")
    assert json.loads(done.stderr)["error"]["code"] == "WORKER_ERROR"


def test_a_prompt_that_is_no_text(call, monkeypatch):
    monkeypatch.setattr("rbee_scheduler.cli._run.read_input", lambda _: b"\xff")
    done = call("run", "m", "-", "--worker", "x:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "<stdin>: the prompt is no UTF-8 [INVALID_REQUEST]" in done.stderr


# ---- workers ------------------------------------------------------------------------------


def test_workers_are_shown(call, llama_cluster, backend):
    done = call("workers", *workers(*llama_cluster), "-w", "127.0.0.1:1", "--backend", backend)
    head, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert head.split()[:5] == ["WORKER", "KIND", "VERSION", "MODELS", "STATUS"]
    expected = ["llama-cpp", "tiny-bee", "ready", "2", "0", "0", "health", "models"]
    for server, row in zip(llama_cluster, rows, strict=False):
        cells = row.split()
        assert cells[0] == server.url.removeprefix("http://")
        assert [cells[1], *cells[3:10]] == expected
    assert rows[3].split()[4] == "offline"
    assert rows[4].startswith("127.0.0.1:1: ConnectError")


def test_what_was_asked_and_answered(call, llama_cluster):
    done = call("workers", *workers(llama_cluster[0]), "-v")
    assert '  GET /health: 200: {"status":"ok"}' in done.stdout.splitlines()
    assert "  GET /info: 404: File Not Found" in done.stdout.splitlines()


def test_workers_as_json(call, llama_cluster):
    done = call("workers", *workers(llama_cluster[0]), "--json")
    (worker,) = json.loads(done.stdout)["workers"]
    assert worker["url"] == llama_cluster[0].url
    assert (worker["implementation"], worker["models"]) == ("llama-cpp", ["tiny-bee"])
    assert (worker["available"], worker["status"], worker["slots"]) == (True, "ready", 2)
    assert {a["path"]: a["status"] for a in worker["answers"]}["/health"] == 200


def test_no_available_worker_is_a_negative_answer(call):
    done = call("workers", "-w", "127.0.0.1:1")
    assert (done.returncode, done.stderr) == (1, "no worker is available\n")


def test_a_key_comes_from_the_environment_and_is_not_shown(call, llama_server_factory):
    server = llama_server_factory(api_key="s3cret")
    done = call("workers", *workers(server))
    assert done.returncode == 1
    assert "it asks for a key" in done.stdout
    done = call("workers", *workers(server), "--json", RBEE_WORKER_API_KEY="s3cret")
    assert done.returncode == 0
    assert "s3cret" not in done.stdout + done.stderr
    done = call("run", "tiny-bee", PROMPT, *workers(server), "--temperature", 0,
                RBEE_WORKER_API_KEY="s3cret")  # fmt: skip
    assert done.stdout == STORY_TEXT + "\n"


def test_a_queen_worker_serves_too(call, serve):
    worker = serve(FakeWorker(Script(tokens=(" a", " b")), dialect=Dialect.QUEEN, model="m"))
    done = call("run", "m", PROMPT, "--worker", worker.url)
    assert (done.returncode, done.stdout) == (0, " a b\n")
