"""The sample fleet: four workers, two pools and a small catalog, for examples, docs and tests."""

from __future__ import annotations

from rbee_scheduler import (
    Catalog,
    Geo,
    Gpu,
    HiveHeartbeat,
    InferenceRequest,
    ModelInfo,
    Snapshot,
    Surroundings,
    SystemClock,
    User,
    Worker,
    WorkerRegistry,
)


__all__ = ["sample_registry", "sample_request", "sample_snapshot"]

SMALL = "llama-3-8b"
LARGE = "llama-3-70b"
PARIS = Geo(latitude=48.86, longitude=2.35, region="eu-west")
OHIO = Geo(latitude=39.96, longitude=-83.0, region="us-east")
BERLIN = Geo(latitude=52.52, longitude=13.41, region="eu-central")
GIBIBYTE = 1024**3
NOW = 1_700_000_000_000.0


class _SampleClock(SystemClock):
    """Stands still, at the moment of the sample."""

    __slots__ = ()

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def sample_request(**fields: object) -> InferenceRequest:
    """Return the sample's job, from Berlin; ``fields`` replace its own."""
    own: dict[str, object] = {
        "job_id": "job-1",
        "model": SMALL,
        "prompt": "Hello!",
        "max_tokens": 100,
        "tenant_id": "acme",
        "user": User(geo=BERLIN),
        "created_at": 1_699_999_998_000.0,
        "queued_at": 1_699_999_999_000.0,
    }
    return InferenceRequest(**{**own, **fields})  # type: ignore[arg-type]


def _hives() -> list[HiveHeartbeat]:
    """Return the sample's pools, with their GPUs and workers.

    Three workers serve the small model; `gpu-3` serves only the large one.
    """
    return [
        HiveHeartbeat(
            hive_id="paris", timestamp=NOW, endpoint="http://10.0.0.1:9000", region="eu-west",
            cached_models=[SMALL],
            gpus=[
                Gpu(
                    id="p-0", device_name="RTX 4090", vram_total_bytes=24 * GIBIBYTE,
                    vram_allocated_bytes=22 * GIBIBYTE, utilization_percent=40.0,
                    supports_fp16=True, supports_int8=True,
                ),
            ],
            workers=[
                Worker(
                    id="gpu-1", url="http://10.0.0.1:8080", model=SMALL, pool_id="paris",
                    device="cuda:0", backend="cuda", gpus=1, gpu_ids=["p-0"],
                    cost_per_token=3e-6, geo=PARIS, slots=4, running=2, gpu_util_pct=40.0,
                    vram_mb=16_384.0, total_vram_mb=24_576.0, jobs_completed=90,
                    avg_tokens_per_sec=50.0, last_used_at=NOW - 500,
                ),
                Worker(
                    id="mac-1", url="http://10.0.0.4:8080", model=SMALL, pool_id="paris",
                    device="metal:0", backend="metal", cost_per_token=2e-6, geo=PARIS, slots=1,
                    vram_mb=6_144.0, total_vram_mb=16_384.0, jobs_completed=5,
                    last_used_at=NOW - 1_000_000,
                ),
            ],
        ),
        HiveHeartbeat(
            hive_id="ohio", timestamp=NOW, endpoint="http://10.0.0.2:9000", region="us-east",
            status="degraded", cached_models=[SMALL, LARGE, "phi-3"],
            gpus=[
                Gpu(
                    id=gpu_id, device_name="A6000", vram_total_bytes=48 * GIBIBYTE,
                    vram_allocated_bytes=24 * GIBIBYTE, utilization_percent=10.0,
                )
                for gpu_id in ("o-0", "o-1")
            ],
            workers=[
                Worker(
                    id="gpu-2", url="http://10.0.0.2:8080", model=SMALL, pool_id="ohio",
                    device="cuda:0", backend="cuda", gpus=2, gpu_ids=["o-0", "o-1"],
                    cost_per_token=1e-6, geo=OHIO, slots=4, running=1, gpu_util_pct=10.0,
                    vram_mb=8_192.0, total_vram_mb=49_152.0, jobs_completed=40,
                    avg_tokens_per_sec=100.0, last_used_at=NOW - 10_000,
                    capabilities=["text-gen", "image-gen"],
                ),
                Worker(
                    id="gpu-3", url="http://10.0.0.3:8080", model=LARGE, pool_id="ohio",
                    device="cuda:1", backend="cuda", gpus=2, gpu_ids=["o-0", "o-1"],
                    cost_per_token=9e-6, geo=OHIO, slots=2, vram_mb=40_960.0,
                    total_vram_mb=49_152.0, jobs_completed=10, avg_tokens_per_sec=20.0,
                    last_used_at=NOW - 100_000,
                ),
            ],
        ),
    ]  # fmt: skip


def sample_catalog() -> Catalog:
    """Return the sample's two models."""
    return Catalog(
        [
            ModelInfo(
                model_ref=SMALL, aliases=["llama3"], family="llama", size="8b",
                quantization="q4", vram_required_bytes=6 * GIBIBYTE, context_length=8192,
                estimated_tokens_per_sec={"default": 40.0, "RTX 4090": 120.0},
                file_size_bytes=5 * GIBIBYTE,
            ),
            ModelInfo(
                model_ref=LARGE, family="llama", size="70b", quantization="q4",
                vram_required_bytes=40 * GIBIBYTE, context_length=8192,
                estimated_tokens_per_sec={"default": 8.0}, file_size_bytes=39 * GIBIBYTE,
            ),
        ]
    )  # fmt: skip


def sample_tenants() -> dict[str, dict[str, object]]:
    """Return the sample's tenants: one with room, one that has used up its day."""
    return {
        "acme": {
            "quota_tokens_daily": 10_000, "tokens_used_today": 4_000,
            "quota_max_concurrent_jobs": 2, "concurrent_jobs": 1,
        },
        "spent": {"quota_tokens_daily": 1_000, "tokens_used_today": 1_000, "quota_exceeded": True},
    }  # fmt: skip


def sample_registry() -> WorkerRegistry:
    """Return a registry with the sample fleet."""
    registry = WorkerRegistry(clock=_SampleClock(), catalog=sample_catalog())
    for heartbeat in _hives():
        registry.hive_heartbeat(heartbeat)
    return registry


def sample_snapshot() -> Snapshot:
    """Return the sample fleet, with one more job waiting and two tenants."""
    waiting = sample_request(job_id="job-2", priority="batch", queued_at=NOW - 60_000)
    surroundings = Surroundings(jobs=lambda: [waiting], tenants=sample_tenants)
    return sample_registry().snapshot(turn=4, seed=7, surroundings=surroundings)
