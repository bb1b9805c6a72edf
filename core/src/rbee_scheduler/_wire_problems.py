"""What is wrong with wire data, and where: cattrs' errors as ours, with JSON paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import attrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from rbee_scheduler._errors import InvalidRequest, SchedulerError, UnprocessableRequest
from rbee_scheduler._validate import shown


__all__ = ["AtKey", "name_as_written", "problems"]

_PLAIN_KEY = re.compile(r"[\w-]{1,60}")


class AtKey(Exception):
    """Something wrong at a key of the object at hand."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def problems(
    failure: BaseException,
    place: str,
    error: type[SchedulerError],
    aliases: Mapping[type, Mapping[str, str]],
) -> Iterator[SchedulerError]:
    """Yield one error for each thing wrong, with its JSON path.

    Args:
        failure: What cattrs, a hook or a model raised.
        place: Where the data stands.
        error: Class of what is yielded, but for values out of range.
        aliases: Other names of the fields of a class, for hints.
    """
    if isinstance(failure, BaseValidationError):
        # A misspelt key comes before the missing one that it was meant to be.
        for inner in sorted(failure.exceptions, key=_is_no_unknown_key):
            yield from problems(inner, place + _step(inner), error, aliases)
    elif isinstance(failure, ForbiddenExtraKeysError):
        fields = [field.alias for field in attrs.fields(failure.cl)]
        known = sorted([*fields, *aliases.get(failure.cl, {})])
        for key in sorted(map(str, failure.extra_fields)):
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            yield error("unknown key", place=place + _at(key), hint=hint)
    elif isinstance(failure, SchedulerError):
        yield _out_of_range(failure, place, error)
    elif isinstance(failure, KeyError):
        yield error("missing key", place=place + _at(failure.args[0]))
    elif isinstance(failure, AtKey):
        yield error(str(failure), place=place + _at(failure.key))
    elif len(failure.args) > 1 and isinstance(failure.args[1], attrs.Attribute):
        # One of attrs' own validators: a message, the field, and what it allows.
        yield error(failure.args[0], place=place + _at(failure.args[1].name))
    else:
        yield error(str(failure), place=place)


def _is_no_unknown_key(failure: BaseException) -> bool:
    return not isinstance(failure, ForbiddenExtraKeysError)


def _out_of_range(
    failure: SchedulerError, place: str, error: type[SchedulerError]
) -> SchedulerError:
    """Return a model's own error (at ``$.temperature``) as ours, where the model stands."""
    kind = UnprocessableRequest if error is InvalidRequest else error
    return kind(failure.message, hint=failure.hint, place=place + failure.place.removeprefix("$"))


def name_as_written(failure: BaseValidationError, written: Mapping[str, str]) -> None:
    """Let the errors of fields that came under another name speak of that name."""
    for inner in failure.exceptions:
        for note in getattr(inner, "__notes__", ()):
            if isinstance(note, AttributeValidationNote):
                note.name = written.get(note.name, note.name)
        if isinstance(inner, SchedulerError):
            name, *rest = inner.place.removeprefix("$.").split("[", 1)
            inner.place = "[".join([f"$.{written.get(name, name)}", *rest])


def _step(failure: BaseException) -> str:
    for note in getattr(failure, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            # A missing key is noted at its own name, which its KeyError says already.
            return "" if isinstance(failure, KeyError) else _at(note.name)
        if isinstance(note, IterableValidationNote):
            return _at(note.index)
    return ""


def _at(key: Any) -> str:
    """Return one step of a JSON path."""
    if isinstance(key, int):
        return f"[{key}]"
    plain = isinstance(key, str) and _PLAIN_KEY.fullmatch(key)
    return f".{key}" if plain else f"[{shown(key)}]"
