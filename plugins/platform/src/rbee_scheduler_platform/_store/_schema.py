"""The tables, as numbered steps; a step that was released is never changed again."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, Literal

from rbee_scheduler import ConfigError
from rbee_scheduler_platform._store._database import Database


__all__ = ["MIGRATIONS", "Dialect", "migrate", "schema_version"]

Dialect = Literal["sqlite", "postgres"]

_TYPES: Final = {
    "sqlite": {"int": "INTEGER", "real": "REAL", "blob": "BLOB", "empty": "x''", "end": "STRICT"},
    "postgres": {
        "int": "BIGINT",
        "real": "DOUBLE PRECISION",
        "blob": "BYTEA",
        "empty": "''::bytea",
        "end": "",
    },
}

_FIRST = (
    # Raised by each change of tenants and tokens; services that share the store poll it.
    "CREATE TABLE changes (id {int} PRIMARY KEY CHECK (id = 1), counter {int} NOT NULL) {end}",
    "INSERT INTO changes VALUES (1, 0)",
    "CREATE TABLE tenants (id TEXT PRIMARY KEY, document TEXT NOT NULL) {end}",
    """CREATE TABLE tokens (
        id TEXT PRIMARY KEY, tenant TEXT REFERENCES tenants (id), role TEXT NOT NULL,
        name TEXT NOT NULL, hash TEXT NOT NULL, previous_hash TEXT NOT NULL,
        previous_until {real} NOT NULL, created_at {real} NOT NULL, rotated_at {real} NOT NULL,
        expires_at {real} NOT NULL, revoked_at {real} NOT NULL) {end}""",
    """CREATE TABLE gateways (
        id TEXT PRIMARY KEY, started_at {real} NOT NULL, lease_until {real} NOT NULL) {end}""",
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY, tenant TEXT REFERENCES tenants (id),
        gateway TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'ended')),
        request TEXT NOT NULL, prompt_sha256 TEXT NOT NULL, payload {blob},
        retry {int} NOT NULL, attempts {int} NOT NULL, created_at {real} NOT NULL,
        started_at {real} NOT NULL, ended_at {real} NOT NULL, outcome TEXT NOT NULL,
        error TEXT NOT NULL, CHECK (state <> 'ended' OR payload IS NULL)) {end}""",
    "CREATE INDEX jobs_alive ON jobs (created_at) WHERE state <> 'ended'",
    "CREATE INDEX jobs_of_tenant ON jobs (tenant, created_at)",
    """CREATE TABLE charges (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenants (id),
        gateway TEXT NOT NULL, job TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'refunded')),
        day TEXT NOT NULL, requests {int} NOT NULL, input_tokens {int} NOT NULL,
        output_tokens {int} NOT NULL, vram_bytes {int} NOT NULL,
        used_requests {int} NOT NULL, used_input_tokens {int} NOT NULL,
        used_output_tokens {int} NOT NULL, booked_at {real} NOT NULL, ended_at {real} NOT NULL,
        -- Its layers in the rates of its tenant; null: not limited.
        at_requests {int}, at_input_tokens {int}, at_output_tokens {int},
        -- Whether it counts in quota_states.
        counted {int} NOT NULL) {end}""",
    "CREATE INDEX charges_open ON charges (gateway) WHERE state = 'open'",
    "CREATE INDEX charges_of_day ON charges (day, tenant)",
    """CREATE TABLE usage (
        tenant TEXT NOT NULL REFERENCES tenants (id), day TEXT NOT NULL,
        requests {int} NOT NULL, input_tokens {int} NOT NULL, output_tokens {int} NOT NULL,
        PRIMARY KEY (tenant, day)) {end}""",
    """CREATE TABLE quota_states (
        tenant TEXT PRIMARY KEY REFERENCES tenants (id), concurrent {int} NOT NULL,
        vram_bytes {int} NOT NULL, day TEXT NOT NULL, day_tokens {int} NOT NULL,
        -- The rates, as JSON (`Gcra.state`); "null": never limited.
        requests TEXT NOT NULL, input_tokens TEXT NOT NULL, output_tokens TEXT NOT NULL) {end}""",
    """CREATE TABLE audit (
        seq {int} PRIMARY KEY, at {int} NOT NULL, body {blob} NOT NULL,
        hash {blob} NOT NULL) {end}""",
    """CREATE TABLE audit_head (
        id {int} PRIMARY KEY CHECK (id = 1), seq {int} NOT NULL, hash {blob} NOT NULL) {end}""",
    "INSERT INTO audit_head SELECT 1, 0, {empty}",
    # Days before this one have been pruned: their usage is kept, their charges are not.
    "CREATE TABLE books (id {int} PRIMARY KEY CHECK (id = 1), since TEXT NOT NULL) {end}",
    "INSERT INTO books VALUES (1, '')",
)

MIGRATIONS: Final = (("first", _FIRST),)


def migrate(db: Database, dialect: Dialect, place: str) -> int:
    """Bring the tables up to date in one transaction; return the number of new steps.

    Raises:
        ConfigError: A newer version of the platform has made them.
    """
    try:
        db.begin(write=True)
        db.change(
            _typed(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (number {int} PRIMARY KEY, name TEXT NOT NULL, at {real} NOT NULL) {end}",
                dialect,
            )
        )
        done = _done(db, place)
        for number, (name, statements) in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in statements:
                db.change(_typed(statement, dialect))
            moment = time.time() * 1000.0  # for people; nothing is decided by it
            db.change("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, moment))
        db.change("COMMIT")
    except BaseException:
        with suppress(Exception):  # it may have ended, and so may the connection
            db.change("ROLLBACK")
        raise
    return len(MIGRATIONS) - done


def schema_version(db: Database) -> int:
    """Return the number of the last step that was done."""
    (number,) = db.row("SELECT coalesce(max(number), 0) FROM migrations") or (0,)
    return int(number)


def _done(db: Database, place: str) -> int:
    done = schema_version(db)
    if done > len(MIGRATIONS):
        raise ConfigError(
            f"its tables are of version {done}; this is version {len(MIGRATIONS)} of the platform",
            place=place,
            hint="upgrade rbee-scheduler-platform, or restore a backup of before",
        )
    return done


def _typed(statement: str, dialect: Dialect) -> str:
    return statement.format_map(_TYPES[dialect])
