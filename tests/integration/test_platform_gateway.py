"""Platform mode as an operator runs it: commands, a configuration, a process that is killed."""

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from rbee_scheduler.testing import FakeWorker, Gate, Script


PROGRAM = [sys.executable, "-W", "error", "-m", "rbee_scheduler"]
URL = "/v1/chat/completions"
SECRET = "xylophone-marmalade"
CHAT = {
    "model": "story",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": SECRET}],
}
JOB = {"model": "story", "prompt": SECRET, "max_tokens": 20}

CONFIGURATION = """
[[plugins]]
name = "platform"
[plugins.options]
store = "rbee-platform.db"
token_memory_kib = 8
token_passes = 1

[[plugins]]
name = "gateway"
[plugins.options]
mode = "platform"
"""


@pytest.fixture(params=["asyncio", "trio"])
def backend(request):
    return request.param


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    """The tests' own loop; the service runs on each."""
    return request.param


@pytest.fixture
def place(tmp_path):
    (tmp_path / "rbee-scheduler.toml").write_text(CONFIGURATION)
    return tmp_path


class Operator:
    """Who runs commands in the service's folder."""

    def __init__(self, place):
        self.place = place
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RBEE_")}
        self.log = b""

    async def run(self, *arguments, fails=False):
        """Run a command; return what it says as JSON."""
        done = await anyio.run_process(
            [*PROGRAM, *arguments, "--json"], cwd=self.place, env=self.environment, check=False
        )
        assert (done.returncode != 0) is fails, done.stderr.decode()
        return json.loads(done.stdout)

    @asynccontextmanager
    async def serve(self, *workers, backend):
        urls = [argument for worker in workers for argument in ("--worker", worker.url)]
        process = await anyio.open_process(
            [*PROGRAM, "serve", "--json", "--port", "0", "--backend", backend, *urls],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with process:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._listen, process.stderr)
                    with anyio.fail_after(60):
                        started = json.loads(await process.stdout.receive())
                    assert (started["mode"], started["strategy"]) == ("platform", "platform")
                    async with httpx.AsyncClient(
                        base_url=started["url"], timeout=60, trust_env=False
                    ) as client:
                        yield process, client
                    if process.returncode is None:
                        process.terminate()
                        with anyio.fail_after(60):
                            await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()

    async def _listen(self, stream):
        async for data in stream:
            self.log += data

    async def token(self, *arguments):
        made = await self.run("tenant", "token", "create", *arguments)
        return {"authorization": f"Bearer {made['token']}"}


async def until(true):
    with anyio.fail_after(30):
        while not await true():  # noqa: ASYNC110 - another process tells nobody
            await anyio.sleep(0.02)


async def test_from_nothing_to_a_killed_service_and_back(place, backend):
    operator = Operator(place)
    await operator.run("tenant", "create", "acme", "--requests-per-minute", "3")
    await operator.run("tenant", "create", "bolt")
    acme, bolt = await operator.token("acme"), await operator.token("bolt")
    boss = await operator.token("--operator")
    gate = Gate(after=2)
    async with FakeWorker(lambda _: Script(gate=gate), slots=1) as worker:
        async with operator.serve(worker, backend=backend) as (process, client):
            assert (await client.post(URL, json=CHAT)).status_code == 401
            assert (await client.post(URL, json=CHAT, headers=boss)).status_code == 403
            running = (await client.post("/v1/jobs", json=JOB, headers=bolt)).json()
            queued = (await client.post("/v1/jobs", json=JOB, headers=bolt)).json()
            assert (running["status"], queued["status"]) == ("running", "queued")
            other = await client.get(f"/v1/jobs/{queued['job_id']}", headers=acme)
            assert other.status_code == 404
            queue = (await client.get("/v1/platform/queue", headers=boss)).json()
            assert (queue["waiting"]["interactive"], queue["running"]) == (1, 1)
            process.kill()
            await process.wait()
        gate.release()
        async with operator.serve(worker, backend=backend) as (_, client):
            url = f"/v1/jobs/{queued['job_id']}"

            async def ended():
                return (await client.get(url, headers=bolt)).json()["status"] == "ended"

            await until(ended)
            lost = (await client.get(f"/v1/jobs/{running['job_id']}", headers=bolt)).json()
            assert lost["error"]["code"] == "GATEWAY_LOST"
            # A tenant's own view, and a quota that is spent to the second.
            answers = [await client.post(URL, json=CHAT, headers=acme) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert answers[0].json()["choices"][0]["message"]["content"].startswith(" once upon")
            assert 1 <= int(answers[3].headers["retry-after"]) <= 20
            assert answers[3].headers["x-ratelimit-limit-requests"] == "3"
            assert answers[3].json()["error"]["code"] == "QUOTA_EXCEEDED"
            about = (await client.get("/v1/platform", headers=acme)).json()
            metrics = (await client.get("/metrics", headers=boss)).text
            # What the operator changes is in force within a second or two.
            await operator.run("tenant", "disable", "acme")

            async def refused():
                return (await client.get("/v1/usage", headers=acme)).status_code == 403

            await until(refused)
    await operator.run("audit", "verify")  # fails where a record is missing or changed
    assert (await operator.run("store", "check"))["problems"] == []
    assert about["digest"] in (place / "rbee-platform.db").read_bytes().decode("latin-1")
    kept = b"".join(file.read_bytes() for file in place.iterdir()) + operator.log
    assert SECRET.encode() not in kept + metrics.encode()
    assert "acme" not in metrics
