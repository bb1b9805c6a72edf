"""Files that a command is given."""

from __future__ import annotations

import sys
from pathlib import Path

from rbee_scheduler._errors import ConfigError


__all__ = ["read_input", "source_name"]


def read_input(path: str) -> bytes:
    """Return the bytes of the file at ``path``; ``-`` is stdin.

    Raises:
        ConfigError: It can't be read; the message says why.
    """
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"can't read it: {error.strerror or error}", place=path, hint="check the path"
        ) from error


def source_name(path: str) -> str:
    """Return how messages call the file at ``path``."""
    return "<stdin>" if path == "-" else path
