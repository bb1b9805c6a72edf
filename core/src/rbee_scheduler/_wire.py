"""The wire: plain data to models and back, strictly, through one cattrs converter.

Strict in: an unknown, missing or ill-typed key is refused with its JSON path and the
nearest known key. Stable out: every field, in the order of its class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from rbee_scheduler._errors import InvalidRequest, SchedulerError
from rbee_scheduler._heartbeat import HiveHeartbeat, WorkerHeartbeat
from rbee_scheduler._pool import Pool
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._worker import Worker


__all__ = ["loads", "structure", "unstructure"]

T = TypeVar("T")

# Other names under which the original system sends a field.
_ALIASES: Mapping[type, Mapping[str, str]] = {
    InferenceRequest: {"id": "job_id", "model_ref": "model", "type": "task_type"},
    Worker: {"hive_id": "pool_id", "capability": "capabilities"},
    Pool: {"hive_id": "id", "workers": "worker_ids"},
}
# Fields that are the registry's own and not a sender's to set.
_DERIVED: Mapping[type, frozenset[str]] = {
    Worker: frozenset({"in_flight", "host", "port"}),
}
_TIMESTAMPED = (HiveHeartbeat, WorkerHeartbeat)


def structure(
    data: Any, model: type[T], *, place: str = "$", error: type[SchedulerError] = InvalidRequest
) -> T:
    """Return ``data`` (plain JSON values) as an instance of ``model``.

    Args:
        data: Usually a mapping.
        model: An attrs class, or a type made of them such as ``list[Worker]``.
        place: Where the data stands, for messages.
        error: What to raise for an unknown, missing or ill-typed key.

    Raises:
        SchedulerError: Of class ``error``; or, for a value out of range, the error of
            the model's own check (such as `UnprocessableRequest`). Each has the JSON
            path in `place`.

    Example:
        >>> structure({"job_id": "j", "model": "m", "prompt": "Hi"}, InferenceRequest).model
        'm'
        >>> structure({"job_id": "j", "modle": "m", "prompt": "Hi"}, InferenceRequest)
        Traceback (most recent call last):
            ...
        rbee_scheduler._errors.InvalidRequest: $.modle: unknown key (did you mean 'model'?)
    """
    try:
        return _converter().structure(data, model)
    except BaseValidationError as failure:
        problems = list(_problems(failure, place, error))
    except SchedulerError as failure:
        problems = [_moved(failure, place)]
    except (TypeError, ValueError) as failure:
        problems = [error(str(failure), place=place)]
    first, *others = problems
    for other in others:
        first.add_note(f"also: {other}")
    raise first


def loads(
    text: str | bytes,
    model: type[T],
    *,
    source: str = "",
    error: type[SchedulerError] = InvalidRequest,
) -> T:
    """Return the JSON ``text`` as an instance of ``model``.

    Args:
        text: JSON; NaN and Infinity are not.
        model: As for `structure`.
        source: Name of the file, for messages.
        error: As for `structure`; also raised for what is no JSON.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as failure:
        place = f"{source or '<json>'}:{failure.lineno}:{failure.colno}"
        raise error(f"no JSON: {failure.msg}", place=place) from None
    except (ValueError, RecursionError) as failure:  # bad UTF-8, NaN, a digit flood, deep nesting
        raise error(f"no JSON: {failure}", place=source or "<json>") from None
    return structure(data, model, place=f"{source}:$" if source else "$", error=error)


def unstructure(model: Any) -> Any:
    """Return ``model`` as plain JSON values, every field in the order of its class."""
    return _converter().unstructure(model)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


# ---- the converter -------------------------------------------------------------------------


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, wanted in (
        (int, "an integer"),
        (float, "a number"),
        (str, "a string"),
        (bool, "true or false"),
    ):
        converter.register_structure_hook(kind, _strict(kind, wanted))
    converter.register_structure_hook_factory(
        attrs.has, lambda model: _structure_fn(model, converter)
    )
    converter.register_structure_hook_factory(
        _is_mapping, lambda model: _mapping_fn(model, converter)
    )
    converter.register_structure_hook_factory(_is_list, lambda model: _list_fn(model, converter))
    return converter


def _strict(kind: type, wanted: str) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise TypeError(f"{_shown(value)} is not {wanted}")

    return check


def _structure_fn(model: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    structure_plain: Callable[[Any, Any], Any] = make_dict_structure_fn(
        model, converter, _cattrs_forbid_extra_keys=True
    )
    aliases = _ALIASES.get(model, {})
    derived = _DERIVED.get(model, frozenset())
    timestamped = model in _TIMESTAMPED

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{_shown(value)} is not an object")
        if aliases or derived or timestamped:
            value = {aliases.get(k, k): v for k, v in value.items() if k not in derived}
            if model is Worker and isinstance(value.get("capabilities"), str):
                value["capabilities"] = [value["capabilities"]]
            if timestamped and isinstance(value.get("timestamp"), str):
                value["timestamp"] = _milliseconds(value["timestamp"])
        return structure_plain(value, model)

    return check


def _is_mapping(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in {Mapping, dict}


def _mapping_fn(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    key_type, value_type = kind.__args__

    def check(value: Any, _: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise TypeError(f"{_shown(value)} is not an object")
        return {
            converter.structure(k, key_type): v
            if value_type is Any
            else converter.structure(v, value_type)
            for k, v in value.items()
        }

    return check


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _list_fn(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    inner = converter.get_structure_hook(list[kind.__args__[0]])

    def check(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{_shown(value)} is not an array")
        return tuple(inner(value, list))

    return check


def _milliseconds(text: str) -> float:
    """Return an ISO 8601 moment as wall-clock ms; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000.0


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line of a message


# ---- what went wrong, and where ---------------------------------------------------------------


def _problems(
    failure: BaseException, place: str, error: type[SchedulerError]
) -> Iterator[SchedulerError]:
    """Yield one error for each thing wrong, with its JSON path."""
    if isinstance(failure, BaseValidationError):
        for inner in failure.exceptions:
            yield from _problems(inner, place + _step(inner), error)
    elif isinstance(failure, ForbiddenExtraKeysError):
        known = [a.alias for a in attrs.fields(failure.cl)]
        known += _ALIASES.get(failure.cl, {})
        for key in sorted(failure.extra_fields):
            near = get_close_matches(key, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
            )
            yield error("unknown key", place=f"{place}.{key}", hint=hint)
    elif isinstance(failure, SchedulerError):
        yield _moved(failure, place)
    elif isinstance(failure, KeyError):
        yield error("missing key", place=f"{place}.{failure.args[0]}")
    else:
        yield error(str(failure), place=place)


def _step(failure: BaseException) -> str:
    for note in getattr(failure, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            # A missing key is noted at its own name, which its KeyError says already.
            return "" if isinstance(failure, KeyError) else f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index}]"
    return ""


def _moved(failure: SchedulerError, place: str) -> SchedulerError:
    """Put a model's own error (``$.temperature``) where the model stands."""
    inner = failure.place.removeprefix("$")
    failure.place = place if place.endswith(inner) and inner else place + inner
    return failure
