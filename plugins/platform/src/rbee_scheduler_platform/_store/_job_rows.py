"""Queen jobs in tables: queued, running, ended; the sealed payload goes when the job ends."""

from __future__ import annotations

import json
from typing import Any, Final

from rbee_scheduler_platform._errors import StoreConflict
from rbee_scheduler_platform._records import JobRecord, JobState
from rbee_scheduler_platform._store._database import Database, Operation
from rbee_scheduler_platform._store._seal import Sealer


__all__ = ["JOB_COLUMNS", "add_job", "end_job", "find_job", "find_jobs", "job_of", "start_job"]

JOB_COLUMNS: Final = (
    "id, tenant, gateway, state, request, prompt_sha256, retry, attempts, created_at,"
    " started_at, ended_at, outcome, error"
)
_SELECT: Final = f"SELECT {JOB_COLUMNS} FROM jobs"  # noqa: S608 - our own names


def add_job(job: JobRecord, payload: bytes, sealer: Sealer) -> Operation[None]:
    """Return the operation that keeps a queued job with its payload, sealed."""

    def add(db: Database) -> None:
        db.change(
            f"INSERT INTO jobs ({JOB_COLUMNS}, payload)"  # noqa: S608 - our own names
            " VALUES (?, ?, ?, 'queued', ?, ?, ?, 0, ?, 0, 0, '', '', ?)",
            (
                job.id, job.tenant or None, job.gateway,
                json.dumps(dict(job.request), separators=(",", ":")), job.prompt_sha256,
                int(job.retry), job.created_at, sealer.seal(payload, job.id),
            ),
        )  # fmt: skip

    return add


def start_job(job: str, gateway: str, now: float) -> Operation[None]:
    """Return the operation that marks a queued job of ``gateway`` as running."""

    def start(db: Database) -> None:
        changed = db.change(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = ?"
            " WHERE id = ? AND gateway = ? AND state = 'queued'",
            (now, job, gateway),
        )
        if not changed:
            raise _not_yours(db, job, gateway)

    return start


def end_job(job: str, gateway: str, outcome: str, error: str, now: float) -> Operation[None]:
    """Return the operation that ends a job of ``gateway`` and erases its payload."""

    def finish(db: Database) -> None:
        changed = db.change(
            "UPDATE jobs SET state = 'ended', outcome = ?, error = ?, ended_at = ?, payload = NULL"
            " WHERE id = ? AND gateway = ? AND state <> 'ended'",
            (outcome, error, now, job, gateway),
        )
        if not changed:
            raise _not_yours(db, job, gateway)

    return finish


def find_job(job: str) -> Operation[JobRecord | None]:
    """Return the query for one job."""

    def find(db: Database) -> JobRecord | None:
        row = db.row(f"{_SELECT} WHERE id = ?", (job,))
        return None if row is None else job_of(row)

    return find


def find_jobs(state: JobState | None, tenant: str | None, limit: int) -> Operation[list[JobRecord]]:
    """Return the query for jobs, oldest first."""
    wanted = {"state": state, "tenant": tenant}
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given) or "1 = 1"

    def find(db: Database) -> list[JobRecord]:
        rows = db.rows(
            f"{_SELECT} WHERE {where} ORDER BY created_at, id LIMIT ?", (*given.values(), limit)
        )
        return [job_of(row) for row in rows]

    return find


def job_of(row: tuple[Any, ...]) -> JobRecord:
    """Return a row of `JOB_COLUMNS` as a record."""
    id_, tenant, gateway, state, request, sha256, retry, attempts, *moments, outcome, error = row
    return JobRecord(
        id=id_,
        tenant=tenant or "",
        gateway=gateway,
        state=state,
        request=json.loads(request),
        prompt_sha256=sha256,
        retry=bool(retry),
        attempts=attempts,
        created_at=moments[0],
        started_at=moments[1],
        ended_at=moments[2],
        outcome=outcome,
        error=error,
    )


def _not_yours(db: Database, job: str, gateway: str) -> StoreConflict:
    found = find_job(job)(db)
    if found is None:
        return StoreConflict(f"there is no job {job!r}")
    if found.gateway != gateway:
        return StoreConflict(
            f"the job {job!r} is now {found.gateway!r}'s",
            hint="this gateway's lease had ended; let it recover",
        )
    return StoreConflict(f"the job {job!r} is {found.state}")
