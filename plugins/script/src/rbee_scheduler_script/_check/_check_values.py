"""Comparisons that can't come out both ways, conditions that never change, values nobody takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rbee_scheduler_script._check._kinds import bare, comparable, element, field_of
from rbee_scheduler_script._check._notes import Notes
from rbee_scheduler_script._check._same import is_pure, shape_of
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["WORDS", "check_values"]

_EQUALITY: Final = ("==", "!=")
_ORDER: Final = ("<", "<=", ">", ">=")

# Fields that are one of a few words, whatever the deployment.
WORDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("job", "priority"): ("interactive", "batch"),
    ("worker", "status"): ("starting", "ready", "busy", "stopped", "failed"),
    ("pool", "status"): ("healthy", "degraded", "offline"),
}

_A: Final = {
    "text": "a text", "number": "a number", "bool": "a bool", "array": "an array", "map": "a map",
    "()": "()", "Fn": "a function", "range": "a range",
}  # fmt: skip

# Without an effect of their own.
_IDLE: Final = (
    tree.Literal, tree.Variable, tree.Property, tree.Binary, tree.Unary, tree.Closure, tree.Index,
    tree.ArrayLiteral, tree.MapLiteral, tree.Interpolation,
)  # fmt: skip


def check_values(notes: Notes) -> None:
    """Note comparisons, conditions and values that make no difference."""
    for node in tree.walk(notes.script):
        if isinstance(node, tree.Binary):
            _check_comparison(notes, node)
        elif isinstance(node, tree.If):
            _check_condition(notes, node.condition)
        elif isinstance(node, tree.While) and node.condition is not None:
            # `while true` is `loop`, and ended from within.
            if not (isinstance(node.condition, tree.Literal) and node.condition.value is True):
                _check_condition(notes, node.condition)
        elif isinstance(node, tree.Block):
            _check_statements(notes, node)
        elif isinstance(node, tree.Switch):
            _check_cases(notes, node)


def _check_comparison(notes: Notes, node: tree.Binary) -> None:
    left, right = notes.types.of(node.left), notes.types.of(node.right)
    if node.operator in ("in", "!in"):
        inner = element(right)
        if right.startswith("[") and not comparable(left, inner):
            outcome = "never" if node.operator == "in" else "always"
            notes.add(
                "type-mismatch", node,
                f"{_shown(left)} is looked for among {_shown(inner)}s: {outcome} true",
            )  # fmt: skip
        return
    if node.operator not in _EQUALITY + _ORDER:
        return
    if not comparable(left, right) or (
        # `() < 5` is false; a field that may be absent is asked with ==.
        node.operator in _ORDER and "()" in (left, right)
    ):
        outcome = "always" if node.operator == "!=" else "never"
        notes.add(
            "type-mismatch", node,
            f"{_shown(left)} is compared with {_shown(right)}: {outcome} true", _remedy(node),
        )  # fmt: skip
        return
    if node.operator in _EQUALITY:
        _check_word(notes, node.left, node.right)
        _check_word(notes, node.right, node.left)


def _shown(kind: str) -> str:
    family = field_of(kind)
    shape = bare(kind)
    return f"a {shape}" if family == "map" and shape != "map" else _A.get(family, f"a {family}")


def _remedy(node: tree.Binary) -> str:
    """Return what was meant, where a literal says it."""
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(side, tree.Literal) and not isinstance(other, tree.Literal):
            if type(side.value) is str and _is_number(side.value):
                return f"leave out the quotes: {side.value}"
            if type(side.value) is int:
                return f'put it in quotes if a text is meant: "{side.value}"'
    return ""


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()


def _check_word(notes: Notes, field: tree.Expression, value: tree.Expression) -> None:
    if not (isinstance(field, tree.Property) and isinstance(value, tree.Literal)):
        return
    words = WORDS.get((bare(notes.types.of(field.target)), field.name))
    if words and type(value.value) is str and value.value not in words:
        near = nearest(value.value, words)
        notes.add(
            "impossible-value", value,
            f"`{field.name}` is never {value.value!r}; it is one of {', '.join(words)}",
            f'did you mean "{near}"?' if near else "",
        )  # fmt: skip


def _check_condition(notes: Notes, node: tree.Expression) -> None:
    if isinstance(node, tree.Literal):
        outcome = "true" if node.value else "false"
        notes.add("constant-condition", node, f"the condition is always {outcome}")
    elif (
        isinstance(node, tree.Binary)
        and node.operator in _EQUALITY + _ORDER
        and (
            (isinstance(node.left, tree.Literal) and isinstance(node.right, tree.Literal))
            or (is_pure(node) and shape_of(node.left) == shape_of(node.right))
        )
    ):
        notes.add("constant-condition", node, "both sides are the same, whatever the job is"
                  if shape_of(node.left) == shape_of(node.right)
                  else "both sides are fixed, so the condition is too")  # fmt: skip


def _check_statements(notes: Notes, block: tree.Block) -> None:
    for statement in block.statements[:-1]:
        if not isinstance(statement, tree.ExpressionStatement):
            continue
        expression = statement.expression
        if not isinstance(expression, _IDLE) or not _is_idle(expression):
            continue
        hint = ""
        if isinstance(expression, tree.Binary) and expression.operator == "==":
            hint = "did you mean `=`?"
        notes.add("no-effect", expression, "the value of this is taken by nobody", hint)


def _is_idle(node: tree.Expression) -> bool:
    return not any(
        isinstance(part, tree.Call | tree.MethodCall | tree.StatementExpression)
        for part in tree.walk(node)
    )


def _check_cases(notes: Notes, node: tree.Switch) -> None:
    seen: set[object] = set()
    for case in node.cases:
        if case.guard is not None:
            continue
        for value in case.values:
            said = shape_of(value)
            if said in seen:
                notes.add("duplicate-case", value, "an earlier case of this switch is the same")
            seen.add(said)
