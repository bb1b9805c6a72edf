"""The example policies run as they are, and choose what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbee_scheduler import (
    Catalog,
    Geo,
    Gpu,
    HiveHeartbeat,
    InferenceRequest,
    ModelInfo,
    PluginConfig,
    Scheduler,
    SchedulerConfig,
    Surroundings,
    User,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler._pipeline import decide
from rbee_scheduler.testing import PluginContract, VirtualClock
from rbee_scheduler_script import Policy, RhaiScheduler, SelectPolicy, rhai


FOLDER = Path(__file__).parents[3] / "examples" / "policies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.rhai"))

# Enough for 10,000 workers under a debugger.
PATIENT = rhai.Limits(time_ms=60_000)

PARIS = Geo(latitude=48.86, longitude=2.35, region="eu-west")
OHIO = Geo(latitude=39.96, longitude=-83.0, region="us-east")
BERLIN = User(geo=Geo(latitude=52.52, longitude=13.41, region="eu-central"))
CHICAGO = User(geo=Geo(latitude=41.88, longitude=-87.63, region="us-central"))


def worker(id_, model="llama-3-8b", **fields):
    return Worker(**{"id": id_, "url": "http://127.0.0.1:8080", "model": model, **fields})


def job(**fields):
    return InferenceRequest(**{"job_id": "j", "model": "llama-3-8b", "prompt": "Hi", **fields})


def registry_of(*workers):
    registry = WorkerRegistry(clock=VirtualClock())
    for each in workers:
        registry.add(each)
    return registry


def chosen(name, workers, **fields):
    """Return the chosen worker's id, or what became of the job instead."""
    scheduler = RhaiScheduler.from_file(FOLDER / f"{name}.rhai", registry_of(*workers))
    explained = scheduler.explain(job(**fields))
    assert explained.failures == ()
    return explained.worker_id or (explained.action, explained.reason)


def test_there_are_four_of_the_seed_and_seven_more():
    assert len([name for name in NAMES if name.startswith("seed-")]) == 4
    assert len(NAMES) == 11


# The seed's, verbatim


LARGE = [
    worker("one", "llama-3-70b", gpus=1, cost_per_token=0.1),
    worker("two", "llama-3-70b", gpus=2, cost_per_token=0.9),
]
SMALL = [
    worker("dear", cost_per_token=0.9, gpus=4),
    worker("cheap", cost_per_token=0.1),
    worker("as-cheap", cost_per_token=0.1),
]


@pytest.mark.parametrize("name", ["seed-scheduler", "seed-multi-modal-router"])
def test_seed_large_models_go_to_several_gpus(name):
    assert chosen(name, LARGE, model="llama-3-70b") == "two"


@pytest.mark.parametrize("name", ["seed-scheduler", "seed-multi-modal-router"])
def test_seed_without_several_gpus_the_job_waits(name):
    assert chosen(name, LARGE[:1], model="llama-3-70b") == ("wait", "the policy named no worker")


@pytest.mark.parametrize(
    "name", ["seed-scheduler", "seed-cost-optimizer", "seed-multi-modal-router"]
)
def test_seed_everything_else_is_cheapest(name):
    assert chosen(name, SMALL) == "cheap"


PLACES = [worker("ohio", geo=OHIO), worker("nowhere"), worker("paris", geo=PARIS)]


@pytest.mark.parametrize(
    ("user", "expected"), [(BERLIN, "paris"), (CHICAGO, "ohio"), (None, "ohio")]
)
def test_seed_latency_optimizer(user, expected):
    assert chosen("seed-latency-optimizer", PLACES, user=user) == expected


def test_seed_multi_modal_router_sends_images_to_who_draws():
    draws = ("image-gen", "text-gen")
    workers = [
        worker("also", capabilities=("text-gen", "image-gen")),
        worker("full", capabilities=draws, slots=4, running=3),
        worker("free", capabilities=draws, slots=4, running=1),
    ]
    assert chosen("seed-multi-modal-router", workers, task_type="image-gen") == "free"


# The wider document's kind


def test_cost():
    workers = [
        worker("dear", cost_per_token=0.9, slots=4),
        worker("cheap", cost_per_token=0.1, slots=4, running=3),
        worker("near", cost_per_token=0.15, slots=4, running=1),
    ]
    assert chosen("cost", workers, priority="batch") == "cheap"
    assert chosen("cost", workers) == "near"  # less loaded, and hardly dearer
    assert chosen("cost", workers[:2]) == "cheap"  # the other one is much dearer


def test_latency_geo():
    busy = worker("paris", geo=PARIS, slots=4, running=3, avg_tokens_per_sec=100.0)
    far = worker("ohio", geo=OHIO, slots=4, avg_tokens_per_sec=50.0)
    near = worker("berlin", geo=BERLIN.geo, slots=4, running=3, avg_tokens_per_sec=10.0)
    assert chosen("latency-geo", [busy, far, near], user=BERLIN) == "berlin"
    assert chosen("latency-geo", [busy, far], user=BERLIN) == "paris"
    assert chosen("latency-geo", [busy, far], user=CHICAGO) == "ohio"
    assert chosen("latency-geo", [busy, far]) == "ohio"  # 100 a second, but three quarters busy


