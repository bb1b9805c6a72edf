"""What the platform's commands share: the store they work on, moments, durations."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import update_wrapper
from typing import Any, Final, TypeVar

import anyio
import click

from rbee_scheduler import SystemClock
from rbee_scheduler.cli._options import output_options
from rbee_scheduler_platform._store._open import is_postgres, open_store, sqlite_path
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._store._sqlite import check_file
from rbee_scheduler_platform._tokens import TokenHasher
from rbee_scheduler_platform._tokens_admin import Admin


__all__ = ["StoreAccess", "duration", "moment", "shown_moment", "store_options"]

T = TypeVar("T")

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")


class StoreAccess:
    """The store that a command was given by its name.

    Args:
        name: Path or URL.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = SystemClock()

    def run(self, work: Callable[[Store], Awaitable[T]], *, create: bool = False) -> T:
        """Open the store, do ``work`` with it, and close it.

        Args:
            work: What to do.
            create: Whether a file that is not there is made.
        """
        if not create and not is_postgres(self.name):
            check_file(sqlite_path(self.name))

        async def main() -> T:
            async with open_store(self.name) as store:
                return await work(store)

        return anyio.run(main)

    def admin(self, store: Store) -> Admin:
        """Return what changes tenants and tokens in the name of whoever runs the command."""
        return Admin(store, TokenHasher(), self.clock, by=_user())


def store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--store`` and the output options to a command; pass it ``access`` and ``output``."""

    def with_access(*args: Any, store_name: str, **kwargs: Any) -> Any:
        return function(*args, access=StoreAccess(store_name), **kwargs)

    option = click.option(
        "--store",
        "store_name",
        metavar="PATH_OR_URL",
        envvar="RBEE_PLATFORM_STORE",
        default="rbee-platform.db",
        show_default=True,
        show_envvar=True,
        help="SQLite file, or postgresql://user@host/database.",
    )
    return output_options(option(update_wrapper(with_access, function)))


def duration(text: str) -> float:
    """Return the seconds of a time such as ``45s``, ``30m``, ``12h`` or ``90d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration; write 45s, 30m, 12h or 90d")
    return int(match[1]) * _UNITS[match[2]]


def moment(text: str) -> float:
    """Return the wall-clock ms of ``2026-01-31`` or ``2026-01-31T12:00``, UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no moment; write 2026-01-31 or 2026-01-31T12:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000.0


def shown_moment(at: float) -> str:
    """Return a wall-clock moment for people; empty for 0."""
    return datetime.fromtimestamp(at / 1000.0, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}"
