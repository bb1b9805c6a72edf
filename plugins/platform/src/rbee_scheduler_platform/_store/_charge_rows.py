"""Charges, usage and quota states in tables: booked, settled and refunded exactly once."""

from __future__ import annotations

import json
from typing import Any, Final

from rbee_scheduler_platform._errors import StoreConflict
from rbee_scheduler_platform._gcra import Gcra
from rbee_scheduler_platform._records import (
    Amounts,
    ChargeRecord,
    ChargeState,
    Denied,
    Granted,
    UsageRecord,
)
from rbee_scheduler_platform._store._database import Database, Operation
from rbee_scheduler_platform._store._quota_state import Booking, QuotaState, admit, end
from rbee_scheduler_platform._tenant import Quotas


__all__ = [
    "CHARGE_COLUMNS",
    "book",
    "charge_of",
    "end_charge",
    "find_charges",
    "note_progress",
    "quota_state",
    "reserve",
    "usage_rows",
]

_NOTHING: Final = Amounts(requests=0)

CHARGE_COLUMNS: Final = (
    "id, tenant, gateway, job, state, requests, input_tokens, output_tokens, vram_bytes,"
    " used_requests, used_input_tokens, used_output_tokens, booked_at, ended_at"
)
_POSITIONS: Final = "at_requests, at_input_tokens, at_output_tokens, counted"
_INSERT: Final = (
    f"INSERT INTO charges ({CHARGE_COLUMNS}, day, {_POSITIONS})"  # noqa: S608 - our own names
    " VALUES (?, ?, ?, ?, 'open', ?, ?, ?, ?, 0, 0, 0, ?, 0, ?, ?, ?, ?, ?)"
)
_SELECT: Final = f"SELECT {CHARGE_COLUMNS}, day, {_POSITIONS} FROM charges WHERE id = ?"  # noqa: S608 - our own names

_COUNTS: Final = ("concurrent", "vram_bytes", "day", "day_tokens")
_RATES: Final = ("requests", "input_tokens", "output_tokens")
_STATE_COLUMNS: Final = (*_COUNTS, *_RATES)
_READ_STATE: Final = f"SELECT {', '.join(_STATE_COLUMNS)} FROM quota_states WHERE tenant = ?"  # noqa: S608 - our own names
_WRITE_STATE: Final = (
    f"INSERT INTO quota_states (tenant, {', '.join(_STATE_COLUMNS)})"  # noqa: S608 - our own names
    f" VALUES (?, {', '.join('?' * len(_STATE_COLUMNS))}) ON CONFLICT (tenant) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _STATE_COLUMNS)
)


def reserve(
    charge: ChargeRecord, quotas: Quotas, *, enforce: bool = True
) -> Operation[Granted | Denied]:
    """Return the operation that books a charge where the quotas have room for it."""

    def attempt(db: Database) -> Granted | Denied:
        answer = admit(
            quota_state(charge.tenant)(db),
            charge.booked,
            quotas,
            charge.booked_at,
            enforce=enforce,
        )
        if isinstance(answer, Denied):
            return answer
        state, booking = answer
        _insert(db, charge, booking)
        _keep_state(db, charge.tenant, state)
        return Granted(charge=charge)

    return attempt


def book(charge: ChargeRecord) -> Operation[None]:
    """Return the operation that books a charge that is checked and counted elsewhere."""
    return lambda db: _insert(db, charge, None)


def note_progress(charge: str, used: Amounts) -> Operation[bool]:
    """Return the operation that keeps what an open charge has used so far."""

    def note(db: Database) -> bool:
        changed = db.change(
            "UPDATE charges SET used_requests = ?, used_input_tokens = ?, used_output_tokens = ?"
            " WHERE id = ? AND state = 'open'",
            (used.requests, used.input_tokens, used.output_tokens, charge),
        )
        return changed == 1

    return note


def end_charge(charge: str, used: Amounts | None, now: float) -> Operation[bool]:
    """Return the operation that settles a charge, or refunds it when ``used`` is None.

    Its result says whether the charge was open: the first end counts.
    """
    state: ChargeState = "refunded" if used is None else "settled"
    amounts = used or _NOTHING

    def finish(db: Database) -> bool:
        row = db.row(_SELECT, (charge,))
        if row is None:
            raise StoreConflict(f"there is no charge {charge!r}")
        found = charge_of(row)
        day, *positions, counted = row[14:]
        if found.state != "open":
            return False
        db.change(
            "UPDATE charges SET state = ?, used_requests = ?, used_input_tokens = ?,"
            " used_output_tokens = ?, ended_at = ? WHERE id = ?",
            (state, amounts.requests, amounts.input_tokens, amounts.output_tokens, now, charge),
        )
        if used is not None:
            _add_usage(db, found.tenant, day, used)
        if counted:
            booking = Booking(
                booked=found.booked,
                day=day,
                at_requests=positions[0],
                at_input_tokens=positions[1],
                at_output_tokens=positions[2],
            )
            before = quota_state(found.tenant)(db)
            _keep_state(db, found.tenant, end(before, booking, amounts, now))
        return True

    return finish


