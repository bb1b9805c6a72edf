"""What scripts see of workers, pools, jobs and the rest; and that it is made once."""

from __future__ import annotations

import enum

import attrs
import pytest

from rbee_scheduler import Catalog, Geo, ModelInfo, Surroundings, User, Worker, WorkerRegistry
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler_script._context_data import config_map, metrics_map
from rbee_scheduler_script._job_data import COSTLY_FIELDS, job_map
from rbee_scheduler_script._plain import plain
from rbee_scheduler_script._pool_data import CatalogData, PoolData
from rbee_scheduler_script._sample import sample_registry, sample_request, sample_snapshot
from rbee_scheduler_script._worker_data import WorkerData, worker_map


PLAIN = (str, int, float, bool, type(None), list, dict)

# reference/scheduler_api.md, section 1
WORKER_FIELDS = [
    "id",
    "url",
    "port",
    "host",
    "pool_id",
    "hive_id",
    "model",
    "models",
    "device",
    "backend",
    "implementation",
    "version",
    "capability",
    "capabilities",
    "protocol",
    "status",
    "online",
    "gpus",
    "gpu_ids",
    "cost_per_token",
    "geo",
    "estimated_time",
    "load",
    "running",
    "waiting",
    "slots",
    "pid",
    "group",
    "instance",
    "cpu_pct",
    "rss_mb",
    "io_r_mb_s",
    "io_w_mb_s",
    "uptime_s",
    "gpu_util_pct",
    "vram_mb",
    "total_vram_mb",
    "vram_free_mb",
    "jobs_completed",
    "avg_tokens_per_sec",
    "current_job_id",
    "last_used_at",
    "labels",
]
JOB_FIELDS = [
    "job_id",
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "type",
    "task_type",
    "priority",
    "tenant_id",
    "session_id",
    "seed",
    "stop",
    "repetition_penalty",
    "deadline",
    "deadline_ms",
    "user",
    "created_at",
    "queued_at",
    "wait_time_ms",
    "retry_count",
    "model_ref",
    "id",
    "estimated_vram_bytes",
    "estimated_duration_ms",
]
POOL_FIELDS = [
    "id",
    "endpoint",
    "status",
    "last_heartbeat_ms",
    "heartbeat_age_ms",
    "region",
    "gpus",
    "workers",
    "cached_models",
]
GPU_FIELDS = [
    "id",
    "device_name",
    "compute_capability",
    "vram_total_bytes",
    "vram_allocated_bytes",
    "vram_free_bytes",
    "utilization_percent",
    "temperature_celsius",
    "power_draw_watts",
    "supports_fp16",
    "supports_int8",
    "supports_tensor_cores",
]
MODEL_FIELDS = [
    "model_ref",
    "family",
    "size",
    "quantization",
    "vram_required_bytes",
    "context_length",
    "capabilities",
    "supports_determinism",
    "supports_streaming",
    "estimated_tokens_per_sec",
    "file_size_bytes",
]
METRICS = [
    "queue_depth",
    "queue_depth_interactive",
    "queue_depth_batch",
    "avg_wait_time_ms",
    "total_workers",
    "ready_workers",
    "busy_workers",
    "failed_workers",
    "total_pools",
    "healthy_pools",
    "degraded_pools",
    "offline_pools",
    "total_gpus",
    "total_vram_bytes",
    "allocated_vram_bytes",
    "free_vram_bytes",
    "avg_gpu_utilization",
    "jobs_completed_last_minute",
    "avg_tokens_per_sec",
    "timestamp_ms",
]


def is_plain(value):
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    return type(value) in PLAIN


class Text(enum.StrEnum):
    CUDA = "cuda"


class Number(float):
    """Like numpy's: a float of another class."""


def worker(**fields):
    return Worker(**{"id": "w", "url": "http://127.0.0.1:8080", "model": "m", **fields})


