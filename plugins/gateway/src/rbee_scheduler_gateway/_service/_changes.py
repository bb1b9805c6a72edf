"""Changes of files, seen by looking: one `stat` a second needs no library and no thread."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


__all__ = ["FileChanges"]

_Stamp = tuple[int, int, int] | None


class FileChanges:
    """Tells whether files have changed since the last look.

    Args:
        files: The files; one need not be there.
    """

    __slots__ = ("_stamps",)

    def __init__(self, files: Iterable[Path]) -> None:
        self._stamps = {file: _stamp(file) for file in files}

    def seen(self, files: Iterable[Path] | None = None) -> bool:
        """Return whether any file has changed since the last call, or since the start.

        Args:
            files: The files from now on; None: the same.
        """
        stamps = {file: _stamp(file) for file in (self._stamps if files is None else files)}
        changed, self._stamps = stamps != self._stamps, stamps
        return changed


def _stamp(file: Path) -> _Stamp:
    """Return what changes with a file: by writing to it, or by putting another in its place."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
