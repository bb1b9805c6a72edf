"""The lock: one SQLite store, one gateway; quotas are counted in its memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbee_scheduler import ConfigError


__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a store for this process while the block runs; its end, however, lets go of it.

    The lock is on a file beside the store, for SQLite has locks of its own on that. Where the
    system has no such locks (Windows), nothing is checked.

    Raises:
        ConfigError: Another service has it, or the file can't be made.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    file = path.with_name(f"{path.name}.lock")
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"can't open it: {error.strerror or error}",
            place=str(file),
            hint="the folder must exist, and be yours",
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "another service uses this store",
                place=str(path),
                hint="stop it; several gateways need a PostgreSQL store",
            ) from None
        yield
    finally:
        os.close(handle)
