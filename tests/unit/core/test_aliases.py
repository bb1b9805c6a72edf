"""Short names of models: a request and a worker may each use their own, and still meet."""

import pytest

from rbee_scheduler import (
    Catalog,
    InferenceRequest,
    ModelInfo,
    Scheduler,
    WorkerRegistry,
)
from rbee_scheduler.testing import FakeWorker


CANONICAL = "meta-llama/Llama-3-8b"


@pytest.fixture
def registry():
    model = ModelInfo(model_ref=CANONICAL, aliases=("llama3", "llama-3-8b"))
    return WorkerRegistry(catalog=Catalog([model]))


@pytest.mark.parametrize("asked", ["llama3", "llama-3-8b", CANONICAL])
@pytest.mark.parametrize("served", ["llama3", "llama-3-8b", CANONICAL])
def test_any_name_of_a_model_finds_a_worker_that_knows_another(registry, asked, served):
    registry.add_url("http://127.0.0.1:8081", id="w", model=served)
    request = InferenceRequest(job_id="j", model=asked, prompt="Hi")

    explanation = Scheduler(registry, []).explain(request)

    assert explanation.worker_id == "w"
    assert explanation.model == CANONICAL


@pytest.mark.parametrize("served", ["llama3", CANONICAL])
async def test_a_worker_is_asked_for_the_name_that_it_knows(registry, served):
    async with FakeWorker(model=served) as worker:
        registry.add_url(worker.url, model=served)
        async with Scheduler(registry, []) as scheduler:
            request = InferenceRequest(job_id="j", model="llama-3-8b", prompt="Hi")
            async with scheduler.stream(request) as events:
                await events.text()
        assert served == worker.requests[0].json["model"]


def test_without_a_catalog_a_name_is_only_itself():
    registry = WorkerRegistry()
    worker = registry.add_url("http://127.0.0.1:8081", model="llama3")

    assert worker.models == ("llama3",)
    assert registry.find_workers_with_model(CANONICAL) == ()
