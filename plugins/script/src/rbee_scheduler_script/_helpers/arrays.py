"""Helpers of arrays of anything, by a key: a closure, or the name of a field."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers._arrays import best, keys_of, numbers, sorted_by
from rbee_scheduler_script._helpers._helper import Helper


__all__ = ["HELPERS"]


def _array(run: rhai.Run, items: Any, helper: str) -> list[Any]:
    if type(items) is not list:
        raise run.fail(f"{helper}() is a function of arrays")
    return items


def _min_by(run: rhai.Run, items: Any, key: Any) -> Any:
    return best(run, items, keys_of(run, items, key, "min_by"), "min_by", least=True)


def _max_by(run: rhai.Run, items: Any, key: Any) -> Any:
    return best(run, items, keys_of(run, items, key, "max_by"), "max_by", least=False)


def _sort_by_key(run: rhai.Run, items: Any, key: Any) -> list[Any]:
    return sorted_by(run, items, keys_of(run, items, key, "sort_by_key"), "sort_by_key")


def _first(run: rhai.Run, items: Any) -> Any:
    return items[0] if _array(run, items, "first") else None


def _last(run: rhai.Run, items: Any) -> Any:
    return items[-1] if _array(run, items, "last") else None


def _sum_by(run: rhai.Run, items: Any, key: Any) -> float:
    total = sum(numbers(run, keys_of(run, items, key, "sum_by"), "sum_by"))
    if isinstance(total, int) and not -(2**63) <= total < 2**63:
        raise run.overflow("Addition overflow in sum_by()")
    return total


def _average_by(run: rhai.Run, items: Any, key: Any) -> float | None:
    keys = numbers(run, keys_of(run, items, key, "average_by"), "average_by")
    return sum(keys) / len(keys) if keys else None


def _group_by(run: rhai.Run, items: Any, key: Any) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    run.charge(2 * len(_array(run, items, "group_by")))
    run.array(len(items))
    for item, name in zip(items, keys_of(run, items, key, "group_by"), strict=True):
        label = _label(run, name)
        group = groups.get(label)
        if group is None:
            run.map(1)
            groups[label] = [item]
        else:
            group.append(item)
    return groups


def _label(run: rhai.Run, key: Any) -> str:
    """Return a key of a map: maps have strings for keys."""
    if type(key) is str:
        return key
    if key is None:
        return ""
    if type(key) is bool:
        return "true" if key else "false"
    if isinstance(key, (int, float, str)):
        return str(key)
    raise run.fail("group_by(): the key must be a string, a number, a bool or ()")


def _take(run: rhai.Run, items: Any, count: Any) -> list[Any]:
    if type(count) is not int:
        raise run.fail("take(): the number of elements must be an integer")
    chosen = _array(run, items, "take")[: max(count, 0)]
    run.array(len(chosen))
    return chosen


def _is_empty(_run: rhai.Run, items: list[Any]) -> bool:
    return not items


def _average(run: rhai.Run, items: list[Any]) -> float | None:
    run.charge(len(items))
    known = numbers(run, items, "average")
    return sum(known) / len(known) if known else None


def _max(run: rhai.Run, items: list[Any]) -> Any:
    run.charge(len(items))
    return best(run, items, items, "max", least=False)


def _min(run: rhai.Run, items: list[Any]) -> Any:
    run.charge(len(items))
    return best(run, items, items, "min", least=True)


HELPERS: Final[tuple[Helper, ...]] = (
    Helper(
        name="min_by",
        forms=("workers.min_by(|w| key)", 'workers.min_by("field")'),
        answers="The element with the least key, the earliest of equals; `()` of none. "
        "An element whose key is `()` is taken only when there is no other.",
        example="workers.min_by(|w| w.cost_per_token).id",
        gives="gpu-2",
        code=_min_by,
        arities=(2,),
    ),
    Helper(
        name="max_by",
        forms=("workers.max_by(|w| key)", 'workers.max_by("field")'),
        answers="The element with the greatest key, the earliest of equals; `()` of none.",
        example="workers.max_by(|w| w.avg_tokens_per_sec).id",
        gives="gpu-2",
        code=_max_by,
        arities=(2,),
    ),
    Helper(
        name="sort_by_key",
        forms=("workers.sort_by_key(|w| key)", 'workers.sort_by_key("field")'),
        answers="The elements by ascending key, equals in their order; the array itself stays.",
        example='workers.sort_by_key("cost_per_token").map(|w| w.id)',
        gives=["gpu-2", "mac-1", "gpu-1"],
        code=_sort_by_key,
        arities=(2,),
    ),
    Helper(
        name="first",
        forms=("workers.first()",),
        answers="The first element; `()` of none.",
        example="workers.filter(|w| w.gpus > 1).first().id",
        gives="gpu-2",
        code=_first,
        arities=(1,),
    ),
    Helper(
        name="last",
        forms=("workers.last()",),
        answers="The last element; `()` of none.",
        example="workers.last().id",
        gives="gpu-2",
        code=_last,
        arities=(1,),
    ),
    Helper(
        name="is_empty",
        forms=("workers.is_empty()",),
        answers="Whether there is no element.",
        example="workers.is_empty()",
        gives=False,
        code=_is_empty,
        arities=(1,),
        types=(list,),
    ),
    Helper(
        name="sum_by",
        forms=("workers.sum_by(|w| key)", 'workers.sum_by("field")'),
        answers="The sum of a key over all elements; 0 of none. Keys that are `()` don't count.",
        example='workers.sum_by("running")',
        gives=3,
        code=_sum_by,
        arities=(2,),
    ),
    Helper(
        name="average_by",
        forms=("workers.average_by(|w| key)", 'workers.average_by("field")'),
        answers="The average of a key; `()` of none. Keys that are `()` don't count.",
        example="workers.average_by(|w| w.load)",
        gives=0.25,
        code=_average_by,
        arities=(2,),
    ),
    Helper(
        name="group_by",
        forms=("workers.group_by(|w| key)", 'workers.group_by("field")'),
        answers="A map from each key, as text, to an array of the elements that have it.",
        example='workers.group_by("backend").keys()',
        gives=["cuda", "metal"],
        code=_group_by,
        arities=(2,),
    ),
    Helper(
        name="take",
        forms=("workers.take(n)",),
        answers="The first n elements, or all when there are fewer.",
        example="workers.take(2).map(|w| w.id)",
        gives=["gpu-1", "mac-1"],
        code=_take,
        arities=(2,),
    ),
    Helper(
        name="average",
        forms=("average(numbers)", "numbers.average()"),
        answers="The average of an array of numbers; `()` of none.",
        example="average([1, 2, 6])",
        gives=3.0,
        code=_average,
        arities=(1,),
        types=(list,),
    ),
    Helper(
        name="max",
        forms=("max(numbers)", "numbers.max()"),
        answers="The greatest of an array of numbers or strings; `()` of none. "
        "`max(a, b)` of two numbers is standard.",
        example="max([1, 7, 3]) + max(1, 2)",
        gives=9,
        code=_max,
        arities=(1,),
        types=(list,),
    ),
    Helper(
        name="min",
        forms=("min(numbers)", "numbers.min()"),
        answers="The least of an array of numbers or strings; `()` of none.",
        example="min([4, 2, 3])",
        gives=2,
        code=_min,
        arities=(1,),
        types=(list,),
    ),
)
