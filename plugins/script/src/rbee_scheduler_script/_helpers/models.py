"""Helpers of the model catalog."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._helper import Helper, text
from rbee_scheduler_script._view import View


__all__ = ["HELPERS"]

Map = dict[str, Any]


def _resolve(view: View, run: rhai.Run, name: Any) -> str:
    return view.snapshot.catalog.resolve(text(run, name, "the model"))


def _get(view: View, run: rhai.Run, ref: Any) -> Map | None:
    return view.model(text(run, ref, "the model"))


def _exists(view: View, run: rhai.Run, ref: Any) -> bool:
    return view.model(text(run, ref, "the model")) is not None


def _all(view: View, run: rhai.Run) -> list[Map]:
    models = list(view.models().values())
    run.array(len(models))
    return models


def _filter(view: View, run: rhai.Run, predicate: Any) -> list[Any]:
    if type(predicate) is not rhai.FnPtr:
        raise run.fail("filter_models() wants a closure such as |m| m.context_length > 8000")
    return run.filter_items(predicate, _all(view, run))


def _by_family(view: View, run: rhai.Run, family: Any) -> list[Map]:
    wanted = text(run, family, "the family")
    return [model for model in _all(view, run) if model["family"] == wanted]


def _vram(view: View, run: rhai.Run, ref: Any) -> int:
    known = _get(view, run, ref)
    return int(known["vram_required_bytes"]) if known else 0


def _size(view: View, run: rhai.Run, ref: Any) -> int:
    known = _get(view, run, ref)
    return int(known["file_size_bytes"]) if known else 0


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="resolve_model",
        forms=("resolve_model(name)",),
        answers="The model's reference for a short name; a name unknown to the catalog is its own.",
        example='resolve_model("llama3")',
        gives="llama-3-8b",
        code=_resolve,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_model",
        forms=("get_model(ref)",),
        answers="A catalog entry by reference or short name; `()` when there is none.",
        example='get_model("llama3").family',
        gives="llama",
        code=_get,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="model_exists",
        forms=("model_exists(ref)",),
        answers="Whether the catalog has the model.",
        example='model_exists("llama3") && !model_exists("gpt-7")',
        gives=True,
        code=_exists,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="filter_models",
        forms=("filter_models(|m| test)",),
        answers="The catalog's entries that pass a test.",
        example='filter_models(|m| m.size == "70b").map(|m| m.model_ref)',
        gives=["llama-3-70b"],
        code=_filter,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="find_models_by_family",
        forms=("find_models_by_family(family)",),
        answers="The catalog's entries of a family.",
        example='find_models_by_family("llama").len()',
        gives=2,
        code=_by_family,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="get_model_vram",
        forms=("get_model_vram(ref)",),
        answers="GPU memory a model needs, bytes; 0 when the catalog does not say.",
        example='get_model_vram("llama3") / 1073741824',
        gives=6,
        code=_vram,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="model_vram_required",
        forms=("model_vram_required(ref)",),
        answers="The same as `get_model_vram`.",
        example='model_vram_required("llama-3-70b") / 1073741824',
        gives=40,
        code=_vram,
        arities=(1,),
        sees=True,
        whole=True,
    ),
    Helper(
        name="model_size_bytes",
        forms=("model_size_bytes(ref)",),
        answers="Size of a model's file, bytes; 0 when the catalog does not say.",
        example='model_size_bytes("llama3") / 1073741824',
        gives=5,
        code=_size,
        arities=(1,),
        sees=True,
        whole=True,
    ),
)
