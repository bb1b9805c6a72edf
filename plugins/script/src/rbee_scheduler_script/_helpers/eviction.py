"""Helpers that find what to evict when memory is short."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._context_data import VRAM_THRESHOLD
from rbee_scheduler_script._helpers._arrays import best, field_values
from rbee_scheduler_script._helpers._helper import Helper, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _evictable(view: View, run: rhai.Run, pool_id: Any = None) -> list[Map]:
    """Return the workers that run nothing: evicting another would end somebody's request."""
    wanted = None if pool_id is None else text(run, pool_id, "the pool's id")
    workers = view.everyone()
    run.charge(2 * len(workers))
    return [
        worker
        for worker in workers
        if worker["available"]
        and not worker["running"]
        and (wanted is None or worker["pool_id"] == wanted)
    ]


def _lru(view: View, run: rhai.Run, pool_id: Any = None) -> Any:
    idle = _evictable(view, run, pool_id)
    used = field_values(run, idle, "find_worker_to_evict_lru", "last_used_at")
    return best(run, idle, used, "find_worker_to_evict_lru", least=True)


def _lfu(view: View, run: rhai.Run) -> Any:
    idle = _evictable(view, run)
    served = field_values(run, idle, "find_worker_to_evict_lfu", "jobs_completed")
    return best(run, idle, served, "find_worker_to_evict_lfu", least=True)


def _should(view: View, run: rhai.Run, pool_id: Any) -> Map:
    pool = view.pool(text(run, pool_id, "the pool's id"))
    if pool is None:
        return {"ok": False, "reason": "there is no such pool"}
    run.charge(len(pool["gpus"]))
    total = sum(gpu["vram_total_bytes"] for gpu in pool["gpus"])
    if not total:
        return {"ok": False, "reason": "the pool reports no GPU memory"}
    share = sum(gpu["vram_allocated_bytes"] for gpu in pool["gpus"]) / total
    return {
        "ok": share >= VRAM_THRESHOLD,
        "reason": f"{share:.0%} of its GPU memory is taken, the limit is {VRAM_THRESHOLD:.0%}",
    }


def _model(view: View, run: rhai.Run, pool_id: Any) -> str | None:
    """Return a cached model that nobody has loaded; else that of the worker used longest ago."""
    wanted = text(run, pool_id, "the pool's id")
    pool = view.pool(wanted)
    if pool is None:
        return None
    loaded = {worker["model"] for worker in pool["workers"]}
    run.charge(len(pool["workers"]) + len(pool["cached_models"]))
    unused = next((model for model in pool["cached_models"] if model not in loaded), None)
    if unused is not None:
        return str(unused)
    worker = _lru(view, run, wanted)
    return None if worker is None else str(worker["model"])


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="find_worker_to_evict_lru",
        forms=("find_worker_to_evict_lru()", "find_worker_to_evict_lru(pool_id)"),
        answers="The worker that runs nothing and was used longest ago, in one pool when it is "
        "given; `()` of none.",
        example='find_worker_to_evict_lru("ohio").id',
        gives="gpu-3",
        code=_lru,
        arities=(0, 1),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_worker_to_evict_lfu",
        forms=("find_worker_to_evict_lfu()",),
        answers="The worker that runs nothing and has served the fewest jobs; `()` of none.",
        example="find_worker_to_evict_lfu().id",
        gives="mac-1",
        code=_lfu,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="should_evict",
        forms=("should_evict(pool_id)",),
        answers="`#{ok, reason}`: whether a pool's GPU memory is 90 % full.",
        example='should_evict("paris").ok && !should_evict("ohio").ok',
        gives=True,
        code=_should,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_model_to_evict",
        forms=("find_model_to_evict(pool_id)",),
        answers="A model in a pool's cache that no worker has loaded, else the model of the worker "
        "that was used longest ago; `()` of none.",
        example='find_model_to_evict("ohio")',
        gives="phi-3",
        code=_model,
        arities=(1,),
        sees=True,
        whole=True,
    ),
)
