"""The ledger: what is durable of a request: its charge, and the audit records about it.

Changes are posted, and become durable in the order in which they were posted, in groups
(`_store/_writer`). A request waits for its charge only before it is given to a worker. The end
of a charge is posted and remembered; if the store fails just then, it is posted again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from rbee_scheduler import Clock, SchedulerError
from rbee_scheduler_platform._audit._chain import append
from rbee_scheduler_platform._errors import StoreConflict, StoreUnavailable
from rbee_scheduler_platform._quota import Estimate
from rbee_scheduler_platform._records import Amounts, AuditEntry, AuditKind, ChargeRecord
from rbee_scheduler_platform._store._charge_rows import book, end_charge, note_progress
from rbee_scheduler_platform._store._database import Database, Operation, together
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._store._writer import Ticket


__all__ = ["Entry", "Ledger", "amounts"]

# Operations that may wait to be written: some seconds' work. More means that the disk is slower
# than the requests that come, and that memory would fill up.
BACKLOG: Final = 50_000

# Seconds after which a client may ask again when the store is in trouble.
RETRY_AFTER: Final = 2.0


def amounts(estimate: Estimate) -> Amounts:
    """Return an estimate, or what was used, as the store counts it."""
    return Amounts(
        input_tokens=estimate.input_tokens,
        output_tokens=estimate.output_tokens,
        vram_bytes=estimate.vram_bytes,
    )


class Entry:
    """A charge in the ledger.

    Attributes:
        id: The charge's id.
        tenant_id: Who pays.
        job_id: For which request.
        worker_id: The worker that has or had it.
        booked: Estimated use.
        ticket: Tells when it is durable; None: it is.
    """

    __slots__ = ("booked", "id", "job_id", "tenant_id", "ticket", "worker_id")

    def __init__(
        self, id_: str, tenant_id: str, job_id: str, booked: Estimate, ticket: Ticket[Any] | None
    ) -> None:
        self.id = id_
        self.tenant_id = tenant_id
        self.job_id = job_id
        self.booked = booked
        self.worker_id = ""
        self.ticket = ticket

    async def durable(self) -> None:
        """Return once the charge can no longer be lost.

        Raises:
            StoreError: It could not be kept.
        """
        if self.ticket is not None and not (self.ticket.done and self.ticket.error is None):
            await self.ticket


class Ledger:
    """Keeps charges and audit records in the store; one per process.

    Args:
        store: Where; open.
        clock: Source of time.
        rng: Source of charges' ids.
        gateway: This gateway's id.
        digest: What decides here.
        logger: Where failures go.

    Attributes:
        healthy: Whether the store took the last change that it was given.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rng: Random,
        *,
        gateway: str,
        digest: str,
        logger: logging.Logger,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self._logger = logger
        self._ends: dict[str, tuple[Operation[Any], Ticket[Any] | None]] = {}
        self.gateway = gateway
        self.digest = digest
        self.healthy = True

    # ---- whether it can be relied on -------------------------------------------------------

    def trouble(self) -> StoreUnavailable | None:
        """Return why nothing can be admitted now, or None."""
        if self.healthy and self._store.backlog <= BACKLOG:
            return None
        return StoreUnavailable(
            "the platform's store can't keep up" if self.healthy else "the platform's store failed",
            hint="try again; an operator finds the cause in the log",
            retry_after=RETRY_AFTER,
        )

    def failed(self, problem: Exception) -> None:
        """Note that the store failed to take a change; admit nothing until it takes one."""
        if isinstance(problem, StoreConflict):  # it works, and says otherwise
            self._logger.warning("a change was refused: %s", problem)
            return
        if self.healthy:
            self._logger.error("nothing is admitted: %s", problem)
        self.healthy = False

    def recovered(self) -> None:
        """Note that the store works again."""
        if not self.healthy:
            self._logger.warning("the platform's store works again")
        self.healthy = True

    # ---- charges -----------------------------------------------------------------------------

    def new_charge(self, tenant_id: str, job_id: str, booked: Estimate) -> ChargeRecord:
        """Return the record of a charge that is to be booked."""
        return ChargeRecord(
            id=f"{self._rng.getrandbits(128):032x}",
            tenant=tenant_id,
            gateway=self.gateway,
            job=job_id,
            booked=amounts(booked),
            booked_at=self._clock.now(),
        )

    def book(self, record: ChargeRecord, booked: Estimate, detail: Mapping[str, Any]) -> Entry:
        """Post a charge that memory has counted, and the record of its admission.

        Raises:
            StoreUnavailable: The store is closed.
        """
        admitted = self._audit("admission", record.tenant, record.job, detail=detail)
        ticket = self._store.post(together(book(record), append(admitted)))
        return Entry(record.id, record.tenant, record.job, booked, ticket)

    def progress(self, entry: Entry, input_tokens: int, output_tokens: int) -> None:
        """Post what a charge has used so far: what counts if this process dies."""
        used = Amounts(input_tokens=input_tokens, output_tokens=output_tokens)
        self._post(note_progress(entry.id, used))

    def end(self, entry: Entry, used: Estimate | None, detail: Mapping[str, Any]) -> None:
        """Post the end of a charge, and the record of the outcome.

        Args:
            entry: The charge.
            used: What was used; None: it is refunded.
            detail: How the request ended.
        """
        ended = self._audit("outcome", entry.tenant_id, entry.job_id, entry.worker_id, detail)
        close = _close(entry.id, None if used is None else amounts(used), self._clock.now())
        operation = together(close, append(ended))
        self._ends[entry.id] = (operation, self._post(operation))

    def look(self) -> None:
        """Forget the ends that are durable; post those again that failed."""
        for charge_id, (operation, ticket) in list(self._ends.items()):
            if ticket is not None and not ticket.done:
                continue
            if ticket is None or ticket.error is not None:
                self._ends[charge_id] = (operation, self._post(operation))
            else:
                del self._ends[charge_id]

    # ---- audit -------------------------------------------------------------------------------

    def note(
        self,
        kind: AuditKind,
        tenant_id: str = "",
        job_id: str = "",
        worker_id: str = "",
        **detail: Any,
    ) -> None:
        """Post an audit record; ``detail`` never holds a word of a prompt."""
        self._post(append(self._audit(kind, tenant_id, job_id, worker_id, detail)))

    def _audit(
        self,
        kind: AuditKind,
        tenant_id: str,
        job_id: str,
        worker_id: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> AuditEntry:
        return AuditEntry(
            kind=kind,
            at=self._clock.now(),
            gateway=self.gateway,
            tenant=tenant_id,
            job=job_id,
            worker=worker_id,
            digest=self.digest,
            detail=detail or {},
        )

    def _post(self, operation: Operation[Any]) -> Ticket[Any] | None:
        try:
            return self._store.post(operation)
        except SchedulerError as closed:
            self.failed(closed)
            return None


def _close(charge_id: str, used: Amounts | None, now: float) -> Operation[bool]:
    def close(db: Database) -> bool:
        try:
            return end_charge(charge_id, used, now)(db)
        except StoreConflict:  # its booking had failed: there is nothing to end
            return False

    return close
