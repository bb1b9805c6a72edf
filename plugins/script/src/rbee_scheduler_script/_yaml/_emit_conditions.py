"""Conditions as Rhai expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from rbee_scheduler_script._check._kinds import bare
from rbee_scheduler_script._check._shapes import SHAPES
from rbee_scheduler_script._yaml._glob import simple_form
from rbee_scheduler_script._yaml._literals import as_literal, as_text
from rbee_scheduler_script._yaml._rules import All, Always, Any_, Compare, Condition, Not


__all__ = ["ConditionWriter"]

# The engine allows 32 levels of nesting inside a function, and each operand of a chain is one. A
# comparison has at most 6, so chains are cut into groups of 6, and what is deeper than 14 becomes a
# function of its own: 1 + 6 + 1 + 14 levels at most, and the `if` around them.
_CHAIN: Final = 6
_LEAF: Final = 6
_DEEP: Final = 14

_COMPARISONS: Final = {
    "equals": "==", "not_equals": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
}  # fmt: skip
_METHODS: Final = ("contains", "starts_with", "ends_with")


@attrs.frozen
class _Text:
    """An expression.

    Attributes:
        source: As Rhai.
        depth: Levels it nests.
        loose: Its operator, `&&` or `||`, that may need brackets around it.
    """

    source: str
    depth: int = _LEAF
    loose: str = ""


class ConditionWriter:
    """Writes conditions; gathers what they need beside themselves.

    Args:
        parameters: What a function made of a part of a condition is given.

    Attributes:
        functions: Bodies of such functions, in order; they are called `holds_1`, `holds_2`, ...
        globs: Whether `matches_glob` is needed.
    """

    def __init__(self, parameters: str) -> None:
        self.parameters = parameters
        self.functions: list[str] = []
        self.globs = False

    def write(self, condition: Condition) -> str:
        """Return a condition as a Rhai expression."""
        return self._write(condition).source

    def _write(self, condition: Condition) -> _Text:
        if isinstance(condition, Compare):
            return _Text(self._compare(condition))
        if isinstance(condition, All):
            return self._chain([self._write(part) for part in condition.conditions], "&&")
        if isinstance(condition, Any_):
            return self._chain([self._write(part) for part in condition.conditions], "||")
        if isinstance(condition, Not):
            inner = self._shallow(self._write(condition.condition))
            return _Text(f"!({inner.source})", inner.depth + 2)
        assert isinstance(condition, Always)  # noqa: S101 - for the type checker
        return _Text("true", 1)

    def _chain(self, parts: list[_Text], operator: str) -> _Text:
        parts = [self._bracketed(self._shallow(part), operator) for part in parts]
        while len(parts) > _CHAIN:
            parts = [
                self._bracketed(self._shallow(_chained(parts[at : at + _CHAIN], operator)), "")
                for at in range(0, len(parts), _CHAIN)
            ]
        return _chained(parts, operator)

    def _bracketed(self, part: _Text, operator: str) -> _Text:
        if part.loose and part.loose != operator:
            return _Text(f"({part.source})", part.depth + 1)
        return part

    def _shallow(self, part: _Text) -> _Text:
        """Return the expression, or a call of a function that holds it."""
        if part.depth <= _DEEP:
            return part
        self.functions.append(part.source)
        return _Text(f"holds_{len(self.functions)}({self.parameters})", 2)

    def _compare(self, asked: Compare) -> str:
        subject = _subject(asked)
        sign = _COMPARISONS.get(asked.operator)
        if sign is not None:
            return f"{subject} {sign} {as_literal(asked.value)}"
        if asked.operator in _METHODS:
            return _method(asked, asked.operator, asked.value)
        return _OTHERS[asked.operator](self, asked)

    def _in(self, asked: Compare) -> str:
        return f"{_subject(asked)} in {as_literal(asked.value)}"

    def _exists(self, asked: Compare) -> str:
        return f"{_subject(asked)} {'!=' if asked.value else '=='} ()"

    def _matches_glob(self, asked: Compare) -> str:
        form = simple_form(asked.value)
        if form is not None:
            method, text = form
            if method == "exists":
                return f"{_subject(asked)} != ()"
            if method == "equals":
                return f"{_subject(asked)} == {as_text(text)}"
            return _method(asked, method, text)
        self.globs = True
        return f"matches_glob({_subject(asked)}, {as_text(asked.value)})"


_OTHERS: Final[dict[str, Callable[[ConditionWriter, Compare], str]]] = {
    "in": ConditionWriter._in,  # noqa: SLF001 - a table of its own methods
    "exists": ConditionWriter._exists,  # noqa: SLF001
    "matches_glob": ConditionWriter._matches_glob,  # noqa: SLF001
}


def _chained(parts: list[_Text], operator: str) -> _Text:
    if len(parts) == 1:
        return parts[0]
    source = f" {operator} ".join(part.source for part in parts)
    return _Text(source, len(parts) + max(part.depth for part in parts), operator)


def _subject(asked: Compare) -> str:
    """Return the path; behind a part that may be absent it goes on with `?.`."""
    out = asked.root
    shape, absent = asked.root, False
    for name in asked.path:
        out += f"{'?.' if absent else '.'}{name}"
        kind = SHAPES[shape][name]
        absent = kind.endswith("?")
        shape = bare(kind)
    return out


def _method(asked: Compare, method: str, value: str) -> str:
    if asked.kind.endswith("?"):
        return f"({_subject(asked)}?.{method}({as_text(value)}) ?? false)"
    return f"{_subject(asked)}.{method}({as_text(value)})"
