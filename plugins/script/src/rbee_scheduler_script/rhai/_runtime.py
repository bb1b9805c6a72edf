"""What generated code may call: the only names it has beside its own.

Most take the run first. Nothing here hands a script an attribute, a module or a builtin.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from . import _access, _compare, _operators, _text
from ._errors import RhaiError, arithmetic, mismatch
from ._failures import no_setter, not_found, variable_missing
from ._meter import CHUNK
from ._tokens import CALLABLE, KEYWORDS, RESERVED
from ._values import Blob, FnPtr, Range, ScriptFunction, Steps, long_type_name, type_name


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._run import Run


_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TAG: Final = range(-32_768, 32_768)


def share(run: Run, value: Any) -> Any:
    """The value is about to be stored in a second place."""
    if id(value) in run.owned:
        run.disown(value)
    return value


def chunked(run: Run, items: list[Any], cost: int) -> Iterable[Any]:
    """The items for a comprehension, paid for 512 at a time."""
    if run.owned:
        run.disown(items)
    if len(items) <= CHUNK:
        run.charge(len(items) * cost + 1)
        return items
    return itertools.chain.from_iterable(run.chunks(items, cost))


def iterate(run: Run, value: Any, cost: int) -> Iterable[Any]:
    """What a `for` loop walks over; `cost` is a round's."""
    kind = type(value)
    if kind is list:
        return chunked(run, value, cost)
    if kind is Range:
        items: Any = value.numbers()
    elif kind is str:
        items = _text.characters(run, value)
    elif kind is Steps:
        items = value.items
    elif kind is Blob:
        items = list(value)
    else:
        if type_name(value) == "?":
            raise not_found("for", (value,))
        raise RhaiError("ErrorFor", "For loop expects iterable type")
    if _long(items):
        return itertools.chain.from_iterable(_rounds(run, items, cost))
    run.charge(len(items) * cost + 1)
    return items  # type: ignore[no-any-return]


def _long(items: range | list[Any]) -> bool:
    # len() of a range fails where it does not fit a C integer; slicing to a few does not.
    return bool(items[CHUNK : CHUNK + 1])


def _rounds(run: Run, items: range | list[Any], cost: int) -> Iterator[Any]:
    start = 0
    while True:
        part = items[start : start + CHUNK]
        if not part:
            return
        run.charge(len(part) * cost + 1)
        yield part
        start += CHUNK


# -- calls that only the run decides


def method(run: Run, target: Any, name: str, *arguments: Any) -> Any:
    """A method no compile-time rule settles: a function in a map, a native, or nothing."""
    return method_box(run, [target], name, *arguments)


def method_box(run: Run, box: list[Any], name: str, *arguments: Any) -> Any:
    """The same, with `this` by reference."""
    target = box[0]
    if type(target) is dict:
        held = target.get(name)
        if type(held) is FnPtr:
            return run.call(held, *arguments, this=box)
    code = run.natives(name, len(arguments) + 1)
    if code is None:
        raise not_found(name, (target, *arguments))
    return code(run, target, *arguments)


def typed_method(run: Run, name: str, box: list[Any], *arguments: Any) -> Any:
    """A script method that has versions for certain types of `this`."""
    kind = type_name(box[0])
    for key in (f"{kind}.{name}", name):
        function = run.functions.get(key, {}).get(len(arguments))
        if function is not None:
            if function.uses_this:
                return function.code(run, *arguments, this=box)
            return function.code(run, *arguments)
    return method_box(run, box, name, *arguments)


def absent(_run: Run, name: str, *arguments: Any) -> NoReturn:
    """No function of that name and number of arguments."""
    raise not_found(name, arguments)


def make_pointer(name: Any) -> FnPtr:
    """`Fn("name")`."""
    if type(name) is not str:
        raise not_found("Fn", (name,))
    if _NAME.match(name) and (name in CALLABLE or (name not in KEYWORDS and name not in RESERVED)):
        return FnPtr(name)
    if _NAME.match(name):
        raise RhaiError("ErrorParsing/Reserved", f"'{name}' is a reserved keyword")
    if name and not any(char.isalnum() or char.isspace() for char in name):
        raise RhaiError("ErrorParsing/Reserved", f"'{name}' is a reserved symbol")
    raise RhaiError("ErrorFunctionNotFound", f"Function not found: {name}")


def curry(function: Any, *arguments: Any) -> FnPtr:
    """`f.curry(a)`."""
    if type(function) is not FnPtr:
        raise not_found("curry", (function, *arguments))
    return FnPtr(function.name, function.function, function.curried + arguments)


def in_scope(run: Run, name: Any) -> bool:
    """`is_def_var("x")` for the host's variables."""
    if type(name) is not str:
        raise mismatch(long_type_name(name), "string")
    return name in run.scope


