"""Helpers of arrays of workers that keep some of them, or pick one."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._arrays import best, field, field_values, workers_of
from rbee_scheduler_script._helpers._helper import Helper, number, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _idle(run: rhai.Run, workers: Any) -> list[Map]:
    return field(run, workers, "idle", lambda w: w.get("gpu_util_pct") == 0.0 and not w["running"])


def _available(run: rhai.Run, items: Any) -> list[Map]:
    # Pools are asked the same under the name `hives`: the healthy ones.
    return field(
        run,
        items,
        "available",
        lambda x: x["available"] if "available" in x else x.get("status") == "healthy",
    )


def _online(run: rhai.Run, items: Any) -> list[Map]:
    return field(
        run,
        items,
        "online",
        lambda x: x["online"] if "online" in x else x.get("status") != "offline",
    )


def _with_model(view: View, run: rhai.Run, workers: Any, model: Any) -> list[Map]:
    wanted = view.snapshot.catalog.resolve(text(run, model, "the model"))
    return _listing(run, workers, "with_model", "models", wanted)


def _with_capacity(run: rhai.Run, workers: Any, vram_mb: Any) -> list[Map]:
    needed = number(run, vram_mb, "the memory")
    return field(run, workers, "with_capacity", lambda w: w["vram_free_mb"] >= needed)


def _with_capability(run: rhai.Run, workers: Any, name: Any) -> list[Map]:
    wanted = text(run, name, "the capability")
    return _listing(run, workers, "with_capability", "capabilities", wanted)


def _listing(run: rhai.Run, workers: Any, helper: str, name: str, wanted: str) -> list[Map]:
    """Return the workers of which the array ``name`` has ``wanted``."""
    lists = field_values(run, workers, helper, name)
    try:
        # A script may have made up workers that share one array of 100,000 models.
        run.charge(sum(map(len, lists)) >> 3)
        return [w for w, listed in zip(workers, lists, strict=True) if wanted in listed]
    except TypeError:
        raise run.fail(f"{helper}(): an element is no worker") from None


def _in_region(run: rhai.Run, items: Any, region: Any) -> list[Map]:
    wanted = text(run, region, "the region")

    def there(item: Map) -> bool:
        place = item.get("geo") or item
        return bool(place.get("region") == wanted)

    return field(run, items, "in_region", there)


def _least_loaded(run: rhai.Run, workers: Any) -> Any:
    loads = field_values(run, workers, "least_loaded", "load")
    return best(run, workers, loads, "least_loaded", least=True)


def _most_vram_free(run: rhai.Run, workers: Any) -> Any:
    free = field_values(run, workers, "most_vram_free", "vram_free_mb")
    return best(run, workers, free, "most_vram_free", least=False)


def _round_robin(view: View, run: rhai.Run, workers: Any) -> Any:
    workers_of(run, workers, "round_robin")
    return workers[view.snapshot.turn % len(workers)] if workers else None


def _random(view: View, run: rhai.Run, workers: Any) -> Any:
    workers_of(run, workers, "random")
    return view.chance.choice(workers) if workers else None


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="idle",
        forms=("workers.idle()", "idle(workers)"),
        answers="The workers whose GPU does nothing (`gpu_util_pct` is 0) and that run nothing.",
        example="workers.idle().map(|w| w.id)",
        gives=["mac-1"],
        code=_idle,
        arities=(1,),
    ),
    Helper(
        name="available",
        forms=("workers.available()", "hives.available()"),
        answers="The workers that are online and ready; of pools, the healthy ones.",
        example="hives.available().map(|h| h.id)",
        gives=["paris"],
        code=_available,
        arities=(1,),
    ),
    Helper(
        name="online",
        forms=("workers.online()", "hives.online()"),
        answers="The workers heard of in time; of pools, those that are not offline.",
        example="workers.online().len() == workers.len() && hives.online().len() == 2",
        gives=True,
        code=_online,
        arities=(1,),
    ),
    Helper(
        name="with_model",
        forms=("workers.with_model(model)",),
        answers="The workers that can serve the model, given by reference or alias.",
        example='get_all_workers().with_model("llama-3-70b").map(|w| w.id)',
        gives=["gpu-3"],
        code=_with_model,
        arities=(2,),
        sees=True,
    ),
    Helper(
        name="with_capacity",
        forms=("workers.with_capacity(vram_mb)",),
        answers="The workers with at least so much free GPU memory, in MiB.",
        example="workers.with_capacity(10000).map(|w| w.id)",
        gives=["mac-1", "gpu-2"],
        code=_with_capacity,
        arities=(2,),
    ),
    Helper(
        name="with_capability",
        forms=("workers.with_capability(name)",),
        answers='The workers that can do a task such as `"image-gen"`.',
        example='workers.with_capability("image-gen").map(|w| w.id)',
        gives=["gpu-2"],
        code=_with_capability,
        arities=(2,),
    ),
    Helper(
        name="in_region",
        forms=("workers.in_region(region)", "pools.in_region(region)"),
        answers="The workers (or pools) in a region; the names must be equal.",
        example='workers.in_region("eu-west").map(|w| w.id)',
        gives=["gpu-1", "mac-1"],
        code=_in_region,
        arities=(2,),
    ),
    Helper(
        name="least_loaded",
        forms=("workers.least_loaded()",),
        answers="The worker with the lowest `load`, the earliest of equals; `()` of none.",
        example="workers.least_loaded().id",
        gives="mac-1",
        code=_least_loaded,
        arities=(1,),
    ),
    Helper(
        name="most_vram_free",
        forms=("workers.most_vram_free()",),
        answers="The worker with the most free GPU memory, the earliest of equals; `()` of none.",
        example="workers.most_vram_free().id",
        gives="gpu-2",
        code=_most_vram_free,
        arities=(1,),
    ),
    Helper(
        name="round_robin",
        forms=("workers.round_robin()",),
        answers="Each worker in turn, by the number of the decision; `()` of none.",
        example="workers.round_robin().id",
        gives="mac-1",
        code=_round_robin,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="random",
        forms=("workers.random()",),
        answers="A worker by chance. A repeated decision draws the same one; `()` of none.",
        example="workers.random() in workers && [].random() == ()",
        gives=True,
        code=_random,
        arities=(1,),
        sees=True,
    ),
)
