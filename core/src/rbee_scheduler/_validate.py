"""Range checks shared by the models; each names the field, the value and the range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from rbee_scheduler._errors import ConfigError, SchedulerError


__all__ = [
    "Checks",
    "as_tuple",
    "integer",
    "listed",
    "non_empty",
    "number",
    "one_of",
    "shown",
]

_Validator = Callable[[Any, Any, Any], None]

# The largest integer of a Rhai script, a database, and most workers. No number of ours is
# anywhere near it, so that floats are held to it too.
LARGEST = 2**63 - 1

_SHOWN = 60  # characters of a value in a message


class Checks:
    """Makes attrs validators that refuse a value with one class of error.

    Args:
        error: The class; its place is ``$.field``.

    Example:
        >>> import attrs
        >>> check = Checks(ConfigError)
        >>> @attrs.frozen
        ... class Tea:
        ...     cups: int = attrs.field(validator=check.integer(at_least=1))
        >>> Tea(0)
        Traceback (most recent call last):
            ...
        rbee_scheduler._errors.ConfigError: $.cups: cups is 0 (it must be an integer, at least 1)
    """

    __slots__ = ("_error",)

    def __init__(self, error: type[SchedulerError]) -> None:
        self._error = error

    def number(
        self,
        *,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
        optional: bool = False,
    ) -> _Validator:
        """Return a validator for a finite number within bounds.

        Args:
            at_least: Smallest allowed value.
            above: Allowed values are greater than this.
            at_most: Largest allowed value.
            optional: Whether None is fine.
        """
        lowest = -LARGEST if at_least is None else at_least
        highest = LARGEST if at_most is None else at_most
        floor = -math.inf if above is None else above
        wanted = _wanted("a finite number", at_least=at_least, above=above, at_most=at_most)

        def validate(_: Any, attribute: Any, value: Any) -> None:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                # The comparisons refuse NaN, too, and the infinities.
                if lowest <= value <= highest and floor < value:
                    return
            elif value is None and optional:
                return
            self._refuse(attribute, value, wanted)

        return validate

    def integer(self, *, at_least: int = -LARGEST, optional: bool = False) -> _Validator:
        """Return a validator for an integer of 64 bits.

        Args:
            at_least: Smallest allowed value.
            optional: Whether None is fine.
        """
        wanted = _wanted("an integer", at_least=None if at_least == -LARGEST else at_least)

        def validate(_: Any, attribute: Any, value: Any) -> None:
            if isinstance(value, int) and not isinstance(value, bool):
                if at_least <= value <= LARGEST:
                    return
            elif value is None and optional:
                return
            self._refuse(attribute, value, wanted)

        return validate

    def text(self, *, optional: bool = False) -> _Validator:
        """Return a validator for a string, or None where that is fine."""

        def validate(_: Any, attribute: Any, value: Any) -> None:
            if not isinstance(value, str) and not (value is None and optional):
                self._refuse(attribute, value, "a string")

        return validate

    def one_of(self, allowed: tuple[str, ...]) -> _Validator:
        """Return a validator for one of a few strings."""
        wanted = f"one of {', '.join(allowed)}"

        def validate(_: Any, attribute: Any, value: Any) -> None:
            if value not in allowed:
                self._refuse(attribute, value, wanted)

        return validate

    def listed(self, kind: type | tuple[type, ...], wanted: str) -> _Validator:
        """Return a validator for a tuple (see `as_tuple`) of instances of ``kind``.

        Args:
            kind: What each element must be; of several classes the usual one first, for an
                abstract one takes 0.3 us to ask.
            wanted: The same for messages, in the plural.
        """

        def validate(_: Any, attribute: Any, value: Any) -> None:
            if not isinstance(value, tuple):
                self._refuse(attribute, value, f"a list of {wanted}")
            for index, element in enumerate(value):
                if not isinstance(element, kind):
                    self._refuse(attribute, element, f"one of the {wanted}", f"[{index}]")

        return validate

    def non_empty(self, _: Any, attribute: Any, value: Any) -> None:
        """Refuse what is no string, or an empty or blank one (itself a validator)."""
        if not isinstance(value, str) or not value.strip():
            self._refuse(attribute, value, "a string with at least one visible character")

    def _refuse(self, attribute: Any, value: Any, wanted: str, step: str = "") -> None:
        name = f"{attribute.name}{step}"
        raise self._error(
            f"{name} is {shown(value)}", place=f"$.{name}", hint=f"it must be {wanted}"
        )


# What describes a deployment is the operator's; only a request has an error of its own.
_checks = Checks(ConfigError)
number, integer, one_of = _checks.number, _checks.integer, _checks.one_of
listed, non_empty = _checks.listed, _checks.non_empty


def as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return ``values`` as a tuple; what is no list is left for `Checks.listed` to refuse.

    An attrs converter. One string is no list, though it can be iterated. (Type checkers
    can't infer what `tuple` itself converts.)
    """
    if type(values) is list or type(values) is tuple:  # as nearly always: 0.1 us and not 0.6
        return tuple(values)
    if isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping)):
        return tuple(values)
    return cast("tuple[Any, ...]", values)


def shown(value: Any) -> str:
    """Return ``value`` as a message shows it: in JSON's words, and never long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "an array"  # repr would recurse as deep as it is nested
    if isinstance(value, int) and abs(value) > LARGEST:
        return "an integer of more than 64 bits"  # Python refuses to print the longest
    if isinstance(value, (str, bytes)):
        value = value[:_SHOWN]
    text = repr(value)
    return text if len(text) < _SHOWN else f"{text[: _SHOWN - 3]}..."


def _wanted(kind: str, **bounds: float | None) -> str:
    limits = [
        f"{name.replace('_', ' ')} {limit}" for name, limit in bounds.items() if limit is not None
    ]
    return ", ".join([kind, " and ".join(limits)]) if limits else kind
