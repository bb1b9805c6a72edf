"""Helpers that look among all workers, whatever array is at hand."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._arrays import best, field_values
from rbee_scheduler_script._helpers._helper import Helper, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _of_model(view: View, run: rhai.Run, model: Any) -> list[Map]:
    """Return the free workers of a model: the job's candidates when it is the job's model."""
    workers = view.free(text(run, model, "the model"))
    run.charge(len(workers))
    return workers


def _least_loaded(view: View, run: rhai.Run, model: Any, pool_id: Any = None) -> Any:
    workers = _of_model(view, run, model)
    if pool_id is not None:
        wanted = text(run, pool_id, "the pool")
        workers = [worker for worker in workers if worker["pool_id"] == wanted]
    loads = field_values(run, workers, "find_least_loaded_worker", "load")
    return best(run, workers, loads, "find_least_loaded_worker", least=True)


def _most_vram_free(view: View, run: rhai.Run, model: Any) -> Any:
    workers = _of_model(view, run, model)
    free = field_values(run, workers, "find_most_vram_free_worker", "vram_free_mb")
    return best(run, workers, free, "find_most_vram_free_worker", least=False)


def _ready(view: View, run: rhai.Run, model: Any) -> Any:
    workers = _of_model(view, run, model)
    return workers[0] if workers else None


def _round_robin(view: View, run: rhai.Run, model: Any) -> Any:
    workers = _of_model(view, run, model)
    return workers[view.snapshot.turn % len(workers)] if workers else None


def _all(view: View, run: rhai.Run) -> list[Map]:
    run.charge(1)
    return view.everyone()


def _filter(view: View, run: rhai.Run, predicate: Any) -> list[Any]:
    if type(predicate) is not rhai.FnPtr:
        raise run.fail("filter_workers() wants a closure such as |w| w.gpus > 1")
    return run.filter_items(predicate, _all(view, run))


def _by_model(view: View, run: rhai.Run, model: Any) -> list[Map]:
    name = view.snapshot.catalog.resolve(text(run, model, "the model"))
    return view.once(("model", name), lambda: view.maps(view.snapshot.with_model(name)))


def _get(view: View, run: rhai.Run, worker_id: Any) -> Map | None:
    return view.worker(text(run, worker_id, "the id"))


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="find_least_loaded_worker",
        forms=("find_least_loaded_worker(model)", "find_least_loaded_worker(model, pool_id)"),
        answers="The least loaded free worker of a model, in one pool when it is given; `()` of "
        "none. Of the job's own model it is one of the candidates.",
        example='find_least_loaded_worker(job.model, "ohio").id',
        gives="gpu-2",
        code=_least_loaded,
        arities=(1, 2),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_most_vram_free_worker",
        forms=("find_most_vram_free_worker(model)",),
        answers="The free worker of a model with the most free GPU memory; `()` of none.",
        example="find_most_vram_free_worker(job.model).id",
        gives="gpu-2",
        code=_most_vram_free,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_ready_worker",
        forms=("find_ready_worker(model)",),
        answers="The first free worker of a model; `()` of none.",
        example='find_ready_worker("llama-3-70b").id',
        gives="gpu-3",
        code=_ready,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_worker_round_robin",
        forms=("find_worker_round_robin(model)",),
        answers="Each free worker of a model in turn; `()` of none.",
        example="find_worker_round_robin(job.model).id",
        gives="mac-1",
        code=_round_robin,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="filter_workers",
        forms=("filter_workers(|w| test)",),
        answers="All workers, candidates or not, that pass a test.",
        example="filter_workers(|w| w.gpus > 1).map(|w| w.id)",
        gives=["gpu-2", "gpu-3"],
        code=_filter,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_all_workers",
        forms=("get_all_workers()",),
        answers="All workers, candidates or not, in the order in which they registered.",
        example="get_all_workers().len()",
        gives=4,
        code=_all,
        arities=(0,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_workers_by_model",
        forms=("find_workers_by_model(model)",),
        answers="All workers that can serve a model, whatever their state.",
        example='find_workers_by_model("llama3").len()',
        gives=3,
        code=_by_model,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_worker",
        forms=("get_worker(id)",),
        answers="A worker by its id; `()` when there is none.",
        example='get_worker("gpu-3").model',
        gives="llama-3-70b",
        code=_get,
        arities=(1,),
        sees=True,
        whole=True,
    ),
)
