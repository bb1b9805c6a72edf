"""One job's run: the scheduler's events become the job's, and exactly one of them is the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import attrs

from rbee_scheduler import (
    Cancelled,
    End,
    Error,
    InvalidRequest,
    Metrics,
    Outcome,
    Queued,
    Rejected,
    SchedulerError,
    Started,
    StreamEvent,
    Token,
)
from rbee_scheduler_gateway._events import to_json
from rbee_scheduler_gateway._jobs._job import Job, outcome_data
from rbee_scheduler_gateway._refusals import ShuttingDown


if TYPE_CHECKING:
    from rbee_scheduler_gateway._jobs._jobs import Jobs


__all__ = ["run_job"]


async def run_job(jobs: Jobs, job: Job) -> None:
    """Run a job to its last event; whatever happens, nothing is raised.

    Args:
        jobs: Where it belongs.
        job: The job.
    """
    run = _Run(jobs, job)
    error: SchedulerError = ShuttingDown("the service stops", hint="send it again later")
    try:
        error = await run.stream() or error
    except SchedulerError as refusal:
        error = refusal
    except Exception:
        jobs.logger.exception("a job failed", extra={"job_id": job.id})
        error = SchedulerError("the service failed; its log says why")
    finally:
        # A client waits for the last event, and the journal for the outcome, also when the
        # service stops and this task is cancelled.
        with anyio.CancelScope(shield=True):
            await run.finish(error)


class _Run:
    """The run of one job.

    Args:
        jobs: Where it belongs.
        job: The job.
    """

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs = jobs
        self._job = job

    async def stream(self) -> SchedulerError | None:
        """Take events to the last one; return why it failed."""
        job = self._job
        if job.cancelled:
            return Cancelled("the job was cancelled")
        assert job.scheduler is not None  # noqa: S101 - set by who starts the run
        async with job.scheduler.stream(job.request) as events:
            async for event in events:
                if isinstance(event, Error):
                    job.outcome = event.outcome
                    return event.error
                await self._take(event)
        return None

    async def _take(self, event: StreamEvent) -> None:
        job, add = self._job, self._job.ring.add
        if isinstance(event, Token):
            if event.text:
                add("token", to_json({"type": "token", "text": event.text}))
            return
        if not job.ring.last and not isinstance(event, Queued):
            self._queued(0)
        if isinstance(event, Queued):
            self._queued(event.position)
        elif isinstance(event, Started):
            job.status, job.worker_id, job.attempts = "running", event.worker_id, event.attempt
            add("started", to_json(attrs.asdict(event)))
            job.begun.set()
            await self._jobs.note("started", job.id, event.worker_id)
        elif isinstance(event, Metrics):
            usage = attrs.asdict(event.usage)
            add("metrics", to_json({"type": "metrics", "usage": usage, "values": event.values}))
        elif isinstance(event, End):
            job.outcome = event.outcome
            data = {"type": "end", "job_id": job.id, "outcome": outcome_data(event.outcome)}
            self._end("end", data)

    def _queued(self, position: int) -> None:
        job = self._job
        job.status, job.position = "queued", position
        data = {"type": "queued", "job_id": job.id, "position": position}
        job.ring.add("queued", to_json(data))
        if position:
            job.begun.set()

    async def finish(self, error: SchedulerError) -> None:
        """End the job, if nothing has; write down how it ended, and tell who waits.

        Args:
            error: Why it failed, unless it has ended well.
        """
        job = self._job
        stops = self._jobs.stopping and isinstance(error, (Cancelled, ShuttingDown))
        if not job.ring.closed:
            if stops:
                error = ShuttingDown("the service stops", retry_after=5.0)
            self._fail(error)
            if stops and self._jobs.journal is not None:
                return  # it stays in the journal, for the next start
        outcome = job.outcome or Outcome(job_id=job.id, kind=_kind(error), error=error)
        job.outcome = outcome
        self._jobs.watchers.job(job.request, outcome)
        await self._jobs.note("ended", job.id, outcome)
        job.begun.set()

    def _fail(self, error: SchedulerError) -> None:
        job = self._job
        if not job.ring.last:
            job.refused = error
            self._queued(0)
        job.error = error
        data: dict[str, Any] = {"type": "error", "job_id": job.id, "error": error.to_dict()}
        data["outcome"] = None if job.outcome is None else outcome_data(job.outcome)
        self._end("error", data)

    def _end(self, kind: str, data: dict[str, Any]) -> None:
        job = self._job
        job.status = "ended"
        job.request = job.request.changed(prompt="", messages=())
        job.ring.add(kind, to_json(data), last=True)
        self._jobs.ended(job)


def _kind(error: SchedulerError) -> Any:
    if isinstance(error, (Cancelled, ShuttingDown)):
        return "cancelled"
    return "rejected" if isinstance(error, (Rejected, InvalidRequest)) else "error"
