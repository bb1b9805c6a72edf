"""``top``: what two readings of a gateway say, drawn as lines, and the command around it."""

import json
import os
import re
import signal
import sys
from contextlib import contextmanager
from math import inf

import anyio
import anyio.to_thread
import attrs
import httpx
import pytest

from rbee_scheduler import SchedulerError, WorkerCommunicationFailed, WorkerError
from rbee_scheduler.testing import FakeWorker, VirtualClock
from rbee_scheduler_gateway._top import Reading, View, WorkerView, picture, read_gateway, view_of
from rbee_scheduler_gateway._top._screen import Screen
from rbee_scheduler_gateway._top._view import quantile


TOKEN = "a-token-of-many-letters"
URL = "http://127.0.0.1:8080"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def worker(**fields):
    known = {
        "id": "gpu-1",
        "status": "ready",
        "model": "llama",
        "load": 0.6,
        "running": 3,
        "slots": 5,
        "tokens_per_s": 120.4,
        "failures": 0,
    }
    return WorkerView(**{**known, **fields})


def view(*workers, **fields):
    known = {
        "strategy": "least-in-flight",
        "mode": "home",
        "uptime_s": 7380.0,
        "seconds": 1.0,
        "requests_per_s": 12.34,
        "errors_per_s": 0.0,
        "tokens_per_s": 310.4,
        "first_token_p50_s": 0.043,
        "first_token_p95_s": 1.26,
        "running": 7,
        "queued": 0,
        "queue": {},
    }
    return View(**{**known, **fields}, workers=workers)


# ---- the picture -----------------------------------------------------------------------------


def test_a_picture_shows_rates_workers_and_the_queue():
    busy = worker(id="a-longer-id", status="busy", load=1.0, running=8, slots=8, failures=12)
    new = worker(id="new", model="", load=0.0, running=0, slots=None, tokens_per_s=None)
    shown = view(worker(), busy, new, queued=4, queue={"llama": 3, "qwen": 1})
    assert (
        "\n".join(picture(shown, URL))
        == """\
rbee-scheduler http://127.0.0.1:8080  least-in-flight  home mode  up 2 h 3 min
requests 12.3/s  errors 0.0/s  tokens 310/s  first token p50 43 ms p95 1.3 s  active 7  queued 4

WORKER       STATUS  MODEL  LOAD          RUNNING  TOKENS/S  FAILED
gpu-1        ready   llama  [######....]      3/5       120       0
a-longer-id  busy    llama  [##########]      8/8       120      12
new          ready   -      [..........]      0/?         -       0

QUEUE  WAITING
llama        3
qwen         1"""
    )


def test_a_gateway_without_workers_says_so():
    lines = picture(view(first_token_p50_s=None, first_token_p95_s=None), URL)
    assert lines[-1] == "no workers"
    assert "p50 - p95 -" in lines[1]


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 200])
@pytest.mark.parametrize("rows", [1, 2, 5, 10, 24, 100])
@pytest.mark.parametrize("color", [False, True])
def test_a_picture_never_leaves_the_terminal(columns, rows, color):
    fleet = [worker(id=f"worker-{n}", status="busy") for n in range(50)]
    queue = {f"model-{n}": n for n in range(30)}
    shown = view(*fleet, queue=queue, queued=435)
    lines = picture(shown, URL, columns=columns, rows=rows, color=color, note="no answer")
    assert len(lines) <= rows
    assert max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in lines) <= columns


def test_what_does_not_fit_is_counted():
    fleet = [worker(id=f"w{n}") for n in range(50)]
    lines = picture(view(*fleet, queue={f"m{n}": 1 for n in range(30)}), URL, rows=24)
    workers = next(int(re.search(r"\d+", line)[0]) for line in lines if "more workers" in line)
    shown = sum(line.startswith("w") for line in lines)
    assert shown + workers == 50
    assert any("more models" in line for line in lines)


def test_colours_are_only_where_they_are_welcome():
    shown = view(worker(), worker(id="ready", status="offline"))
    plain, colored = picture(shown, URL), picture(shown, URL, color=True)
    assert not any("\x1b" in line for line in plain)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in colored] == plain
    assert "  \x1b[32mready\x1b[0m" in colored[4]
    assert "  \x1b[31moffline\x1b[0m" in colored[5]


def test_names_can_not_move_the_cursor():
    evil = worker(id="\x1b[2Jgone", model="a\rb\n", status="ready")
    text = "\n".join(picture(view(evil, queue={"\x1b]0;title\x07": 1}), URL))
    assert not [character for character in text if ord(character) < 32 and character != "\n"]


