"""Showing the demo on a terminal: a block of lines that is drawn anew as things happen.

The block stands below what was said before, and nothing of it is left to scroll away: it
is as high as the terminal allows, and each line is cut to its width. Plain ECMA-48
sequences do (cursor up, erase to the end), so there is no need for a library.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from os import terminal_size
from typing import Final

from rbee_scheduler._events import End, Error, Queued, Started, StreamEvent
from rbee_scheduler.demo._record import Record
from rbee_scheduler.demo._server import LlamaServer
from rbee_scheduler.demo._show import (
    line_of_end,
    line_of_kill,
    line_of_move,
    line_of_note,
    line_of_worker,
)


__all__ = ["LiveShow", "clip"]

_FRAME_S: Final = 0.05  # twenty pictures a second: more can't be seen, and costs the workers CPU

_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
_ERASE_BELOW: Final = "\x1b[J"
_BAR: Final = 24


class LiveShow:
    """Draws the workers, and each request under way with the end of its text.

    Args:
        write: Takes text, and shows it at once.
        size: Returns the terminal's columns and lines.
        requests: How many there will be in all.
        concurrency: How many are under way at once.
        slots: Of each worker.
        clock: Seconds; spaces the pictures.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], terminal_size],
        *,
        requests: int,
        concurrency: int,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._size = size
        self._requests = requests
        self._slots = slots
        self._clock = clock
        self._workers: dict[str, str] = {}  # id -> how it is
        self._lanes: list[Record | None] = [None] * concurrency
        self._served: dict[str, int] = {}
        self._strategy = ""
        self._height = 0  # lines of the block on the screen
        self._due = 0.0
        self._began = clock()

    def begin(self, servers: dict[str, LlamaServer], strategy: str) -> None:
        """The workers are ready."""
        self._strategy = strategy
        self._began = self._clock()
        self._workers = dict.fromkeys(servers, "")
        self._served = dict.fromkeys(servers, 0)
        self._write(_HIDE_CURSOR)
        self._draw(*(line_of_worker(*item) for item in servers.items()))

    def event(self, record: Record, event: StreamEvent) -> None:
        """Something happened to a request."""
        self._lanes[record.lane] = record
        said: list[str] = []
        if isinstance(event, Started) and record.moved:
            said = [line_of_move(record)]
        elif isinstance(event, End):
            self._served[record.worker_id] += 1
        if isinstance(event, Error) or (record.outcome is not None and not record.exact):
            said = [line_of_end(record)]
        if said or isinstance(event, (Queued, Started, End)) or self._clock() >= self._due:
            self._draw(*said)

    def killed(self, worker_id: str, server: LlamaServer) -> None:
        """A worker was killed."""
        self._workers[worker_id] = "killed"
        self._draw(line_of_kill(worker_id, server))

    def note(self, text: str) -> None:
        """Something else is to be said."""
        self._draw(line_of_note(text))

    def end(self) -> None:
        """Nothing more will come: take the block away, and leave what was said above it."""
        self._write(self._up() + _ERASE_BELOW + _SHOW_CURSOR)
        self._height = 0

    # ---- the picture ---------------------------------------------------------------------

    def _draw(self, *said: str) -> None:
        """Draw the block anew; what is ``said`` stays above it."""
        columns, lines = self._size()
        block = self._picture()[: max(1, lines - 1)]
        text = "".join(clip(line, columns - 1) + "\n" for line in (*said, *block))
        self._write(self._up() + _ERASE_BELOW + text)
        self._height = len(block)
        self._due = self._clock() + _FRAME_S

    def _up(self) -> str:
        return f"\x1b[{self._height}A\r" if self._height else "\r"

    def _picture(self) -> list[str]:
        done = sum(self._served.values())
        full = done * _BAR // self._requests
        seconds = self._clock() - self._began
        bar = "#" * full + "." * (_BAR - full)
        running = [
            record for record in self._lanes if record is not None and record.outcome is None
        ]
        lines = [f"[{bar}] {done}/{self._requests} done, {seconds:.1f} s, {self._strategy}"]
        for worker_id, state in self._workers.items():
            busy = sum(record.worker_id == worker_id for record in running)
            slots = state or ("*" * busy).ljust(self._slots, "-")
            lines.append(f"  {worker_id} [{slots}] served {self._served[worker_id]}")
        columns = self._size().columns
        for record in self._lanes:
            if record is None:
                continue
            head = f"  {record.job_id} {record.worker_id or 'waits'} "
            room = max(0, columns - 1 - len(head))
            lines.append(head + clip(record.text.lstrip()[::-1], room)[::-1])
        return lines


def clip(text: str, columns: int) -> str:
    """Return the beginning of ``text`` that takes at most ``columns`` of a terminal.

    Characters that would move the cursor, or do worse, are left out: they may come from a
    model, and a model may say anything.
    """
    kept: list[str] = []
    for character in text:
        if unicodedata.category(character).startswith("C"):
            continue
        width = 1 + (unicodedata.east_asian_width(character) in "WF")
        columns -= 0 if unicodedata.combining(character) else width
        if columns < 0:
            break
        kept.append(character)
    return "".join(kept)
