"""JSON messages with their length in front, over the pipes of a child process."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any, Final

from ._failures import refused
from ._values import Range


_LENGTH: Final = struct.Struct(">I")
MAX_FRAME: Final = 256 * 1024 * 1024
_PIECE: Final = 1 << 20


class Gone(Exception):
    """The other side closed its pipe or said nonsense."""


class Late(Exception):
    """The answer did not come in time."""


def _travel(value: Any) -> Any:
    """What JSON has no word for: chars are strings, ranges maps, functions stay at home."""
    if type(value) is Range:
        return {"start": value.start, "end": value.end, "inclusive": value.inclusive}
    raise refused(value)


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes.

    Raises:
        RhaiError: Something in it cannot travel.
    """
    body = json.dumps(message, default=_travel).encode()
    return _LENGTH.pack(len(body)) + body


def send(pipe: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(pipe, view[:_PIECE]) :]
    except OSError as error:
        raise Gone from error


def _read(pipe: int, size: int, deadline: float | None) -> bytes:
    out = bytearray()
    while len(out) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise Late
        piece = os.read(pipe, min(size - len(out), _PIECE))
        if not piece:
            raise Gone
        out += piece
    return bytes(out)


def receive(pipe: int, timeout: float | None = None) -> dict[str, Any]:
    """The next message.

    Args:
        pipe: File descriptor to read.
        timeout: Seconds to wait for all of it, or None to wait on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    (size,) = _LENGTH.unpack(_read(pipe, _LENGTH.size, deadline))
    if size > MAX_FRAME:
        raise Gone
    message: dict[str, Any] = json.loads(_read(pipe, size, deadline))
    return message
