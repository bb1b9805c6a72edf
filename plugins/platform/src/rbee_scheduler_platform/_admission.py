"""Admission: everything that is asked before a request may wait for a worker.

In this order, the cheapest first: is the store there; is the tenant; may any worker serve it
where it must stay; has the queue room, and comes the first token in time; do its quotas have
room. Only the last one books anything, and it books all or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbee_scheduler import (
    Allow,
    Deny,
    InferenceRequest,
    NoWorkersAvailable,
    QuotaExceeded,
    SchedulerError,
    Snapshot,
)
from rbee_scheduler_gateway._identity import Forbidden
from rbee_scheduler_platform._charge import PlatformCharge
from rbee_scheduler_platform._errors import StoreError
from rbee_scheduler_platform._ledger import Entry
from rbee_scheduler_platform._quota import Booking, Denial, Estimate
from rbee_scheduler_platform._records import Denied
from rbee_scheduler_platform._targets import filter_regions
from rbee_scheduler_platform._tenant import Tenant


if TYPE_CHECKING:
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["Admission"]

# Seconds until a client asks again when only the end of another request makes room.
WHEN_ANOTHER_ENDS = 1.0


class Admission:
    """Admits requests, or says why not.

    Args:
        runtime: The platform's state.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def admit(self, request: InferenceRequest, snapshot: Snapshot) -> Allow | Deny:
        """Admit a request by the quotas in memory: one gateway has all of them."""
        checked = self.check(request, snapshot)
        if isinstance(checked, Deny):
            return checked
        runtime = self._runtime
        estimate = Estimate.of(request)
        booking = runtime.book.book(checked, request.job_id, estimate)
        if isinstance(booking, Denial):
            if not runtime.was_admitted(request.job_id):
                return self.deny(request, _spent(booking.reason, booking), quota=booking.quota)
            entry_booking: Booking | None = None  # admitted before a restart: it stays so
        else:
            entry_booking = booking
        record = runtime.ledger.new_charge(checked.id, request.job_id, estimate)
        try:
            entry = runtime.ledger.book(record, estimate, _asked(request, estimate))
        except StoreError as closed:
            if entry_booking is not None:
                entry_booking.refund()
            return Deny(closed.message, error=closed)
        return self._allow(request, checked, entry_booking, entry)

    async def admit_shared(self, request: InferenceRequest, snapshot: Snapshot) -> Allow | Deny:
        """Admit a request by the quotas in the store: all gateways share them."""
        checked = self.check(request, snapshot)
        if isinstance(checked, Deny):
            return checked
        runtime, ledger = self._runtime, self._runtime.ledger
        estimate = Estimate.of(request)
        record = ledger.new_charge(checked.id, request.job_id, estimate)
        enforce = not runtime.was_admitted(request.job_id)
        entry = Entry(record.id, checked.id, request.job_id, estimate, None)
        try:
            answer = await runtime.store.reserve(record, checked.quotas, enforce=enforce)
        except StoreError as problem:
            ledger.failed(problem)
            ledger.end(entry, None, {"outcome": "refunded"})  # it may have been booked even so
            return Deny(problem.message, error=ledger.trouble() or problem)
        except BaseException:
            ledger.end(entry, None, {"outcome": "refunded"})
            raise
        if isinstance(answer, Denied):
            reason = f"{answer.quota}: {answer.limit} is the limit"
            return self.deny(request, _spent(reason, answer), quota=answer.quota)
        ledger.note("admission", checked.id, request.job_id, **_asked(request, estimate))
        return self._allow(request, checked, None, entry)

    # ---- without booking -------------------------------------------------------------------

    def check(self, request: InferenceRequest, snapshot: Snapshot) -> Tenant | Deny:
        """Return whose request it is, or why it is not admitted; books nothing."""
        runtime = self._runtime
        trouble = runtime.ledger.trouble()
        if trouble is not None:  # without a record: there is nowhere to write it
            runtime.counts.denied[trouble.code] += 1
            return Deny(trouble.message, error=trouble)
        tenant = runtime.directory.view.tenants.get(request.tenant_id or "")
        if tenant is None:
            return self.deny(
                request,
                Forbidden(
                    "requests are made in the name of a tenant, and this token has none",
                    hint="use a token of a tenant: rbee-scheduler tenant token create",
                ),
            )
        if not tenant.enabled:
            return self.deny(request, Forbidden("this tenant is disabled", hint="ask the operator"))
        if tenant.regions:
            serving = snapshot.with_model(request.model)
            if serving and len(filter_regions(tenant, serving)) == len(serving):
                return self.deny(
                    request,
                    NoWorkersAvailable(
                        f"no worker of {request.model!r} is in {' or '.join(tenant.regions)}",
                        hint="this tenant's requests may run nowhere else",
                    ),
                )
        refusal = runtime.capacity.admit(request, snapshot)
        if refusal is not None and not runtime.was_admitted(request.job_id):
            return self.deny(request, refusal.error(), refusal=refusal.code)
        return tenant

    def deny(self, request: InferenceRequest, error: SchedulerError, **why: Any) -> Deny:
        """Return the denial, after writing it down."""
        runtime = self._runtime
        runtime.counts.denied[why.get("quota") or why.get("refusal") or error.code] += 1
        runtime.ledger.note(
            "denial",
            request.tenant_id or "",
            request.job_id,
            code=error.code,
            reason=error.message,
            **why,
        )
        return Deny(error.message, retry_after=error.retry_after, error=error)

    def _allow(
        self, request: InferenceRequest, tenant: Tenant, booking: Booking | None, entry: Entry
    ) -> Allow:
        charge = PlatformCharge(self._runtime, request, tenant, booking, entry)
        self._runtime.admitted(charge)
        return Allow(charge)


def _spent(reason: str, denial: Denial | Denied) -> QuotaExceeded:
    if denial.never:
        error = QuotaExceeded(reason, hint="it never fits: ask for less, or for a higher quota")
        error.retryable = False
        return error
    wait = WHEN_ANOTHER_ENDS if denial.retry_after is None else denial.retry_after
    return QuotaExceeded(reason, hint="try again later", retry_after=wait)


def _asked(request: InferenceRequest, estimate: Estimate) -> dict[str, Any]:
    return {
        "model": request.model,
        "task": request.task_type,
        "priority": request.priority,
        "input_tokens": estimate.input_tokens,
        "output_tokens": estimate.output_tokens,
        "prompt_sha256": request.prompt_hash,
    }