def test_worker_has_every_field():
    fields = worker_map(worker(geo=Geo(latitude=1, longitude=2, region="eu"), labels={"a": "b"}))
    assert set(WORKER_FIELDS) <= fields.keys()
    assert {field.name for field in attrs.fields(Worker)} <= fields.keys()
    assert fields["geo"] == {"latitude": 1.0, "longitude": 2.0, "region": "eu"}
    assert (fields["models"], fields["labels"]) == (["m"], {"a": "b"})
    assert (fields["hive_id"], fields["capability"]) == ("", "text-gen")
    assert fields["available"] is fields["free"] is True
    assert is_plain(fields)


def test_worker_of_unusual_types_becomes_plain():
    odd = worker(backend=Text.CUDA, cost_per_token=Number(0.5), models=[Text.CUDA])
    fields = worker_map(odd)
    assert (fields["backend"], fields["cost_per_token"], fields["models"][-1]) == (
        "cuda",
        0.5,
        "cuda",
    )
    assert is_plain(fields)


def test_worker_without_a_place():
    assert worker_map(worker())["geo"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**63, float(2**63)),
        (2**63 - 1, 2**63 - 1),
        (True, True),
        (Number(1.5), 1.5),
        ((1, {"a": (2,)}), [1, {"a": [2]}]),
        (b"x", "b'x'"),
        (object, "<class 'object'>"),
    ],
)
def test_plain(value, expected):
    made = plain(value)
    assert expected == made
    assert is_plain(made)


@pytest.mark.parametrize("count", [1, 10, 256, 257, 1000])
def test_maps_are_made_once(count):
    data = WorkerData()
    snapshot = fleet(free_workers(count))
    first = data.all(snapshot.free("m"))
    again = data.all(snapshot.free("m"))
    assert [w.id for w in snapshot.free("m")] == [m["id"] for m in first]
    assert all(a is b for a, b in zip(first, again, strict=True))
    # Another sequence of the same records finds the same maps.
    assert all(a is b for a, b in zip(first, data.all(list(snapshot.free("m"))), strict=True))
    assert data.of(snapshot.worker("w0")) is first[0]


@pytest.mark.parametrize("count", [3, 300])
def test_a_change_makes_one_new_map(count):
    registry = WorkerRegistry()
    for each in free_workers(count, slots=4):
        registry.add(each)
    data = WorkerData()
    before = data.all(registry.snapshot().free("m"))
    reservation = registry.reserve("w1")
    after = data.all(registry.snapshot().free("m"))
    changed = [new["id"] for old, new in zip(before, after, strict=True) if old is not new]
    assert changed == ["w1"]
    assert (before[1]["running"], after[1]["running"]) == (0, 1)
    reservation.release()


def test_the_cache_is_bounded_by_the_fleet():
    registry = WorkerRegistry()
    for each in free_workers(5, slots=None):
        registry.add(each)
    data = WorkerData()
    for _ in range(2000):
        registry.reserve("w1").release()
        snapshot = registry.snapshot()
        data.tidy(snapshot)
        data.all(snapshot.free("m"))
    assert len(data) <= 2 * 5 + 256 + 5
    assert [m["id"] for m in data.all(registry.snapshot().free("m"))] == [
        "w0",
        "w1",
        "w2",
        "w3",
        "w4",
    ]


def test_job_has_every_field():
    job = job_map(sample_request(), 1_700_000_000_000.0)
    assert set(JOB_FIELDS) <= job.keys()
    assert is_plain(job)
    assert job["user"]["geo"]["region"] == "eu-central"
    assert job["wait_time_ms"] == 1000.0
    assert (job["prompt"], job["type"], job["id"]) == ("Hello!", "text-gen", "job-1")


def test_job_without_what_is_optional():
    request = sample_request(user=None, tenant_id=None, queued_at=0.0)
    job = job_map(request, 5.0)
    assert job["user"] == {"geo": None}
    assert [job[name] for name in ("top_p", "top_k", "seed", "deadline", "tenant_id")] == [None] * 5
    assert job["wait_time_ms"] == 0.0


