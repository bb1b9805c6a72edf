"""PostgreSQL: one store for several gateways; psycopg's plain connections, used in threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._errors import StoreError, StoreUnavailable, refused
from rbee_scheduler_platform._store._database import Database
from rbee_scheduler_platform._store._schema import migrate


if TYPE_CHECKING:
    import psycopg


__all__ = ["PostgresDatabase", "connect_postgres"]

# One lock for all who write to a schema: audit records form one chain, so that writers could
# not go in parallel anyway, and with one lock there are no deadlocks. "rbee" as a number.
_LOCK: Final = "SELECT pg_advisory_xact_lock(1919051109, hashtext(current_schema()))"


class PostgresDatabase(Database):
    """One connection to PostgreSQL.

    Args:
        connection: In autocommit mode: transactions are begun and ended by name.
        place: Server and database, for messages; no password.
    """

    __slots__ = ("_connection", "_place")

    def __init__(self, connection: psycopg.Connection[Any], place: str) -> None:
        super().__init__()
        self._connection = connection
        self._place = place

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return what it found."""
        return self._connection.execute(_dollars(sql), values or None).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        return self._connection.execute(_dollars(sql), values or None).rowcount

    def begin(self, *, write: bool) -> None:
        """Begin a transaction; one that writes waits until no other process writes."""
        if write:
            self.change("BEGIN")
            self.rows(_LOCK)
        else:
            self.change("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def usable(self) -> bool:
        """Whether the connection still stands."""
        return not self._connection.closed

    def translate(self, failure: Exception) -> Exception:
        """Return psycopg's own error as ours; any other as it is."""
        import psycopg  # heavy, and only where it is used

        if isinstance(failure, psycopg.IntegrityError):
            return refused(_first_line(failure))
        if isinstance(failure, psycopg.OperationalError):
            return StoreUnavailable(
                f"the store can't be used now: {_first_line(failure)}",
                place=self._place,
                retry_after=1.0,
            )
        if isinstance(failure, psycopg.Error):
            return StoreError(f"the store failed: {_first_line(failure)}", place=self._place)
        return failure


def connect_postgres(url: str, *, write: bool) -> PostgresDatabase:
    """Connect, and bring the tables up to date.

    Args:
        url: ``postgresql://user:password@host/database``, or anything libpq takes.
        write: False: for queries alone.

    Raises:
        ConfigError: psycopg is not installed, or a newer version has made the tables.
        StoreUnavailable: The server can't be reached, or refuses.
    """
    try:
        import psycopg  # heavy, and an extra
    except ImportError as error:
        raise ConfigError(
            f"PostgreSQL needs psycopg: {error}",
            place=_without_password(url),
            hint="pip install 'rbee-scheduler-platform[postgres]'",
        ) from error
    place = _without_password(url)
    try:
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="rbee-scheduler"
        )
        database = PostgresDatabase(connection, place)
        try:
            # Nobody holds the lock for long; who does is stuck.
            database.change("SET lock_timeout = '10s'")
            if write:
                migrate(database, "postgres", place)
        except BaseException:
            connection.close()
            raise
    except psycopg.Error as failure:
        raise StoreUnavailable(
            f"can't connect: {_first_line(failure)}",
            place=place,
            hint="check the URL, and that the server runs",
            retry_after=1.0,
        ) from failure
    return database


@cache
def _dollars(sql: str) -> str:
    return sql.replace("?", "%s")


def _first_line(failure: Exception) -> str:
    return str(failure).strip().partition("\n")[0] or type(failure).__name__


def _without_password(url: str) -> str:
    """Return where a URL points to, without who and how."""
    scheme, found, rest = url.partition("://")
    if not found:
        return "postgresql"  # libpq's other form: words such as password=...
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
