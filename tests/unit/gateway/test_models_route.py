"""``GET /v1/models``: what can be asked for, and who serves it."""

import pytest

from rbee_scheduler import Worker


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def nobody(_):
    raise AssertionError


def add(site, name, *models, **fields):
    worker = Worker(
        id=name, url=f"http://127.0.0.1/{name}", models=models, model=models[0], **fields
    )
    site.gateway.registry.add(worker)


async def test_all_models_with_their_workers(memory):
    async with memory.open_site(nobody, workers=0) as site:
        add(site, "w0", "bee", "wasp")
        add(site, "w1", "bee", status="starting")
        got = await site.ask("/v1/models", method="GET")
    assert got.json()["object"] == "list"
    entries = {entry["id"]: (entry["workers"], entry["ready"]) for entry in got.json()["data"]}
    assert entries == {"bee": (["w0", "w1"], 1), "wasp": (["w0"], 1)}
    assert {entry["object"] for entry in got.json()["data"]} == {"model"}
    assert all(isinstance(entry["created"], int) for entry in got.json()["data"])


async def test_without_workers_the_list_is_empty(memory):
    async with memory.open_site(nobody, workers=0) as site:
        got = await site.ask("/v1/models", method="GET")
    assert got.json() == {"object": "list", "data": []}


@pytest.mark.parametrize("name", ["bee", "meta-llama/Llama-3.1-8B", "a b:é"])
async def test_one_model(memory, name):
    async with memory.open_site(nobody, workers=0) as site:
        add(site, "w0", name)
        got = await site.ask(f"/v1/models/{name}", method="GET")
        missing = await site.ask("/v1/models/wasp", method="GET")
    assert (got.status, got.json()["id"], got.json()["workers"]) == (200, name, ["w0"])
    assert (missing.status, missing.error()["code"]) == (404, "NOT_FOUND")
    assert "wasp" in missing.error()["message"]


async def test_a_worker_that_leaves_takes_its_models_along(memory):
    async with memory.open_site(nobody, workers=0) as site:
        add(site, "w0", "bee")
        site.gateway.registry.remove("w0", "gone")
        got = await site.ask("/v1/models", method="GET")
    assert got.json()["data"] == []
