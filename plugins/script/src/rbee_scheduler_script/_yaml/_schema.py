"""The JSON Schema of rules, for editors: made of the tables that the reader uses."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script._check._kinds import field_of
from rbee_scheduler_script._yaml._actions import ACTIONS, MAX_WAIT_MS, ActionKind, Key
from rbee_scheduler_script._yaml._fields import Field, refused
from rbee_scheduler_script._yaml._read import HEAD_KEYS, MAX_RULES, RULE_KEYS
from rbee_scheduler_script._yaml._tables import ALWAYS, COMBINERS, OPERATORS, Operator, field_paths


__all__ = ["json_schema"]

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_FILLED: Final[Schema] = {"type": "string", "pattern": r"\S"}
_CONDITION: Final[Schema] = {"$ref": "#/$defs/condition"}
_NUMBERED: Final[Schema] = {"type": ["string", "number"]}
_FAMILIES: Final = {"text": "string", "number": "number", "bool": "boolean"}
# Families of fields, and a type of each.
_KINDS: Final = {
    "text": "string", "number": "number", "bool": "bool", "list": "[string]", "map": "map",
}  # fmt: skip


def json_schema() -> Schema:
    """Return the schema of a file of rules, in both dialects (JSON Schema 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of rbee-scheduler",
        "oneOf": [
            _head("rule", "Rules that are asked from top to bottom"),
            {
                "type": "object",
                "properties": {
                    "scheduler": _head("ranked_rule", "Rules that are asked by priority")
                },
                "required": ["scheduler"],
                "additionalProperties": False,
            },
        ],
        "$defs": {
            "rule": _rule(ranked=False),
            "ranked_rule": _rule(ranked=True),
            "condition": _condition(),
            "action": _action(),
            **_families(),
        },
    }


def _head(rule: str, about: str) -> Schema:
    items = {
        "type": "array",
        "items": {"$ref": f"#/$defs/{rule}"},
        "minItems": 1,
        "maxItems": MAX_RULES,
        "description": about,
    }
    return _object({"name": _TEXT, "version": _NUMBERED, "rules": items}, HEAD_KEYS)


def _object(properties: Schema, needed: dict[str, bool]) -> Schema:
    return {
        "type": "object",
        "properties": {key: properties[key] for key in needed},
        "required": [key for key, is_needed in needed.items() if is_needed],
        "additionalProperties": False,
    }


def _rule(*, ranked: bool) -> Schema:
    properties: Schema = {
        "name": {**_TEXT, "description": "What it is for; shown in traces"},
        "condition": _CONDITION,
        "action": {"$ref": "#/$defs/action"},
        "priority": {"type": "integer", "description": "Higher ones are asked first; 0 by default"},
    }
    keys = {key: needed for key, needed in RULE_KEYS.items() if ranked or key != "priority"}
    return _object(properties, keys)


def _condition() -> Schema:
    several = {"type": "array", "items": _CONDITION, "minItems": 1}
    combined: Schema = {"all": several, "any": several, "not": _CONDITION}
    properties = {name: {**combined[name], "description": COMBINERS[name]} for name in COMBINERS}
    for prefix, root in (("", "job"), ("job.", "job"), ("metrics.", "metrics")):
        for path, kind in field_paths(root).items():
            properties |= _field(prefix + path, _family(kind))
    fields = {
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": list(ALWAYS)}, fields]}


def _family(kind: str) -> str:
    """Return the word under which `$defs` has what may be asked of such fields."""
    return "list" if kind.startswith("[") else field_of(kind)


def _field(key: str, family: str) -> Schema:
    """Return the keys that ask about one field."""
    asked = {f"{key}_{name}": {"$ref": f"#/$defs/{family}_{name}"} for name in _asked(family)}
    return {key: {"$ref": f"#/$defs/{family}"}, **asked}


def _asked(family: str) -> dict[str, Schema]:
    """Return the operators for a family of fields, and what may stand behind them."""
    field = Field(root="job", path="", kind=_KINDS[family])
    return {
        name: {**_operand(operator, family), "description": operator.about}
        for name, operator in OPERATORS.items()
        if refused(operator, field) is None
    }


def _families() -> Schema:
    """Return the `$defs`: per family of fields, what stands behind a field or a short form."""
    out: Schema = {}
    for family in _KINDS:
        asked = _asked(family)
        out |= {f"{family}_{name}": schema for name, schema in asked.items()}
        by_operator: Schema = {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/{family}_{name}"} for name in asked},
            "minProperties": 1,
            "additionalProperties": False,
        }
        short = [{"$ref": f"#/$defs/{family}_{name}"} for name in ("equals", "in") if name in asked]
        out[family] = {"anyOf": [by_operator, *short]}
    return out


def _operand(operator: Operator, family: str) -> Schema:
    kind = _FAMILIES.get(family, "string")
    if operator.takes == "flag":
        return {"type": "boolean"}
    if operator.takes == "scalar":
        return {"type": [kind, "null"]}
    if operator.takes == "list":
        return {"type": "array", "items": {"type": kind}, "minItems": 1}
    return {"type": kind}


def _action() -> Schema:
    return {
        "type": "object",
        "properties": {
            name: {**_action_value(kind), "description": kind.about}
            for name, kind in ACTIONS.items()
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


def _action_value(kind: ActionKind) -> Schema:
    if not kind.keys:
        return {"enum": list(kind.words)} if kind.words else dict(_FILLED)
    needed = {key: description.needed for key, description in kind.keys.items()}
    schema = _object({key: _value(description) for key, description in kind.keys.items()}, needed)
    if kind.one_of:
        schema["oneOf"] = [{"required": [key]} for key in kind.one_of]
    return schema


def _value(key: Key) -> Schema:
    if key.number:
        return {"type": "number", "minimum": 0, "maximum": MAX_WAIT_MS, "description": key.about}
    if key.words:
        return {"enum": list(key.words), "description": key.about}
    return {**_FILLED, "description": key.about}
