"""The wire: plain data to models and back, strictly, through one cattrs converter.

Strict in: an unknown, missing or ill-typed key is refused with its JSON path and the
nearest known key; so are numbers that JSON does not have, and keys given twice. Stable
out: every field, in the order of its class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.errors import (
    BaseValidationError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from rbee_scheduler._errors import InvalidRequest, SchedulerError
from rbee_scheduler._heartbeat import HiveHeartbeat, WorkerHeartbeat
from rbee_scheduler._pool import Pool
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._validate import LARGEST, shown
from rbee_scheduler._wire_problems import AtKey, name_as_written, problems
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
        error: What to raise.

    Raises:
        SchedulerError: Of class ``error``, with the JSON path in `place`; for a value out
            of range `UnprocessableRequest`, where ``error`` is `InvalidRequest`. When
            several things are wrong it is the first, and the others are its notes.

    Example:
        >>> structure({"job_id": "j", "model": "m", "prompt": "Hi"}, InferenceRequest).model
        'm'
        >>> structure({"job_id": "j", "model": "m", "promt": "Hi"}, InferenceRequest)
        Traceback (most recent call last):
            ...
        rbee_scheduler._errors.InvalidRequest: $.promt: unknown key (did you mean 'prompt'?)
    """
    try:
        return _converter().structure(data, model)
    except Exception as failure:  # noqa: BLE001 - cattrs has many; each becomes ours
        first, *others = problems(failure, place, error, _ALIASES)
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
        text: JSON; NaN and Infinity are not, and neither is a key given twice.
        model: As for `structure`.
        source: Name of the file, for messages.
        error: As for `structure`; also raised for what is no JSON.

    Raises:
        SchedulerError: As `structure`; for what is no JSON the place is
            ``source:line:column``.

    Example:
        >>> loads('{"job_id": "j", "model": "m", "prompt": "Hi", "top_p": 7}', InferenceRequest)
        Traceback (most recent call last):
            ...
        rbee_scheduler._errors.UnprocessableRequest: $.top_p: top_p is 7.0 \
(it must be a finite number, at least 0 and at most 1)
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    except json.JSONDecodeError as failure:
        place = f"{source or '<json>'}:{failure.lineno}:{failure.colno}"
        raise error(f"no JSON: {failure.msg}", place=place) from None
    except (ValueError, RecursionError) as failure:  # bad UTF-8, NaN, a digit flood, deep nesting
        raise error(f"no JSON: {failure}", place=source or "<json>") from None
    return structure(data, model, place=f"{source}:$" if source else "$", error=error)


def unstructure(model: Any) -> Any:
    """Return ``model`` as plain JSON values, every field in the order of its class.

    What `structure` makes of the answer equals ``model``, but for what is the registry's
    own (`Worker.in_flight`).
    """
    return _converter().unstructure(model)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, content in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is given twice")
        found[key] = content
    return found


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
    converter.register_unstructure_hook(SchedulerError, SchedulerError.to_dict)
    return converter


def _strict(kind: type, wanted: str) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is kind and not (type(value) is float and not math.isfinite(value)):
            return value
        if kind is float and type(value) is int and abs(value) <= LARGEST:
            return float(value)
        raise TypeError(f"{shown(value)} is not {wanted}")

    return check


def _structure_fn(model: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    structure_plain: Callable[[Any, Any], Any] = make_dict_structure_fn(
        model, converter, _cattrs_forbid_extra_keys=True
    )
    as_sent = model in _ALIASES or model in _TIMESTAMPED

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{_kind(value)} is not an object")
        if not as_sent:
            return structure_plain(value, model)
        fields, written = _fields(value, model)
        try:
            return structure_plain(fields, model)
        except BaseValidationError as failure:
            name_as_written(failure, written)
            raise

    return check


def _fields(sent: Mapping[str, Any], model: type) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what was sent under our names, and the names under which it came."""
    aliases = _ALIASES.get(model, {})
    derived = _DERIVED.get(model, frozenset())
    fields: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, content in sent.items():
        name = aliases.get(key, key)
        if name in derived:
            continue
        if name in fields:
            raise AtKey(key, f"says again what {written[name]!r} says")
        written[name] = key
        fields[name] = content
    if model is Worker and isinstance(fields.get("capabilities"), str):
        fields["capabilities"] = [fields["capabilities"]]
    if model in _TIMESTAMPED and isinstance(fields.get("timestamp"), str):
        fields["timestamp"] = _milliseconds(fields["timestamp"])
    return fields, written


def _is_mapping(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in {Mapping, dict}


def _mapping_fn(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    _, content_type = kind.__args__
    inner = converter.get_structure_hook(content_type)

    def check(value: Any, _: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise TypeError(f"{_kind(value)} is not an object")
        return dict(_each(value.items(), inner, content_type, kind))

    return check


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in {tuple, list}


def _list_fn(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    content_type = kind.__args__[0]
    inner = converter.get_structure_hook(content_type)

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{_kind(value)} is not an array")
        return kind.__origin__(
            content for _, content in _each(enumerate(value), inner, content_type, kind)
        )

    return check


def _each(
    pairs: Iterable[tuple[Any, Any]], inner: Callable[[Any, Any], Any], content_type: Any, kind: Any
) -> Iterator[tuple[Any, Any]]:
    """Yield each key or index with what ``inner`` makes of its content; then raise it all."""
    failures: list[Exception] = []
    for key, content in pairs:
        try:
            if not isinstance(key, (str, int)):
                raise TypeError(f"{shown(key)} is not a string")  # noqa: TRY301 - noted below
            yield key, inner(content, content_type)
        except Exception as failure:  # noqa: BLE001 - all of them are reported, with their place
            failure.add_note(IterableValidationNote("", key, content_type))
            failures.append(failure)
    if failures:
        # Its __new__ takes three; pyright reads that of ExceptionGroup.
        raise IterableValidationError("", failures, kind)  # pyright: ignore[reportCallIssue]


def _kind(value: Any) -> str:
    # Not its text: who sends a string instead of messages sends a prompt.
    return "a string" if isinstance(value, str) else shown(value)


def _milliseconds(text: str) -> float:
    """Return an ISO 8601 moment as wall-clock ms; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise AtKey("timestamp", f"{shown(text)} is not an ISO 8601 moment") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() * 1000.0
