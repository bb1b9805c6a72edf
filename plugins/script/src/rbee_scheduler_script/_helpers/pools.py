"""Helpers of pools (hives)."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, number, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _get(view: View, run: rhai.Run, pool_id: Any) -> Map | None:
    return view.pool(text(run, pool_id, "the id"))


def _all(view: View, run: rhai.Run) -> list[Map]:
    pools = view.pools
    run.array(len(pools))
    return pools


def _filter(view: View, run: rhai.Run, predicate: Any) -> list[Any]:
    if type(predicate) is not rhai.FnPtr:
        raise run.fail("filter_pools() wants a closure such as |p| p.region == job.region")
    return run.filter_items(predicate, _all(view, run))


def _with_capacity(view: View, run: rhai.Run, vram_bytes: Any) -> list[Map]:
    needed = number(run, vram_bytes, "the memory")
    return [
        pool
        for pool in _all(view, run)
        if pool["status"] != "offline"
        and any(gpu["vram_free_bytes"] >= needed for gpu in pool["gpus"])
    ]


def _is_healthy(view: View, run: rhai.Run, pool_id: Any) -> bool:
    pool = view.snapshot.pool(text(run, pool_id, "the id"))
    return pool is not None and pool.status == "healthy"


def _utilization(view: View, run: rhai.Run, pool_id: Any) -> float:
    pool = view.pool(text(run, pool_id, "the id"))
    if pool is None:
        return 0.0
    run.charge(len(pool["gpus"]) + len(pool["workers"]))
    shares = [gpu["utilization_percent"] / 100 for gpu in pool["gpus"]]
    shares = shares or [worker["load"] for worker in pool["workers"]]
    return sum(shares) / len(shares) if shares else 0.0


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="get_pool",
        forms=("get_pool(id)",),
        answers="A pool by its id; `()` when there is none.",
        example='get_pool("paris").workers.len()',
        gives=2,
        code=_get,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="filter_pools",
        forms=("filter_pools(|p| test)",),
        answers="All pools that pass a test.",
        example="filter_pools(|p| p.gpus.len() == 2).map(|p| p.id)",
        gives=["ohio"],
        code=_filter,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_pools_with_capacity",
        forms=("find_pools_with_capacity(vram_bytes)",),
        answers="The pools, offline ones left out, of which one GPU has so much free memory.",
        example="find_pools_with_capacity(8000000000).map(|p| p.id)",
        gives=["ohio"],
        code=_with_capacity,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="is_pool_healthy",
        forms=("is_pool_healthy(id)",),
        answers="Whether a pool is there and healthy.",
        example='is_pool_healthy("paris") && !is_pool_healthy("ohio")',
        gives=True,
        code=_is_healthy,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_pool_utilization",
        forms=("get_pool_utilization(id)",),
        answers="How busy a pool is, 0 to 1: the average use of its GPUs, or the average load of "
        "its workers when it reports no GPUs. 0 for an unknown pool.",
        example='get_pool_utilization("paris")',
        gives=0.4,
        code=_utilization,
        arities=(1,),
        sees=True,
        whole=True,
    ),
)
