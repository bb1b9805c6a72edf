"""The picture: a view as lines of text, as many and as long as the terminal has room for."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from rbee_scheduler.demo._live import clip
from rbee_scheduler_gateway._top._view import View, WorkerView


__all__ = ["picture"]

_BAR: Final = 10
_HEADS: Final = ("WORKER", "STATUS", "MODEL", "LOAD", "RUNNING", "TOKENS/S", "FAILED")
_RIGHT: Final = frozenset({"RUNNING", "TOKENS/S", "FAILED", "WAITING"})

# The longest that an id or a model's name is shown.
_LONGEST: Final = 32

_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
_COLORS: Final = {
    "ready": "\x1b[32m",
    "busy": "\x1b[33m",
    "starting": "\x1b[33m",
    "stopped": "\x1b[2m",
    "failed": "\x1b[31m",
    "offline": "\x1b[31m",
}

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def picture(
    view: View,
    url: str,
    *,
    columns: int | None = None,
    rows: int | None = None,
    color: bool = False,
    note: str = "",
) -> list[str]:
    """Return a view as lines.

    Args:
        view: What there is to see.
        url: Where it is.
        columns: Room for each line; None: as long as it is.
        rows: Room for lines; None: as many as there are. What does not fit is counted.
        color: Whether escape sequences for colours may be there.
        note: A line to show beneath the head, such as why there is nothing new.
    """
    head = [*_head(view, url), *([note] if note else [])]
    queue = _table(
        ("QUEUE", "WAITING"), [(model, str(length)) for model, length in view.queue.items()]
    )
    workers = _table(_HEADS, [_cells(worker) for worker in view.workers])
    statuses = [worker.status for worker in view.workers]
    if not view.workers:
        workers = ["no workers"]
    if rows is not None:
        # The queue is cut first, to no less than five lines.
        room = max(3, rows - len(head) - 2)
        queue = _cut(queue, max(5, room - len(workers)), "models")
        workers = _cut(workers, max(3, room - len(queue) - bool(queue)), "workers")
    lines = [*head, "", *_styled(workers, statuses, columns, color=color)]
    if view.queue:
        lines += ["", *_styled(queue, (), columns, color=color)]
    if rows is not None:
        lines = lines[:rows]
    # Those of the tables are cut already: a cut must not fall into an escape sequence.
    return [_clip(line, columns) if "\x1b" not in line else line for line in lines]


def _head(view: View, url: str) -> Iterator[str]:
    about = [f"rbee-scheduler {url}", view.strategy, f"{view.mode} mode"]
    yield "  ".join([*filter(None, about), f"up {_duration(view.uptime_s)}"])
    yield (
        f"requests {view.requests_per_s:.1f}/s  errors {view.errors_per_s:.1f}/s  "
        f"tokens {view.tokens_per_s:.0f}/s  "
        f"first token p50 {_seconds(view.first_token_p50_s)} "
        f"p95 {_seconds(view.first_token_p95_s)}  "
        f"active {view.running}  queued {view.queued}"
    )


def _cells(worker: WorkerView) -> tuple[str, ...]:
    full = round(min(max(worker.load, 0.0), 1.0) * _BAR)
    slots = "?" if worker.slots is None else str(worker.slots)
    return (
        worker.id,
        worker.status,
        worker.model or "-",
        f"[{'#' * full}{'.' * (_BAR - full)}]",
        f"{worker.running}/{slots}",
        "-" if worker.tokens_per_s is None else f"{worker.tokens_per_s:.0f}",
        "-" if worker.failures is None else str(worker.failures),
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[clip(cell, _LONGEST) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
    return [
        "  ".join(
            _padded(cell, width, right=head in _RIGHT)
            for head, cell, width in zip(heads, row, widths, strict=True)
        ).rstrip()
        for row in (heads, *cells)
    ]


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _cut(lines: list[str], room: int, what: str) -> list[str]:
    if len(lines) <= room:
        return lines
    kept = lines[: room - 1]
    return [*kept, f"... and {len(lines) - len(kept)} more {what}"]


def _styled(
    lines: Sequence[str], statuses: Sequence[str], columns: int | None, *, color: bool
) -> Iterator[str]:
    """Yield a table's lines, cut to their room: its head bold, statuses in their colour."""
    for number, line in enumerate(lines):
        text = _clip(line, columns)
        if color and number == 0:
            yield f"{_BOLD}{text}{_PLAIN}"
        elif color and number <= len(statuses):
            status = statuses[number - 1]
            mark = f"  {status}"
            yield text.replace(mark, f"  {_COLORS.get(status, '')}{status}{_PLAIN}", 1)
        else:
            yield text


def _clip(line: str, columns: int | None) -> str:
    return clip(line, len(line) * 2 if columns is None else columns)


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    days, hours, minutes = whole // _DAY, whole % _DAY // _HOUR, whole % _HOUR // _MINUTE
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % _MINUTE} s" if minutes else f"{whole} s"
