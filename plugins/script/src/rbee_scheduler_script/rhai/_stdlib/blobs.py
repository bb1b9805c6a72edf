"""Blobs: arrays of bytes. A blob is a value like a string; changing one makes a new one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import slice_of
from rbee_scheduler_script.rhai._values import Blob, Range

from ._native import Native, changing, rows
from .arrays import offset, span


if TYPE_CHECKING:
    from collections.abc import Callable

    from rbee_scheduler_script.rhai._run import Run


_WORD: Final = 8


def make(run: Run, size: int = 0, fill: int = 0) -> Blob:
    run.array(max(size, 0))
    return Blob(bytes((fill & 0xFF,)) * max(size, 0))


def get(_run: Run, b: Blob, at: int) -> int:
    return b[at] if -len(b) <= at < len(b) else 0


def taken(run: Run, b: Blob, start: int, end: int) -> Blob:
    run.array(end - start)
    return Blob(b[start:end])


def extract(run: Run, b: Blob, start: int, size: int | None = None) -> Blob:
    return taken(run, b, *span(len(b), start, len(b) if size is None else size))


def extract_range(run: Run, b: Blob, part: Range) -> Blob:
    return taken(run, b, *slice_of(part, len(b)))


def to_array(run: Run, b: Blob) -> list[Any]:
    run.array(len(b))
    return list(b)


def as_string(run: Run, b: Blob) -> str:
    run.text(len(b))
    return b.decode("utf-8", "replace")


def _edit(change: Callable[..., Any]) -> Callable[..., Any]:
    """Work on a copy; answers the result and the copy."""

    def edit(run: Run, b: Blob, *rest: Any) -> tuple[Any, Blob]:
        run.array(len(b) + 1)
        copy = Blob(b)
        return change(run, copy, *rest), copy

    return edit


def push(_run: Run, b: Blob, byte: int) -> None:
    b.append(byte & 0xFF)


def append(run: Run, b: Blob, other: Any) -> None:
    more = other.encode("utf-8", "surrogatepass") if isinstance(other, str) else other
    run.array(len(b) + len(more))
    b += more


def insert(_run: Run, b: Blob, at: int, byte: int) -> None:
    b.insert(offset(at, len(b)), byte & 0xFF)


def pop(_run: Run, b: Blob) -> int:
    return b.pop() if b else 0


def shift(_run: Run, b: Blob) -> int:
    return b.pop(0) if b else 0


def remove(_run: Run, b: Blob, at: int) -> int:
    return b.pop(at) if -len(b) <= at < len(b) else 0


def set_(_run: Run, b: Blob, at: int, byte: int) -> None:
    if -len(b) <= at < len(b):
        b[at] = byte & 0xFF


def reverse(_run: Run, b: Blob) -> None:
    b.reverse()


def truncate(_run: Run, b: Blob, size: int) -> None:
    del b[max(size, 0) :]


def chop(_run: Run, b: Blob, size: int) -> None:
    del b[: len(b) - min(max(size, 0), len(b))]


def pad(run: Run, b: Blob, size: int, byte: int) -> None:
    if size > len(b):
        run.array(size)
        b += bytes((byte & 0xFF,)) * (size - len(b))


def split(run: Run, b: Blob, at: int) -> Blob:
    start = offset(at, len(b))
    tail = taken(run, b, start, len(b))
    del b[start:]
    return tail


def _cut(run: Run, b: Blob, start: int, end: int) -> Blob:
    inside = taken(run, b, start, end)
    del b[start:end]
    return inside


def drain(run: Run, b: Blob, start: int, size: int) -> Blob:
    return _cut(run, b, *span(len(b), start, size))


def drain_range(run: Run, b: Blob, part: Range) -> Blob:
    return _cut(run, b, *slice_of(part, len(b)))


def _keep(run: Run, b: Blob, start: int, end: int) -> Blob:
    outside = Blob(b[:start] + b[end:])
    b[:] = taken(run, b, start, end)
    return outside


def retain(run: Run, b: Blob, start: int, size: int) -> Blob:
    return _keep(run, b, *span(len(b), start, size))


def retain_range(run: Run, b: Blob, part: Range) -> Blob:
    return _keep(run, b, *slice_of(part, len(b)))


def splice(run: Run, b: Blob, start: int, size: int, other: Blob) -> None:
    begin, end = span(len(b), start, size)
    run.array(len(b) + len(other))
    b[begin:end] = other


def splice_range(run: Run, b: Blob, part: Range, other: Blob) -> None:
    begin, end = slice_of(part, len(b))
    run.array(len(b) + len(other))
    b[begin:end] = other


def _word(b: Blob, start: int, size: int) -> bytes:
    begin, end = span(len(b), start, min(size, _WORD))
    return bytes(b[begin:end])


def _parse_int(order: Any) -> Callable[..., int]:
    def parse(_run: Run, b: Blob, start: int, size: int) -> int:
        word = _word(b, start, size)
        # Missing bytes are zeros at the end.
        return int.from_bytes(word.ljust(_WORD, b"\0"), order, signed=True)

    return parse


def _parse_float(form: str) -> Callable[..., float]:
    def parse(_run: Run, b: Blob, start: int, size: int) -> float:
        value: float = struct.unpack(form, _word(b, start, size).ljust(_WORD, b"\0"))[0]
        return value

    return parse


def _in_range(parse: Callable[..., Any]) -> Callable[..., Any]:
    def parse_range(run: Run, b: Blob, part: Range) -> Any:
        begin, end = slice_of(part, len(b))
        return parse(run, b, begin, end - begin)

    return parse_range


def _write(pack: Callable[[Any], bytes]) -> Callable[..., None]:
    def write(_run: Run, b: Blob, start: int, size: int, value: Any) -> None:
        begin, end = span(len(b), start, size)
        data = pack(value)[: end - begin]
        b[begin : begin + len(data)] = data

    return write


def _write_range(write: Callable[..., None]) -> Callable[..., None]:
    def write_range(run: Run, b: Blob, part: Range, value: Any) -> None:
        begin, end = slice_of(part, len(b))
        write(run, b, begin, end - begin, value)

    return write_range


_PARSE: Final[dict[str, Callable[..., Any]]] = {
    "parse_be_int": _parse_int("big"),
    "parse_le_int": _parse_int("little"),
    "parse_be_float": _parse_float(">d"),
    "parse_le_float": _parse_float("<d"),
}
_WRITE: Final[tuple[tuple[str, type, Callable[[Any], bytes]], ...]] = (
    ("write_be", int, lambda v: struct.pack(">q", v)),
    ("write_le", int, lambda v: struct.pack("<q", v)),
    ("write_be", float, lambda v: struct.pack(">d", v)),
    ("write_le", float, lambda v: struct.pack("<d", v)),
    ("write_ascii", str, lambda v: v.encode("ascii", "ignore")),
    ("write_utf8", str, lambda v: v.encode("utf-8", "surrogatepass")),
)

NATIVES: Final[tuple[Native, ...]] = (
    *rows(make, "blob"),
    *rows(make, "blob", int),
    *rows(make, "blob", int, int),
    *rows(lambda _, b: len(b), "len", Blob),
    *rows(lambda _, b: not b, "is_empty", Blob),
    *rows(lambda _, b, byte: 0 <= byte <= 255 and byte in b, "contains", Blob, int),  # noqa: PLR2004
    *rows(get, "get", Blob, int),
    *rows(extract, "extract", Blob, int),
    *rows(extract, "extract", Blob, int, int),
    *rows(extract_range, "extract", Blob, Range),
    *rows(to_array, "to_array", Blob),
    *rows(as_string, "as_string", Blob),
    *[row for name, parse in _PARSE.items() for row in (
        *rows(parse, name, Blob, int, int), *rows(_in_range(parse), name, Blob, Range),
    )],
    *[row for name, kind, pack in _WRITE for row in (
        *changing(_edit(_write(pack)), name, Blob, int, int, kind),
        *changing(_edit(_write_range(_write(pack))), name, Blob, Range, kind),
    )],
    *changing(_edit(push), "push", Blob, int),
    *changing(_edit(append), "append", Blob, Blob),
    *changing(_edit(append), "append", Blob, str),
    *changing(_edit(push), "append", Blob, int),
    *changing(_edit(insert), "insert", Blob, int, int),
    *changing(_edit(pop), "pop", Blob),
    *changing(_edit(shift), "shift", Blob),
    *changing(_edit(remove), "remove", Blob, int),
    *changing(_edit(set_), "set", Blob, int, int),
    *changing(_edit(reverse), "reverse", Blob),
    *changing(lambda _, __: (None, Blob()), "clear", Blob),
    *changing(_edit(truncate), "truncate", Blob, int),
    *changing(_edit(chop), "chop", Blob, int),
    *changing(_edit(pad), "pad", Blob, int, int),
    *changing(_edit(split), "split", Blob, int),
    *changing(_edit(drain), "drain", Blob, int, int),
    *changing(_edit(drain_range), "drain", Blob, Range),
    *changing(_edit(retain), "retain", Blob, int, int),
    *changing(_edit(retain_range), "retain", Blob, Range),
    *changing(_edit(splice), "splice", Blob, int, int, Blob),
    *changing(_edit(splice_range), "splice", Blob, Range, Blob),
)  # fmt: skip
