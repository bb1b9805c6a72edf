"""Switch to Python: which arm is decided first, flat, so that a long switch nests nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ._gen_assign import AssignmentEmitter
from ._tree import Binary, Case, Expression, Literal, Statement, Switch


if TYPE_CHECKING:
    from ._emit import Out


# Switch cases that are matched by type and ==; None: by identity.
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
        exact = {id(value) for case in node.cases for value in case.values if not _is_range(value)}
        keyed = any(not isinstance(value, Literal) for case in node.cases for value in case.values
                    if id(value) in exact)  # fmt: skip
        key: ast.expr | None = None
        if keyed:
            key = self.save(self.call("switch_key", node, subject), out, node)
        out.append(self.assign(arm, self.value(0, node), node))
        for ranges in (False, True):
            for number, case in enumerate(node.cases, 1):
                for value in case.values:
                    if _is_range(value) is ranges:
                        self._select(arm, number, case, value, subject, key, out)
        for number, case in enumerate(node.cases, 1):
            self._arm(arm, number, case.body, result, out, case)
        if node.default is not None:
            self._arm(arm, 0, node.default, result, out, node)
        return None if result is None else self.name(result, node)

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
