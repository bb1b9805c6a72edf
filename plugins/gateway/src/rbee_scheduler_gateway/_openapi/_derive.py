"""JSON schemas of attrs classes, as core's wire reads and writes them."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from rbee_scheduler._validate import LARGEST, non_empty


__all__ = ["incoming", "outgoing"]

Schema = dict[str, Any]

_PLAIN: Final[Mapping[Any, Schema]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


def incoming(model: type, **aliases: str) -> Schema:
    """Return what is taken as an instance of ``model``: its required fields, and no other key.

    Args:
        model: An attrs class.
        **aliases: Other names of fields, as ``alias="field"``.

    Example:
        >>> from rbee_scheduler import Geo
        >>> sorted(incoming(Geo)["properties"])
        ['latitude', 'longitude', 'region']
    """
    properties = _properties(model, strict=True)
    properties |= {alias: properties[name] for alias, name in aliases.items()}
    needed = [
        field.name
        for field in attrs.fields(model)
        if field.default is attrs.NOTHING and field.name not in aliases.values()
    ]
    return _object(properties, needed, open_=False)


def outgoing(model: type) -> Schema:
    """Return what an instance of ``model`` is told as: all of its fields."""
    properties = _properties(model, strict=False)
    return _object(properties, list(properties), open_=True)


def _object(properties: Schema, needed: list[str], *, open_: bool) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if needed:
        schema["required"] = needed
    if not open_:
        schema["additionalProperties"] = False
    return schema


def _properties(model: type, *, strict: bool) -> Schema:
    hints = get_type_hints(model)
    return {
        field.name: _bounded(_of(hints[field.name], strict=strict), field.validator, strict=strict)
        for field in attrs.fields(model)
        if field.init
    }


def _bounded(schema: Schema, validator: Any, *, strict: bool) -> Schema:
    """Return a schema with the bounds that core's own check of the field has."""
    if not strict or validator is None:
        return schema
    if "anyOf" in schema:
        kinds = [_bounded(one, validator, strict=True) for one in schema["anyOf"]]
        return {"anyOf": kinds}
    if getattr(validator, "__name__", "") == non_empty.__name__:
        return schema | {"pattern": r"\S"}
    # The checks are closures; what they close over is what they compare with.
    known = inspect.getclosurevars(validator).nonlocals if inspect.isfunction(validator) else {}
    if "allowed" in known:
        return {"enum": list(known["allowed"])}
    return schema | (_range(known) if schema.get("type") in {"integer", "number"} else {})


def _range(known: Mapping[str, Any]) -> Schema:
    """Return the range of a check for numbers, by the names of its variables."""
    bounds = {
        "minimum": known.get("lowest", known.get("at_least", -LARGEST)),
        "maximum": known.get("highest", LARGEST),
    }
    if known.get("floor", -math.inf) > -math.inf:
        bounds["exclusiveMinimum"] = known["floor"]
    return bounds


def _of(kind: Any, *, strict: bool) -> Schema:
    """Return the schema of a type."""
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return {"anyOf": [_of(one, strict=strict) for one in arguments]}
    if origin in {tuple, list}:
        return {"type": "array", "items": _of(arguments[0], strict=strict)}
    if origin in {Mapping, dict}:
        return {"type": "object", "additionalProperties": _of(arguments[1], strict=strict)}
    if attrs.has(kind):
        return incoming(kind) if strict else outgoing(kind)
    raise TypeError(f"no schema for {kind!r}")