def test_multi_modal():
    able = ("text-gen", "image-gen", "embedding")
    cpu = worker("cpu", capabilities=able, backend="cpu", cost_per_token=0.1)
    small = worker("small", capabilities=able, backend="cuda", total_vram_mb=8000.0)
    big = worker("big", capabilities=able, backend="cuda", total_vram_mb=80_000.0, cost_per_token=9)
    fleet = [cpu, small.changed(cost_per_token=0.5), big]
    assert chosen("multi-modal", fleet, task_type="image-gen") == "big"
    assert chosen("multi-modal", fleet, task_type="embedding") == "cpu"
    assert chosen("multi-modal", fleet) == "cpu"
    assert chosen("multi-modal", LARGE, model="llama-3-70b") == "two"
    assert chosen("multi-modal", [cpu], task_type="image-gen") == (
        "reject", "image generation needs a CUDA worker",
    )  # fmt: skip


def test_eu_only_as_a_policy():
    workers = [worker("ohio", geo=OHIO), worker("nowhere"), worker("paris", geo=PARIS, slots=1)]
    assert chosen("eu-only", workers, user=BERLIN) == "paris"
    assert chosen("eu-only", workers, user=CHICAGO) == "ohio"
    assert chosen("eu-only", workers[:2], user=BERLIN) == (
        "reject", "no worker in the EU serves llama-3-8b",
    )  # fmt: skip
    full = workers[2].changed(running=1)
    assert chosen("eu-only", [*workers[:2], full], user=BERLIN)[0] == "wait"


def test_eu_only_as_a_filter():
    residency = PluginConfig(
        name="residency", plugin="script", on_error="reject",
        options={"file": str(FOLDER / "eu-only.rhai"), "role": "filter"},
    )  # fmt: skip
    cheapest = PluginConfig(
        name="cheapest", plugin="script", options={"file": str(FOLDER / "seed-cost-optimizer.rhai")}
    )
    workers = [worker("ohio", geo=OHIO), worker("paris", geo=PARIS, cost_per_token=0.5)]
    scheduler = Scheduler(
        registry_of(*workers), [residency, cheapest], SchedulerConfig(strategy="cheapest")
    )
    explained = scheduler.explain(job(user=BERLIN))
    assert explained.worker_id == "paris"
    assert explained.workers[0].verdicts[0].reason == "outside the EU"
    assert scheduler.explain(job(user=CHICAGO)).worker_id == "ohio"


def test_deadline_and_cost():
    workers = [
        worker("slow", cost_per_token=0.1, avg_tokens_per_sec=10.0),
        worker("fast", cost_per_token=0.9, avg_tokens_per_sec=100.0),
        worker("middle", cost_per_token=0.5, avg_tokens_per_sec=50.0),
    ]
    assert chosen("deadline-and-cost", workers, max_tokens=100) == "slow"
    # 100 tokens: 10 s on slow, 1 s on fast, 2 s on middle; with a margin of a fifth.
    assert chosen("deadline-and-cost", workers, max_tokens=100, deadline_ms=60_000) == "slow"
    assert chosen("deadline-and-cost", workers, max_tokens=100, deadline_ms=5_000) == "middle"
    assert chosen("deadline-and-cost", workers, max_tokens=100, deadline_ms=1_500) == "fast"
    assert chosen("deadline-and-cost", workers, max_tokens=100, deadline_ms=10) == "fast"


def platform(workers, jobs=(), tenants=None, hives=(), **fields):
    registry = registry_of(*workers)
    for hive in hives:
        registry.hive_heartbeat(hive)
    around = Surroundings(jobs=lambda: list(jobs), tenants=lambda: tenants or {})
    policy = Policy.from_file(FOLDER / "platform-like.rhai")
    scheduler = Scheduler(registry, [SelectPolicy(policy)])
    failures = []
    decision = decide(
        job(**fields), registry.snapshot(surroundings=around), scheduler.plugins.chain("script"),
        on_failure=failures.append,
    )  # fmt: skip
    assert failures == []
    return decision


def test_platform_like():
    idle = worker("idle", total_vram_mb=8000.0)
    roomy = worker("roomy", total_vram_mb=80_000.0)
    busy = worker("busy", total_vram_mb=99_000.0, running=1, slots=4)
    assert platform([busy, idle, roomy]).worker.id == "roomy"
    assert platform([busy]).worker.id == "busy"


