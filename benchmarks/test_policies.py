"""What a decision by a Rhai policy costs: the whole pipeline, data and answer included.

Each is the scheduler's own decision on a fleet whose workers' maps are kept, which is how it runs:
between two decisions one worker has changed (`test_after_a_change` measures that, too).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rbee_scheduler import Geo, InferenceRequest, User, WorkerRegistry
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Plugins
from rbee_scheduler.testing import free_workers
from rbee_scheduler_script import Policy, RhaiScheduler, as_plugin
from rbee_scheduler_script._worker_data import WorkerData, worker_map


FOLDER = Path(__file__).parents[1] / "examples" / "policies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.rhai"))
SIZES = [10, 100, 1_000]


@pytest.fixture(scope="module")
def fleets():
    made = {}
    for size in SIZES:
        registry = made[size] = WorkerRegistry()
        for n, worker in enumerate(free_workers(size, slots=8, total_vram_mb=24_000.0)):
            registry.add(
                worker.changed(
                    cost_per_token=n % 7 / 1e6 + 1e-6,
                    gpus=n % 4,
                    running=n % 8,
                    backend=("cuda", "metal")[n % 2],
                    avg_tokens_per_sec=20.0 + n % 5,
                    geo=Geo(
                        latitude=n % 90, longitude=n % 180, region=("eu-west", "us-east")[n % 2]
                    ),
                )
            )
    return made


@pytest.fixture
def request_():
    place = User(geo=Geo(latitude=52.5, longitude=13.4, region="eu-central"))
    return InferenceRequest(job_id="j", model="m", prompt="Hello!", created_at=1.0, user=place)


def decision(registry, policy, request):
    scheduler = RhaiScheduler(policy, registry)
    chain, snapshot = scheduler.plugins.chain(scheduler.strategy), registry.snapshot
    failures = []

    def run():
        return decide(request, snapshot(turn=1, seed=1), chain, on_failure=failures.append)

    run()
    assert failures == []
    return run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_example(benchmark, fleets, request_, name, size):
    policy = Policy.from_file(FOLDER / f"{name}.rhai", role="select")
    run = decision(fleets[size], policy, request_)
    assert benchmark(run).action == "dispatch"


SHORT = {
    "nothing": "fn schedule_job(job, pools, workers) { workers[0] }",
    "least-loaded": "fn schedule_job(job, pools, workers) { workers.least_loaded() }",
    "random": "fn schedule_job(job, pools, workers) { workers.random() }",
    "ctx": "fn schedule(ctx) { ctx.workers.least_loaded() }",
    "pools": "fn schedule_job(job, pools, workers) { pools.len(); workers[0] }",
    "loop": "fn schedule_job(job, pools, workers) { let best = workers[0];"
    " for w in workers { if w.load < best.load { best = w; } } best }",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("source", SHORT.values(), ids=SHORT)
def test_short(benchmark, fleets, request_, source, size):
    assert benchmark(decision(fleets[size], Policy(source), request_)).action == "dispatch"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("role", ["filter", "score"])
def test_filter_and_score(benchmark, fleets, request_, role, size):
    body = {"filter": "worker.gpus > 0 && worker.load < 0.9", "score": "1.0 - worker.load"}[role]
    policy = Policy(f"fn {role}(job, worker) {{ {body} }}")
    chain = Plugins([as_plugin(policy)]).chain("best-score")
    snapshot = fleets[size].snapshot
    assert benchmark(lambda: decide(request_, snapshot(), chain)).action == "dispatch"


@pytest.mark.parametrize("size", SIZES)
def test_after_a_change(benchmark, fleets, request_, size):
    """The same with a reservation and a release before each decision."""
    registry = fleets[size]
    run = decision(registry, Policy(SHORT["least-loaded"]), request_)

    def change_and_run():
        registry.reserve("w1").release()
        return run()

    assert benchmark(change_and_run).action == "dispatch"


@pytest.mark.parametrize("size", SIZES)
def test_hand_over_workers(benchmark, fleets, size):
    data = WorkerData()
    candidates = fleets[size].snapshot().free("m")
    data.all(candidates)
    assert len(benchmark(data.all, candidates)) == len(candidates)


def test_one_worker_map(benchmark, fleets):
    worker = fleets[10].snapshot().worker("w1")
    assert benchmark(worker_map, worker)["id"] == "w1"


def test_compile_an_example(benchmark):
    source = (FOLDER / "platform-like.rhai").read_text()
    assert benchmark(Policy, source).role == "select"
