"""`rbee-scheduler serve` in this process: what it says, and how it ends."""

import json
import os
import signal
import socket

import anyio
import httpx
import pytest

from rbee_scheduler.cli import cli
from rbee_scheduler.testing import FakeWorker
from rbee_scheduler_gateway._service import Plan, serve_alone
from rbee_scheduler_gateway._service._alone import url_of
from rbee_scheduler_gateway._service._parent import reserve_port


TOKEN = "a-token-of-many-letters"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command; return its exit code, and what it said on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith("RBEE_"):
            monkeypatch.delenv(name)

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["serve", *map(str, arguments)])
        return end.value.code, capsys.readouterr().err

    return call


@pytest.fixture
def taken_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_in_use_is_an_error_with_a_remedy(call, taken_port, processes):
    code, said = call("--port", taken_port, "--processes", processes)
    assert code == 2
    assert f"127.0.0.1:{taken_port}: can't listen: Address already in use" in said
    assert "choose another port" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "0.0.0.0"], "can be reached from elsewhere, and there is no token"),
        (["--mode", "lab"], "lab mode needs a token"),
        (["--mode", "platform", "--no-plugins"], "nobody who knows the tenants"),
        (["--mode", "castle"], "'castle' is not one of"),
        (["--strategy", "none-such"], "there is no strategy 'none-such'"),
        (["--port", "70000"], "70000 is no port"),
        (["--token", "short"], "a token is too short"),
        (["--worker", "http://"], "it must be the base URL of the server"),
        (["--tls-cert", "none.pem"], "the certificate can't be used"),
        (["--tls-key", "none.pem"], "there is a key, but no certificate"),
        (["--prot", "1"], "No such option '--prot'"),
        (["--set", "queue.capacty=1"], "did you mean queue.capacity?"),
        (["--processes", "0"], "it must be at least 1"),
        (["--processes", "2", "--host", "unix:/tmp/x"], "processes can't share a Unix socket"),
    ],
)
def test_what_can_not_be_served_is_refused_in_one_line(call, arguments, expected):
    code, said = call("--port", "0", *arguments)
    assert code == 2
    assert expected in said
    assert said.count("\n") == 1


def test_errors_are_json_where_that_is_asked_for(call):
    code, said = call("--json", "--mode", "lab")
    assert code == 2
    assert json.loads(said)["error"]["code"] == "CONFIG_INVALID"


async def serve_until(number, plan, use=None):
    """Serve, do something, press a key; return what `serve_alone` did."""
    started = []
    async with anyio.create_task_group() as tasks:
        ready = anyio.Event()
        result = []

        def announce(one):
            started.append(one)
            ready.set()

        async def serve():
            result.append(await serve_alone(plan, announce))

        tasks.start_soon(serve)
        await ready.wait()
        if use is not None:
            await use(started[0])
        os.kill(os.getpid(), number)
    return result[0], started[0]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.delenv("RBEE_SCHEDULER_PLUGINS", raising=False)
    path = tmp_path / "rbee-scheduler.toml"
    path.write_text("")
    return str(path)


@pytest.mark.parametrize(
    ("number", "by_keyboard"), [(signal.SIGTERM, False), (signal.SIGINT, True)]
)
async def test_a_signal_ends_it(empty, number, by_keyboard):
    handler = signal.getsignal(number)
    async with FakeWorker() as worker:
        plan = Plan(config=empty, urls=(worker.url,), options={"port": 0})
        result, started = await serve_until(number, plan)
    assert result is by_keyboard
    assert (started.mode, started.strategy) == ("home", "least-in-flight")
    assert (started.workers, started.usable) == (1, 1)
    assert signal.getsignal(number) == handler


async def test_it_serves_without_any_worker_for_heartbeats_may_bring_some(empty):
    async def use(started):
        async with httpx.AsyncClient(base_url=started.url, trust_env=False) as client:
            statuses.append((await client.get("/health")).status_code)
            statuses.append((await client.get("/ready")).status_code)

    statuses = []
    _, started = await serve_until(signal.SIGTERM, Plan(config=empty, options={"port": 0}), use)
    assert (started.workers, started.usable) == (0, 0)
    assert statuses == [200, 503]


async def test_it_serves_on_a_unix_socket(empty, tmp_path):
    async def use(started):
        transport = httpx.AsyncHTTPTransport(uds=started.url.removeprefix("unix:"))
        async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
            statuses.append((await client.get("/health")).status_code)

    statuses = []
    plan = Plan(config=empty, options={"host": f"unix:{tmp_path}/s"})
    _, started = await serve_until(signal.SIGTERM, plan, use)
    assert started.url == f"unix:{tmp_path}/s"
    assert statuses == [200]


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("http", "127.0.0.1", "http://127.0.0.1:{}"),
        ("https", "box", "https://box:{}"),
        ("http", "::1", "http://[::1]:{}"),
        ("http", "unix:/run/s", "unix:/run/s"),
    ],
)
def test_the_url_is_one_that_clients_can_use(scheme, host, expected):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert url_of(scheme, host, [sock]) == expected.format(sock.getsockname()[1])


def test_the_port_of_several_processes_is_held_and_gets_no_connections(empty):
    _, options = Plan(config=empty, options={"port": 0, "processes": 2}).load()
    holders = reserve_port(options)
    with holders[0], socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(holders[0].getsockname())
