"""Helpers of `registry` and `hives`, under the original's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rbee_scheduler import Pool
from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._arrays import best, field_values
from rbee_scheduler_script._helpers._helper import Helper, number, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _best(view: View, run: rhai.Run, model: Any) -> Any:
    workers = view.free(text(run, model, "the model"))
    loads = field_values(run, workers, "find_best_worker_for_model", "load")
    return best(run, workers, loads, "find_best_worker_for_model", least=True)


def _idle(view: View, run: rhai.Run) -> list[Map]:
    run.charge(1)
    return view.once("idle", lambda: view.maps(view.snapshot.find_idle_workers()))


def _with_model(view: View, run: rhai.Run, model: Any) -> list[Map]:
    name = view.snapshot.catalog.resolve(text(run, model, "the model"))
    return view.once(
        ("online", name), lambda: view.maps(view.snapshot.find_workers_with_model(name))
    )


def _with_capacity(view: View, run: rhai.Run, vram_mb: Any) -> list[Map]:
    needed = number(run, vram_mb, "the memory")
    workers = view.everyone()
    run.charge(2 * len(workers))
    return [w for w in workers if w["online"] and w["vram_free_mb"] >= needed]


def _online(view: View, run: rhai.Run) -> list[Map]:
    run.charge(1)
    return view.once("online", lambda: view.maps(view.snapshot.list_online_workers()))


def _hives(view: View, pools: Iterable[Pool]) -> list[Map]:
    return [made for pool in pools if (made := view.pool(pool.id)) is not None]


def _online_hives(view: View, run: rhai.Run) -> list[Map]:
    run.charge(1)
    return view.once("hives", lambda: _hives(view, view.snapshot.list_online_hives()))


def _available_hives(view: View, run: rhai.Run) -> list[Map]:
    run.charge(1)
    return view.once("healthy", lambda: _hives(view, view.snapshot.list_available_hives()))


def _get_hive(view: View, run: rhai.Run, pool_id: Any) -> Map | None:
    return view.pool(text(run, pool_id, "the id"))


def _get(run: rhai.Run, items: list[Any], wanted: str) -> Any:
    run.charge(len(items))
    return next((x for x in items if type(x) is dict and x.get("id") == wanted), None)


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="find_best_worker_for_model",
        forms=("registry.find_best_worker_for_model(model)",),
        answers="The least loaded free worker of a model, the earliest of equals; `()` of none.",
        example="registry.find_best_worker_for_model(job.model).id",
        gives="mac-1",
        code=_best,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_idle_workers",
        forms=("registry.find_idle_workers()",),
        answers="All available workers with an idle GPU that run nothing.",
        example="registry.find_idle_workers().map(|w| w.id)",
        gives=["mac-1", "gpu-3"],
        code=_idle,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_workers_with_model",
        forms=("registry.find_workers_with_model(model)",),
        answers="All online workers that can serve a model.",
        example='registry.find_workers_with_model("llama-3-70b").map(|w| w.id)',
        gives=["gpu-3"],
        code=_with_model,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_workers_with_capacity",
        forms=("registry.find_workers_with_capacity(vram_mb)",),
        answers="All online workers with at least so much free GPU memory, in MiB.",
        example="registry.find_workers_with_capacity(20000).map(|w| w.id)",
        gives=["gpu-2"],
        code=_with_capacity,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="list_online_workers",
        forms=("registry.list_online_workers()",),
        answers="All workers that were heard of in time.",
        example="registry.list_online_workers().len()",
        gives=4,
        code=_online,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="list_online_hives",
        forms=("registry.list_online_hives()",),
        answers="All pools that are not offline.",
        example="registry.list_online_hives().map(|h| h.id)",
        gives=["paris", "ohio"],
        code=_online_hives,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="list_available_hives",
        forms=("registry.list_available_hives()",),
        answers="All pools that are healthy.",
        example="registry.list_available_hives().map(|h| h.id)",
        gives=["paris"],
        code=_available_hives,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_hive",
        forms=("registry.get_hive(id)",),
        answers="A pool by its id; `()` when there is none.",
        example='registry.get_hive("ohio").status',
        gives="degraded",
        code=_get_hive,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get",
        forms=("hives.get(id)", "workers.get(id)"),
        answers="The element of an array of pools or workers that has this id; `()` when there is "
        "none. `get(number)` of arrays is standard.",
        example='hives.get("paris").region',
        gives="eu-west",
        code=_get,
        arities=(2,),
        types=(list, str),
    ),
)