def test_job_with_all():
    request = sample_request(
        seed=2**63 - 1, stop=("a", "b"), deadline_ms=500.0, top_k=3,
        messages=[{"role": "user", "content": "secret"}],
    )  # fmt: skip
    job = job_map(request, 5.0, tuple(COSTLY_FIELDS))
    assert job["seed"] == 2**63 - 1
    assert job["stop"] == ["a", "b"]
    assert job["deadline"] == request.created_at + 500.0
    assert job["messages"] == [{"role": "user", "content": "secret"}]
    assert job["prompt_hash"] == request.prompt_hash
    assert is_plain(job)


def test_pools():
    snapshot = sample_snapshot()
    data = PoolData(WorkerData())
    pools = data.all(snapshot)
    assert [pool["id"] for pool in pools] == ["paris", "ohio"]
    assert all(set(POOL_FIELDS) == pool.keys() for pool in pools)
    assert set(GPU_FIELDS) == pools[0]["gpus"][0].keys()
    assert [w["id"] for w in pools[1]["workers"]] == ["gpu-2", "gpu-3"]
    assert is_plain(pools)
    # The fixed part is kept, the rest is the snapshot's.
    assert data.all(snapshot)[0]["gpus"] is pools[0]["gpus"]


def test_pools_that_left_are_forgotten():
    snapshot = sample_snapshot()
    data = PoolData(WorkerData())
    data.all(snapshot)
    assert data.all(fleet([])) == []
    assert data.all(snapshot)[0]["id"] == "paris"


def test_catalog():
    catalog = Catalog([ModelInfo(model_ref="a", aliases=["b"], estimated_tokens_per_sec={"x": 1})])
    data = CatalogData()
    whole = data.whole(catalog)
    assert set(MODEL_FIELDS) <= whole["models"][0].keys()
    assert whole["aliases"] == {"b": "a"}
    assert data.models(catalog) is data.models(catalog)
    assert data.models(Catalog()) == {}
    assert is_plain(whole)


def test_metrics():
    metrics = metrics_map(sample_snapshot())
    assert set(METRICS) == metrics.keys()
    assert (metrics["queue_depth"], metrics["queue_depth_batch"]) == (1, 1)
    assert metrics["avg_wait_time_ms"] == 60_000.0
    assert (metrics["total_workers"], metrics["ready_workers"], metrics["busy_workers"]) == (
        4,
        4,
        2,
    )
    assert (metrics["healthy_pools"], metrics["degraded_pools"]) == (1, 1)
    assert metrics["total_gpus"] == 3
    assert metrics["free_vram_bytes"] == (2 + 24 + 24) * 1024**3
    assert metrics["avg_gpu_utilization"] == 20.0
    assert is_plain(metrics)


def test_metrics_without_pools_come_from_workers():
    snapshot = fleet(free_workers(2, gpus=1, total_vram_mb=10.0, vram_mb=4.0, gpu_util_pct=50.0))
    metrics = metrics_map(snapshot)
    assert metrics["total_gpus"] == 2
    assert metrics["free_vram_bytes"] == 12 * 1024**2
    assert metrics["avg_gpu_utilization"] == 50.0
    assert metrics_map(fleet([]))["avg_tokens_per_sec"] == 0.0


def test_metrics_of_a_plugin_are_added():
    around = Surroundings(metrics=lambda: {"jobs_completed_last_minute": 7})
    snapshot = sample_registry().snapshot(surroundings=around)
    assert metrics_map(snapshot)["jobs_completed_last_minute"] == 7


def test_config():
    config = config_map(sample_snapshot())
    assert config["deployment_mode"] == config["mode"] == "home"
    assert config["queue"] == {"capacity": -1, "policy": "first-come"}
    assert config["retry"]["max_attempts"] == 5
    assert config["retry"]["enabled"] is True
    assert config["eviction"]["vram_threshold"] == 0.9
    assert config["timeout"]["max_ms"] == 1_800_000.0
    assert is_plain(config)


def test_user_may_be_nowhere():
    job = job_map(sample_request(user=User()), 0.0)
    assert job["user"]["geo"] == {"latitude": 0.0, "longitude": 0.0, "region": ""}
