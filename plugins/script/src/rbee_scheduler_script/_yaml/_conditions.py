"""Conditions of rules, from YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script._yaml._document import Mapping, Node, Scalar, Sequence
from rbee_scheduler_script._yaml._fields import Field, find_field, misfit, refused
from rbee_scheduler_script._yaml._keys import kind_of
from rbee_scheduler_script._yaml._problems import Problems
from rbee_scheduler_script._yaml._rules import All, Always, Any_, Compare, Condition, Not
from rbee_scheduler_script._yaml._tables import ALWAYS, COMBINERS, OPERATORS


__all__ = ["read_condition"]


def read_condition(node: Node, problems: Problems) -> Condition:
    """Return a condition; what is wrong with it is noted."""
    if isinstance(node, Scalar):
        # By type too: 1 equals True.
        if any(type(node.value) is type(word) and node.value == word for word in ALWAYS):
            return Always()
        problems.add(
            node.place, f"{kind_of(node)} ({node.text[:40]}) instead of a condition",
            "write true, always, or a map such as { model_contains: 70b }",
        )  # fmt: skip
        return Always()
    if isinstance(node, Sequence):
        problems.add(node.place, "a list instead of a condition",
                     "write { all: [...] } or { any: [...] }")  # fmt: skip
        return Always()
    if not node.entries:
        problems.add(node.place, "an empty condition", "write true for one that always holds")
        return Always()
    return _joined(list(_parts(node, problems)))


def _joined(conditions: list[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return All(conditions=tuple(conditions)) if conditions else Always()


def _parts(node: Mapping, problems: Problems) -> Iterator[Condition]:
    """Yield what each key asks; all of it must hold."""
    for key, value in node.entries:
        combine = _COMBINERS.get(key.value)
        if combine is not None:
            yield combine(value, problems)
            continue
        field = find_field(key.value)
        if isinstance(field, str):
            hint = field
            near = nearest(key.value, COMBINERS)
            if not hint:
                hint = f"did you mean `{near}`?" if near else "see docs/yaml.md for the fields"
            problems.add(key.place, f"unknown field `{key.value}`", hint)
        else:
            yield from _questions(field, key, value, problems)


def _questions(field: Field, key: Scalar, value: Node, problems: Problems) -> Iterator[Condition]:
    if field.operator:
        yield from _question(field, field.operator, value, key.place, problems)
    elif isinstance(value, Scalar):
        yield from _question(field, "equals", value, key.place, problems)
    elif isinstance(value, Sequence):
        yield from _question(field, "in", value, key.place, problems)
    else:
        if not value.entries:
            problems.add(value.place, "no operator", f"one of {', '.join(OPERATORS)}")
        for name, operand in value.entries:
            if name.value in OPERATORS:
                yield from _question(field, name.value, operand, name.place, problems)
            else:
                near = nearest(name.value, OPERATORS)
                hint = f"did you mean `{near}`?" if near else f"one of {', '.join(OPERATORS)}"
                problems.add(name.place, f"unknown operator `{name.value}`", hint)


def _question(
    field: Field, name: str, node: Node, place: tuple[int, int], problems: Problems
) -> Iterator[Condition]:
    operator = OPERATORS[name]
    reason = refused(operator, field)
    if reason is not None:
        problems.add(place, *reason)
        return
    value: Any
    if operator.takes == "list":
        if not isinstance(node, Sequence) or not node.items:
            problems.add(node.place, f"`{name}` takes a list of at least one value")
            return
        scalars = list(node.items)
    else:
        scalars = [node]
    values = []
    for scalar in scalars:
        if not isinstance(scalar, Scalar):
            problems.add(scalar.place, f"`{name}` takes a plain value, not {kind_of(scalar)}")
            return
        wrong = misfit(scalar.value, operator, field)
        if wrong is not None:
            problems.add(scalar.place, *wrong)
            return
        values.append(scalar.value)
    value = tuple(values) if operator.takes == "list" else values[0]
    yield Compare(
        root=field.root,
        path=tuple(field.path.split(".")),
        kind=field.kind,
        operator=name,
        value=value,
        line=place[0],
    )


def _several(node: Node, problems: Problems) -> list[Condition]:
    if not isinstance(node, Sequence) or not node.items:
        problems.add(node.place, "must be a list of at least one condition")
        return []
    return [read_condition(item, problems) for item in node.items]


def _all(node: Node, problems: Problems) -> Condition:
    return _joined(_several(node, problems))


def _any(node: Node, problems: Problems) -> Condition:
    conditions = _several(node, problems)
    return Any_(conditions=tuple(conditions)) if len(conditions) != 1 else conditions[0]


def _not(node: Node, problems: Problems) -> Condition:
    return Not(condition=read_condition(node, problems))


_COMBINERS: Final[dict[str, Callable[[Node, Problems], Condition]]] = {
    "all": _all,
    "any": _any,
    "not": _not,
}
