"""The screen: a terminal that shows one picture after the other, and gives itself back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from os import terminal_size
from typing import Final, Self

import anyio

from rbee_scheduler.cli._output import is_terminal


__all__ = ["Screen", "key_pressed", "keys"]

# ECMA-48 and what xterm added: a second screen, so that what stood there comes back.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_ERASE_REST: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"

# q, Q, Ctrl-D, and Ctrl-C where it is no signal.
_QUIT: Final = frozenset(b"qQ\x03\x04")


class Screen:
    """Shows pictures, one over the other.

    Args:
        write: Takes text, and shows it at once.
        size: Returns the terminal's columns and lines; asked anew for each picture.
    """

    def __init__(self, write: Callable[[str], None], size: Callable[[], terminal_size]) -> None:
        self._write = write
        self.size = size

    def __enter__(self) -> Self:
        self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(_LEAVE)

    def show(self, lines: Sequence[str]) -> None:
        """Show a picture: no more lines than the terminal has."""
        # Line by line over the old one, each erased behind its end: nothing flickers.
        text = f"{_ERASE_REST}\r\n".join(lines)
        self._write(f"{_HOME}{text}{_ERASE_REST}{_ERASE_BELOW}")


@contextmanager
def keys() -> Iterator[int | None]:
    """Let keys come one by one, unseen, and not line by line; give where to read them.

    None: nobody can press one, or not on this system.
    """
    if not is_terminal(sys.stdin) or os.name != "posix":
        yield None
        return
    import termios
    import tty

    where = sys.stdin.fileno()
    before = termios.tcgetattr(where)
    try:
        tty.setcbreak(where)
        yield where
    finally:
        with suppress(termios.error):
            termios.tcsetattr(where, termios.TCSADRAIN, before)


async def key_pressed(where: int | None) -> None:
    """Return when a key that ends the command was pressed, or nobody can press one any more."""
    if where is None:
        await anyio.sleep_forever()
        return
    while True:
        await anyio.wait_readable(where)
        pressed = os.read(where, 64)
        if not pressed or _QUIT.intersection(pressed):
            return
