"""Names that nothing has (fields, functions, variables), and wrong numbers of arguments."""

from __future__ import annotations

from typing import Any, Final

from rbee_scheduler_script._check._kinds import ANY, bare, element, field_of
from rbee_scheduler_script._check._notes import Notes
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["check_names"]

# What can be read of values that are no maps, and all that any value has.
_GETTERS: Final = {
    "text": frozenset({"len", "is_empty", "chars", "bytes"}),
    "array": frozenset({"len", "is_empty"}),
    "number": frozenset({
        "is_even", "is_odd", "is_zero", "bits", "ceiling", "floor", "fraction", "int", "round",
        "is_finite", "is_infinite", "is_nan",
    }),
    "bool": frozenset(),
    "range": frozenset({"start", "end", "is_empty", "is_exclusive", "is_inclusive"}),
    "Fn": frozenset({"name", "is_anonymous"}),
}  # fmt: skip
_A: Final = {"text": "a text", "array": "an array", "number": "a number", "bool": "a bool",
             "range": "a range", "Fn": "a function"}  # fmt: skip


def check_names(notes: Notes) -> None:
    """Note names that nothing has."""
    script = notes.script
    assigned = _assigned_fields(script)
    # `f!()` shows the caller's variables to f.
    in_scope = any(isinstance(node, tree.Call) and node.in_scope for node in tree.walk(script))
    for node in tree.walk(script):
        if isinstance(node, tree.Property):
            _check_field(notes, node, node.target, node.name, assigned)
        elif isinstance(node, tree.Index) and isinstance(node.index, tree.Literal):
            if type(node.index.value) is str:
                _check_field(notes, node.index, node.target, node.index.value, assigned)
        elif isinstance(node, tree.Variable):
            if node.binding is None and not in_scope:
                _check_variable(notes, node)
        elif isinstance(node, tree.Call):
            _check_call(notes, node)
            _check_key(notes, node, node.arguments[1:2], node.arguments[:1])
        elif isinstance(node, tree.MethodCall):
            _check_method(notes, node)
            _check_key(notes, node, node.arguments[:1], [node.target])


def _assigned_fields(script: tree.Script) -> frozenset[str]:
    """Return the fields that the script itself adds somewhere."""
    return frozenset(
        node.target.name
        for node in tree.walk(script)
        if isinstance(node, tree.Assign) and isinstance(node.target, tree.Property)
    )


def _check_field(
    notes: Notes, place: tree.Node, target: tree.Expression, name: str, assigned: frozenset[str]
) -> None:
    kind = notes.types.of(target)
    if name in assigned or name == "tag":
        return
    family = field_of(kind)
    if family in _GETTERS:
        if name not in _GETTERS[family]:
            _not_a_map(notes, place, kind, name)
        return
    if notes.types.field(kind, name) is not None:
        return
    _unknown(notes, place, bare(kind), name)


def _unknown(notes: Notes, place: tree.Node, shape: str, name: str) -> None:
    near = nearest(name, notes.vocabulary.shapes[shape]) or _below(notes, shape, name)
    if shape in notes.vocabulary.open_shapes and not near:
        return
    notes.add(
        "unknown-field", place,
        f"{_article(shape)} has no field `{name}`; in Rhai it is just ()",
        f"did you mean `{near}`?" if near else "",
    )  # fmt: skip


def _below(notes: Notes, shape: str, name: str) -> str:
    """Return where a map inside this one has the field: `job.geo` is `job.user.geo`."""
    shapes = notes.vocabulary.shapes
    return next(
        (
            f"{field}.{name}"
            for field, kind in shapes[shape].items()
            if name in shapes.get(bare(kind), {})
        ),
        "",
    )


def _not_a_map(notes: Notes, place: tree.Node, kind: str, name: str) -> None:
    family = field_of(kind)
    hint = ""
    inner = bare(element(kind)) if family == "array" else ""
    if notes.vocabulary.field(inner, name) is not None:
        hint = f"it has several {inner}s; take one, or ask of each: .map(|x| x.{name})"
    message = f"{_A[family]} has no field `{name}`; asking for it fails"
    notes.add("unknown-field", place, message, hint)


