"""Tenants and tokens in tables; each change raises the counter that services poll."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import attrs

from rbee_scheduler import ConfigError, loads, unstructure
from rbee_scheduler_platform._errors import StoreConflict
from rbee_scheduler_platform._records import TokenRecord
from rbee_scheduler_platform._store._database import Database, Operation
from rbee_scheduler_platform._tenant import Tenant


__all__ = [
    "all_tenants",
    "all_tokens",
    "change_counter",
    "change_tenant",
    "change_token",
    "directory_after",
    "put_tenant",
    "put_token",
]

_TOKEN_FIELDS: Final = tuple(field.name for field in attrs.fields(TokenRecord))
_token_values = attrgetter(*_TOKEN_FIELDS)
_TOKEN_COLUMNS: Final = ", ".join(_TOKEN_FIELDS)


def put_tenant(tenant: Tenant, *, new: bool = False) -> Operation[None]:
    """Return the operation that adds or replaces a tenant.

    Args:
        tenant: The tenant.
        new: Whether one of this id is a conflict.
    """

    def put(db: Database) -> None:
        values = (tenant.id, json.dumps(unstructure(tenant), separators=(",", ":")))
        if new:
            if db.row("SELECT 1 FROM tenants WHERE id = ?", (tenant.id,)):
                raise StoreConflict(
                    f"there is a tenant {tenant.id!r} already", hint="see `tenant set`"
                )
            db.change("INSERT INTO tenants (id, document) VALUES (?, ?)", values)
        else:
            db.change(
                "INSERT INTO tenants (id, document) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                values,
            )
        _changed(db)

    return put


def all_tenants(db: Database) -> list[Tenant]:
    """Return the tenants, by id."""
    return [_tenant(*row) for row in db.rows("SELECT id, document FROM tenants ORDER BY id")]


def put_token(token: TokenRecord, *, new: bool = False) -> Operation[None]:
    """Return the operation that adds or replaces a token.

    Args:
        token: The token.
        new: Whether one of this id is a conflict.
    """

    def put(db: Database) -> None:
        marks = ", ".join("?" * len(_TOKEN_FIELDS))
        statement = f"INSERT INTO tokens ({_TOKEN_COLUMNS}) VALUES ({marks})"  # noqa: S608 - names of our own fields
        if not new:
            changes = ", ".join(f"{name} = excluded.{name}" for name in _TOKEN_FIELDS[1:])
            statement += f" ON CONFLICT (id) DO UPDATE SET {changes}"
        if token.tenant and not db.row("SELECT 1 FROM tenants WHERE id = ?", (token.tenant,)):
            raise StoreConflict(f"there is no tenant {token.tenant!r}", hint="see `tenant list`")
        id_, tenant, *others = _token_values(token)
        db.change(statement, (id_, tenant or None, *others))
        _changed(db)

    return put


def all_tokens(db: Database) -> list[TokenRecord]:
    """Return the tokens, oldest first."""
    rows = db.rows(f"SELECT {_TOKEN_COLUMNS} FROM tokens ORDER BY created_at, id")  # noqa: S608 - names of our own fields
    return [_token(row) for row in rows]


def change_tenant(
    tenant: str, change: Callable[[Tenant], Tenant]
) -> Operation[tuple[Tenant, Tenant]]:
    """Return the operation that replaces a tenant by what ``change`` makes of it.

    Its result is the tenant as it was, and as it is now.
    """

    def replace(db: Database) -> tuple[Tenant, Tenant]:
        row = db.row("SELECT id, document FROM tenants WHERE id = ?", (tenant,))
        if row is None:
            raise StoreConflict(f"there is no tenant {tenant!r}", hint="see `tenant list`")
        found = _tenant(*row)
        changed = change(found)
        put_tenant(changed)(db)
        return found, changed

    return replace


def change_token(
    token: str, change: Callable[[TokenRecord], TokenRecord]
) -> Operation[TokenRecord]:
    """Return the operation that replaces a token by what ``change`` makes of it.

    Its result is the token as it is now.
    """

    def replace(db: Database) -> TokenRecord:
        row = db.row(f"SELECT {_TOKEN_COLUMNS} FROM tokens WHERE id = ?", (token,))  # noqa: S608 - names of our own fields
        if row is None:
            raise StoreConflict(f"there is no token {token!r}", hint="see `tenant token list`")
        changed = change(_token(row))
        put_token(changed)(db)
        return changed

    return replace


def directory_after(
    counter: int,
) -> Operation[tuple[int, list[Tenant], list[TokenRecord]] | None]:
    """Return the query for the counter, all tenants and tokens; None: nothing has changed."""

    def read(db: Database) -> tuple[int, list[Tenant], list[TokenRecord]] | None:
        current = change_counter(db)
        return None if current == counter else (current, all_tenants(db), all_tokens(db))

    return read


def change_counter(db: Database) -> int:
    """Return a number that every change of tenants and tokens raises."""
    (counter,) = db.row("SELECT counter FROM changes") or (0,)
    return int(counter)


def _changed(db: Database) -> None:
    db.change("UPDATE changes SET counter = counter + 1")


def _tenant(tenant: str, document: str) -> Tenant:
    return loads(document, Tenant, source=f"tenant {tenant!r}", error=ConfigError)


def _token(row: tuple[Any, ...]) -> TokenRecord:
    fields = dict(zip(_TOKEN_FIELDS, row, strict=True))
    return TokenRecord(**fields | {"tenant": fields["tenant"] or ""})
