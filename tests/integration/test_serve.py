"""`rbee-scheduler serve` as processes: signals, drains, reloads, and several behind one port."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import anyio
import httpx
import pytest

from rbee_scheduler.testing import FakeWorker, Gate, Script, VirtualClock
from rbee_scheduler_gateway._service import Plan
from rbee_scheduler_gateway._service._parent import Parent


COMMAND = [sys.executable, "-W", "error", "-m", "rbee_scheduler", "serve", "--json", "--port", "0"]
URL = "/v1/chat/completions"
CHAT = {"model": "story", "messages": [{"role": "user", "content": "A story!"}]}


# Each number of processes on one loop or the other, and each loop with each number in one test
# or another: a process takes 0.4 s of CPU to start.
ONE_AND_TWO = pytest.mark.parametrize(("processes", "backend"), [(1, "asyncio"), (2, "trio")])
TWO_AND_ONE = pytest.mark.parametrize(("processes", "backend"), [(1, "trio"), (2, "asyncio")])


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    """The tests' own loop; the service runs on each."""
    return request.param


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rbee-scheduler.toml"
    path.write_text("")
    return path


class Said:
    """What a process says on stderr, as it comes."""

    def __init__(self):
        self.text = ""
        self._more = anyio.Event()

    async def listen(self, stream):
        async for data in stream:
            self.text += data.decode()
            self._more.set()
            self._more = anyio.Event()

    async def until(self, words, times=1):
        while self.text.count(words) < times:
            await self._more.wait()


class Served:
    """A service in processes of its own."""

    def __init__(self, process, started, client, said):
        self.process = process
        self.started = started
        self.client = client
        self.said = said

    def signal(self, number):
        self.process.send_signal(number)

    async def end(self):
        with anyio.fail_after(60):
            return await self.process.wait()

    async def stream(self, answers):
        async with self.client.stream("POST", URL, json={**CHAT, "stream": True}) as response:
            answers.append(await response.aread())

    @asynccontextmanager
    async def lines(self, count=2):
        """A client of each process: a connection that is kept stays with who took it."""
        found = {}
        async with AsyncExitStack() as stack:
            while len(found) < count:
                line = await stack.enter_async_context(
                    httpx.AsyncClient(base_url=self.started["url"], timeout=60, trust_env=False)
                )
                found.setdefault((await line.get("/version")).json()["process"], line)
                await anyio.sleep(0.01)  # one that starts needs the CPU, too
            assert set(found) == set(range(count))
            yield [found[number] for number in range(count)]


