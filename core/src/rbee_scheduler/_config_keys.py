"""The keys of the configuration: every single value by its dotted name.

They are read off the classes that hold the values, so a new setting needs no word here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import attrs

from rbee_scheduler._deployment import Document
from rbee_scheduler._errors import ConfigError


__all__ = ["PREFIX", "Key", "Keys"]

PREFIX = "RBEE_SCHEDULER_"

# Variables of this prefix that are read elsewhere: the file's place, and the plugins' allow-list.
_OTHER_VARIABLES = frozenset({"RBEE_SCHEDULER_CONFIG", "RBEE_SCHEDULER_PLUGINS"})


@attrs.frozen(kw_only=True)
class Key:
    """One value of the configuration.

    Attributes:
        name: Dotted name, ``"queue.capacity"``.
        default: Its value when nobody sets it; its type is the key's.
    """

    name: str
    default: str | float | bool

    @property
    def variable(self) -> str:
        """The environment variable that sets it; two underscores stand for one level."""
        return PREFIX + self.name.replace(".", "__").upper()

    def parse(self, text: str) -> Any:
        """Return ``text`` as a value: as TOML, else as the string it is.

        A key that holds a string takes the text as it is, unless it is a quoted string.
        """
        if isinstance(self.default, str) and text[:1] not in {'"', "'"}:
            return text
        with suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
        return text

    def nested(self, value: Any) -> dict[str, Any]:
        """Return a document that sets this key to ``value`` and nothing else."""
        for part in reversed(self.name.split(".")):
            value = {part: value}
        return dict(value)


class Keys:
    """All keys, found by dotted name or by environment variable."""

    __slots__ = ("_by_name", "_by_variable")

    def __init__(self) -> None:
        keys = list(_keys_of(Document(), ""))
        self._by_name = {key.name: key for key in keys}
        self._by_variable = {key.variable: key for key in keys}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_name.values())

    def named(self, name: str, origin: str) -> Key:
        """Return the key called ``name``.

        Args:
            name: Dotted name.
            origin: Who names it, for the message.

        Raises:
            ConfigError: There is no such key.
        """
        key = self._by_name.get(name)
        if key is None:
            raise ConfigError(
                f"unknown key {name!r}", place=origin, hint=_nearest(name, self._by_name)
            )
        return key

    def in_environment(self, environ: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
        """Yield each key that ``environ`` sets, with the text it sets it to.

        Raises:
            ConfigError: A variable of our prefix sets nothing we know.
        """
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES:
                continue
            key = self._by_variable.get(variable)
            if key is None:
                raise ConfigError(
                    "unknown environment variable",
                    place=variable,
                    hint=_nearest(variable, {*self._by_variable, *_OTHER_VARIABLES}, PREFIX),
                )
            yield key, environ[variable]


def _keys_of(holder: Any, prefix: str) -> Iterator[Key]:
    for field in attrs.fields(type(holder)):
        value = getattr(holder, field.name)
        if attrs.has(type(value)):
            yield from _keys_of(value, f"{prefix}{field.name}.")
        elif isinstance(value, (str, int, float)):
            yield Key(name=prefix + field.name, default=value)


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a hint; the prefix that all names share makes none of them near."""
    bare = sorted(known_name.removeprefix(prefix) for known_name in known)
    near = get_close_matches(name.removeprefix(prefix), bare, n=1)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return "'rbee-scheduler config show' lists all keys"
