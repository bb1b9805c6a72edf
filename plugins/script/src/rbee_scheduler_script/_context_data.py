"""What `ctx` holds beside workers and jobs: metrics, settings, tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rbee_scheduler import Gpu, InferenceRequest, Snapshot, Worker
from rbee_scheduler_script._plain import plain, plain_map


__all__ = ["TENANT_FIELDS", "VRAM_THRESHOLD", "config_map", "metrics_map", "tenant_map"]

MEBIBYTE: Final = 1_048_576

# Share of a pool's GPU memory from which `should_evict` says yes, unless the deployment says so.
VRAM_THRESHOLD: Final = 0.9

# A tenant of whom a plugin tells only some fields has these for the others.
TENANT_FIELDS: Final[Mapping[str, Any]] = {
    "id": "",
    "name": "",
    "quota_vram_bytes": None,
    "quota_max_concurrent_jobs": None,
    "quota_tokens_daily": None,
    "vram_used_bytes": 0,
    "concurrent_jobs": 0,
    "tokens_used_today": 0,
    "quota_reset_at": None,
    "quota_exceeded": False,
    "weight": 1.0,
}


def tenant_map(tenant_id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tenant with all fields; a quota that nobody set is unit."""
    return {**TENANT_FIELDS, "id": tenant_id, "name": tenant_id, **plain_map(known)}


def config_map(snapshot: Snapshot) -> dict[str, Any]:
    """Return the scheduler's settings, read-only, times in ms."""
    surroundings = snapshot.surroundings
    config = surroundings.config
    retry = config.retry
    return {
        "mode": surroundings.mode,
        "deployment_mode": surroundings.mode,
        "strategy": config.strategy,
        "queue": {"capacity": plain(config.queue.capacity), "policy": "first-come"},
        "timeout": {
            "default_ms": config.timeout.total * 1000,
            "max_ms": config.timeout.total * 1000,
        },
        "retry": {
            "enabled": retry.max_attempts > 1,
            "max_attempts": plain(retry.max_attempts),
            "initial_delay_ms": retry.initial_delay * 1000,
            "multiplier": plain(retry.multiplier),
            "max_delay_ms": retry.max_delay * 1000,
            "jitter": plain(retry.jitter),
        },
        "eviction": {
            "model_cache_policy": "lru",
            "worker_policy": "lru",
            "vram_threshold": VRAM_THRESHOLD,
        },
    }


def metrics_map(snapshot: Snapshot) -> dict[str, Any]:
    """Return the fleet in numbers; costs the number of workers, so only scripts that ask pay."""
    workers, pools = snapshot.workers(), snapshot.pools()
    gpus = [gpu for pool in pools for gpu in pool.gpus]
    statuses = [pool.status for pool in pools]
    jobs = snapshot.surroundings.jobs()
    waits = [job.wait_time_ms(snapshot.now) for job in jobs]
    speeds = [w.avg_tokens_per_sec for w in workers if w.avg_tokens_per_sec]
    return {
        **_queue(jobs),
        "avg_wait_time_ms": _mean(waits),
        "total_workers": len(workers),
        "ready_workers": sum(w.available for w in workers),
        "busy_workers": sum(w.online and (w.status == "busy" or w.running > 0) for w in workers),
        "failed_workers": sum(w.status == "failed" for w in workers),
        "total_pools": len(pools),
        "healthy_pools": statuses.count("healthy"),
        "degraded_pools": statuses.count("degraded"),
        "offline_pools": statuses.count("offline"),
        "total_gpus": len(gpus) or sum(w.gpus for w in workers),
        **_vram(gpus, workers),
        "avg_gpu_utilization": _mean([gpu.utilization_percent for gpu in gpus])
        if gpus
        else _mean([w.gpu_util_pct for w in workers if w.gpus]),
        "jobs_completed_last_minute": 0,
        "avg_tokens_per_sec": _mean(speeds),
        "timestamp_ms": int(snapshot.now),
        **plain_map(snapshot.surroundings.metrics()),
    }


def _queue(jobs: Sequence[InferenceRequest]) -> dict[str, int]:
    interactive = sum(job.priority == "interactive" for job in jobs)
    return {
        "queue_depth": len(jobs),
        "queue_depth_interactive": interactive,
        "queue_depth_batch": len(jobs) - interactive,
    }


def _vram(gpus: Sequence[Gpu], workers: Sequence[Worker]) -> dict[str, int]:
    """Sum what the pools report; without pools, what the workers do."""
    if gpus:
        total = sum(gpu.vram_total_bytes for gpu in gpus)
        used = sum(gpu.vram_allocated_bytes for gpu in gpus)
        free = sum(gpu.vram_free_bytes for gpu in gpus)
    else:
        total = int(sum(w.total_vram_mb for w in workers) * MEBIBYTE)
        used = int(sum(w.vram_mb for w in workers) * MEBIBYTE)
        free = int(sum(w.vram_free_mb for w in workers) * MEBIBYTE)
    return {
        "total_vram_bytes": total,
        "allocated_vram_bytes": used,
        "free_vram_bytes": free,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
