"""What relaying costs: our own CPU time per request and per event, against a raw server.

The server runs in a process of its own and does next to nothing; the clock is this
process's CPU time. Beside `scheduler.stream` stands httpx alone, doing the same calls
without deciding, decoding or watching limits: the floor with this client.
"""

import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx
import pytest

from rbee_scheduler import InferenceRequest, Scheduler, WorkerRegistry


EVENTS = 500
REQUESTS = 20
BACKENDS = ["asyncio", "trio"]

pytestmark = pytest.mark.benchmark(timer=time.process_time, min_rounds=3)


@pytest.fixture(scope="module")
def url():
    program = Path(__file__).with_name("_raw_server.py")
    server = subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


async def by_scheduler(url: str, requests: int, tokens: int) -> int:
    registry = WorkerRegistry()
    registry.add_url(url, model="m")
    count = 0
    async with Scheduler(registry, []) as scheduler:
        for n in range(requests):
            request = InferenceRequest(job_id=f"j{n}", model="m", prompt="x", max_tokens=tokens)
            async with scheduler.stream(request) as events:
                async for event in events:
                    count += event.type == "token"
    return count


async def by_httpx(url: str, requests: int, tokens: int) -> int:
    count = 0
    async with httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client:
        for _ in range(requests):
            body = {"max_tokens": tokens}
            headers = {"connection": "close"}
            async with client.stream("POST", url, json=body, headers=headers) as response:
                async for chunk in response.aiter_raw():
                    count += chunk.count(b"data: {")
    return count


WAYS = {"scheduler": by_scheduler, "httpx alone": by_httpx}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", WAYS)
def test_per_event(benchmark, url, way, backend):
    """One stream of 500 events: divide by 500."""
    counted = benchmark(anyio.run, WAYS[way], url, 1, EVENTS, backend=backend)
    assert counted == EVENTS


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", WAYS)
def test_per_request(benchmark, url, way, backend):
    """20 requests of one event each: divide by 20."""
    counted = benchmark(anyio.run, WAYS[way], url, REQUESTS, 1, backend=backend)
    assert counted == REQUESTS
