"""A Rhai policy before real llama.cpp servers: it chooses, they tell the story."""

from __future__ import annotations

import anyio
import pytest

from rbee_scheduler import (
    InferenceRequest,
    PluginConfig,
    Rejected,
    Scheduler,
    SchedulerConfig,
    WorkerRegistry,
)
from rbee_scheduler.demo import STORY_TEXT
from rbee_scheduler_script import RhaiScheduler


PROMPT = "Tell me a story!"

BY_PRIORITY = """
// People get the dear servers, in turn by load; batch jobs the cheap one.
fn schedule_job(job, pools, workers) {
    if job.max_tokens > 10000 {
        return reject(`${job.max_tokens} tokens are too many`);
    }
    if job.priority == "batch" {
        return workers.min_by(|w| w.cost_per_token);
    }
    workers.filter(|w| w.cost_per_token > 0.5).least_loaded()
}
"""


def registry_of(servers):
    registry = WorkerRegistry()
    for n, server in enumerate(servers):
        registry.add_url(
            server.url, id=f"llama-{n}", model="tiny-bee", slots=2, implementation="llama-cpp",
            cost_per_token=1.0 if n else 0.1,
        )  # fmt: skip
    return registry


def request(n=0, **fields):
    options = {"model": "tiny-bee", "prompt": PROMPT, "max_tokens": 200, "temperature": 0}
    return InferenceRequest(job_id=f"job-{n}", **options | fields)


async def run(scheduler, asked):
    async with scheduler.stream(asked) as events:
        return [event async for event in events]


def text_of(events):
    return "".join(event.text for event in events if event.type == "token")


@pytest.mark.parametrize(
    ("priority", "expected"), [("batch", "llama-0"), ("interactive", "llama-1")]
)
async def test_the_policy_chooses_and_the_worker_answers(llama_cluster, priority, expected):
    async with RhaiScheduler.from_source(BY_PRIORITY, registry_of(llama_cluster)) as scheduler:
        events = await run(scheduler, request(priority=priority))
    assert text_of(events) == STORY_TEXT
    assert events[-1].outcome.worker_id == expected
    assert scheduler.status().failures == 0


async def test_the_seeds_usage(llama_cluster, tmp_path):
    path = tmp_path / "scheduler.rhai"
    path.write_text(BY_PRIORITY)
    lines = []
    scheduler = RhaiScheduler.from_file(path, registry_of(llama_cluster))
    async with scheduler:
        result = await scheduler.schedule(request())
        await scheduler.execute_inference(result, request(), lines.append)
    assert (result.worker_id, lines[-1]) == ("llama-1", "[DONE]")


async def test_a_burst_spreads_by_the_policy(llama_cluster):
    outcomes = []
    async with RhaiScheduler.from_source(BY_PRIORITY, registry_of(llama_cluster)) as scheduler:

        async def one(n):
            events = await run(scheduler, request(n))
            outcomes.append((events[-1].outcome.worker_id, text_of(events)))

        async with anyio.create_task_group() as tasks:
            for n in range(12):
                tasks.start_soon(one, n)
    assert [text for _, text in outcomes] == [STORY_TEXT] * 12
    # Batch servers are left alone; the other two share, those that wait included.
    assert {worker for worker, _ in outcomes} == {"llama-1", "llama-2"}
    assert scheduler.status().failures == 0


async def test_reject_ends_the_stream_with_the_reason(llama_cluster):
    async with RhaiScheduler.from_source(BY_PRIORITY, registry_of(llama_cluster)) as scheduler:
        [event] = await run(scheduler, request(max_tokens=20_000))
    assert isinstance(event.error, Rejected)
    assert event.error.message == "20000 tokens are too many"


async def test_a_server_that_dies_is_left_for_the_next_choice(llama_server_factory):
    servers = [llama_server_factory() for _ in range(3)]
    async with RhaiScheduler.from_source(BY_PRIORITY, registry_of(servers)) as scheduler:
        servers[1].kill()
        events = await run(scheduler, request())
    assert text_of(events) == STORY_TEXT
    assert events[-1].outcome.worker_id == "llama-2"
    assert events[-1].outcome.attempts == 2


async def test_a_broken_policy_serves_on(llama_cluster):
    broken = "fn schedule_job(job, pools, workers) { workers.filter(|w| w.gpu.count > 1).first() }"
    async with RhaiScheduler.from_source(
        broken, registry_of(llama_cluster), max_failures=2
    ) as scheduler:
        for n in range(4):
            assert text_of(await run(scheduler, request(n))) == STORY_TEXT
    status = scheduler.status()
    assert (status.state, status.runs) == ("set-aside", 2)


async def test_a_filter_and_a_scorer_of_a_deployment(llama_cluster):
    plugins = [
        PluginConfig(name="dear", plugin="script", options={
            "source": "fn filter(job, worker) { worker.cost_per_token > 0.5 }"}),
        PluginConfig(name="last", plugin="script", options={
            "source": "fn score(job, worker) { parse_int(worker.id.sub_string(6)) }"}),
    ]  # fmt: skip
    async with Scheduler(registry_of(llama_cluster), plugins, SchedulerConfig()) as scheduler:
        events = await run(scheduler, request())
    assert text_of(events) == STORY_TEXT
    assert events[-1].outcome.worker_id == "llama-2"
