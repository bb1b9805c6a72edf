"""Which lines and which rules of a policy were come by."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rbee_scheduler_script._policy_text import PolicyText
from rbee_scheduler_script._trace import Recorder
from rbee_scheduler_script.rhai import _tree as tree
from rbee_scheduler_script.rhai import parse


__all__ = ["Coverage", "coverage_of"]


@attrs.frozen(kw_only=True)
class Coverage:
    """What runs came by.

    Attributes:
        lines: Lines with a statement.
        missed_lines: Those that no run came by.
        rules: Places of rules: what an `if`, an `else` or a case of a `switch` leads to.
        missed_rules: Those that were never taken.
    """

    lines: tuple[int, ...]
    missed_lines: tuple[int, ...]
    rules: tuple[tuple[int, int], ...]
    missed_rules: tuple[tuple[int, int], ...]

    @property
    def line_share(self) -> float:
        """Share of lines come by, 0 to 1."""
        return _share(len(self.missed_lines), len(self.lines))

    @property
    def rule_share(self) -> float:
        """Share of rules taken, 0 to 1."""
        return _share(len(self.missed_rules), len(self.rules))


def coverage_of(text: PolicyText, recorder: Recorder) -> Coverage:
    """Return what the runs written down by ``recorder`` came by."""
    script = parse(text.source)
    statements = {
        (node.line, node.column)
        for part in (script.body, *script.functions)
        for node in tree.walk(part)
        if isinstance(node, tree.Statement)
        and not isinstance(node, tree.FunctionDefinition)
        and not (isinstance(node, tree.Block) and node.statements)
    } - {(script.body.line, script.body.column)}
    lines = sorted({line for line, _ in statements})
    hit = {line for line, _ in recorder.places}
    rules = sorted({place for part in (script.body, *script.functions) for place in _rules(part)})
    return Coverage(
        lines=tuple(lines),
        missed_lines=tuple(line for line in lines if line not in hit),
        rules=tuple(rules),
        missed_rules=tuple(place for place in rules if place not in recorder.places),
    )


def _rules(part: tree.Node) -> Iterator[tuple[int, int]]:
    """Return where each way through the policy begins."""
    for node in tree.walk(part):
        if isinstance(node, tree.If):
            yield _begin(node.then)
            # `else if` is a rule of its own.
            if isinstance(node.otherwise, tree.Block):
                yield _begin(node.otherwise)
        elif isinstance(node, tree.Case):
            yield _begin(node.body)
        elif isinstance(node, tree.Switch) and node.default is not None:
            yield _begin(node.default)


def _begin(node: tree.Statement) -> tuple[int, int]:
    while isinstance(node, tree.Block) and node.statements:
        node = node.statements[0]
    return (node.line, node.column)


def _share(missed: int, total: int) -> float:
    return 1.0 if not total else (total - missed) / total