@pytest.fixture
def serve(file):
    @asynccontextmanager
    async def serve(*arguments):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RBEE_")}
        process = await anyio.open_process(
            [*COMMAND, "--config", str(file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept,
        )
        async with process:
            said = Said()

            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(said.listen, process.stderr)
                    with anyio.fail_after(60):
                        line = await process.stdout.receive()
                    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
                    started = json.loads(line)
                    async with httpx.AsyncClient(
                        base_url=started["url"], limits=limits, timeout=60, trust_env=False
                    ) as client:
                        served = Served(process, started, client, said)
                        yield served
                    if process.returncode is None:
                        process.terminate()
                        await served.end()
            finally:
                if process.returncode is None:
                    process.kill()

    return serve


async def until(condition, expected):
    """Ask until the answer is the expected one; the test's time limit ends it else."""
    while (found := await condition()) != expected:  # noqa: ASYNC110 - of another process
        await anyio.sleep(0.02)
    return found


@ONE_AND_TWO
async def test_sigterm_ends_no_stream_early(serve, backend, processes):
    gate, answers = Gate(after=2), []
    async with (
        FakeWorker(Script(gate=gate), slots=64) as worker,
        serve("--worker", worker.url, "--backend", backend, "--processes", str(processes)) as one,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(50):
            tasks.start_soon(one.stream, answers)
        await gate.wait_for(50)
        one.signal(signal.SIGTERM)
        await one.said.until("stopping")
        gate.release()
        code = await one.end()
    assert code == 0
    assert len(answers) == 50
    assert {answer.rstrip().endswith(b"data: [DONE]") for answer in answers} == {True}


@TWO_AND_ONE
async def test_a_second_signal_ends_streams_with_one_error(serve, backend, processes):
    gate, answers = Gate(after=2), []
    async with (
        FakeWorker(Script(gate=gate)) as worker,
        serve("--worker", worker.url, "--backend", backend, "--processes", str(processes)) as one,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(one.stream, answers)
        await gate.wait_for(1)
        one.signal(signal.SIGINT)
        await one.said.until("stopping")
        one.signal(signal.SIGINT)
        code = await one.end()
    assert code == 130  # Ctrl-C
    assert answers[0].count(b"SHUTTING_DOWN") == 1


@ONE_AND_TWO
async def test_sighup_reloads_in_every_process(serve, backend, file, processes):
    async with (
        FakeWorker() as worker,
        serve("--backend", backend, "--processes", str(processes)) as one,
    ):
        # In place of the old file at once, or half of it might be read.
        new = file.with_suffix(".new")
        new.write_text(f'[[workers]]\nurl = "{worker.url}"\n')
        new.replace(file)
        one.signal(signal.SIGHUP)
        await one.said.until("the configuration was reloaded", processes)
        statuses = {(await one.client.post(URL, json=CHAT)).status_code for _ in range(10)}
    assert one.started["workers"] == 0
    assert statuses == {200}


async def test_processes_end_when_their_parent_is_killed(serve):
    async with FakeWorker() as worker, serve("--worker", worker.url, "--processes", "2") as one:
        children = await anyio.run_process(["pgrep", "-P", str(one.process.pid)])
        pids = [int(pid) for pid in children.stdout.split()]
        one.process.kill()
        with anyio.fail_after(30):
            for pid in pids:
                await until(partial(alive, pid), expected=False)
    assert len(pids) == 2


async def alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        stat = await anyio.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def two_free_ports():
    """The first of two free neighbours, below those that the kernel gives to other tests."""
    for port in range(20_000 + os.getpid() % 10_000, 32_767):
        with socket.socket() as one, socket.socket() as two, suppress(OSError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port
    pytest.fail("no two free ports")


async def test_each_process_can_be_reached_alone(serve):
    base = two_free_ports()
    async with (
        serve("--processes", "2", "--process-port", str(base)),
        httpx.AsyncClient(trust_env=False) as client,
    ):
        numbers = [
            (await client.get(f"http://127.0.0.1:{base + n}/version")).json()["process"]
            for n in range(2)
        ]
    assert numbers == [0, 1]


async def workers_of(lines):
    """The ids of the workers that each process knows."""
    answers = [(await line.get("/v1/workers")).json()["data"] for line in lines]
    return [sorted(worker["id"] for worker in answer) for answer in answers]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_process_that_dies_is_replaced_and_knows_what_all_were_told(serve, backend):
    async with (
        FakeWorker() as worker,
        FakeWorker() as other,
        serve("--backend", backend, "--processes", "2") as one,
    ):
        async with one.lines() as lines:
            for number, fake in enumerate((worker, other)):
                body = {"id": f"w{number}", "url": fake.url}
                added = await one.client.post("/v1/workers", json=body)
                assert added.status_code < 300, added.text
            await until(lambda: workers_of(lines), [["w0", "w1"]] * 2)
            removed = await one.client.delete("/v1/workers/w1")
            assert removed.status_code < 300
            await until(lambda: workers_of(lines), [["w0"]] * 2)
        children = await anyio.run_process(["pgrep", "-P", str(one.process.pid)])
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        await one.said.until("a process died")
        answer = await one.client.post(URL, json=CHAT)  # the other goes on
        assert answer.status_code == 200
        async with one.lines() as lines:
            assert await workers_of(lines) == [["w0"]] * 2
            statuses = [(await line.post(URL, json=CHAT)).status_code for line in lines]
        one.signal(signal.SIGTERM)
        assert await one.end() == 0
    assert statuses == [200, 200]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_process_that_hangs_at_the_end_is_killed(file, anyio_backend):
    clock, ready = VirtualClock(), anyio.Event()
    plan = Plan(config=str(file), options={"port": 0, "processes": 2, "drain_seconds": 10.0})
    _, options = plan.load()
    parent = Parent(plan, options, lambda _: ready.set(), clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(parent.run)
        await ready.wait()
        hanging, other = parent._processes[0], parent._processes[1]
        hanging.send_signal(signal.SIGSTOP)
        parent.drain()
        await other.wait()
        await clock.run_for(16.9)  # 10, 2 for last words, 5 for ending the interpreter
        assert hanging.returncode is None
        await clock.run_for(0.2)
    assert hanging.returncode == -signal.SIGKILL


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_processes_that_are_told_to_stop_while_they_start_do(file, anyio_backend):
    plan, announced = Plan(config=str(file), options={"port": 0, "processes": 2}), []
    parent = Parent(plan, plan.load()[1], announced.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(parent.run)
        await until(partial(started, parent), expected=True)
        parent.drain()
    assert announced == []


async def started(parent):
    return bool(parent._processes)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "(home mode, strategy least-in-flight, no workers yet)"),
        (["--worker", "127.0.0.1:1", "--strategy", "random"], "random, 0 of 1 workers usable)"),
        (["--processes", "2"], "2 processes, no workers yet)"),
    ],
)
async def test_a_person_is_told_where_it_is_in_one_line(file, arguments, expected):
    command = [part for part in COMMAND if part != "--json"]
    process = await anyio.open_process([*command, "--config", str(file), *arguments])
    async with process:
        said = b""
        while b"serving on" not in said or not said.endswith(b"\n"):
            said += await process.stderr.receive()
        process.terminate()
        assert await process.wait() == 0
    # Before it there may be a warning of a worker that can't be used.
    (line,) = [line for line in said.decode().splitlines() if not line.startswith("{")]
    assert line.startswith("serving on http://127.0.0.1:")
    assert line.endswith(expected)


async def test_a_configuration_that_no_process_can_serve_is_told_once(file):
    file.write_text('strategy = "none-such"')
    command = [*COMMAND, "--config", str(file), "--processes", "3"]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().count("there is no strategy 'none-such'") == 1
