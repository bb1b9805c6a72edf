"""Ways through a policy: code never reached, questions asked twice, ends without an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rbee_scheduler_script._check._notes import Notes
from rbee_scheduler_script._check._same import is_pure, shape_of
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["check_flow"]


def check_flow(notes: Notes) -> None:
    """Note what is wrong with the ways through the script."""
    otherwise: set[int] = set()
    for node in tree.walk(notes.script):
        if isinstance(node, tree.Block):
            _check_reach(notes, node)
        elif isinstance(node, tree.If):
            if id(node) not in otherwise:
                _check_chain(notes, node)
            otherwise.add(id(node.otherwise))
    _check_entries(notes)
    for function in notes.script.functions:
        arity = len(function.parameters)
        if len(notes.vocabulary.entries.get(function.name, ())) == arity:
            for end in _silent_ends(notes, function.body):
                notes.add(
                    "no-answer", end,
                    f"a way through `{function.name}` ends here without an answer, which is ()",
                    "end with a worker, reject(...), or an explicit ()"
                    if notes.vocabulary.roles.get(function.name) == "select"
                    else "end with a value, or an explicit ()",
                )  # fmt: skip


def _check_entries(notes: Notes) -> None:
    entries = notes.vocabulary.entries
    functions = notes.script.functions
    if any(len(entries.get(f.name, ("?",) * 99)) == len(f.parameters) for f in functions):
        return
    hint = "write fn schedule_job(job, pools, workers) { ... }"
    place: tree.Node = notes.script
    for function in functions:
        wanted = entries.get(function.name)
        near = function.name if wanted is not None else nearest(function.name, entries)
        if near:
            place = function
            hint = f"did you mean `fn {near}` with {len(entries[near])} parameter"
            hint += "?" if len(entries[near]) == 1 else "s?"
            break
    notes.add("no-entry-point", place, "no function here is one that decides", hint)


def _check_reach(notes: Notes, block: tree.Block) -> None:
    for before, statement in zip(block.statements, block.statements[1:], strict=False):
        if _leaves(before):
            notes.add("unreachable-code", statement, f"never reached: {_why(before)}")
            return


def _why(statement: tree.Statement) -> str:
    line = f"line {statement.line}"
    if isinstance(statement, tree.If | tree.Switch):
        return f"every way through {line} leaves"
    if isinstance(statement, tree.While):
        return f"the loop in {line} has no end"
    word = type(statement).__name__.lower()
    return f"the `{word}` in {line} comes first"


def _leaves(statement: tree.Statement | None) -> bool:
    """Whether nothing behind the statement is ever reached."""
    if isinstance(statement, tree.Return | tree.Throw | tree.Break | tree.Continue):
        return True
    if isinstance(statement, tree.Block):
        return any(map(_leaves, statement.statements))
    if isinstance(statement, tree.If):
        return _leaves(statement.then) and _leaves(statement.otherwise)
    if isinstance(statement, tree.Switch):
        bodies = [case.body for case in statement.cases]
        return statement.default is not None and all(map(_leaves, [*bodies, statement.default]))
    if isinstance(statement, tree.While):
        return statement.condition is None and not _has_break(statement.body)
    return False


def _has_break(node: tree.Node) -> bool:
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, tree.Break):
            return True
        # Loops and closures inside have breaks of their own.
        pending.extend(
            child
            for child in tree.children(current)
            if not isinstance(child, tree.While | tree.For | tree.Do | tree.Closure)
        )
    return False


def _check_chain(notes: Notes, node: tree.If) -> None:
    """Note an `else if` that asks what was asked before."""
    asked: dict[object, int] = {}
    link: tree.Statement | None = node
    while isinstance(link, tree.If):
        said = shape_of(link.condition)
        if said in asked and is_pure(link.condition):
            notes.add(
                "repeated-condition", link.condition,
                f"never true here: line {asked[said]} asks the same first",
            )  # fmt: skip
        asked.setdefault(said, link.line)
        link = link.otherwise


def _silent_ends(notes: Notes, statement: tree.Statement) -> Iterator[tree.Node]:
    """Yield where a function ends without saying what it answers."""
    look = _ENDS.get(type(statement))
    if look is not None:
        yield from look(notes, statement)
    elif not _leaves(statement) and not _answering_loop(statement):
        yield statement


def _end_of_block(notes: Notes, block: tree.Block) -> Iterator[tree.Node]:
    if not block.statements:
        yield block
    elif not any(map(_leaves, block.statements)):
        yield from _silent_ends(notes, block.statements[-1])


def _ends_of_if(notes: Notes, node: tree.If) -> Iterator[tree.Node]:
    yield from _silent_ends(notes, node.then)
    if node.otherwise is None:
        yield node
    else:
        yield from _silent_ends(notes, node.otherwise)


def _ends_of_switch(notes: Notes, node: tree.Switch) -> Iterator[tree.Node]:
    for case in node.cases:
        yield from _silent_ends(notes, case.body)
    if node.default is None:
        yield node
    else:
        yield from _silent_ends(notes, node.default)


def _ends_of_try(notes: Notes, node: tree.Try) -> Iterator[tree.Node]:
    yield from _silent_ends(notes, node.body)
    yield from _silent_ends(notes, node.handler)


def _end_of_value(notes: Notes, node: tree.ExpressionStatement) -> Iterator[tree.Node]:
    expression = node.expression
    if isinstance(expression, tree.StatementExpression):
        yield from _silent_ends(notes, expression.statement)
    elif not isinstance(expression, tree.Literal) and notes.types.of(expression) == "()":
        yield expression


# From types of statements to functions that take each its own, which the type can't say.
_ENDS: Final[dict[type, Callable[[Notes, Any], Iterator[tree.Node]]]] = {
    tree.Block: _end_of_block,
    tree.If: _ends_of_if,
    tree.Switch: _ends_of_switch,
    tree.Try: _ends_of_try,
    tree.ExpressionStatement: _end_of_value,
}


def _answering_loop(statement: tree.Statement) -> bool:
    """Whether it is a `loop`, whose value is that of its `break`."""
    return isinstance(statement, tree.While) and statement.condition is None
