"""The journal: queen jobs in the store, their prompts sealed; a restart goes on with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rbee_scheduler import InferenceRequest, Outcome
from rbee_scheduler_gateway._identity import Forbidden
from rbee_scheduler_platform._records import JobRecord
from rbee_scheduler_platform._store._requests import job_record, packed, unpacked


if TYPE_CHECKING:
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["StoreJournal"]


class StoreJournal:
    """A `JobJournal` over the store.

    Args:
        runtime: The platform's state.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._started: set[str] = set()
        self._known: set[str] = set()  # jobs that the store has already

    async def admitted(self, request: InferenceRequest, *, retry: bool) -> None:
        """Note a job that was taken.

        Raises:
            Forbidden: It has no tenant.
            StoreError: It could not be kept.
        """
        runtime = self._runtime
        if request.job_id in self._known:
            return
        tenant_id = request.tenant_id or ""
        if tenant_id not in runtime.directory.view.tenants:
            raise Forbidden(
                "jobs are made in the name of a tenant, and this token has none",
                hint="use a token of a tenant, or name one in tenant_id",
            )
        job = job_record(
            request,
            gateway=runtime.options.gateway,
            now=request.created_at or runtime.clock.now(),
            retry=retry,
        )
        await runtime.store.add_job(job, packed(request))

    async def started(self, job_id: str, worker_id: str) -> None:
        """Note that a worker has it; the second worker of one run changes nothing."""
        del worker_id  # the audit record of the decision names it
        if job_id in self._started:
            return
        self._started.add(job_id)
        runtime = self._runtime
        await runtime.store.start_job(job_id, runtime.options.gateway, runtime.clock.now())

    async def ended(self, job_id: str, outcome: Outcome) -> None:
        """Note how it ended; its prompt is erased."""
        self._started.discard(job_id)
        self._known.discard(job_id)
        runtime = self._runtime
        await runtime.store.end_job(
            job_id,
            runtime.options.gateway,
            runtime.clock.now(),
            outcome=outcome.kind,
            error="" if outcome.error is None else outcome.error.code,
        )

    async def unfinished(self) -> Sequence[InferenceRequest]:
        """Return the jobs that the last run left; no check refuses them."""
        resumable, self._runtime.resumable = self._runtime.resumable, ()
        return [self.taken_over(one.payload, one.job.id) for one in resumable]

    def taken_over(self, payload: bytes, job_id: str) -> InferenceRequest:
        """Return the request of a job that the store has already."""
        self._known.add(job_id)
        return unpacked(payload)

    async def find(self, job_id: str) -> Mapping[str, object] | None:
        """Return what is known of a job that is no longer in memory."""
        job = await self._runtime.store.job(job_id)
        return None if job is None else _shown(job)


def _shown(job: JobRecord) -> dict[str, Any]:
    asked = job.request
    return {
        "job_id": job.id,
        "reference": None,
        "status": job.state,
        "tenant_id": job.tenant,
        "model": asked.get("model"),
        "priority": asked.get("priority"),
        "created_at": job.created_at,
        "queue_position": None,
        "worker_id": None,
        "attempts": job.attempts,
        "events": 0,
        "events_url": f"/v1/jobs/{job.id}/events",
        "outcome": {"kind": job.outcome} if job.outcome else None,
        "usage": None,
        "error": {"code": job.error} if job.error else None,
    }