def test_wide_names_leave_the_columns_aligned():
    lines = picture(view(worker(model="蜂"), worker(model="bee!")), URL)
    assert lines[4].index("[") + 1 == lines[5].index("[")  # one character, two columns


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_times_are_told_in_two_units(seconds, text):
    assert picture(view(uptime_s=seconds), URL)[0].endswith(f"up {text}")


# ---- the view ----------------------------------------------------------------------------------


def reading(at, **fields):
    return Reading(at=at, now=1000.0 + at, started=900.0, **fields)


def test_rates_are_what_grew_over_the_time_between():
    before = reading(10.0, requests=100.0, errors=5.0, tokens=1000.0, tokens_by_worker={"a": 600.0})
    after = reading(
        12.0,
        requests=120.0,
        errors=6.0,
        tokens=1500.0,
        tokens_by_worker={"a": 800.0, "b": 300.0},
        failures={"a": 2.0},
        workers=[
            {"id": "a", "status": "ready", "models": ["m"], "load": 0.5, "running": 1, "slots": 2},
            {"id": "b", "status": "ready", "online": False, "model": "m"},
            {"id": "c", "status": "busy"},
        ],
        queue={"m": 1, "n": 4},
        about={"strategy": "s", "mode": "lab"},
    )
    seen = view_of(before, after)
    assert (seen.requests_per_s, seen.errors_per_s, seen.tokens_per_s) == (10.0, 0.5, 250.0)
    assert [one.tokens_per_s for one in seen.workers] == [100.0, 150.0, None]
    assert [one.status for one in seen.workers] == ["ready", "offline", "busy"]
    assert [one.failures for one in seen.workers] == [2, None, None]
    assert list(seen.queue) == ["n", "m"]
    assert (seen.queued, seen.uptime_s, seen.seconds) == (5, 112.0, 2.0)


def test_a_gateway_that_was_restarted_has_no_negative_rates():
    before = reading(10.0, requests=100.0, tokens=5.0)
    after = attrs.evolve(reading(12.0, requests=3.0), started=1005.0)
    assert view_of(before, after).requests_per_s == 0.0


def test_one_reading_alone_has_no_rates():
    only = reading(
        1.0, requests=10.0, tokens_by_worker={"a": 1.0}, workers=[{"id": "a", "status": "ready"}]
    )
    seen = view_of(only, only)
    assert (seen.requests_per_s, seen.workers[0].tokens_per_s) == (0.0, 0.0)


def test_first_tokens_are_those_of_the_time_between():
    before = reading(1.0, first_token={0.1: 100.0, 1.0: 100.0, inf: 100.0})
    after = reading(2.0, first_token={0.1: 100.0, 1.0: 110.0, inf: 110.0})
    seen = view_of(before, after)
    assert seen.first_token_p50_s == pytest.approx(0.55)
    assert seen.first_token_p95_s == pytest.approx(0.955)


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.1: 0.0, inf: 0.0}, 0.5, None),
        ({0.1: 4.0, inf: 4.0}, 0.5, 0.05),
        ({0.1: 0.0, 0.2: 4.0, inf: 4.0}, 1.0, 0.2),
        ({0.1: 0.0, inf: 4.0}, 0.5, 0.1),
        ({0.1: 1.0, 0.2: 1.0, 0.4: 2.0, inf: 2.0}, 0.75, 0.3),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets, share, expected):
    assert quantile(buckets, share) == (expected if expected is None else pytest.approx(expected))


# ---- a reading ---------------------------------------------------------------------------------


async def test_a_gateway_is_read_and_shown(running):
    async with FakeWorker() as one, FakeWorker() as two, running.open_service(one, two) as service:
        clock = VirtualClock()
        before = await read_gateway(service.client, clock)
        for _ in range(3):
            await service.ask()
        await service.stream([])
        clock.advance(2.0)
        seen = view_of(before, await read_gateway(service.client, clock))
    assert (seen.requests_per_s, seen.errors_per_s) == (2.0, 0.0)
    assert seen.tokens_per_s > 0
    assert seen.first_token_p50_s is not None
    assert (seen.running, seen.queued) == (0, 0)
    assert [(one.id, one.status, one.model) for one in seen.workers] == [
        ("w0", "ready", "story"),
        ("w1", "ready", "story"),
    ]
    assert sum(one.tokens_per_s for one in seen.workers) == seen.tokens_per_s
    assert picture(seen, URL)[0].startswith(f"rbee-scheduler {URL}  best-score  home mode")


