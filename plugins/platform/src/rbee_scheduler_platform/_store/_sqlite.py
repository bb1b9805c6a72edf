"""SQLite: one file of the owner's alone, readers beside one writer (WAL)."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreError, StoreUnavailable, refused
from rbee_scheduler_platform._store._database import Database
from rbee_scheduler_platform._store._schema import migrate


__all__ = ["SqliteDatabase", "Synchronous", "back_up", "check_file", "connect_sqlite", "own_file"]

Synchronous = Literal["FULL", "NORMAL"]

# In the file's header, so that it is not taken for another program's: "rbee" as a number.
APPLICATION: Final = 0x72626565

OLDEST: Final = (3, 37)

# Seconds to wait for another process's transaction, such as one of the command line.
PATIENCE: Final = 10.0

_UNAVAILABLE = ("locked", "busy", "disk I/O", "is full", "unable to open", "readonly")


class SqliteDatabase(Database):
    """One connection to a SQLite file.

    Args:
        connection: In autocommit mode: transactions are begun and ended by name.
        path: For messages.
    """

    __slots__ = ("_connection", "_path", "_run")

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        super().__init__()
        self._connection = connection
        self._run = connection.execute
        self._path = path

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return what it found."""
        return self._run(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        return self._run(sql, values).rowcount

    def begin(self, *, write: bool) -> None:
        """Begin a transaction; one that writes waits until no other process writes."""
        self._run("BEGIN IMMEDIATE" if write else "BEGIN")

    def close(self) -> None:
        """Close the connection; the last one moves the WAL into the file."""
        self._connection.close()

    @property
    def usable(self) -> bool:
        """Always: a file does not hang up."""
        return True

    def translate(self, failure: Exception) -> Exception:
        """Return SQLite's own error as ours; any other as it is."""
        if isinstance(failure, sqlite3.IntegrityError):
            return refused(str(failure))
        if isinstance(failure, sqlite3.Error):
            return _error(failure, self._path)
        return failure


def connect_sqlite(path: Path, *, write: bool, synchronous: Synchronous = "FULL") -> SqliteDatabase:
    """Open the file, make it when there is none, and bring its tables up to date.

    Args:
        path: The file; its folder must exist.
        write: False: for queries alone.
        synchronous: ``"FULL"``: a commit is on the disk when it returns. ``"NORMAL"``: it
            survives a crash of the process, and may be lost with the machine's power.

    Raises:
        ConfigError: It is no database of ours, a newer version's, or others may read it.
        StoreUnavailable: It can't be opened or is locked.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise ConfigError(
            f"this Python's SQLite is {sqlite3.sqlite_version}",
            hint=f"the store needs {'.'.join(map(str, OLDEST))} (strict tables)",
        )
    own_file(path)
    connection = None
    try:
        connection = sqlite3.connect(
            path,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time, but not always the same one
            cached_statements=256,
        )
        _claim(connection, path)
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        database = SqliteDatabase(connection, str(path))
        if write:
            migrate(database, "sqlite", str(path))
        else:
            connection.execute("PRAGMA query_only = ON")
    except BaseException as failure:
        if connection is not None:
            connection.close()
        if isinstance(failure, sqlite3.Error):
            raise _error(failure, str(path)) from failure
        raise
    return database


def own_file(path: Path) -> None:
    """Make sure that the file is there, and its owner's alone.

    The database itself is never opened here: closing it would drop the locks that SQLite holds
    on it in this process (see "how to corrupt", section 2.2, in SQLite's documentation).

    Raises:
        ConfigError: It can't be made, or others may read it.
    """
    part = None
    try:
        if not path.exists():
            # mkstemp gives the mode 0600; whoever links first has made the file.
            handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            os.close(handle)
            with suppress(FileExistsError):
                os.link(part, path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(
            f"can't open it: {error.strerror or error}",
            place=str(path),
            hint="the folder must exist, and both must be yours",
        ) from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(
            f"others may read it (its mode is {mode:04o})",
            place=str(path),
            hint=f"chmod 600 {path}",
        )


def back_up(path: Path, target: Path) -> int:
    """Copy the database, WAL included, while it is in use; return the copy's size in bytes.

    Raises:
        ConfigError: There is no database, or the copy is there already.
        StoreUnavailable: It can't be written.
    """
    if target.exists():
        raise ConfigError("it is there already", place=str(target), hint="choose another name")
    check_file(path)
    own_file(target)
    source = copy = None
    try:
        source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        copy = sqlite3.connect(target)
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file that can be moved on its own
    except sqlite3.Error as failure:
        raise _error(failure, str(target)) from failure
    finally:
        for connection in (source, copy):
            if connection is not None:
                connection.close()
    return target.stat().st_size


def check_file(path: Path) -> None:
    """Raise unless there is a file: a command that only looks must not make one.

    Raises:
        ConfigError: There is none.
    """
    if not path.is_file():
        raise ConfigError(
            "there is no store", place=str(path), hint="`store migrate` makes an empty one"
        )


def _claim(connection: sqlite3.Connection, path: Path) -> None:
    """Mark a new file as ours; refuse another program's."""
    if _mark(connection) == APPLICATION:
        return
    connection.execute("BEGIN IMMEDIATE")  # of two that come at once, one finds it marked
    mark = _mark(connection)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if mark != APPLICATION and (mark or tables):
        raise ConfigError(
            "it is another program's database",
            place=str(path),
            hint="name a file of its own for the platform's store",
        )
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("COMMIT")


def _mark(connection: sqlite3.Connection) -> int:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    return int(mark)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, in which the file stays; -wal and -shm get the file's own mode."""
    ends_at = time.monotonic() + PATIENCE
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # Another process opens it, too; here SQLite does not wait by itself.
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.01)


def _error(failure: sqlite3.Error, path: str) -> Exception:
    text = str(failure)
    if "not a database" in text or "malformed" in text:
        return ConfigError(
            f"it is no sound SQLite database: {text}",
            place=path,
            hint="restore a backup, or name another file",
        )
    if any(words in text for words in _UNAVAILABLE):
        return StoreUnavailable(f"the store can't be used now: {text}", place=path, retry_after=1.0)
    return StoreError(f"the store failed: {text}", place=path)
