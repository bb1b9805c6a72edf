"""Health: live as long as it answers, ready when it could serve."""

import pytest

from rbee_scheduler_gateway import __version__


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


TOKEN = "a-token-of-many-letters"


async def get(site, path, **options):
    return await site.ask(path, method="GET", **options)


async def test_it_lives_even_with_no_worker(memory):
    async with memory.open_site(None, workers=0) as site:
        answer = await get(site, "/health")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_it_is_ready_when_a_worker_is_usable(memory):
    async with memory.open_site(None, workers=2) as site:
        site.gateway.registry.drain("w0")
        answer = await get(site, "/ready")
    assert (answer.status, answer.json()) == (200, {"status": "ready"})


async def test_it_is_not_ready_without_workers_and_says_so(memory):
    async with memory.open_site(None, workers=0) as site:
        answer = await get(site, "/ready")
    assert answer.status == 503
    assert answer.json()["reasons"] == ["no worker is known"]


async def test_it_is_not_ready_when_no_worker_is_usable(memory):
    async with memory.open_site(None, workers=3) as site:
        for worker in site.gateway.registry.snapshot().workers():
            site.gateway.registry.update(worker.id, online=False)
        answer = await get(site, "/ready")
    assert answer.status == 503
    assert answer.json()["reasons"] == ["none of the 3 known workers is usable"]


async def test_probes_need_no_token_and_the_version_does(memory):
    async with memory.open_site(None, options={"tokens": [TOKEN]}) as site:
        answers = [(await get(site, path)).status for path in ("/health", "/ready", "/version")]
    assert answers == [200, 200, 401]


async def test_a_head_request_is_answered_too(memory):
    async with memory.open_site(None) as site:
        answer = await site.ask("/ready", method="HEAD")
    assert answer.status == 200


async def test_the_version_says_what_decides(memory):
    async with memory.open_site(None) as site:
        answer = (await get(site, "/version")).json()
        digest = site.gateway.plugins.digest
    assert answer["version"] == __version__
    assert answer["mode"] == "home"
    assert answer["strategy"] == "best-score"
    assert answer["plugins"] == digest
    assert answer["process"] == 0
