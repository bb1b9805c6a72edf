"""The store on SQL: one writer and one reader, each with a connection and a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio import to_thread

from rbee_scheduler_platform._audit._chain import append, prune, records_after
from rbee_scheduler_platform._errors import StoreUnavailable
from rbee_scheduler_platform._records import (
    Amounts,
    AuditEntry,
    AuditRecord,
    ChargeRecord,
    ChargeState,
    Denied,
    Granted,
    JobRecord,
    JobState,
    Recovered,
    TokenRecord,
    UsageRecord,
)
from rbee_scheduler_platform._store import _charge_rows as charge_rows
from rbee_scheduler_platform._store import _job_rows as job_rows
from rbee_scheduler_platform._store import _recovery as recovery
from rbee_scheduler_platform._store import _tenant_rows as tenant_rows
from rbee_scheduler_platform._store._database import Connect, Database, Operation
from rbee_scheduler_platform._store._seal import Sealer
from rbee_scheduler_platform._store._writer import Ticket, Writer
from rbee_scheduler_platform._tenant import Quotas, Tenant


__all__ = ["SqlStore"]

T = TypeVar("T")


class SqlStore:
    """A `Store` (see there) on SQLite or PostgreSQL.

    Args:
        connect: Opens the connections.
        sealer: Seals payloads of jobs.
        unheard: Told of the error of an operation that was posted and is not awaited; by
            default it is logged.
    """

    def __init__(
        self,
        connect: Connect,
        sealer: Sealer,
        *,
        unheard: Callable[[Exception], None] | None = None,
    ) -> None:
        self._connect = connect
        self.sealer = sealer
        self._writer = Writer(lambda: connect(write=True), unheard=unheard or _log)
        self._reader: Database | None = None
        self._read_limiter: anyio.CapacityLimiter | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._writer.open()
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._writer.run)
        self._read_limiter = anyio.CapacityLimiter(1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(reader.close, limiter=self._read_limiter)
        # The writer shields itself until all that was posted is written. Without the error,
        # which the task group would wrap in a group of one.
        await self._stack.aclose()

    # ---- in general ----------------------------------------------------------------------

    def post(self, operation: Operation[T]) -> Ticket[T]:
        return self._writer.post(operation)

    @property
    def backlog(self) -> int:
        return len(self._writer)

    async def read(self, query: Operation[T]) -> T:
        if self._read_limiter is None:
            raise StoreUnavailable("the store is not open", hint="async with store: ...")
        return await to_thread.run_sync(self._read, query, limiter=self._read_limiter)

    async def flush(self) -> None:
        # Operations run in the order they came: when this one is done, so are they.
        await self.post(_nothing)

    def _read(self, query: Operation[T]) -> T:
        if self._reader is None or not self._reader.usable:
            self._reader = self._connect(write=False)
        return self._reader.read(query)

    # ---- tenants and tokens --------------------------------------------------------------

    async def changes(self) -> int:
        return await self.read(tenant_rows.change_counter)

    async def tenants(self) -> list[Tenant]:
        return await self.read(tenant_rows.all_tenants)

    async def put_tenant(self, tenant: Tenant, *, new: bool = False) -> None:
        await self.post(tenant_rows.put_tenant(tenant, new=new))

    async def tokens(self) -> list[TokenRecord]:
        return await self.read(tenant_rows.all_tokens)

    async def put_token(self, token: TokenRecord, *, new: bool = False) -> None:
        await self.post(tenant_rows.put_token(token, new=new))

    # ---- jobs ----------------------------------------------------------------------------

    async def add_job(self, job: JobRecord, payload: bytes) -> None:
        await self.post(job_rows.add_job(job, payload, self.sealer))

    async def start_job(self, job: str, gateway: str, now: float) -> None:
        await self.post(job_rows.start_job(job, gateway, now))

    async def end_job(
        self, job: str, gateway: str, now: float, *, outcome: str, error: str = ""
    ) -> None:
        await self.post(job_rows.end_job(job, gateway, outcome, error, now))

    async def job(self, job: str) -> JobRecord | None:
        return await self.read(job_rows.find_job(job))

    async def jobs(
        self, *, state: JobState | None = None, tenant: str | None = None, limit: int = 1000
    ) -> list[JobRecord]:
        return await self.read(job_rows.find_jobs(state, tenant, limit))

    # ---- quotas, charges, usage ----------------------------------------------------------

    async def reserve(
        self, charge: ChargeRecord, quotas: Quotas, *, enforce: bool = True
    ) -> Granted | Denied:
        return await self.post(charge_rows.reserve(charge, quotas, enforce=enforce))

    async def book(self, charge: ChargeRecord) -> None:
        await self.post(charge_rows.book(charge))

    async def progress(self, charge: str, used: Amounts) -> bool:
        return await self.post(charge_rows.note_progress(charge, used))

    async def settle(self, charge: str, used: Amounts, now: float) -> bool:
        return await self.post(charge_rows.end_charge(charge, used, now))

    async def refund(self, charge: str, now: float) -> bool:
        return await self.post(charge_rows.end_charge(charge, None, now))

    async def charges(
        self, *, state: ChargeState | None = None, tenant: str | None = None, limit: int = 1000
    ) -> list[ChargeRecord]:
        return await self.read(charge_rows.find_charges(state, tenant, limit))

    async def usage(
        self, *, tenant: str | None = None, since: str = "", until: str | None = None
    ) -> list[UsageRecord]:
        return await self.read(charge_rows.usage_rows(tenant, since, until))

    # ---- gateways ------------------------------------------------------------------------

    async def recover(
        self, gateway: str, now: float, *, lease: float = 30.0, starting: bool = True
    ) -> Recovered:
        return await self.post(
            recovery.recover(gateway, now, lease, self.sealer, starting=starting)
        )

    async def heartbeat(self, gateway: str, now: float, *, lease: float = 30.0) -> bool:
        return await self.post(recovery.heartbeat(gateway, now, lease))

    # ---- audit ---------------------------------------------------------------------------

    async def audit(self, entry: AuditEntry) -> int:
        return await self.post(append(entry))

    async def audit_page(
        self, after: int, limit: int = 1000
    ) -> tuple[list[AuditRecord], tuple[int, str]]:
        return await self.read(records_after(after, limit))

    async def prune_audit(self, before: float, now: float, gateway: str) -> int:
        return await self.post(prune(before, now, gateway))


def _nothing(_: Database) -> None:
    pass


def _log(failure: Exception) -> None:
    logging.getLogger("rbee_scheduler.platform").error("a change was lost: %s", failure)
