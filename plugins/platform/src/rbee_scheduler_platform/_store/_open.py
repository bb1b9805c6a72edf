"""Opening a store by its name: a file's path, or PostgreSQL's URL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._store._database import Connect
from rbee_scheduler_platform._store._seal import Sealer
from rbee_scheduler_platform._store._sql_store import SqlStore
from rbee_scheduler_platform._store._sqlite import Synchronous, connect_sqlite


__all__ = ["connector", "is_postgres", "open_store", "sqlite_path"]

_POSTGRES: Final = ("postgresql://", "postgres://")
_SYNCHRONOUS: Final = ("FULL", "NORMAL")


def open_store(
    name: str | Path,
    *,
    synchronous: Synchronous = "FULL",
    key: str = "",
    key_file: Path | None = None,
    unheard: Callable[[Exception], None] | None = None,
) -> SqlStore:
    """Return the store of this name; enter it to open it.

    Args:
        name: Path of a SQLite file (also ``sqlite:///path``), or ``postgresql://...``.
        synchronous: SQLite only. ``"FULL"``: what was acknowledged survives a loss of power;
            ``"NORMAL"``: a crash of the process.
        key: Seals payloads of jobs; by default the environment variable
            ``RBEE_PLATFORM_KEY``, else the key file.
        key_file: By default the SQLite file's name and ``.key``; none for PostgreSQL.
        unheard: Told of the error of a change that was posted and that nobody awaits; by
            default it is logged.

    Raises:
        ConfigError: The name or the setting is none of these.

    Example:
        >>> async def main():
        ...     async with open_store("rbee-platform.db") as store:
        ...         return await store.tenants()
    """
    if key_file is None and not is_postgres(name):
        path = sqlite_path(name)
        key_file = path.with_name(f"{path.name}.key")
    connect = connector(name, synchronous=synchronous)
    return SqlStore(connect, Sealer(key=key, file=key_file), unheard=unheard)


def connector(name: str | Path, *, synchronous: Synchronous = "FULL") -> Connect:
    """Return what opens connections to the store.

    Raises:
        ConfigError: The name or the setting is none.
    """
    if synchronous not in _SYNCHRONOUS:
        raise ConfigError(
            f"synchronous is {synchronous!r}",
            place="$.synchronous",
            hint=f"it must be one of: {', '.join(_SYNCHRONOUS)}",
        )
    if is_postgres(name):
        from rbee_scheduler_platform._store._postgres import connect_postgres  # an extra

        return partial(connect_postgres, str(name))
    path = sqlite_path(name)
    return partial(connect_sqlite, path, synchronous=synchronous)


def is_postgres(name: str | Path) -> bool:
    """Return whether a store's name is a URL of PostgreSQL."""
    return str(name).startswith(_POSTGRES)


def sqlite_path(name: str | Path) -> Path:
    """Return the path of a SQLite store.

    Raises:
        ConfigError: It is a URL of something else, or empty.
    """
    text = str(name).removeprefix("sqlite:///")
    if not text or "://" in text or text == ":memory:":
        raise ConfigError(
            f"there is no store of the name {text!r}",
            hint="give the path of a SQLite file, or postgresql://user@host/database",
        )
    return Path(text)