def test_platform_like_asks_the_quota_first():
    spent = {"acme": {"quota_tokens_daily": 100, "tokens_used_today": 90}}
    decision = platform([worker("a")], tenants=spent, tenant_id="acme", max_tokens=20)
    assert (decision.action, decision.reason) == ("reject", "over quota: 110 of 100 tokens")
    assert platform([worker("a")], tenants=spent, tenant_id="acme", max_tokens=5).worker.id == "a"


def test_platform_like_leaves_the_last_worker_to_people():
    waiting = [job(job_id="other", priority="interactive")]
    decision = platform([worker("a")], jobs=waiting, priority="batch")
    assert (decision.action, decision.retry_after) == ("wait", 0.1)
    assert platform([worker("a"), worker("b")], jobs=waiting, priority="batch").worker.id == "a"
    assert platform([worker("a")], jobs=waiting).worker.id == "a"


def test_platform_like_starts_a_worker_where_the_queue_grows():
    now = VirtualClock().now()
    gpus = [Gpu(id=f"g{n}", vram_total_bytes=n * 10**9) for n in (1, 3, 2)]
    hive = HiveHeartbeat(hive_id="attic", timestamp=now, gpus=gpus)
    waiting = [job(job_id=f"j{n}") for n in range(9)]
    decision = platform([worker("a")], jobs=waiting, hives=[hive])
    assert decision.worker.id == "a"
    [command] = decision.commands
    assert (command.kind, command.pool_id, command.gpu_id) == ("start_worker", "attic", "g3")
    assert (command.model_ref, command.reason) == ("llama-3-8b", "9 jobs wait")
    assert platform([worker("a")], jobs=waiting).commands == ()


def test_platform_like_leaves_it_to_others_when_nobody_is_free():
    spent = {"acme": {"quota_tokens_daily": 100, "tokens_used_today": 90}}
    full = worker("a", slots=1, running=1)
    fields = {"tenant_id": "acme", "tenants": spent}
    assert platform([full], max_tokens=5, **fields).action == "wait"
    assert platform([full], max_tokens=20, **fields).reason == "over quota: 110 of 100 tokens"


def missing(*workers, jobs=(), gpus=(), model="llama-3-8b"):
    """Return what `start-when-missing` decides on a job, in a fleet that knows one model."""
    catalog = Catalog([ModelInfo(model_ref="llama-3-8b", vram_required_bytes=6 * 10**9)])
    registry = WorkerRegistry(clock=VirtualClock(), catalog=catalog)
    for each in workers:
        registry.add(each)
    now = VirtualClock().now()
    registry.hive_heartbeat(HiveHeartbeat(hive_id="attic", timestamp=now, gpus=gpus))
    policy = Policy.from_file(FOLDER / "start-when-missing.rhai")
    chain = Scheduler(registry, [SelectPolicy(policy)]).plugins.chain("script")
    around = Surroundings(jobs=lambda: list(jobs))
    failures = []
    decision = decide(
        job(model=model), registry.snapshot(surroundings=around), chain, on_failure=failures.append
    )
    assert failures == []
    return decision


def test_start_when_missing_starts_a_worker_on_the_gpu_with_most_room():
    gpus = [Gpu(id=f"g{n}", vram_total_bytes=n * 10**9) for n in (5, 8, 24, 12)]
    decision = missing(worker("other", "phi-3"), gpus=gpus)
    assert decision.action == "wait"
    [command] = decision.commands
    assert (command.kind, command.pool_id, command.gpu_id) == ("start_worker", "attic", "g24")
    assert (command.model_ref, command.reason) == ("llama-3-8b", "nobody serves llama-3-8b")


def test_start_when_missing_starts_one_and_only_what_is_known():
    gpus = [Gpu(id="g", vram_total_bytes=8 * 10**9)]
    before = job(job_id="came-first")
    starts = worker("a", status="starting")
    for decision in (
        missing(worker("a", slots=1, running=1), gpus=gpus),
        missing(starts, gpus=gpus),
        missing(gpus=gpus, jobs=[before]),
    ):
        assert (decision.action, decision.commands) == ("wait", ())
    unknown = missing(gpus=gpus, model="no-such-model")
    assert (unknown.error.code, unknown.commands) == ("NO_WORKERS_AVAILABLE", ())


def test_start_when_missing_without_room():
    decision = missing(gpus=[Gpu(id="g", vram_total_bytes=5 * 10**9)])
    assert (decision.action, decision.reason) == ("reject", "no GPU has room for llama-3-8b")


def test_start_when_missing_goes_to_who_is_free():
    busy, idle = worker("busy", slots=4, running=3), worker("idle", slots=4)
    assert missing(busy, idle).worker.id == "idle"


def _contract_for(name):
    policy = Policy.from_file(FOLDER / f"{name}.rhai", name=name, limits=PATIENT)
    return type(f"Test_{name}", (PluginContract,), {"plugin": SelectPolicy(policy)})


for _name in NAMES:
    globals()[f"Test_{_name.replace('-', '_')}"] = _contract_for(_name)
