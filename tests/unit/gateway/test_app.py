"""`create_app`: the gateway under servers that are not ours."""

import socket

import anyio
import httpx
import hypercorn.config
import hypercorn.trio
import pytest
import uvicorn

from rbee_scheduler import ConfigError, Configuration
from rbee_scheduler.testing import FakeWorker
from rbee_scheduler_gateway import create_app


TOKEN = "a-token-of-many-letters"


def free_socket():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


async def use(running, port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        whole = await client.post(running.URL, json=running.CHAT)
        stream = await client.post(running.URL, json=running.STREAM)
        models = await client.get("/v1/models")
        refused = await client.post(running.URL, content=b"{")
    assert whole.json()["choices"][0]["message"]["content"] == " once upon a time a small bee"
    assert running.content(stream.text) == " once upon a time a small bee"
    assert running.events(stream.text)[-1] == "[DONE]"
    assert [model["id"] for model in models.json()["data"]] == ["story"]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")


class Uvicorn(uvicorn.Server):
    """Says when it has started, and leaves signals alone."""

    def __init__(self, config):
        super().__init__(config)
        self.up = anyio.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        self.up.set()

    def install_signal_handlers(self):
        pass


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_under_uvicorn(running, anyio_backend):
    async with FakeWorker() as worker, anyio.create_task_group() as tasks:
        app = create_app(running.deployment_of(worker))
        config = uvicorn.Config(app, lifespan="on", log_config=None, ws="none")
        server, sock = Uvicorn(config), free_socket()
        tasks.start_soon(server.serve, [sock])
        await server.up.wait()
        await use(running, sock.getsockname()[1])
        server.should_exit = True
    sock.close()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_under_hypercorn_on_trio(running, anyio_backend):
    async with FakeWorker() as worker, anyio.create_task_group() as tasks:
        app = create_app(running.deployment_of(worker))
        sock, stop = free_socket(), anyio.Event()
        config = hypercorn.config.Config()
        config.bind = [f"fd://{sock.detach()}"]
        config.errorlog = None

        async def serve(*, task_status):
            await hypercorn.trio.serve(
                app, config, shutdown_trigger=stop.wait, task_status=task_status
            )

        (bound, *_) = await tasks.start(serve)
        await use(running, int(bound.rpartition(":")[2]))
        stop.set()


async def in_process(app, path, **headers):
    """Enter the application, send one request, and leave."""
    send_event, events = anyio.create_memory_object_stream(10)
    answers = anyio.create_memory_object_stream(10)

    async def send(message):
        await answers[0].send(message)

    sent = []

    async def take(message):
        sent.append(message)

    body = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if not body:
            await anyio.sleep_forever()
        return body.pop()

    async with send_event, events, answers[0], answers[1], anyio.create_task_group() as tasks:
        tasks.start_soon(app, {"type": "lifespan"}, events.receive, send)
        await send_event.send({"type": "lifespan.startup"})
        assert (await answers[1].receive())["type"] == "lifespan.startup.complete"
        pairs = [(b"host", b"127.0.0.1")]
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b""}
        await app({**scope, "headers": pairs, "client": None}, receive, take)
        await send_event.send({"type": "lifespan.shutdown"})
        assert (await answers[1].receive())["type"] == "lifespan.shutdown.complete"
    return sent


async def test_options_win_over_the_configurations(running, tmp_path):
    file = tmp_path / "rbee-scheduler.toml"
    file.write_text('[[plugins]]\nname = "gateway"\n[plugins.options]\nmode = "home"\n')
    app = create_app(file, mode="lab", tokens=[TOKEN])
    refused = await in_process(app, "/v1/models")
    app = create_app(file, mode="lab", tokens=[TOKEN])
    allowed = await in_process(app, "/v1/models", authorization=f"Bearer {TOKEN}")
    assert [refused[0]["status"], allowed[0]["status"]] == [401, 200]


async def test_a_configuration_that_was_read_is_taken(running):
    async with FakeWorker() as worker:
        app = create_app(Configuration(deployment=running.deployment_of(worker)))
        answer = await in_process(app, "/ready")
    assert answer[0]["status"] == 200


def test_without_a_configuration_the_one_that_is_found_is_served(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rbee-scheduler.toml").write_text('strategy = "none-such"')
    with pytest.raises(ConfigError, match="none-such"):
        create_app()


def test_an_option_that_is_none_is_refused_with_the_nearest_one(running):
    with pytest.raises(ConfigError, match="did you mean 'tokens'"):
        create_app(running.deployment_of(), token=[TOKEN])


def test_a_lab_without_a_token_is_refused(running):
    with pytest.raises(ConfigError, match="lab mode needs a token"):
        create_app(running.deployment_of(), mode="lab")
