"""YAML text to a tree of plain nodes with places: YAML 1.2, safe by construction.

ruamel.yaml only cuts the text into events; the tree is built here. Nothing is ever constructed from
a tag, scalars are resolved by the core schema of YAML 1.2 (`yes` is a text, `0o7` a number), and
the size, the depth and what aliases unfold to are bounded while the events come in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rbee_scheduler_script._yaml._comments import comments_of
from rbee_scheduler_script._yaml._problems import Problems
from rbee_scheduler_script._yaml._scalars import BadScalar, resolve


__all__ = ["Document", "Mapping", "Node", "Scalar", "Sequence", "read_document"]

MAX_SIZE: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
MAX_ALIASES: Final = 200

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@attrs.frozen(kw_only=True)
class Scalar:
    """A text, number, bool or null.

    Attributes:
        place: Line and column, from 1.
        value: What it says.
        text: As it is written, without quotes.
        style: Empty for a plain one, else ``' " | >``.
    """

    place: tuple[int, int]
    value: Any
    text: str
    style: str = ""


@attrs.frozen(kw_only=True)
class Sequence:
    """A list."""

    place: tuple[int, int]
    items: tuple[Node, ...]


@attrs.frozen(kw_only=True)
class Mapping:
    """Keys and values, in the order written."""

    place: tuple[int, int]
    entries: tuple[tuple[Scalar, Node], ...]

    def get(self, key: str) -> Node | None:
        """Return the value of a key."""
        return next((value for name, value in self.entries if name.value == key), None)


Node = Scalar | Sequence | Mapping


@attrs.frozen(kw_only=True)
class Document:
    """A file of one document.

    Attributes:
        root: Its value.
        comments: Text of the comments by line, without the `#`.
        alone: Lines on which there is nothing but a comment.
    """

    root: Node
    comments: dict[int, str]
    alone: frozenset[int]


def read_document(text: str, problems: Problems) -> Document:
    """Read a file of one document.

    Raises:
        Stop: It is no YAML, or not of the kind that rules are written in; the problem is noted.
    """
    if len(text) > MAX_SIZE:
        raise problems.stop((1, 1), f"the file is longer than {MAX_SIZE:,} characters")
    builder = _Builder(problems)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        raise problems.stop(place, f"not YAML: {_said(error.problem, error.context)}") from None
    except (YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode
        raise problems.stop((1, 1), f"not YAML: {_first_line(error)}") from None
    if builder.root is None:
        raise problems.stop((1, 1), "the file is empty", "start with `rules:`")
    comments, alone = comments_of(text, builder.spans)
    return Document(root=builder.root, comments=comments, alone=alone)


def _said(problem: str | None, context: str | None) -> str:
    return ", ".join(part for part in (context, problem) if part) or "it can't be read"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


@attrs.define(kw_only=True)
class _Open:
    """A list or map whose end has not come yet."""

    place: tuple[int, int]
    is_map: bool
    anchor: str | None
    parts: list[Node] = attrs.field(factory=list)


class _Builder:
    """Takes events one by one, and gives the tree."""

    def __init__(self, problems: Problems) -> None:
        self.root: Node | None = None
        self.spans: list[tuple[int, int, int, int]] = []
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._pending: set[str] = set()
        self._nodes = 0
        self._aliases = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event."""
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        read = _EVENTS.get(type(event).__name__)
        if read is not None:
            read(self, event, place)

    def _document(self, event: Any, place: tuple[int, int]) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._problems.stop(place, "there is a second document", "write one file for it")
        if event.tags or (event.version and tuple(event.version) != (1, 2)):
            raise self._problems.stop(place, "directives are not allowed", "leave out the % line")

    def _scalar(self, event: Any, place: tuple[int, int]) -> None:
        self._check(event, place)
        text = str(event.value)
        start, end = event.start_mark, event.end_mark
        self.spans.append((start.line + 1, start.column, end.line + 1, end.column))
        plain = not event.style
        if _SURROGATE.search(text):
            raise self._problems.stop(place, "the text has a lone surrogate, which is no character")
        value = self._resolve(text, place) if plain else text
        node = Scalar(place=place, value=value, text=text, style=event.style or "")
        if event.anchor:
            self._anchors[event.anchor] = (node, 1)
        self._add(node, 1, place)

    def _resolve(self, text: str, place: tuple[int, int]) -> Any:
        try:
            return resolve(text)
        except BadScalar as wrong:
            self._problems.add(place, str(wrong))
            return text

    def _start(self, event: Any, place: tuple[int, int]) -> None:
        self._check(event, place)
        if len(self._open) >= MAX_DEPTH:
            raise self._problems.stop(place, f"nested deeper than {MAX_DEPTH} levels")
        if event.anchor:
            self._pending.add(event.anchor)
        is_map = type(event).__name__ == "MappingStartEvent"
        self._open.append(_Open(place=place, is_map=is_map, anchor=event.anchor))

    def _end(self, _event: Any, place: tuple[int, int]) -> None:
        done = self._open.pop()
        node = self._mapping(done) if done.is_map else Sequence(
            place=done.place, items=tuple(done.parts)
        )  # fmt: skip
        if done.anchor:
            self._pending.discard(done.anchor)
            self._anchors[done.anchor] = (node, _size(node))
        self._add(node, 1, place)

    def _mapping(self, done: _Open) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        seen: set[Any] = set()
        for key, value in _pairs(done.parts):
            if not isinstance(key, Scalar) or type(key.value) is not str:
                hint = "put it in quotes" if isinstance(key, Scalar) else ""
                self._problems.add(key.place, "a key must be a text", hint)
                continue
            if key.value == "<<":
                self._problems.add(key.place, "merge keys (<<) are not part of YAML 1.2",
                                   "write the keys out")  # fmt: skip
                continue
            if key.value in seen:
                self._problems.add(key.place, f"the key {key.value!r} is there twice")
                continue
            seen.add(key.value)
            entries.append((key, value))
        return Mapping(place=done.place, entries=tuple(entries))

    def _alias(self, event: Any, place: tuple[int, int]) -> None:
        self._aliases += 1
        if event.anchor in self._pending:
            raise self._problems.stop(place, f"*{event.anchor} contains itself")
        found = self._anchors.get(event.anchor)
        if found is None:
            raise self._problems.stop(place, f"no anchor &{event.anchor} before this")
        if self._aliases > MAX_ALIASES:
            raise self._problems.stop(place, f"more than {MAX_ALIASES} aliases")
        self._add(found[0], found[1], place)

    def _add(self, node: Node, size: int, place: tuple[int, int]) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise self._problems.stop(place, f"more than {MAX_NODES:,} values, aliases unfolded")
        if self._open:
            self._open[-1].parts.append(node)
        else:
            self.root = node

    def _check(self, event: Any, place: tuple[int, int]) -> None:
        if event.tag is not None and event.tag != "!":
            raise self._problems.stop(place, f"tags ({event.tag}) are not allowed", "leave it out")


def _pairs(parts: list[Node]) -> Iterator[tuple[Node, Node]]:
    return zip(parts[::2], parts[1::2], strict=True)


def _size(node: Node) -> int:
    """Count the values in a node, aliases unfolded; its parts are bounded already."""
    count = 0
    pending: list[Node] = [node]
    while pending:
        current = pending.pop()
        count += 1
        if isinstance(current, Sequence):
            pending.extend(current.items)
        elif isinstance(current, Mapping):
            pending.extend(part for pair in current.entries for part in pair)
    return count


_EVENTS: Final[dict[str, Callable[[_Builder, Any, tuple[int, int]], None]]] = {
    "DocumentStartEvent": _Builder._document,  # noqa: SLF001 - a table of its own methods
    "ScalarEvent": _Builder._scalar,  # noqa: SLF001
    "SequenceStartEvent": _Builder._start,  # noqa: SLF001
    "MappingStartEvent": _Builder._start,  # noqa: SLF001
    "SequenceEndEvent": _Builder._end,  # noqa: SLF001
    "MappingEndEvent": _Builder._end,  # noqa: SLF001
    "AliasEvent": _Builder._alias,  # noqa: SLF001
}
