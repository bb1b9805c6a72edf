"""Properties and indexes: reading, and putting a new value in.

`set_*` answer the container with the change made: itself for an owned array or map, a new value for
what Python cannot change (strings, integers as bit fields).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._errors import RhaiError, mismatch
from ._failures import no_getter, no_setter, refused, variable_missing
from ._operators import wrap
from ._properties import PROPERTIES
from ._text import characters
from ._values import Blob, Char, FnPtr, Range, Steps, long_type_name, type_name


if TYPE_CHECKING:
    from ._run import Run


BITS: Final = 64


def prop(run: Run, target: Any, name: str) -> Any:
    """`target.name`."""
    kind = type(target)
    if kind is dict:
        return target.get(name)
    if kind is str and name == "chars":
        return Steps("chars", characters(run, target))
    getter = PROPERTIES.get((kind, name))
    if getter is None:
        raise no_getter(target, name)
    if kind is str and name == "bytes":
        run.charge((len(target) >> 4) + 1)
    return getter(target)


def set_prop(run: Run, target: Any, name: str, value: Any) -> Any:
    """`target.name = value`."""
    if type(target) is dict:
        if name not in target:
            run.map(1)
            if len(target) >= run.limits.map_size:
                run.map(len(target) + 1)
        target[name] = value
        return target
    raise no_setter(target, name, value)


def array_bounds(index: int, size: int) -> RhaiError:
    """An index outside its array."""
    what = "array is empty" if not size else f"only {size} elements in array"
    return RhaiError(
        "ErrorArrayBounds",
        f"Array index {index} out of bounds: {what}",
        details={"index": index, "length": size},
        at_operand=True,
    )


def string_bounds(index: int, size: int) -> RhaiError:
    """An index outside its string."""
    what = "string is empty" if not size else f"only {size} characters in string"
    return RhaiError(
        "ErrorStringBounds",
        f"String index {index} out of bounds: {what}",
        details={"index": index, "length": size},
        at_operand=True,
    )


def bit_bounds(index: int) -> RhaiError:
    """A bit that no 64-bit integer has."""
    return RhaiError(
        "ErrorBitFieldBounds",
        f"Bit-field index {index} out of bounds: only {BITS} bits in bit-field",
        details={"index": index, "length": BITS},
        at_operand=True,
    )


def bit_span(span: Range) -> tuple[int, int]:
    """First bit and mask of a range of bits."""
    start, end = max(span.start, 0), span.end + (1 if span.inclusive else 0)
    if start >= BITS:
        raise bit_bounds(start)
    width = max(min(end, BITS) - start, 0)
    return start, (1 << width) - 1


def slice_of(span: Range, size: int) -> tuple[int, int]:
    """A range clamped to what there is; an end before the start is an empty slice."""
    start = max(span.start, 0)
    end = span.end + (1 if span.inclusive else 0)
    start = min(start, size)
    return start, max(min(end, size), start)


def _not_indexable(target: Any, index: Any) -> RhaiError:
    for value in (target, index):
        if type_name(value) == "?":
            return refused(value)
    return RhaiError(
        "ErrorIndexingType",
        f"Indexer unavailable: {type_name(target)} [{type_name(index)}]",
        details={"type": type_name(target)},
    )


def index(run: Run, target: Any, key: Any) -> Any:  # noqa: C901, PLR0912 - one branch a type
    """`target[key]`."""
    kind, of = type(target), type(key)
    if kind is list:
        if of is not int:
            raise mismatch(long_type_name(key), "i64", at_operand=True)
        if -len(target) <= key < len(target):
            return target[key]
        raise array_bounds(key, len(target))
    if kind is dict:
        if of is not str:
            raise mismatch(long_type_name(key), "string", at_operand=True)
        return target.get(key)
    if kind is str:
        if of is int:
            if -len(target) <= key < len(target):
                return Char(target[key])
            raise string_bounds(key, len(target))
        if of is Range:
            start, end = slice_of(key, len(target))
            run.text(end - start)
            return target[start:end]
        raise mismatch(long_type_name(key), "i64", at_operand=True)
    if kind is int:
        return _bits(target, key)
    if kind is Blob:
        if of is not int:
            raise mismatch(long_type_name(key), "i64", at_operand=True)
        if -len(target) <= key < len(target):
            return target[key]
        raise array_bounds(key, len(target))
    raise _not_indexable(target, key)


def _bits(target: int, key: Any) -> Any:
    if type(key) is int:
        if -BITS <= key < BITS:
            return bool(target >> (key % BITS) & 1)
        raise bit_bounds(key)
    if type(key) is Range:
        start, mask = bit_span(key)
        return wrap((target >> start) & mask)
    raise mismatch(long_type_name(key), "i64", at_operand=True)


def set_index(run: Run, target: Any, key: Any, value: Any) -> Any:  # noqa: C901 - the same
    """`target[key] = value`."""
    kind, of = type(target), type(key)
    if kind is list:
        if of is not int:
            raise mismatch(long_type_name(key), "i64", at_operand=True)
        if -len(target) <= key < len(target):
            target[key] = value
            return target
        raise array_bounds(key, len(target))
    if kind is dict:
        if of is not str:
            raise mismatch(long_type_name(key), "string", at_operand=True)
        return set_prop(run, target, key, value)
    if kind is str and of is int:
        if not -len(target) <= key < len(target):
            raise string_bounds(key, len(target))
        if type(value) is not Char:
            raise mismatch(long_type_name(value), "char")
        run.text(len(target))
        at = key % len(target)
        return target[:at] + value + target[at + 1 :]
    if kind is int:
        return set_bits(target, key, value)
    if kind is Blob and of is int:
        if not -len(target) <= key < len(target):
            raise array_bounds(key, len(target))
        if type(value) is not int:
            raise mismatch(long_type_name(value), "i64")
        copy = Blob(target)
        copy[key] = value & 0xFF
        return copy
    raise _not_indexable(target, key)


def set_bits(target: int, key: Any, value: Any) -> int:
    """An integer with a bit, or a range of bits, replaced."""
    if type(key) is int:
        if not -BITS <= key < BITS:
            raise bit_bounds(key)
        if type(value) is not bool:
            raise mismatch(long_type_name(value), "bool")
        bit = 1 << (key % BITS)
        return wrap(target | bit if value else target & ~bit)
    if type(key) is Range:
        if type(value) is not int:
            raise mismatch(long_type_name(value), "i64")
        start, mask = bit_span(key)
        return wrap((target & ~(mask << start)) | ((value & mask) << start))
    raise mismatch(long_type_name(key), "i64", at_operand=True)


def own_prop(run: Run, target: Any, name: str) -> Any:
    """`target.name` of an owned target, made ready to be changed in place."""
    value = prop(run, target, name)
    owned = run.own(value)
    if owned is not value:
        target[name] = owned
    return owned


def own_index(run: Run, target: Any, key: Any) -> Any:
    """`target[key]` of an owned target, made ready to be changed in place."""
    value = index(run, target, key)
    owned = run.own(value)
    if owned is not value:
        target[key] = owned
    return owned


def scope_variable(run: Run, name: str, *, functions: bool = True) -> Any:
    """A variable the host passed to `eval`, or the name of a script function as a value."""
    if name in run.scope:
        return run.scope[name]
    if functions and name in run.functions:
        return FnPtr(name)
    raise variable_missing(name)


def own_scope(run: Run, name: str) -> Any:
    """The same, ready to be changed in place."""
    value = run.scope[name] = run.own(scope_variable(run, name))
    return value


def set_scope(run: Run, name: str, value: Any) -> None:
    """Assign to a variable the host passed."""
    if name not in run.scope:
        raise variable_missing(name)
    run.scope[name] = value


def global_constant(run: Run, name: str) -> Any:
    """`global::NAME`."""
    if name in run.constants:
        return run.constants[name]
    raise variable_missing(f"global::{name}")
