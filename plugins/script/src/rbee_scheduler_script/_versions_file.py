"""The file with a policy's versions: one JSON document, replaced as a whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from rbee_scheduler import ConfigError
from rbee_scheduler_script._version import Version


__all__ = ["locked", "read_versions", "write_versions"]

FORMAT: Final = 1


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile, where there are advisory locks.

    Raises:
        ConfigError: The folder can't be written.
    """
    lock = _locker()
    if path is None or lock is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        lock(handle)
        yield
    finally:
        os.close(handle)  # the lock goes with it


def read_versions(path: Path) -> tuple[Version, ...]:
    """Return the versions in the file; none when there is no file.

    Raises:
        ConfigError: It can't be read, or is something else.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _unreadable(path, "its format is unknown")
    names = {field.name for field in attrs.fields(Version)}
    try:
        rows = [
            {key: value for key, value in row.items() if key in names}
            for row in document["versions"]
        ]
        return tuple(Version(**row | {"findings": tuple(row["findings"])}) for row in rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def write_versions(path: Path, versions: Sequence[Version]) -> None:
    """Replace the file by another one, which only its owner may read.

    Raises:
        ConfigError: It can't be written.
    """
    document = {"format": FORMAT, "versions": [one.to_dict(source=True) for one in versions]}
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp gives the mode 0600.
        handle, part = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            json.dump(document, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)


def _unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"no list of versions: {reason}", place=str(path), hint="move it away, and deploy anew"
    )


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the versions can't be written: {error.strerror or error}",
        place=str(path),
        hint="point XDG_STATE_HOME to a folder that can be",
    )


def _locker() -> Callable[[int], None] | None:
    try:
        import fcntl
    except ImportError:  # Windows has other locks; a lost version is the worst there
        return None
    return lambda handle: fcntl.flock(handle, fcntl.LOCK_EX)
