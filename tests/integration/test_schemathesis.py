"""The service keeps to its own description, whatever it is asked: schemathesis asks."""

import socket
import threading
from collections import Counter
from importlib.util import find_spec

import anyio
import httpx
import pytest

from rbee_scheduler import Deployment, Plugins, Worker
from rbee_scheduler.testing import FakeWorker
from rbee_scheduler_gateway import Gateway, GatewayOptions


pytestmark = pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="schemathesis is not installed"
)

# Answers that say why nobody can serve a request: of the 5xx the only ones that are no fault.
SAID = {502: "WORKER_", 503: "NO_WORKERS_AVAILABLE", 504: "DEADLINE_EXCEEDED"}
EXAMPLES = 8

# No operation but these has a good answer: the worker has no such model or API, the heartbeat of
# the example is old, no policy is in force.
NEVER = {
    "POST /v1/embeddings", "POST /v1/responses",
    "POST /v1/hive-heartbeat", "POST /v1/worker-heartbeat",
    "POST /v1/policies/{name}/deploy", "POST /v1/policies/{name}/rollback",
}  # fmt: skip

POLICY = "fn schedule_job(job, pools, workers) { workers.first() }"
PLACES = {"worker_id": "w0", "model": "story", "name": "mine"}


class Running:
    """A gateway with a fake worker, in a thread of its own."""

    def __enter__(self):
        self.ready = threading.Event()
        self.thread = threading.Thread(target=anyio.run, args=(self._run,))
        self.thread.start()
        assert self.ready.wait(30)
        return self

    def __exit__(self, *_):
        self.token.run_sync(self.stop.set)
        self.thread.join(30)
        assert not self.thread.is_alive()

    async def _run(self):
        from rbee_scheduler_gateway._server import Server, listen

        self.stop = anyio.Event()
        async with FakeWorker() as worker:
            workers = (Worker(id="w0", url=worker.url, model="story"),)
            options = GatewayOptions(job_keep_seconds=60.0)
            async with Gateway(
                Deployment(workers=workers), options, load_plugins=lambda _: Plugins([])
            ) as gateway:
                sockets = listen("127.0.0.1", 0)
                self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
                server = Server(gateway.handle)
                async with anyio.create_task_group() as tasks:
                    await tasks.start(server.serve, sockets)
                    self.token = _Portal(anyio.lowlevel.current_token())
                    self.ready.set()
                    await self.stop.wait()
                    gateway.end_all()
                    server.drain()
                    server.cut()


class _Portal:
    def __init__(self, token):
        self.token = token

    def run_sync(self, function):
        anyio.from_thread.run_sync(function, token=self.token)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        with Running() as running:
            yield running


def example(operation, places):
    """What works, as the description says."""
    found = {"path_parameters": {p.name: places[p.name] for p in operation.path_parameters}}
    for body in operation.body:
        if body.media_type == "application/json" and "example" in body.definition:
            found |= {"body": body.definition["example"], "media_type": body.media_type}
    return found


def look(operation, running, places, answers):
    """Ask for one operation in many ways; every answer is as described."""
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    def ask(case):
        response = case.call(base_url=running.url, timeout=10)
        status = response.status_code
        answers[f"{operation.method.upper()} {operation.path}", status] += 1
        if status >= 500:
            code = response.json()["error"]["code"]
            assert code.startswith(SAID.get(status, "?")), f"{case.method} {case.path}: {code}"
        case.validate_response(
            response,
            checks=[
                content_type_conformance,
                response_headers_conformance,
                response_schema_conformance,
                status_code_conformance,
            ],
        )

    settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(given(case=operation.as_strategy())(ask))()
    httpx.put(f"{running.url}/v1/policies/mine", content=POLICY)  # one may have deleted it
    ask(operation.Case(**example(operation, places)))


def test_the_service_keeps_to_its_description(running):
    import schemathesis

    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    answers = Counter()
    job = httpx.post(f"{running.url}/v1/jobs", json={"model": "story", "prompt": "Once"})
    places = PLACES | {"job_id": job.json()["job_id"]}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path != "/v1/events":  # which never ends
            look(operation, running, places, answers)
    good = {name for name, status in answers if status < 300}
    # All but those that nothing in this service is there for: what says so is checked, too.
    assert {name for name, _ in answers} - good == NEVER


def test_a_listener_that_vanishes_is_forgotten(running):
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in client.recv(4096)
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in client.recv(4096)
