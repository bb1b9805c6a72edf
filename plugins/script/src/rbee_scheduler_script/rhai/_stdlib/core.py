"""What every value has, and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler_script.rhai._errors import ExitScript, RhaiError, arithmetic
from rbee_scheduler_script.rhai._failures import refused
from rbee_scheduler_script.rhai._text import debug, show
from rbee_scheduler_script.rhai._values import type_name

from ._native import ANY, Native, changing, rows


if TYPE_CHECKING:
    from rbee_scheduler_script.rhai._run import Run


def to_string(run: Run, value: Any) -> str:
    text = show(run, value)
    run.text(len(text))
    return text


def to_debug(run: Run, value: Any) -> str:
    return debug(run, value)


def type_of(_run: Run, value: Any) -> str:
    name = type_name(value)
    if name == "?":
        raise refused(value)
    return name


def print_(run: Run, value: Any = "") -> None:
    run.write(show(run, value))


def debug_(run: Run, value: Any = "") -> None:
    run.write(debug(run, value))


def exit_(run: Run, value: Any = None) -> None:
    if run.owned:
        run.disown(value)
    raise ExitScript(value)


def take(_run: Run, value: Any) -> Any:
    return value, None


def set_tag(_run: Run, value: Any, tag: int) -> Any:
    """Tags live with variables (`x.tag = 1`); a value alone cannot keep one."""
    if not -32_768 <= tag <= 32_767:  # noqa: PLR2004 - i16
        size = "small" if tag < 0 else "large"
        raise arithmetic(f"{tag} is too {size} to fit into a tag", placed=True)
    return None, value


def _absent(name: str) -> Any:
    def refuse(_run: Run, *_arguments: Any) -> None:
        what = f"{name}: not available here (scripts decide from their arguments only)"
        raise RhaiError(
            "ErrorFunctionNotFound", f"Function not found: {what}", details={"function": what}
        )

    return refuse


def function_list(run: Run, name: str | None = None, arity: int | None = None) -> list[Any]:
    """The script's functions, as maps."""
    out: list[Any] = []
    for known, by_arity in run.functions.items():
        for count in by_arity:
            if name in (None, known) and arity in (None, count):
                run.map(4)
                out.append({
                    "name": known, "access": "public", "is_anonymous": False,
                    "params": [f"_{index}" for index in range(count)],
                })  # fmt: skip
    return out


NATIVES: Final[tuple[Native, ...]] = (
    *rows(to_string, "to_string", ANY),
    *rows(to_debug, "to_debug", ANY),
    *rows(type_of, "type_of", ANY),
    *rows(print_, "print"),
    *rows(print_, "print", ANY),
    *rows(debug_, "debug"),
    *rows(debug_, "debug", ANY),
    *rows(exit_, "exit"),
    *rows(exit_, "exit", ANY),
    *rows(lambda _, __: 0, "tag", ANY),
    *changing(take, "take", ANY),
    *changing(set_tag, "set_tag", ANY, int),
    *rows(_absent("eval"), "eval", ANY),
    *rows(_absent("sleep"), "sleep", ANY),
    *rows(_absent("timestamp"), "timestamp"),
    *rows(function_list, "get_fn_metadata_list"),
    *rows(function_list, "get_fn_metadata_list", str),
    *rows(function_list, "get_fn_metadata_list", str, int),
)