def defines(run: Run, name: Any, arity: Any) -> bool:
    """`is_def_fn("f", 1)`."""
    if type(name) is not str or type(arity) is not int:
        raise not_found("is_def_fn", (name, arity))
    return arity in run.functions.get(name, {})


# -- failures


def throw(run: Run, value: Any) -> NoReturn:
    """`throw value`."""
    raise RhaiError("ErrorRuntime", _text.show(run, value), value=value)


def caught(run: Run, error: RhaiError) -> Any:
    """What `catch (e)` gets; what a script may not catch goes on."""
    if not error.catchable:
        raise error
    if error.kind == "ErrorRuntime":
        return error.value
    run.place(error)
    facts: dict[str, Any] = {"error": error.kind, "message": error.message}
    if error.line is not None:
        facts["line"] = error.line
        facts["position"] = error.column
    facts.update(error.details)
    return facts


def missing(name: str) -> NoReturn:
    """An unknown variable."""
    raise variable_missing(name)


def no_module(name: str) -> NoReturn:
    """`m::f()` of a module that cannot be there."""
    raise RhaiError("ErrorModuleNotFound", f"Module not found: {name}", details={"module": name})


def import_module(_run: Run, path: Any) -> NoReturn:
    """`import`: there is nothing to import from."""
    name = path if type(path) is str else type_name(path)
    what = f"Module not found: {name} (import is not available here)"
    raise RhaiError("ErrorModuleNotFound", what, details={"module": name})


def constant_change(name: str) -> NoReturn:
    """An assignment to (a part of) a constant."""
    raise RhaiError(
        "ErrorAssignmentToConstant", f"Cannot modify constant {name}", details={"variable": name}
    )


def constant_method(name: str) -> NoReturn:
    """A constant called with a method that would change it."""
    raise RhaiError(
        "ErrorNonPureMethodCallOnConstant",
        f"Cannot call non-pure method on constant: {name}",
        details={"function": name},
    )


# -- this, and tags


def this_value(box: list[Any] | None) -> Any:
    """`this`."""
    if box is None:
        raise RhaiError("ErrorUnboundThis", "'this' not bound")
    return box[0]


def own_this(run: Run, box: list[Any] | None) -> Any:
    """`this`, ready to be changed in place."""
    value = run.own(this_value(box))
    if box is not None:
        box[0] = value
    return value


def tag_of(run: Run, value: Any, variable: str) -> Any:
    """`x.tag`; tags live with variables."""
    return value.get("tag") if type(value) is dict else run.tags.get(variable, 0)


def set_tag(run: Run, variable: str, tag: int) -> None:
    """Remember a tag, or forget it when the variable changes."""
    run.tags = {**run.tags, variable: tag}


def assign_tag(run: Run, value: Any, variable: str, tag: Any) -> bool:
    """`x.tag = n`; false when x is a map and `tag` a key of it."""
    if type(value) is dict:
        return False
    if type(tag) is not int:
        raise no_setter(value, "tag", tag)
    if tag not in _TAG:
        size = "small" if tag < 0 else "large"
        raise arithmetic(f"{tag} is too {size} to fit into a tag", placed=True)
    set_tag(run, variable, tag)
    return True


HELPERS: Final[dict[str, Any]] = {
    **{
        function.__name__: function
        for function in (
            absent, assign_tag, caught, chunked, constant_change, constant_method, curry, defines,
            import_module, in_scope, iterate, make_pointer, method, method_box, missing, no_module,
            own_this, set_tag, share, tag_of, this_value, throw, typed_method,
            _access.global_constant, _access.index, _access.own_index, _access.own_prop,
            _access.own_scope, _access.prop, _access.scope_variable, _access.set_index,
            _access.set_prop, _access.set_scope, _compare.contains, _compare.equal,
            _compare.in_range, _compare.look_up, _compare.switch_key, _compare.truth,
            _compare.unequal,
            _operators.add, _operators.add_assign, _operators.divide, _operators.invert,
            _operators.modulo, _operators.multiply, _operators.negate, _operators.plus,
            _operators.power, _operators.shift_left, _operators.shift_right, _operators.subtract,
            _text.joined,
        )
    },
    "bit_and": _operators.bit_and,
    "bit_or": _operators.bit_or,
    "bit_xor": _operators.bit_xor,
    "greater": _compare.greater,
    "greater_equal": _compare.greater_equal,
    "less": _compare.less,
    "less_equal": _compare.less_equal,
    "range_exclusive": _operators.range_exclusive,
    "range_inclusive": _operators.range_inclusive,
    "FnPtr": FnPtr,
    "RhaiError": RhaiError,
    "ScriptFunction": ScriptFunction,
}  # fmt: skip
BUILTINS: Final[dict[str, Any]] = {
    "bool": bool, "dict": dict, "enumerate": enumerate, "float": float, "int": int, "list": list,
    "str": str, "type": type,
}  # fmt: skip
