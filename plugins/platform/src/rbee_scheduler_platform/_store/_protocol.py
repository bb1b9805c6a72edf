"""The store, as the rest of the platform sees it: durable state behind async methods.

Changes are operations: the methods here post one and wait until it is durable. Who must not
wait, or wants several changes to be one, posts them::

    ticket = store.post(together(append(entry), end_charge(charge_id, used, now)))
    ...
    await ticket
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, TypeVar

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
from rbee_scheduler_platform._store._database import Operation
from rbee_scheduler_platform._store._writer import Ticket
from rbee_scheduler_platform._tenant import Quotas, Tenant


__all__ = ["Store"]

T = TypeVar("T")


class Store(Protocol):
    """Durable state: tenants, tokens, jobs, charges, usage, audit records.

    A context manager; it belongs to the event loop that entered it. Every method raises
    `StoreUnavailable` when the engine can't be reached or is busy for too long, and
    `StoreConflict` when the store says otherwise (a name is taken, a job has ended). Moments
    are wall-clock ms; ``now`` is the caller's clock. Gateways that share a store must keep
    their clocks together (NTP): a clock that is ahead by ``s`` seconds may admit what the
    others would in ``s`` seconds, once.
    """

    async def __aenter__(self) -> Self:
        """Open the store and bring its tables up to date."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make durable what was posted, and close."""
        ...

    # ---- in general ----------------------------------------------------------------------

    def post(self, operation: Operation[T]) -> Ticket[T]:
        """Take an operation without waiting; operations run in the order they are posted."""
        ...

    @property
    def backlog(self) -> int:
        """How many operations wait to be written."""
        ...

    async def read(self, query: Operation[T]) -> T:
        """Run a query on one snapshot of what is durable."""
        ...

    async def flush(self) -> None:
        """Wait until everything that was posted so far is durable, or has failed."""
        ...

    # ---- tenants and tokens --------------------------------------------------------------

    async def changes(self) -> int:
        """Return a number that every change of tenants and tokens raises."""
        ...

    async def tenants(self) -> list[Tenant]:
        """Return all tenants, by id."""
        ...

    async def put_tenant(self, tenant: Tenant, *, new: bool = False) -> None:
        """Add or replace a tenant; ``new``: one of this id is a conflict."""
        ...

    async def tokens(self) -> list[TokenRecord]:
        """Return all tokens, oldest first."""
        ...

    async def put_token(self, token: TokenRecord, *, new: bool = False) -> None:
        """Add or replace a token; ``new``: one of this id is a conflict."""
        ...

    # ---- jobs ----------------------------------------------------------------------------

    async def add_job(self, job: JobRecord, payload: bytes) -> None:
        """Keep a queued job; the payload is sealed, and erased when the job ends."""
        ...

    async def start_job(self, job: str, gateway: str, now: float) -> None:
        """Mark a queued job of this gateway as running."""
        ...

    async def end_job(
        self, job: str, gateway: str, now: float, *, outcome: str, error: str = ""
    ) -> None:
        """End a job of this gateway: kind of outcome, and code of what went wrong."""
        ...

    async def job(self, job: str) -> JobRecord | None:
        """Return a job."""
        ...

    async def jobs(
        self, *, state: JobState | None = None, tenant: str | None = None, limit: int = 1000
    ) -> list[JobRecord]:
        """Return jobs, oldest first."""
        ...

    # ---- quotas, charges, usage ----------------------------------------------------------

    async def reserve(
        self, charge: ChargeRecord, quotas: Quotas, *, enforce: bool = True
    ) -> Granted | Denied:
        """Book a charge where the quotas have room: one step, among all gateways.

        Args:
            charge: What to book; `ChargeRecord.booked_at` is the moment.
            quotas: The tenant's limits.
            enforce: False: book also what does not fit; for a job that is resumed.
        """
        ...

    async def book(self, charge: ChargeRecord) -> None:
        """Keep a charge that is checked and counted in memory, by the only gateway."""
        ...

    async def progress(self, charge: str, used: Amounts) -> bool:
        """Note what an open charge has used so far; False: it has ended."""
        ...

    async def settle(self, charge: str, used: Amounts, now: float) -> bool:
        """End a charge by what was used, and add that to the usage; False: it had ended."""
        ...

    async def refund(self, charge: str, now: float) -> bool:
        """End a charge as if it had never been; False: it had ended."""
        ...

    async def charges(
        self, *, state: ChargeState | None = None, tenant: str | None = None, limit: int = 1000
    ) -> list[ChargeRecord]:
        """Return charges, oldest first."""
        ...

    async def usage(
        self, *, tenant: str | None = None, since: str = "", until: str | None = None
    ) -> list[UsageRecord]:
        """Return usage by day and tenant; days such as ``"2026-01-31"``, both included."""
        ...

    # ---- gateways ------------------------------------------------------------------------

    async def recover(
        self, gateway: str, now: float, *, lease: float = 30.0, starting: bool = True
    ) -> Recovered:
        """Take over what gateways without a lease left behind (see `_recovery`).

        Args:
            gateway: Who takes over; its lease begins. Unique among running gateways, and
                best the same after a restart.
            now: Wall-clock ms.
            lease: Seconds until the others may take over from this one.
            starting: Whether it has just started, so that what it left behind itself is
                taken over, too; False: for asking again and again while it runs.
        """
        ...

    async def heartbeat(self, gateway: str, now: float, *, lease: float = 30.0) -> bool:
        """Extend the lease; False: others have taken over, it must recover."""
        ...

    # ---- audit ---------------------------------------------------------------------------

    async def audit(self, entry: AuditEntry) -> int:
        """Append a record to the chain; return its number."""
        ...

    async def audit_page(
        self, after: int, limit: int = 1000
    ) -> tuple[list[AuditRecord], tuple[int, str]]:
        """Return the records after a number, and number and hash of the last one of all."""
        ...

    async def prune_audit(self, before: float, now: float, gateway: str) -> int:
        """Delete the records from before a moment; return how many."""
        ...
