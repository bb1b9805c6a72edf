"""``store migrate``, ``check``, ``backup``, ``prune``."""

from __future__ import annotations

from pathlib import Path

import click

from rbee_scheduler import ConfigError
from rbee_scheduler.cli._failure import NEGATIVE
from rbee_scheduler.cli._output import Output
from rbee_scheduler_platform._cli._common import StoreAccess, duration, store_options
from rbee_scheduler_platform._records import day_of
from rbee_scheduler_platform._store._books import check_books, forget
from rbee_scheduler_platform._store._database import Database
from rbee_scheduler_platform._store._open import is_postgres, sqlite_path
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._store._schema import schema_version
from rbee_scheduler_platform._store._sqlite import back_up


__all__ = ["backup", "check", "migrate", "prune"]


@click.command("migrate")
@store_options
def migrate(*, access: StoreAccess, output: Output) -> None:
    """Make the store, or bring its tables up to date.

    A service does the same when it starts.
    """

    async def work(store: Store) -> int:
        return await store.read(schema_version)

    version = access.run(work, create=True)
    output.emit({"version": version}, f"the tables are of version {version}")


@click.command("check")
@store_options
@click.pass_context
def check(context: click.Context, *, access: StoreAccess, output: Output) -> None:
    """Check the file and the books; exit code 1 when something is wrong.

    The books: usage is the sum of the settled charges, and what counts as concurrent is the
    open ones. `audit verify` checks the audit trail.
    """
    postgres = is_postgres(access.name)

    def look(db: Database) -> tuple[int, list[str]]:
        problems = [] if postgres else _file_problems(db)
        return schema_version(db), problems + check_books(db)

    async def work(store: Store) -> tuple[int, list[str]]:
        return await store.read(look)

    version, problems = access.run(work)
    text = "\n".join(problems) or f"sound; the tables are of version {version}"
    output.emit({"version": version, "problems": problems}, text)
    if problems:
        context.exit(NEGATIVE)


@click.command("backup")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@store_options
def backup(target: Path, *, access: StoreAccess, output: Output) -> None:
    """Copy the store to FILE while it is in use, with what stands in the WAL.

    The key that seals jobs is a file of its own: keep it elsewhere.
    """
    if is_postgres(access.name):
        raise ConfigError(
            "the store is PostgreSQL's", place="store backup", hint="use its own pg_dump"
        )
    size = back_up(sqlite_path(access.name), target)
    output.emit({"file": str(target), "bytes": size}, f"{size} bytes written to {target}")


@click.command("prune")
@click.option(
    "--older-than", type=duration, required=True, help="Age of what is deleted; such as 90d."
)
@store_options
def prune(*, older_than: float, access: StoreAccess, output: Output) -> None:
    """Delete ended jobs and charges of old days; usage stays."""
    day = day_of(access.clock.now() - older_than * 1000.0)

    async def work(store: Store) -> tuple[int, int]:
        return await store.post(lambda db: forget(db, day))

    charges, jobs = access.run(work)
    output.emit(
        {"before": day, "charges": charges, "jobs": jobs},
        f"{charges} charges and {jobs} jobs of before {day} deleted",
    )


def _file_problems(db: Database) -> list[str]:
    found = [f"the file: {text}" for (text,) in db.rows("PRAGMA integrity_check") if text != "ok"]
    broken = db.rows("PRAGMA foreign_key_check")
    return found + [f"row {row} of {table} names a {other} that is not there"
                    for table, row, other, _ in broken]  # fmt: skip
