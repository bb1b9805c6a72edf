"""Errors that name the types of values, and the refusal of what is no script value."""

from __future__ import annotations

from typing import Any

from ._errors import RhaiError
from ._values import signature, type_name


def refused(value: Any) -> RhaiError:
    """The host passed an object no script can handle; its class is named, never its content."""
    return RhaiError(
        "ErrorMismatchDataType",
        f"the host passed a {type(value).__name__!r} object, which is no script value: pass plain "
        "dict, list, str, int (64 bits), float, bool or None",
        details={"actual": type(value).__name__},
    )


def not_found(name: str, arguments: tuple[Any, ...]) -> RhaiError:
    """No function of that name takes these arguments."""
    for argument in arguments:
        if type_name(argument) == "?":
            return refused(argument)
    called = signature(name, arguments)
    return RhaiError(
        "ErrorFunctionNotFound", f"Function not found: {called}", details={"function": called}
    )


def no_getter(value: Any, name: str) -> RhaiError:
    """A property the value does not have."""
    if type_name(value) == "?":
        return refused(value)
    text = f"Unknown property '{name}' - a getter is not registered for type '{type_name(value)}'"
    return RhaiError("ErrorDotExpr", text, details={"property": text})


def no_setter(target: Any, name: str, value: Any) -> RhaiError:
    """A property that cannot be set."""
    for argument in (target, value):
        if type_name(argument) == "?":
            return refused(argument)
    text = (
        f"No writable property '{name}' - a setter is not registered for type "
        f"'{type_name(target)}' to handle '{type_name(value)}'"
    )
    return RhaiError("ErrorDotExpr", text, details={"property": text})


def variable_missing(name: str) -> RhaiError:
    """A name that means nothing here."""
    return RhaiError(
        "ErrorVariableNotFound", f"Variable not found: {name}", details={"variable": name}
    )
