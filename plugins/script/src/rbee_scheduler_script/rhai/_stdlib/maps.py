"""Maps; scripts see their keys in sorted order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import set_prop
from rbee_scheduler_script.rhai._failures import not_found
from rbee_scheduler_script.rhai._values import FnPtr

from ._native import ANY, Native, changing, rows
from .json import to_json


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def keys(run: Run, m: dict[str, Any]) -> list[Any]:
    run.array(len(m))
    return sorted(m)


def values(run: Run, m: dict[str, Any]) -> list[Any]:
    run.array(len(m))
    if run.owned:
        run.disown(m)
    return [m[key] for key in sorted(m)]


def get(run: Run, m: dict[str, Any], key: str) -> Any:
    value = m.get(key)
    if run.owned:
        run.disown(value)
    return value


def _asked(run: Run, m: dict[str, Any], function: FnPtr) -> list[tuple[str, Any]]:
    """Keys with what the closure answers: `(key)` with `this` the value, or `(key, value)`."""
    run.map(len(m))
    if run.owned:
        run.disown(m)
    target = run.callable(function, 1) or run.callable(function, 2)
    takes = target.arity - len(function.curried) if target is not None else 2
    if takes not in (1, 2):
        raise not_found(function.name, (next(iter(m), None), None))
    out: list[tuple[str, Any]] = []
    for key in sorted(m):
        value = m[key]
        arguments = (key,) if takes == 1 else (key, value)
        out.append((key, run.call(function, *arguments, this=[value])))
    return out


def map_(run: Run, m: dict[str, Any], function: FnPtr) -> dict[str, Any]:
    return dict(_asked(run, m, function))


def filter_(run: Run, m: dict[str, Any], function: FnPtr) -> dict[str, Any]:
    return {key: m[key] for key, answer in _asked(run, m, function) if answer is True}


def retain(run: Run, m: dict[str, Any], function: FnPtr) -> Any:
    """Keeps what matches, answers the rest."""
    asked = _asked(run, m, function)
    kept = {key: m[key] for key, answer in asked if answer is True}
    return {key: m[key] for key, answer in asked if answer is not True}, kept


def drain(run: Run, m: dict[str, Any], function: FnPtr) -> Any:
    """Takes out and answers what matches."""
    rest, matching = retain(run, m, function)
    return matching, rest


def set_(run: Run, m: dict[str, Any], key: str, value: Any) -> Any:
    return None, set_prop(run, run.own(m), key, value)


def remove(run: Run, m: dict[str, Any], key: str) -> Any:
    if key not in m:
        return None, m
    m = run.own(m)
    return m.pop(key), m


def mixin(run: Run, m: dict[str, Any], other: dict[str, Any]) -> Any:
    run.map(len(m) + len(other))
    if run.owned:
        run.disown(other)
    m = run.own(m)
    m.update(other)
    return None, m


def fill_with(run: Run, m: dict[str, Any], other: dict[str, Any]) -> Any:
    run.map(len(m) + len(other))
    if run.owned:
        run.disown(other)
    m = run.own(m)
    for key, value in other.items():
        m.setdefault(key, value)
    return None, m


NATIVES: Final[tuple[Native, ...]] = (
    *rows(lambda _, m: len(m), "len", dict),
    *rows(lambda _, m: not m, "is_empty", dict),
    *rows(lambda _, m, key: key in m, "contains", dict, str),
    *rows(keys, "keys", dict),
    *rows(values, "values", dict),
    *rows(get, "get", dict, str),
    *rows(map_, "map", dict, FnPtr),
    *rows(filter_, "filter", dict, FnPtr),
    *rows(to_json, "to_json", dict),
    *changing(retain, "retain", dict, FnPtr),
    *changing(drain, "drain", dict, FnPtr),
    *changing(set_, "set", dict, str, ANY),
    *changing(remove, "remove", dict, str),
    *changing(mixin, "mixin", dict, dict),
    *changing(fill_with, "fill_with", dict, dict),
    *changing(lambda _, __: (None, {}), "clear", dict),
)
