"""Where made models are kept: the user's cache folder, or a private one among temporary files."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rbee_scheduler.demo._errors import DemoError


if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["cached"]

_APP = "rbee-scheduler"


def cached(name: str, make: Callable[[Path], None], folder: Path | None = None) -> Path:
    """Return a file of the cache, made first where it is missing.

    Several processes may do this at once: each writes a file of its own and renames it,
    so that a reader sees a whole file or none. All write the same bytes, so it does not
    matter who is last.

    Args:
        name: Name of the file.
        make: Writes the file to the path it is given.
        folder: The one folder to use. By default the user's cache folder, and where that
            can't be written (no home, no space, read-only) a private temporary one.

    Returns:
        The path of the file, in the first folder that has it or can take it.

    Raises:
        DemoError: No folder has the file, and none can take it.
    """
    places: list[Callable[[], Path]] = [_user_folder, _temporary_folder]
    if folder is not None:
        places = [lambda: folder]
    refusals: list[str] = []
    for place in places:
        try:
            path = place() / name
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_whole(path, make)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
            refusals.append(str(error))
        else:
            return path
    raise DemoError(
        f"no folder to keep the model in: {'; '.join(refusals)}",
        hint="point XDG_CACHE_HOME, or the argument cache_dir, to a writable folder",
    )


def _user_folder() -> Path:
    """Return the user's cache folder: ``XDG_CACHE_HOME`` on every platform, else its own.

    A relative ``XDG_CACHE_HOME`` is ignored, as the base directory specification says.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if chosen.is_absolute():
        return chosen / _APP
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / _APP
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / _APP
    return Path.home() / ".cache" / _APP


def _temporary_folder() -> Path:
    """Return a folder among the temporary files that belongs to this user alone.

    Its place can be guessed, so another user could have made it first and left a model of
    their own in it: such a folder is refused.
    """
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / _APP  # private already: below the user's profile
    folder = Path(tempfile.gettempdir()) / f"{_APP}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or shared or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a private folder of this user")
    return folder


def _write_whole(path: Path, make: Callable[[Path], None]) -> None:
    handle, part = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    try:
        try:
            make(Path(part))
            # Without this, a crash of the machine could leave a complete name on an empty file.
            os.fsync(handle)
        finally:
            os.close(handle)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