def _article(shape: str) -> str:
    if shape in ("ctx", "metrics"):
        return f"`{shape}`"
    return f"{'an' if shape[:1] in 'aeiou' and shape != 'user' else 'a'} {shape}"


def _check_key(
    notes: Notes, node: tree.Call | tree.MethodCall, keys: list[Any], receivers: list[Any]
) -> None:
    """Check `min_by("cost_per_tokn")`: a key may be the name of a field."""
    function = notes.vocabulary.functions.get(node.name)
    if function is None or function.callback[:1] != ("item",) or not node.name.endswith(_BY_KEY):
        return
    for key, receiver in zip(keys, receivers, strict=False):
        if isinstance(key, tree.Literal) and type(key.value) is str:
            shape = bare(element(notes.types.of(receiver)))
            if notes.types.field(shape, key.value) is None:
                _unknown(notes, key, shape, key.value)


_BY_KEY: Final = ("_by", "_by_key")


def _check_variable(notes: Notes, node: tree.Variable) -> None:
    functions = {function.name for function in notes.script.functions}
    constants = {
        statement.binding.name
        for statement in notes.script.body.statements
        if isinstance(statement, tree.Let) and statement.binding.constant
    }
    name = node.name
    if node.namespace is not None:
        if node.namespace == "global" and name not in constants:
            near = nearest(name, constants)
            notes.add("unknown-variable", node, f"no global constant `{name}`",
                      f"did you mean `global::{near}`?" if near else "")  # fmt: skip
        return
    if name in notes.vocabulary.globals or name in functions | notes.vocabulary.functions.keys():
        return
    hint = ""
    if name in constants:
        hint = f"functions see constants as `global::{name}`"
    elif near := nearest(name, _visible_names(notes.script)):
        hint = f"did you mean `{near}`?"
    notes.add("unknown-variable", node, f"nothing declares `{name}`", hint)


def _visible_names(script: tree.Script) -> set[str]:
    names = {p.name for function in script.functions for p in function.parameters}
    return names | {node.binding.name for node in tree.walk(script) if isinstance(node, tree.Let)}


def _check_call(notes: Notes, node: tree.Call) -> None:
    if node.namespace is not None:
        return
    own = [f for f in notes.script.functions if f.name == node.name]
    arities = {len(function.parameters) for function in own}
    _check_arity(notes, node, arities, len(node.arguments), as_method=False)


def _check_method(notes: Notes, node: tree.MethodCall) -> None:
    kind = notes.types.of(node.target)
    if field_of(kind) in ("map", ANY) and node.name in notes.script.map_keys:
        return
    own = [f for f in notes.script.functions if f.name == node.name]
    # A script's function called as a method gets its receiver as `this`.
    arities = {len(function.parameters) + 1 for function in own}
    _check_arity(notes, node, arities, len(node.arguments) + 1, as_method=True)


def _check_arity(
    notes: Notes, node: tree.Call | tree.MethodCall, own: set[int], count: int, *, as_method: bool
) -> None:
    known = notes.vocabulary.functions.get(node.name)
    arities = own | (known.arities if known else frozenset())
    if not arities:
        if node.name in notes.vocabulary.absent:
            hint = "it is left out on purpose: decisions must come out the same when repeated"
        else:
            names = {*notes.vocabulary.functions, *(f.name for f in notes.script.functions)}
            near = nearest(node.name, names)
            hint = f"did you mean `{near}`?" if near else "`policy helpers` lists them"
        notes.add("unknown-function", node, f"there is no function `{node.name}`", hint)
    elif count not in arities:
        beside = 1 if as_method else 0
        takes = " or ".join(str(arity - beside) for arity in sorted(arities) if arity >= beside)
        given = count - beside
        notes.add(
            "wrong-arity", node,
            f"`{node.name}` takes {takes or 'no receiver'} argument{'' if takes == '1' else 's'}, "
            f"not {given}",
        )  # fmt: skip
