"""One connection, as operations see it: SQL with ``?``, rows as tuples, on either engine.

An operation is a function of a `Database`; it runs inside a transaction of the writer, in a
thread, with others before and after it. When one of them fails they are all run again, so
that it may change nothing but the database.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from rbee_scheduler_platform._errors import StoreUnavailable


__all__ = ["Connect", "Database", "Operation", "together"]

T = TypeVar("T")

Operation = Callable[["Database"], T]


class Database(ABC):
    """One connection to SQLite or PostgreSQL.

    Attributes:
        memo: What operations remember until the transaction ends.
        before_commit: Work that is done once for all operations of a transaction, by name.
    """

    __slots__ = ("before_commit", "memo")

    def __init__(self) -> None:
        self.memo: dict[Any, Any] = {}
        self.before_commit: dict[Any, Operation[None]] = {}

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return what it found."""

    @abstractmethod
    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""

    @abstractmethod
    def begin(self, *, write: bool) -> None:
        """Begin a transaction; one that writes waits until no other process writes."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether the connection still stands."""

    @abstractmethod
    def translate(self, failure: Exception) -> Exception:
        """Return an engine's own error as ours; any other as it is."""

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Run a statement and return the first row it found, or None."""
        found = self.rows(sql, values)
        return found[0] if found else None

    # ---- transactions --------------------------------------------------------------------

    def transact(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """Run operations in one transaction, and make them durable.

        Returns:
            For each its result, or the exception it raised: one that fails undoes itself
            and no other.

        Raises:
            StoreError: The transaction failed, and all of them with it.
        """
        try:
            try:
                done = self._all(operations)
            except Exception as failure:
                self._roll_back()
                ours = self.translate(failure)
                if isinstance(ours, StoreUnavailable) or not self.usable:
                    raise
                if len(operations) == 1:
                    return [ours]
                done = self._one_by_one(operations)
        except Exception as failure:
            self._roll_back()
            ours = self.translate(failure)
            if ours is failure:
                raise
            raise ours from failure
        return done

    def read(self, query: Operation[T]) -> T:
        """Run a query on one snapshot of the database.

        Raises:
            StoreError: The engine refused.
        """
        try:
            self.begin(write=False)
            found = query(self)
            self.change("COMMIT")
        except Exception as failure:
            self._roll_back()
            ours = self.translate(failure)
            if ours is failure:
                raise
            raise ours from failure
        return found

    def _all(self, operations: Iterable[Operation[Any]]) -> list[Any]:
        self.begin(write=True)
        done = [operation(self) for operation in operations]
        self._finish()
        self.change("COMMIT")
        return done

    def _one_by_one(self, operations: Iterable[Operation[Any]]) -> list[Any]:
        done: list[Any] = []
        self.begin(write=True)
        for operation in operations:
            self.change("SAVEPOINT one")
            try:
                result = operation(self)
                self._finish()
            except Exception as failure:
                if not self.usable:
                    raise
                result = self.translate(failure)
                self.change("ROLLBACK TO SAVEPOINT one")
                self._forget()
            self.change("RELEASE SAVEPOINT one")
            done.append(result)
        self.change("COMMIT")
        return done

    def _finish(self) -> None:
        for work in self.before_commit.values():
            work(self)
        self.before_commit.clear()
        self.memo.clear()

    def _forget(self) -> None:
        self.memo.clear()
        self.before_commit.clear()

    def _roll_back(self) -> None:
        self._forget()
        # Most failures leave a transaction open; some engines have ended it themselves.
        if self.usable:
            with suppress(Exception):
                self.change("ROLLBACK")


class Connect(Protocol):
    """Opens a connection; called in a thread."""

    def __call__(self, *, write: bool) -> Database:
        """Return a connection; one that writes has brought the tables up to date."""
        ...


def together(*operations: Operation[Any]) -> Operation[list[Any]]:
    """Return one operation that does all of ``operations``, or none of them."""

    def all_of_them(db: Database) -> list[Any]:
        return [operation(db) for operation in operations]

    return all_of_them
