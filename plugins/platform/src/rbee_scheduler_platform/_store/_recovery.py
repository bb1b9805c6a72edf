"""What is done about the work of a gateway that is gone; the rules are a table.

====================  ==========================  ============================================
its job was           the charge                  the job
====================  ==========================  ============================================
queued                refunded                    queued again, for this gateway
running, may retry    refunded                    queued again, while attempts are left
running               settled: input as booked,   ended: error ``GATEWAY_LOST``
                      output as last noted
unreadable            refunded, or settled as     ended: error ``PAYLOAD_LOST``
                      above when it ran
ended, or no job      settled as above            -
====================  ==========================  ============================================

Input counts as booked unless progress was noted (`Store.progress`); output that was not noted
counts as nothing. Who resumes a job books anew, without being denied: it was admitted.
"""

from __future__ import annotations

from typing import Final

import attrs

from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._errors import StoreError
from rbee_scheduler_platform._records import (
    Amounts,
    AuditEntry,
    ChargeRecord,
    JobRecord,
    Recovered,
    Resumable,
)
from rbee_scheduler_platform._store._charge_rows import CHARGE_COLUMNS, charge_of, end_charge
from rbee_scheduler_platform._store._database import Database, Operation
from rbee_scheduler_platform._store._job_rows import JOB_COLUMNS, end_job, job_of
from rbee_scheduler_platform._store._seal import Sealer


__all__ = ["MAX_ATTEMPTS", "heartbeat", "recover"]

# A job that brings its gateway down is not begun for ever.
MAX_ATTEMPTS: Final = 3


def heartbeat(gateway: str, now: float, lease: float) -> Operation[bool]:
    """Return the operation that extends a gateway's lease.

    Its result is False when another gateway has taken over its work: it must `recover`.
    """

    def extend(db: Database) -> bool:
        until = now + lease * 1000.0
        return db.change("UPDATE gateways SET lease_until = ? WHERE id = ?", (until, gateway)) == 1

    return extend


def recover(
    gateway: str, now: float, lease: float, sealer: Sealer, *, starting: bool
) -> Operation[Recovered]:
    """Return the operation that takes over the work of gateways that are gone.

    Args:
        gateway: Who takes over; its lease begins.
        now: Wall-clock ms.
        lease: Seconds.
        sealer: Unseals the payloads.
        starting: Whether what ``gateway`` itself left behind is taken over, too.
    """

    def take_over(db: Database) -> Recovered:
        gone = _gone(db, gateway, now, starting=starting)
        resumable: list[Resumable] = []
        failed: list[JobRecord] = []
        states: dict[str, str] = {}
        for job, sealed in _unended(db, gone):
            payload, error = _payload(job, sealed, sealer)
            states[job.id] = "refund" if not error or job.state == "queued" else "settle"
            if error:
                end_job(job.id, job.gateway, "error", error, now)(db)
                failed.append(attrs.evolve(job, state="ended", outcome="error", error=error))
                append(_lost(failed[-1], gateway, now))(db)
            else:
                ours = attrs.evolve(job, state="queued", gateway=gateway)
                db.change(
                    "UPDATE jobs SET state = 'queued', gateway = ? WHERE id = ?", (gateway, job.id)
                )
                resumable.append(Resumable(job=ours, payload=payload))
        settled: list[ChargeRecord] = []
        refunded: list[ChargeRecord] = []
        for charge in _open(db, gone):
            used = None if states.get(charge.job) == "refund" else _used(charge)
            end_charge(charge.id, used, now)(db)
            (settled if used else refunded).append(charge)
        for other in gone:
            db.change("DELETE FROM gateways WHERE id = ?", (other,))
        db.change(
            "INSERT INTO gateways (id, started_at, lease_until) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
            (gateway, now, now + lease * 1000.0),
        )
        return Recovered(
            resumable=tuple(resumable),
            failed=tuple(failed),
            settled=tuple(settled),
            refunded=tuple(refunded),
            gateways=tuple(gone),
        )

    return take_over


def _gone(db: Database, gateway: str, now: float, *, starting: bool) -> list[str]:
    """Return the gateways that left something behind, and have no lease."""
    alive = {who for who, until in db.rows("SELECT id, lease_until FROM gateways") if until > now}
    alive = alive - {gateway} if starting else alive | {gateway}
    known = db.rows(
        "SELECT id FROM gateways UNION SELECT gateway FROM jobs WHERE state <> 'ended'"
        " UNION SELECT gateway FROM charges WHERE state = 'open'"
    )
    return sorted({who for (who,) in known} - alive)


def _unended(db: Database, gone: list[str]) -> list[tuple[JobRecord, bytes | None]]:
    rows = db.rows(
        f"SELECT {JOB_COLUMNS}, payload FROM jobs WHERE state <> 'ended'"  # noqa: S608 - our own names
        " ORDER BY created_at, id"
    )
    jobs = [(job_of(row[:-1]), row[-1]) for row in rows]
    return [(job, sealed) for job, sealed in jobs if job.gateway in gone]


def _open(db: Database, gone: list[str]) -> list[ChargeRecord]:
    rows = db.rows(
        f"SELECT {CHARGE_COLUMNS} FROM charges WHERE state = 'open' ORDER BY booked_at, id"  # noqa: S608 - our own names
    )
    charges = [charge_of(row) for row in rows]
    return [charge for charge in charges if charge.gateway in gone]


def _payload(job: JobRecord, sealed: bytes | None, sealer: Sealer) -> tuple[bytes, str]:
    """Return what a job needs to run again, or the code of why it can't."""
    if job.state == "running" and not (job.retry and job.attempts < MAX_ATTEMPTS):
        return b"", "GATEWAY_LOST"
    try:
        return sealer.unseal(sealed or b"", job.id), ""
    except StoreError:
        return b"", "PAYLOAD_LOST"


def _used(charge: ChargeRecord) -> Amounts:
    return Amounts(
        requests=charge.booked.requests,
        input_tokens=charge.used.input_tokens or charge.booked.input_tokens,
        output_tokens=charge.used.output_tokens,
    )


def _lost(job: JobRecord, gateway: str, now: float) -> AuditEntry:
    return AuditEntry(
        kind="outcome",
        at=now,
        gateway=gateway,
        tenant=job.tenant,
        job=job.id,
        detail={"outcome": job.outcome, "error": job.error, "lost_by": job.gateway},
    )
