"""Keys of conditions: `job.user.geo.region`, `model_contains`, `metrics.queue_depth_gt`."""

from __future__ import annotations

from typing import Any, Final

import attrs

from rbee_scheduler_script._check._kinds import bare, field_of
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script._yaml._tables import OPERATORS, ROOTS, Operator, field_paths


__all__ = ["Field", "find_field", "misfit", "refused"]

_LONGEST_FIRST: Final = sorted(OPERATORS, key=len, reverse=True)

_A: Final = {"text": "a text", "number": "a number", "bool": "true or false", "array": "a list",
             "map": "a map"}  # fmt: skip


@attrs.frozen(kw_only=True)
class Field:
    """A field that a condition asks about.

    Attributes:
        root: ``"job"`` or ``"metrics"``.
        path: Below the root, with dots.
        kind: Its type.
        operator: The operator of the short form; empty without one.
    """

    root: str
    path: str
    kind: str
    operator: str = ""


def find_field(key: str) -> Field | str:
    """Return what ``key`` asks about; a hint (it may be empty) when there is no such field."""
    root, path = "job", key
    for word in ROOTS:
        if key.startswith(f"{word}."):
            root, path = word, key.removeprefix(f"{word}.")
    paths = field_paths(root)
    if path in paths:
        return Field(root=root, path=path, kind=paths[path])
    for operator in _LONGEST_FIRST:
        stem = path.removesuffix(f"_{operator}")
        if stem != path and stem in paths:
            return Field(root=root, path=stem, kind=paths[stem], operator=operator)
    return _hint(root, path, paths, spelt=key != path)


def _hint(root: str, path: str, paths: dict[str, str], *, spelt: bool) -> str:
    below = [name for name in paths if name.startswith(f"{path}.")]
    if below:
        return f"ask about a field of it, such as `{root}.{below[0]}`"
    if not spelt:
        elsewhere = [word for word in ROOTS if not isinstance(find_field(f"{word}.{path}"), str)]
        if elsewhere:
            return f"did you mean `{elsewhere[0]}.{path}`?"
    prefix = f"{root}." if spelt else ""
    # `modle_contains`: the operator is right, the field is not.
    for operator in _LONGEST_FIRST:
        stem = path.removesuffix(f"_{operator}")
        if stem != path and (near := nearest(stem, paths)):
            return f"did you mean `{prefix}{near}_{operator}`?"
    near = nearest(path, paths)
    if near:
        return f"did you mean `{prefix}{near}`?"
    if not spelt and (near := nearest(path, field_paths("metrics"))):
        return f"did you mean `metrics.{near}`?"
    return ""


def refused(operator: Operator, field: Field) -> tuple[str, str] | None:
    """Return why a field can't be asked this way, and what to do; None when it can."""
    family = field_of(field.kind)
    if family == "map" and operator.takes != "flag":
        return f"`{field.path}` is a map", "ask whether it exists, or about a field of it"
    if family == "array" and operator.takes != "flag" and "array" not in operator.fields:
        return f"`{field.path}` is a list", "use contains, or exists"
    if operator.fields and family not in operator.fields:
        wanted = " or ".join(sorted(_A[name] for name in operator.fields))
        return f"`{field.path}` is {_A[family]}, and {operator.name} asks about {wanted}", ""
    return None


def misfit(value: Any, operator: Operator, field: Field) -> tuple[str, str] | None:
    """Return why a field can't be compared with ``value``, and what to do; None when it can."""
    if operator.takes == "flag":
        if type(value) is bool:
            return None
        return f"{operator.name} takes true or false, not {_shown(value)}", ""
    if value is None:
        if operator.takes == "scalar":
            return None
        return f"{operator.name} can't be asked of null", "use exists: false"
    family = "text" if bare(field.kind) == "[string]" else field_of(field.kind)
    came = _family(value)
    if family in (came, "any"):
        return None
    hint = ""
    if family == "text" and came in ("number", "bool"):
        hint = f'put it in quotes: "{str(value).lower()}"'
    return f"`{field.path}` is {_A[field_of(field.kind)]} and never {_shown(value)}", hint


def _family(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"the {'value' if isinstance(value, bool) else 'number'} {str(value).lower()}"
