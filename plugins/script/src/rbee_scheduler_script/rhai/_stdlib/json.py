"""`to_json` and `parse_json`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._errors import RhaiError, too_large
from rbee_scheduler_script.rhai._failures import refused
from rbee_scheduler_script.rhai._text import float_text
from rbee_scheduler_script.rhai._tokens import I64_MAX, I64_MIN
from rbee_scheduler_script.rhai._values import Char, FnPtr, type_name

from ._native import Native, rows


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


_MAX_DIGITS: Final = 400


def to_json(run: Run, value: Any, depth: int = 0) -> str:  # noqa: PLR0911 - one return a type
    """Compact, keys sorted; what JSON lacks becomes its text."""
    kind = type(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float:
        return float_text(value) if math.isfinite(value) else "null"
    if kind is list or kind is dict:
        run.charge(len(value) + 1)
        run.nested(depth)
        if kind is list:
            parts = [to_json(run, item, depth + 1) for item in value]
        else:
            parts = [
                f"{json.dumps(key)}:{to_json(run, value[key], depth + 1)}" for key in sorted(value)
            ]
        run.text(sum(map(len, parts)) + len(parts))
        return f"[{','.join(parts)}]" if kind is list else "{" + ",".join(parts) + "}"
    if kind is str or kind is Char:
        run.text(2 * len(value))
        return json.dumps(str(value), ensure_ascii=False)
    if type_name(value) == "?":
        raise refused(value)
    return json.dumps(value.name if kind is FnPtr else type_name(value))


def _integer(text: str) -> int | float:
    if len(text) > _MAX_DIGITS:
        return math.inf if text[0] != "-" else -math.inf
    value = int(text)
    return value if I64_MIN <= value <= I64_MAX else float(text)


def _constant(name: str) -> Any:
    raise ValueError(name)


def parse_json(run: Run, text: str) -> Any:
    """Any JSON value; numbers with a point or exponent, and too large ones, are floats."""
    # At worst every character is an element: `[[],[],...`.
    run.charge((len(text) >> 2) + 1)
    run.allocate(24 * len(text))
    depth = deepest = 0
    for char in text:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    if deepest > run.limits.nesting:
        raise too_large("Nesting of arrays and object maps")
    try:
        return json.loads(text, parse_int=_integer, parse_constant=_constant)
    except ValueError as error:
        message = f"JSON: {error}"
        raise RhaiError("ErrorRuntime", message, value=message) from None


NATIVES: Final[tuple[Native, ...]] = tuple(rows(parse_json, "parse_json", str))
