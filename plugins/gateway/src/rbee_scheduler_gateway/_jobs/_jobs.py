"""All jobs: those that run, and for a while those that have ended."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import anyio

from rbee_scheduler import (
    CapacityExceeded,
    ConfigError,
    InferenceRequest,
    Outcome,
    PluginError,
    SchedulerError,
)
from rbee_scheduler_gateway._additions import find_journal
from rbee_scheduler_gateway._identity import Identity
from rbee_scheduler_gateway._jobs._job import Job
from rbee_scheduler_gateway._jobs._run import run_job
from rbee_scheduler_gateway._journal import JobJournal
from rbee_scheduler_gateway._refusals import NotFound, ShuttingDown


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["Jobs", "new_job_id"]

# How long jobs may take to end when the service stops: their workers are told. Seconds.
_GOODBYE: Final = 10.0


def new_job_id() -> str:
    """Return an id that nobody can guess: 128 bits from the system's generator.

    Not from `Gateway.rng`: who sees 624 numbers of a Mersenne Twister knows the next one.
    """
    return secrets.token_hex(16)


class Jobs:
    """All jobs of a gateway.

    Args:
        gateway: The gateway.
        new_id: Makes ids.

    Attributes:
        journal: Where jobs are written down; None: nowhere.
        logger: Where failures go; prompts never do.
        watchers: Told of jobs that ended.
    """

    def __init__(self, gateway: Gateway, new_id: Callable[[], str] = new_job_id) -> None:
        self.new_id = new_id
        self.journal: JobJournal | None = None
        self.logger: logging.Logger = gateway.logger
        self.watchers = gateway.watchers
        self._gateway = gateway
        self._jobs: dict[str, Job] = {}
        self._ended: deque[tuple[float, Job]] = deque()
        self._running = 0
        self._closing = False
        self._quiet = anyio.Event()

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs that are kept, in the order in which they came."""
        self._forget()
        return iter(tuple(self._jobs.values()))

    def __len__(self) -> int:
        self._forget()
        return len(self._jobs)

    @property
    def stopping(self) -> bool:
        """Whether jobs that are cancelled are so because the service stops."""
        return self._closing or self._gateway.ended

    # ---- one job -------------------------------------------------------------------------

    async def submit(
        self, request: InferenceRequest, *, reference: str = "", retry: bool = False
    ) -> Job:
        """Take a job; return once it runs or waits.

        Args:
            request: What is asked; its job's id is from `new_id`.
            reference: The client's own name for it.
            retry: Whether it may be run again when the service stopped in its middle.

        Raises:
            CapacityExceeded: As many jobs as may be are kept.
            ShuttingDown: The service stops.
            SchedulerError: It is refused: by a quota, a policy, or because nobody serves it.
        """
        if self.stopping:
            raise ShuttingDown("the service stops", retry_after=5.0)
        options = self._gateway.options
        if len(self) >= options.max_jobs:
            raise CapacityExceeded(
                f"{options.max_jobs} jobs are kept, ended ones included",
                hint="try again later, or raise max_jobs or lower job_keep_seconds",
                retry_after=self._next_room(),
            )
        job = self._add(request, reference)
        try:
            if self.journal is not None:
                await self.journal.admitted(request, retry=retry)
        except BaseException:
            del self._jobs[job.id]
            with anyio.CancelScope(shield=True):  # it may be written down all the same
                await self.note("ended", job.id, Outcome(job_id=job.id, kind="cancelled"))
            raise
        self._start(job)
        try:
            await job.begun.wait()
        except BaseException:
            job.cancel()  # nobody knows its id
            raise
        if job.refused is not None:
            self._jobs.pop(job.id, None)
            raise job.refused
        return job

    def find(self, job_id: str, identity: Identity) -> Job:
        """Return a job.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        self._forget()
        job = self._jobs.get(job_id)
        if job is None or not job.is_seen_by(identity):
            raise NotFound(
                "there is no such job",
                hint=f"ended jobs are kept for {self._gateway.options.job_keep_seconds:g} s",
            )
        return job

    async def remembered(self, job_id: str, identity: Identity) -> Mapping[str, object]:
        """Return what the journal knows of a job that is no longer here.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        try:
            return self.find(job_id, identity).to_dict()
        except NotFound:
            found = None if self.journal is None else await self.journal.find(job_id)
            mine = identity.role == "operator" or (
                found is not None and found.get("tenant_id") == identity.tenant_id
            )
            if found is None or not mine:
                raise
            return found

    def ended(self, job: Job) -> None:
        """Note that a job has ended: from now on it is kept for a while."""
        keep = self._gateway.options.job_keep_seconds
        self._ended.append((self._gateway.clock.monotonic() + keep, job))

    async def note(self, what: str, job_id: str, fact: object) -> None:
        """Tell the journal, if there is one; its failure is logged, and the job goes on.

        Args:
            what: ``"started"`` or ``"ended"``.
            job_id: The job.
            fact: Its worker, or its outcome.
        """
        if self.journal is None:
            return
        try:
            await getattr(self.journal, what)(job_id, fact)
        except Exception:
            self.logger.exception("the job journal failed", extra={"job_id": job_id})

    # ---- the service's life --------------------------------------------------------------

    async def resume(self) -> None:
        """Find the journal, and go on with what the service's last run has left."""
        self.journal = find_journal(self._gateway)
        if self.journal is None:
            return
        try:
            left = await self.journal.unfinished()
        except SchedulerError:
            raise
        except Exception as problem:
            raise PluginError(
                f"the job journal can't be read: {type(problem).__name__}: {problem}",
                hook="rbee_job_journal",
            ) from problem
        for request in left:
            if request.job_id in self._jobs:
                raise ConfigError(f"the journal has the job {request.job_id!r} twice")
            self._start(self._add(request, ""))

    async def aclose(self) -> None:
        """End every job with an event that says so; those in a journal go on at the next start."""
        self._closing = True
        for job in tuple(self._jobs.values()):
            job.cancel()
        with self._gateway.clock.move_on_after(_GOODBYE):
            while self._running:
                self._quiet = anyio.Event()
                await self._quiet.wait()

    # ---- inside --------------------------------------------------------------------------

    def _add(self, request: InferenceRequest, reference: str) -> Job:
        buffer = self._gateway.options.job_buffer_events
        job = self._jobs[request.job_id] = Job(request, reference=reference, buffer=buffer)
        return job

    def _start(self, job: Job) -> None:
        job.scheduler = self._gateway.scheduler
        self._running += 1
        self._gateway.tasks.start_soon(self._run, job, name=f"job {job.id[:8]}")

    async def _run(self, job: Job) -> None:
        try:
            await run_job(self, job)
        finally:
            job.scheduler = None
            self._running -= 1
            self._quiet.set()

    def _forget(self) -> None:
        """Forget what has ended long enough ago."""
        now = self._gateway.clock.monotonic()
        while self._ended and self._ended[0][0] <= now:
            _, job = self._ended.popleft()
            if self._jobs.get(job.id) is job:
                del self._jobs[job.id]

    def _next_room(self) -> float:
        if not self._ended:
            return 1.0
        return max(1.0, self._ended[0][0] - self._gateway.clock.monotonic())
