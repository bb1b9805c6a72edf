"""Variables, parameters and functions that nothing uses; `_` in front of a name silences it."""

from __future__ import annotations

from collections.abc import Sequence

from rbee_scheduler_script._check._notes import Notes
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["check_unused"]


def check_unused(notes: Notes) -> None:
    """Note what nothing uses."""
    script = notes.script
    nodes = list(tree.walk(script))
    uncalled = _uncalled(notes, nodes)
    _check_functions(notes, uncalled)
    if any(isinstance(node, tree.Call) and (node.in_scope or node.visible) for node in nodes):
        return  # a function sees all of the caller's variables, whatever their names
    read = _read(nodes)
    of_globals = {
        node.name
        for node in nodes
        if isinstance(node, tree.Variable) and node.namespace == "global"
    }
    top_level = {id(statement) for statement in script.body.statements}
    for node in nodes:
        if isinstance(node, tree.Let):
            is_global = id(node) in top_level
            if node.exported or (is_global and node.binding.name in of_globals):
                continue
            _check_variable(notes, node.binding, node, read, is_global=is_global)
        elif isinstance(node, tree.For):
            _check_variable(notes, node.variable, node, read)
            if node.counter is not None:
                _check_variable(notes, node.counter, node, read)
        elif isinstance(node, tree.FunctionDefinition):
            if node not in uncalled and not _is_entry(notes, node):
                _check_parameters(notes, node.parameters, node, read)
        elif isinstance(node, tree.Closure):
            _check_parameters(notes, node.parameters, node, read)


def _read(nodes: Sequence[tree.Node]) -> set[int]:
    """Return the variables that are read somewhere; being assigned to is not being read."""
    written = {
        id(node.target)
        for node in nodes
        if isinstance(node, tree.Assign) and isinstance(node.target, tree.Variable)
    }
    return {
        id(node.binding)
        for node in nodes
        if isinstance(node, tree.Variable) and node.binding is not None and id(node) not in written
    }


def _check_variable(
    notes: Notes,
    binding: tree.Binding,
    node: tree.Node,
    read: set[int],
    *,
    is_global: bool = False,
) -> None:
    if id(binding) in read or binding.name.startswith("_"):
        return
    kind = "constant" if binding.constant else "variable"
    hint = f"leave it out, or call it `_{binding.name}`"
    if is_global:
        hint = f"functions see constants as `global::{binding.name}`"
        if not binding.constant:
            hint = f"functions see no variables: make it a const, read as global::{binding.name}"
    place = notes.place_of(binding.name, node)
    notes.add("unused-variable", place, f"nothing reads the {kind} `{binding.name}`", hint)


def _check_parameters(
    notes: Notes, parameters: Sequence[tree.Binding], node: tree.Node, read: set[int]
) -> None:
    # One in front of a parameter that is read has to be there.
    used = [id(parameter) in read for parameter in parameters]
    last = max((at for at, is_used in enumerate(used) if is_used), default=-1)
    for at, parameter in enumerate(parameters):
        if at > last and not parameter.name.startswith("_"):
            notes.add(
                "unused-parameter", notes.place_of(parameter.name, node),
                f"nothing reads the parameter `{parameter.name}`",
                f"leave it out, or call it `_{parameter.name}`",
            )  # fmt: skip


def _uncalled(notes: Notes, nodes: Sequence[tree.Node]) -> list[tree.FunctionDefinition]:
    """Return the functions that nothing calls or names, and that decide nothing themselves."""
    named: set[str] = set()
    for node in nodes:
        if isinstance(node, tree.Call | tree.MethodCall) or (
            isinstance(node, tree.Variable) and node.binding is None
        ):
            named.add(node.name)
        elif isinstance(node, tree.Literal) and type(node.value) is str:
            named.add(node.value)  # Fn("name"), or a name handed to call()
    functions = notes.script.functions
    return [f for f in functions if f.name not in named and not _is_entry(notes, f)]


def _is_entry(notes: Notes, function: tree.FunctionDefinition) -> bool:
    wanted = notes.vocabulary.entries.get(function.name)
    return wanted is not None and len(wanted) == len(function.parameters)


def _check_functions(notes: Notes, uncalled: Sequence[tree.FunctionDefinition]) -> None:
    if not any(_is_entry(notes, function) for function in notes.script.functions):
        return  # one of them was meant to decide, which is said already
    for function in uncalled:
        name = function.name
        if not name.startswith("_"):
            notes.add(
                "unused-function",
                notes.place_of(name, function),
                f"nothing calls `{name}`",
                f"leave it out, or call it `_{name}`",
            )