def client_of(answers):
    async def answer(request):
        made = answers.get(request.url.path, httpx.Response(404))
        if isinstance(made, Exception):
            raise made
        return made

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=URL)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (httpx.ConnectError("refused"), WorkerCommunicationFailed, "is it running"),
        (httpx.Response(401), WorkerError, "--token"),
        (httpx.Response(403), WorkerError, "RBEE_GATEWAY_TOKEN"),
        (httpx.Response(404), WorkerError, "404"),
        (httpx.Response(200, text="<html>"), SchedulerError, "no gateway"),
        (httpx.Response(200, json=[]), SchedulerError, "no gateway"),
    ],
)
async def test_what_is_no_gateway_is_told_apart(answer, error, said):
    paths = ("/version", "/v1/workers", "/v1/queue", "/metrics")
    async with client_of(dict.fromkeys(paths, answer)) as client:
        with pytest.raises(error, match=said):
            await read_gateway(client, VirtualClock())


# ---- the screen --------------------------------------------------------------------------------


def test_the_screen_gives_the_terminal_back():
    written = []
    screen = Screen(written.append, lambda: (80, 24))

    def interrupted():
        with screen:
            screen.show(["a", "b"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written[0].startswith("\x1b[?1049h")
    assert written[1] == "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"
    assert written[2] == "\x1b[?25h\x1b[?1049l"


# ---- the command -------------------------------------------------------------------------------


PROGRAM = (sys.executable, "-m", "rbee_scheduler", "top", "--interval", "0.1")


async def top(*arguments, **environ):
    environ = {**os.environ, **environ}
    return await anyio.run_process([*PROGRAM, *arguments], check=False, env=environ)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_prints_one_table_where_there_is_no_terminal(running, anyio_backend):
    async with FakeWorker() as worker_, running.open_service(worker_) as service:
        await service.ask()
        url = f"http://127.0.0.1:{service.port}"
        done = await top("--url", url + "/", "--backend", anyio_backend)
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[0].startswith(f"rbee-scheduler {url}  best-score  home mode  up ")
    assert lines[3].split() == [
        "WORKER",
        "STATUS",
        "MODEL",
        "LOAD",
        "RUNNING",
        "TOKENS/S",
        "FAILED",
    ]
    assert lines[4].split()[:3] == ["w0", "ready", "story"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_says_the_same_as_json_to_who_has_a_token(running, anyio_backend):
    options = {"tokens": [TOKEN], "mode": "lab"}
    async with FakeWorker() as worker_, running.open_service(worker_, **options) as service:
        url = f"http://127.0.0.1:{service.port}"
        done = await top("--url", url, "--json", RBEE_GATEWAY_TOKEN=TOKEN)
        refused = await top("--url", url, "--json", RBEE_GATEWAY_TOKEN="")
    data = json.loads(done.stdout)
    assert data["mode"] == "lab"
    assert [one["id"] for one in data["workers"]] == ["w0"]
    assert data["first_token_p50_s"] is None
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"]["code"] == "WORKER_ERROR"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_gateway_that_is_not_there_is_an_error(anyio_backend):
    done = await top("--url", "http://127.0.0.1:9", "--once")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is it running?" in done.stderr


@contextmanager
def terminal():
    """A terminal of 60 columns; give the side that a person would see, and the program's."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    seen, used = pty.openpty()
    fcntl.ioctl(used, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    try:
        yield seen, used
    finally:
        os.close(seen)
        os.close(used)


@pytest.mark.parametrize("ended", ["q", "Ctrl-C"])
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_on_a_terminal_it_draws_until_it_is_ended(running, ended, anyio_backend):
    async with FakeWorker() as worker_, running.open_service(worker_) as service:
        with terminal() as (seen, used):
            url = f"http://127.0.0.1:{service.port}"
            environ = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
            environ.pop("COLUMNS", None)
            environ.pop("LINES", None)
            async with await anyio.open_process(
                [*PROGRAM, "--url", url, "--backend", anyio_backend],
                stdin=used, stdout=used, stderr=used, env=environ,
            ) as process:  # fmt: skip
                shown = await until(seen, lambda text: text.count("\x1b[H") >= 4)
                if ended == "q":
                    os.write(seen, b"q")
                else:
                    process.send_signal(signal.SIGINT)
                shown += await until(seen, lambda text: "\x1b[?1049l" in text)
                code = await process.wait()
    assert code == (0 if ended == "q" else 130)
    pictures = shown.split("\x1b[H")[2:]
    lines = re.sub(r"\x1b\[[KJ]|\r", "", pictures[0]).split("\n")
    assert lines[0].startswith(f"rbee-scheduler {url}")
    assert max(map(len, lines)) < 60  # in the last column some terminals wrap
    assert any(line.startswith("w0") for line in lines)


async def until(file, enough):
    """Read from a terminal until there is enough."""
    text = ""
    with anyio.fail_after(60):
        while not enough(text):
            await anyio.wait_readable(file)
            text += os.read(file, 65536).decode()
    return text
