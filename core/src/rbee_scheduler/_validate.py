"""Range checks shared by the models; each names the field, the value and the range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from rbee_scheduler._errors import UnprocessableRequest


__all__ = ["as_tuple", "non_empty", "number"]

_Validator = Callable[[Any, Any, Any], None]


def number(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    optional: bool = False,
) -> _Validator:
    """Return an attrs validator for a finite number within bounds.

    Args:
        at_least: Smallest allowed value.
        above: Allowed values are greater than this.
        at_most: Largest allowed value.
        optional: Whether None is fine.
    """
    bounds = [
        text
        for limit, text in (
            (at_least, f"at least {at_least}"),
            (above, f"above {above}"),
            (at_most, f"at most {at_most}"),
        )
        if limit is not None
    ]
    wanted = " and ".join(bounds) or "a finite number"

    def validate(_: Any, attribute: Any, value: Any) -> None:
        if value is None and optional:
            return
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
            or (at_least is not None and value < at_least)
            or (above is not None and value <= above)
            or (at_most is not None and value > at_most)
        ):
            raise UnprocessableRequest(
                f"{attribute.name} is {value!r}",
                place=f"$.{attribute.name}",
                hint=f"it must be {wanted}",
            )

    return validate


def as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return ``values`` as a tuple; one string is refused, being many characters.

    An attrs converter. Type checkers can't infer what `tuple` itself converts.
    """
    if isinstance(values, str):
        raise UnprocessableRequest(f"{values!r} is one string", hint="give a list of strings")
    return tuple(values)


def non_empty(_: Any, attribute: Any, value: Any) -> None:
    """Refuse an empty or blank string (an attrs validator)."""
    if not isinstance(value, str) or not value.strip():
        raise UnprocessableRequest(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint="it must be a string with at least one visible character",
        )
