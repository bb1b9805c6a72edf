"""Switch to Python: which arm is decided first, flat, so that a long switch nests nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from ._gen_assign import AssignmentEmitter
from ._tree import Binary, Case, Expression, Literal, Statement, Switch


if TYPE_CHECKING:
    from ._emit import Out


# Switch cases that are matched by type and ==; None: by identity.
# From so many literals on, a look-up is faster than tests in a row.
_TABLE: Final = 4
_PLAIN: Final[dict[type, str | None]] = {
    str: "str", int: "int", bool: None, type(None): None,
}  # fmt: skip


class SwitchEmitter(AssignmentEmitter):
    """`switch a { 1 | 2 => b, 3..5 if c => d, _ => e }`."""

    def switch(self, node: Switch, out: Out, want: bool) -> ast.expr | None:
        """Which arm is decided first, flat, so that a long switch nests nothing."""
        subject = self.save(self.expression(node.subject, out), out, node)
        arm = self.temporary("w")
        result = self.temporary("y") if want else None
        if result is not None:
            self._set(result, None, out, node)
        self._decide(node, arm, subject, out)
        for number, case in enumerate(node.cases, 1):
            self._arm(arm, number, case.body, result, out, case)
        if node.default is not None:
            self._arm(arm, 0, node.default, result, out, node)
        return None if result is None else self.name(result, node)

    def _decide(self, node: Switch, arm: str, subject: ast.expr, out: Out) -> None:
        """Put the number of the arm into a variable, 0 for the default."""
        exact = [
            (value, number, case)
            for number, case in enumerate(node.cases, 1)
            for value in case.values
            if not _is_range(value)
        ]
        plain = all(
            isinstance(value, Literal) and type(value.value) in _PLAIN and case.guard is None
            for value, _, case in exact
        )
        key: ast.expr | None = None
        if plain and len(exact) > _TABLE:
            table: dict[tuple[type, Any], int] = {}
            for value, number, _ in exact:
                literal = value.value if isinstance(value, Literal) else None
                table.setdefault((type(literal), literal), number)
            known = self.name(self.constant_name(table), node)
            out.append(self.assign(arm, self.bare_call("look_up", node, known, subject), node))
            exact = []
        else:
            out.append(self.assign(arm, self.value(0, node), node))
            if any(not isinstance(value, Literal) for value, _, _ in exact):
                key = self.save(self.call("switch_key", node, subject), out, node)
        for value, number, case in exact:
            self._select(arm, number, case, value, subject, key, out)
        for number, case in enumerate(node.cases, 1):
            for value in case.values:
                if _is_range(value):
                    self._select(arm, number, case, value, subject, key, out)

    def _select(  # noqa: PLR0917 - all parts of one test
        self,
        arm: str,
        number: int,
        case: Case,
        value: Expression,
        subject: ast.expr,
        key: ast.expr | None,
        out: Out,
    ) -> None:
        undecided = self.compare(self.name(arm, value), ast.Eq(), self.value(0, value), value)
        tests = [undecided]
        if isinstance(value, Binary):
            ends = [self.expression(end, out) for end in (value.left, value.right)]
            inclusive = self.value(value.operator == "..=", value)
            tests.append(self.bare_call("in_range", value, subject, *ends, inclusive))
        elif isinstance(value, Literal) and type(value.value) in _PLAIN:
            kind = _PLAIN[type(value.value)]
            if kind is None:
                same = ast.Is()
                tests.append(self.compare(subject, same, self.value(value.value, value), value))
            else:
                tests.append(self.is_type(subject, kind, value))
                literal = self.value(value.value, value)
                tests.append(self.compare(subject, ast.Eq(), literal, value))
        else:
            if key is None:
                key = self.call("switch_key", value, subject)
            wanted = self.call("switch_key", value, self.expression(value, out))
            tests.append(self.compare(key, ast.Eq(), wanted, value))
        chosen: Out = [self.assign(arm, self.value(number, value), value)]
        if case.guard is not None:
            before: Out = []
            guard = self.condition(case.guard, before)
            chosen = [*before, self.branch(guard, chosen, [], value)]
        out.append(self.branch(self.both(value, *tests), chosen, [], value))

    def _arm(  # noqa: PLR0917 - all parts of one arm
        self,
        arm: str,
        number: int,
        body: Statement,
        result: str | None,
        out: Out,
        place: Case | Switch,
    ) -> None:
        inside: Out = []
        value = self.statement(body, inside, want=result is not None)
        if result is not None and value is not None:
            self._set(result, value, inside, body)
        test = self.compare(self.name(arm, place), ast.Eq(), self.value(number, place), place)
        out.append(self.branch(test, inside, [], place))

    def _set(self, name: str, value: ast.expr | None, out: Out, node: Statement) -> None:
        out.append(self.assign(name, value or self.value(None, node), node))


def _is_range(value: Expression) -> bool:
    return isinstance(value, Binary)
