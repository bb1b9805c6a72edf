"""What helpers and standard functions answer, and what their closures are given.

The catalogue says it in words; these are types (see `_shapes`). `self` is the receiver's type,
`item` that of its elements, `closure` what the closure answers, `[closure]` an array of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


__all__ = ["ANSWERS", "CALLBACKS"]


def _names(**words: str) -> dict[str, str]:
    return {name: kind for kind, names in words.items() for name in names.split()}


_WORKER_OR_NONE: Final = (
    "find_least_loaded_worker find_most_vram_free_worker find_ready_worker find_worker_round_robin "
    "get_worker find_best_worker_for_model find_worker_to_evict_lru find_worker_to_evict_lfu"
)
_WORKERS: Final = (
    "filter_workers get_all_workers find_workers_by_model find_idle_workers "
    "find_workers_with_model find_workers_with_capacity list_online_workers"
)
_SELF: Final = (
    "idle available online with_model with_capacity with_capability in_region sort_by_key take "
    "filter extract"
)
_ITEM: Final = (
    "least_loaded most_vram_free round_robin random min_by max_by first last find pop shift get"
)

_LOGS: Final = "log_debug log_info log_warn log_error emit_metric print debug"
_CHANGES: Final = (
    "push sort reverse clear append insert truncate trim replace make_upper make_lower"
)

ANSWERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_WORKER_OR_NONE.split(), "worker?"),
    **dict.fromkeys(_WORKERS.split(), "[worker]"),
    **dict.fromkeys(_SELF.split(), "self"),
    **dict.fromkeys(_ITEM.split(), "item?"),
    **dict.fromkeys(["list_online_hives", "list_available_hives", "filter_pools"], "[pool]"),
    "find_pools_with_capacity": "[pool]",
    **dict.fromkeys(["get_pool", "get_hive"], "pool?"),
    **dict.fromkeys(["find_gpus_with_vram"], "[gpu]"),
    "get_gpu": "gpu?",
    "get_model": "model?",
    **dict.fromkeys(["filter_models", "find_models_by_family"], "[model]"),
    "get_job": "job?",
    "filter_jobs": "[job]",
    **dict.fromkeys(
        ["can_job_fit", "check_gpu_compatibility", "check_tenant_quota", "should_evict"], "check"
    ),
    "get_tenant_usage": "usage",
    "estimate_quota_impact": "quota impact",
    "find_model_to_evict": "string?",
    "group_by": "map",
    "average_by": "number?",
    "average": "number?",
    "max": "any",
    "min": "any",
    "reject": "answer",
    "platform_schedule": "answer",
    "map": "[closure]",
    **_names(
        string="gpu_device_name resolve_model get_platform_scheduler_source to_string to_debug "
        "to_upper to_lower sub_string to_hex to_binary to_octal to_json type_of",
        bool="is_empty contains starts_with ends_with some all is_pool_healthy model_exists "
        "tenant_over_quota string_contains string_starts_with is_even is_odd is_zero is_nan "
        "is_finite is_infinite is_def_var is_def_fn",
        int="len to_int parse_int gpu_vram_total gpu_vram_free get_model_vram model_vram_required "
        "model_size_bytes now",
        float="to_float parse_float sqrt floor ceiling round",
        number="abs sum_by distance estimate_performance get_pool_utilization calculate_wait_time "
        "estimate_job_duration get_job_priority_score tenant_remaining_quota tenant_usage "
        "elapsed_since",
    ),
    **dict.fromkeys(
        (*_LOGS.split(), *_CHANGES.split()),
        "()",
    ),
}

_PER_ELEMENT: Final = (
    "filter map some all find find_map index_of drain retain min_by max_by sort_by_key sum_by "
    "average_by group_by"
)

CALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(_PER_ELEMENT.split(), ("item", "int")),
    "for_each": ("int",),
    **dict.fromkeys(["sort", "sort_by", "order", "order_by", "dedup"], ("item", "item")),
    **dict.fromkeys(["reduce", "reduce_rev"], ("any", "item", "int")),
    "filter_workers": ("worker",),
    "filter_pools": ("pool",),
    "filter_jobs": ("job",),
    "filter_models": ("model",),
}
