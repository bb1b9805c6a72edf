"""Helpers of GPUs."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, number, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS", "speed"]

Map = dict[str, Any]


def _every(view: View, run: rhai.Run) -> list[tuple[str, Map]]:
    """Return all GPUs with the ids of their pools, in the order of the pools."""
    found = view.once(
        "gpus", lambda: [(pool["id"], gpu) for pool in view.pools for gpu in pool["gpus"]]
    )
    run.charge(2 * len(found))
    return found


def _find(view: View, run: rhai.Run, gpu_id: Any) -> Map:
    """Return the first GPU of that id; an empty map when there is none."""
    wanted = text(run, gpu_id, "the GPU's id")
    return next((gpu for _, gpu in _every(view, run) if gpu["id"] == wanted), {})


def _total(view: View, run: rhai.Run, gpu_id: Any) -> int:
    return int(_find(view, run, gpu_id).get("vram_total_bytes", 0))


def _free(view: View, run: rhai.Run, gpu_id: Any) -> int:
    return int(_find(view, run, gpu_id).get("vram_free_bytes", 0))


def _device_name(view: View, run: rhai.Run, gpu_id: Any) -> str:
    return str(_find(view, run, gpu_id).get("device_name", ""))


def _with_vram(view: View, run: rhai.Run, vram_bytes: Any) -> list[Map]:
    needed = number(run, vram_bytes, "the memory")
    return [
        {**gpu, "pool_id": pool_id}
        for pool_id, gpu in _every(view, run)
        if gpu["vram_free_bytes"] >= needed
    ]


def _get(view: View, run: rhai.Run, pool_id: Any, gpu_id: Any) -> Map | None:
    wanted = text(run, gpu_id, "the GPU's id")
    pool = view.pool(text(run, pool_id, "the pool's id"))
    gpus = pool["gpus"] if pool else []
    run.charge(len(gpus))
    return next((gpu for gpu in gpus if gpu["id"] == wanted), None)


def _gpu(view: View, run: rhai.Run, gpu: Any) -> Map:
    """Return a GPU given as a map, or by id."""
    if type(gpu) is dict:
        return gpu
    return _find(view, run, gpu)


def _compatible(view: View, run: rhai.Run, gpu: Any, model: Any) -> Map:
    device = _gpu(view, run, gpu)
    known = view.model(text(run, model, "the model"))
    if not device:
        return {"ok": False, "reason": "there is no such GPU"}
    if known is None:
        return {"ok": False, "reason": "the model is not in the catalog"}
    needed, there = known["vram_required_bytes"], device.get("vram_total_bytes") or 0
    if needed > there:
        return {"ok": False, "reason": f"needs {needed} bytes of memory, the GPU has {there}"}
    return {"ok": True, "reason": ""}


def speed(view: View, model: str, device_name: str) -> float:
    """Return the catalog's tokens/s of a model on a device; 0 where it says nothing."""
    known = view.model(model)
    speeds = known["estimated_tokens_per_sec"] if known else {}
    return float(speeds.get(device_name, speeds.get("default", 0.0)))


def _performance(view: View, run: rhai.Run, model: Any, gpu: Any) -> float:
    device = _gpu(view, run, gpu)
    return speed(view, text(run, model, "the model"), str(device.get("device_name", "")))


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="gpu_vram_total",
        forms=("gpu_vram_total(gpu_id)",),
        answers="A GPU's memory in bytes; 0 for an unknown one.",
        example='gpu_vram_total("p-0") / 1073741824',
        gives=24,
        code=_total,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="gpu_vram_free",
        forms=("gpu_vram_free(gpu_id)",),
        answers="A GPU's free memory in bytes; 0 for an unknown one.",
        example='gpu_vram_free("p-0") / 1073741824',
        gives=2,
        code=_free,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="gpu_device_name",
        forms=("gpu_device_name(gpu_id)",),
        answers="A GPU's name, such as `RTX 4090`; an empty text for an unknown one.",
        example='gpu_device_name("p-0")',
        gives="RTX 4090",
        code=_device_name,
        arities=(1,),
        sees=True,
    ),
    Helper(
        name="find_gpus_with_vram",
        forms=("find_gpus_with_vram(vram_bytes)",),
        answers="The GPUs of all pools with so much free memory; each also says its `pool_id`.",
        example="find_gpus_with_vram(8000000000).map(|g| g.pool_id + `/` + g.id)",
        gives=["ohio/o-0", "ohio/o-1"],
        code=_with_vram,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_gpu",
        forms=("get_gpu(pool_id, gpu_id)",),
        answers="A GPU of a pool; `()` when there is none.",
        example='get_gpu("ohio", "o-1").utilization_percent',
        gives=10.0,
        code=_get,
        arities=(2,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="check_gpu_compatibility",
        forms=("check_gpu_compatibility(gpu, model)",),
        answers="`#{ok, reason}`: whether the model fits the GPU's memory. The GPU is a map or an "
        "id.",
        example='check_gpu_compatibility("p-0", "llama-3-70b").ok',
        gives=False,
        code=_compatible,
        arities=(2,),
        sees=True,
    ),
    Helper(
        name="estimate_performance",
        forms=("estimate_performance(model, gpu)",),
        answers="Tokens per second of a model on a GPU, as the catalog says; 0.0 when it does not.",
        example='estimate_performance("llama3", "p-0")',
        gives=120.0,
        code=_performance,
        arities=(2,),
        sees=True,
    ),
)
