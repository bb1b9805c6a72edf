"""Strings and chars: functions that change them; each answers its result and the new string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._access import set_index
from rbee_scheduler_script.rhai._text import show
from rbee_scheduler_script.rhai._values import Char, Range

from ._native import ANY, Native, changing
from .strings import char_lower, char_upper, lower, sub_range, sub_string, upper


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def trim(run: Run, s: str) -> Any:
    run.text(len(s))
    return None, s.strip()


def replace(run: Run, s: str, find: str, by: str) -> Any:
    run.charge((len(s) >> 6) + 1)
    count = s.count(find) if find else len(s) + 1
    # The size that will result, before it is built.
    run.text(len(s) + count * (len(by) - len(find)))
    return None, s.replace(str(find), str(by))


def remove(run: Run, s: str, find: str) -> Any:
    run.text(len(s))
    return None, s.replace(str(find), "") if find else s


def crop(run: Run, s: str, start: int, length: int | None = None) -> Any:
    return None, sub_string(run, s, start, len(s) if length is None else length)


def crop_range(run: Run, s: str, part: Range) -> Any:
    return None, sub_range(run, s, part)


def truncate(run: Run, s: str, size: int) -> Any:
    return None, sub_string(run, s, 0, size)


def pad(run: Run, s: str, size: int, by: str) -> Any:
    missing = size - len(s)
    if missing <= 0 or not by:
        return None, s
    run.text(size)
    return None, s + (str(by) * (missing // len(by) + 1))[:missing]


def pop(_run: Run, s: str) -> Any:
    return (Char(s[-1]), s[:-1]) if s else (None, s)


def pop_many(run: Run, s: str, size: int) -> Any:
    run.text(len(s))
    kept = max(len(s) - max(size, 0), 0)
    return s[kept:], s[:kept]


def append(run: Run, s: str, value: Any) -> Any:
    text = show(run, value)
    run.text(len(s) + len(text))
    return None, s + text


def set_(run: Run, s: str, at: int, char: Char) -> Any:
    return (None, set_index(run, s, at, char)) if -len(s) <= at < len(s) else (None, s)


NATIVES: Final[tuple[Native, ...]] = (
    *changing(trim, "trim", str),
    *changing(lambda run, s: (None, upper(run, s)), "make_upper", str),
    *changing(lambda run, s: (None, lower(run, s)), "make_lower", str),
    *changing(lambda run, c: (None, char_upper(run, c)), "make_upper", Char),
    *changing(lambda run, c: (None, char_lower(run, c)), "make_lower", Char),
    *[row for kind in (str, Char) for row in (
        *changing(replace, "replace", str, kind, str),
        *changing(replace, "replace", str, kind, Char),
        *changing(remove, "remove", str, kind),
        *changing(pad, "pad", str, int, kind),
    )],
    *changing(crop, "crop", str, int),
    *changing(crop, "crop", str, int, int),
    *changing(crop_range, "crop", str, Range),
    *changing(truncate, "truncate", str, int),
    *changing(pop, "pop", str),
    *changing(pop_many, "pop", str, int),
    *changing(append, "append", str, ANY),
    *changing(lambda _, __: (None, ""), "clear", str),
    *changing(set_, "set", str, int, Char),
)  # fmt: skip