def quota_state(tenant: str) -> Operation[QuotaState]:
    """Return the query for what a tenant has booked."""

    def read(db: Database) -> QuotaState:
        remembered: QuotaState | None = db.memo.get((_READ_STATE, tenant))
        if remembered is not None:
            return remembered
        row = db.row(_READ_STATE, (tenant,))
        if row is None:
            return QuotaState()
        concurrent, vram_bytes, day, day_tokens, *rates = row
        return QuotaState(
            concurrent=concurrent,
            vram_bytes=vram_bytes,
            day=day,
            day_tokens=day_tokens,
            **{name: _rate(text) for name, text in zip(_RATES, rates, strict=True)},
        )

    return read


def find_charges(
    state: ChargeState | None, tenant: str | None, limit: int
) -> Operation[list[ChargeRecord]]:
    """Return the query for charges, oldest first."""
    wanted = {"state": state, "tenant": tenant}
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given) or "1 = 1"

    def find(db: Database) -> list[ChargeRecord]:
        rows = db.rows(
            f"SELECT {CHARGE_COLUMNS} FROM charges WHERE {where}"  # noqa: S608 - our own names
            " ORDER BY booked_at, id LIMIT ?",
            (*given.values(), limit),
        )
        return [charge_of(row) for row in rows]

    return find


def usage_rows(tenant: str | None, since: str, until: str | None) -> Operation[list[UsageRecord]]:
    """Return the query for usage by tenant and day, ``until`` included."""
    where, values = ("1 = 1", ()) if tenant is None else ("tenant = ?", (tenant,))

    def read(db: Database) -> list[UsageRecord]:
        rows = db.rows(
            f"SELECT tenant, day, requests, input_tokens, output_tokens FROM usage WHERE {where}"  # noqa: S608 - our own words
            " AND day >= ? AND day <= ? ORDER BY day, tenant",
            (*values, since, until or "9999-12-31"),
        )
        return [
            UsageRecord(tenant=who, day=day, requests=n, input_tokens=read, output_tokens=written)
            for who, day, n, read, written in rows
        ]

    return read


def charge_of(row: tuple[Any, ...]) -> ChargeRecord:
    """Return a row of `CHARGE_COLUMNS` as a record."""
    id_, tenant, gateway, job, state, n, read, written, vram, *used, booked_at, ended_at = row[:14]
    return ChargeRecord(
        id=id_,
        tenant=tenant,
        gateway=gateway,
        job=job,
        state=state,
        booked=Amounts(requests=n, input_tokens=read, output_tokens=written, vram_bytes=vram),
        used=Amounts(requests=used[0], input_tokens=used[1], output_tokens=used[2]),
        booked_at=booked_at,
        ended_at=ended_at,
    )


def _insert(db: Database, charge: ChargeRecord, booking: Booking | None) -> None:
    booked = charge.booked
    positions = (
        (None, None, None, 0)
        if booking is None
        else (booking.at_requests, booking.at_input_tokens, booking.at_output_tokens, 1)
    )
    db.change(
        _INSERT,
        (
            charge.id, charge.tenant, charge.gateway, charge.job, booked.requests,
            booked.input_tokens, booked.output_tokens, booked.vram_bytes, charge.booked_at,
            charge.day, *positions,
        ),
    )  # fmt: skip


def _keep_state(db: Database, tenant: str, state: QuotaState) -> None:
    """Let the transaction write the state once, at its end; a busy tenant changes it often."""
    db.memo[_READ_STATE, tenant] = state
    db.before_commit[_READ_STATE, tenant] = lambda db: _write_state(db, tenant)


def _write_state(db: Database, tenant: str) -> None:
    state = quota_state(tenant)(db)
    gates: list[Gcra | None] = [getattr(state, name) for name in _RATES]
    rates = [json.dumps(None if gate is None else gate.state()) for gate in gates]
    counts = [getattr(state, name) for name in _COUNTS]
    db.change(_WRITE_STATE, (tenant, *counts, *rates))


def _rate(text: str) -> Gcra | None:
    state = json.loads(text)
    return None if state is None else Gcra.restored(state)


def _add_usage(db: Database, tenant: str, day: str, used: Amounts) -> None:
    db.change(
        "INSERT INTO usage (tenant, day, requests, input_tokens, output_tokens)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, day) DO UPDATE SET"
        " requests = usage.requests + excluded.requests,"
        " input_tokens = usage.input_tokens + excluded.input_tokens,"
        " output_tokens = usage.output_tokens + excluded.output_tokens",
        (tenant, day, used.requests, used.input_tokens, used.output_tokens),
    )
