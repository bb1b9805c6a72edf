"""What the maps that policies see are made of: fields and their types, as tables.

A type is a word: `string`, `int`, `float`, `number` (either), `bool`, `()`, `map` (any keys), `Fn`,
`any` (nothing is known), the name of a shape, or `[x]` for an array of x. A question mark behind it
says that it may be `()`.

The tests compare these tables with what a run of a policy really gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


__all__ = ["OPEN_SHAPES", "SHAPES"]


def _fields(**names_by_type: str) -> dict[str, str]:
    """Turn ``type="name name"`` into ``{name: type}``."""
    return {name: kind for kind, names in names_by_type.items() for name in names.split()}


_GEO: Final = _fields(float="latitude longitude", string="region")

_JOB: Final = {
    **_fields(
        string="id job_id model model_ref prompt prompt_hash type task_type priority",
        int="max_tokens retry_count",
        number="temperature created_at queued_at wait_time_ms",
        bool="resume",
        user="user",
    ),
    "tenant_id": "string?", "session_id": "string?", "stop": "[string]", "messages": "[map]",
    "top_p": "number?", "top_k": "int?", "seed": "number?", "repetition_penalty": "number?",
    "deadline": "number?", "deadline_ms": "number?", "estimated_vram_bytes": "int?",
    "estimated_duration_ms": "number?",
}  # fmt: skip

_WORKER: Final = {
    **_fields(
        string="id url host model pool_id hive_id device backend implementation version capability "
        "protocol status group instance",
        int="port gpus running waiting in_flight jobs_completed",
        number="cost_per_token load cpu_pct rss_mb io_r_mb_s io_w_mb_s uptime_s gpu_util_pct "
        "vram_mb total_vram_mb vram_free_mb avg_tokens_per_sec last_used_at",
        bool="online available free",
        map="labels",
    ),
    "models": "[string]", "capabilities": "[string]", "gpu_ids": "[string]", "geo": "geo?",
    "estimated_time": "number?", "slots": "int?", "pid": "int?", "current_job_id": "string?",
}  # fmt: skip

_GPU: Final = {
    **_fields(
        string="id device_name compute_capability",
        int="vram_total_bytes vram_allocated_bytes vram_free_bytes",
        number="utilization_percent temperature_celsius power_draw_watts",
        bool="supports_fp16 supports_int8 supports_tensor_cores",
    ),
    # Only in what find_gpus_with_vram answers.
    "pool_id": "string?",
}

_POOL: Final = {
    **_fields(string="id endpoint status region", number="last_heartbeat_ms heartbeat_age_ms"),
    "gpus": "[gpu]", "workers": "[worker]", "cached_models": "[string]",
}  # fmt: skip

_MODEL: Final = {
    **_fields(
        string="model_ref family size quantization",
        int="vram_required_bytes context_length file_size_bytes",
        bool="supports_determinism supports_streaming",
        map="estimated_tokens_per_sec",
    ),
    "aliases": "[string]", "capabilities": "[string]",
}  # fmt: skip

_TENANT: Final = {
    **_fields(
        string="id name",
        number="vram_used_bytes concurrent_jobs tokens_used_today weight",
        bool="quota_exceeded",
    ),
    "quota_vram_bytes": "number?", "quota_max_concurrent_jobs": "number?",
    "quota_tokens_daily": "number?", "quota_reset_at": "any",
}  # fmt: skip

_METRICS: Final = _fields(
    int="queue_depth queue_depth_interactive queue_depth_batch total_workers ready_workers "
    "busy_workers failed_workers total_pools healthy_pools degraded_pools offline_pools total_gpus "
    "total_vram_bytes allocated_vram_bytes free_vram_bytes jobs_completed_last_minute timestamp_ms",
    number="avg_wait_time_ms avg_gpu_utilization avg_tokens_per_sec",
)

SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "ctx": {
        "queue": "[job]", "pools": "[pool]", "workers": "[worker]", "hives": "[pool]",
        "tenants": "[tenant]", "metrics": "metrics", "config": "config", "catalog": "catalog",
    },
    "job": _JOB,
    "user": {"geo": "geo?"},
    "geo": _GEO,
    "worker": _WORKER,
    "gpu": _GPU,
    "pool": _POOL,
    "model": _MODEL,
    "tenant": _TENANT,
    "metrics": _METRICS,
    "catalog": {"models": "[model]", "aliases": "map"},
    "config": {
        **_fields(string="mode deployment_mode strategy"),
        "queue": "queue settings", "timeout": "time limits", "retry": "retry settings",
        "eviction": "eviction settings",
    },
    "queue settings": {"capacity": "number?", "policy": "string"},
    "time limits": _fields(number="default_ms max_ms"),
    "retry settings": _fields(
        bool="enabled", number="max_attempts initial_delay_ms multiplier max_delay_ms jitter"
    ),
    "eviction settings": _fields(
        string="model_cache_policy worker_policy", number="vram_threshold"
    ),
    "check": _fields(bool="ok", string="reason"),
    "usage": _fields(number="tokens_used_today concurrent_jobs vram_used_bytes"),
    "quota impact": {
        **_fields(number="tokens vram_bytes remaining_tokens", bool="would_exceed"),
    },
}  # fmt: skip

# Plugins may add to these: an unknown field is only a slip when it looks like a known one.
OPEN_SHAPES: Final = frozenset({"metrics", "tenant"})
