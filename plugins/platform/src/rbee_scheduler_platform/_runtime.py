"""The runtime: all that works while the platform is open, put together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from random import Random

from rbee_scheduler import Clock, RequestEvent, SchedulerError
from rbee_scheduler_platform._admission import Admission
from rbee_scheduler_platform._capacity import Capacity, CapacityOptions, GateOptions
from rbee_scheduler_platform._charge import PlatformCharge
from rbee_scheduler_platform._fairness import FairOrder
from rbee_scheduler_platform._ledger import Ledger
from rbee_scheduler_platform._options import PlatformOptions
from rbee_scheduler_platform._quota import QuotaBook
from rbee_scheduler_platform._records import Resumable
from rbee_scheduler_platform._store._protocol import Store
from rbee_scheduler_platform._targets import TargetBook
from rbee_scheduler_platform._tokens import HashCost, TokenHasher
from rbee_scheduler_platform._tokens_check import Authenticator
from rbee_scheduler_platform._tokens_directory import Directory


__all__ = ["Counts", "Runtime"]


class Counts:
    """What happened since the start, for metrics.

    Attributes:
        admitted: Requests, by class.
        denied: Requests, by the quota that was spent, or by why else.
        outcomes: Requests that were admitted, by how they ended.
        tokens: Prompt and generated tokens that were charged.
    """

    __slots__ = ("admitted", "denied", "outcomes", "tokens")

    def __init__(self) -> None:
        self.admitted: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()


class Runtime:
    """The platform's state; one per process, from its opening to its end.

    Args:
        options: The deployment's wishes.
        store: Durable state; open.
        clock: Source of time.
        rng: Source of ids.
        digest: What decides here.
        logger: Where trouble is told.

    Attributes:
        directory: Tenants and tokens.
        authenticator: Knows whose token it is.
        book: Quotas, counted in memory; not used where several gateways share them.
        order: Who is next.
        capacity: Who may wait, and what runs where.
        targets: What was promised, and kept.
        ledger: What is durable of requests.
        admission: Asks all of these.
        charges: Of the requests that were admitted and have not ended, by job id.
        counts: What happened since the start.
        resumable: Jobs that a last run left, to be run again.
    """

    def __init__(
        self,
        options: PlatformOptions,
        store: Store,
        clock: Clock,
        rng: Random,
        *,
        digest: str,
        logger: logging.Logger,
    ) -> None:
        self.options = options
        self.store = store
        self.clock = clock
        self.logger = logger
        self.directory = Directory(store)
        cost = HashCost(memory_kib=options.token_memory_kib, passes=options.token_passes)
        self.authenticator = Authenticator(self.directory, TokenHasher(cost), clock)
        self.book = QuotaBook(clock)
        self.order = FairOrder(
            clock,
            weight_of=self._weight_of,
            holds=None if options.shared else self.book,
            batch_bound=options.batch_bound,
            predict=options.predict_output,
        )
        self.book.on_fall(self.order.usage_fell)
        gate = GateOptions(fill=options.fill, headroom=options.headroom, slots=options.slots)
        bounds = CapacityOptions(
            queue=options.queue, first_token_limit=options.first_token_limit, gate=gate
        )
        self.capacity = Capacity(clock, self.order, bounds)
        self.targets = TargetBook(clock)
        self.ledger = Ledger(
            store, clock, rng, gateway=options.gateway, digest=digest, logger=logger
        )
        self.admission = Admission(self)
        self.charges: dict[str, PlatformCharge] = {}
        self.counts = Counts()
        self.resumable: Sequence[Resumable] = ()
        self._resumed: set[str] = set()

    def _weight_of(self, tenant_id: str) -> float:
        tenant = self.directory.view.tenants.get(tenant_id)
        return 1.0 if tenant is None else tenant.weight

    # ---- requests ----------------------------------------------------------------------------

    def admitted(self, charge: PlatformCharge) -> None:
        """Note a request that is admitted."""
        self.charges.setdefault(charge.entry.job_id, charge)
        self._resumed.discard(charge.entry.job_id)

    def gone(self, charge: PlatformCharge) -> None:
        """Note that a charge has ended; of a dry run nothing more is heard."""
        if not charge.told and self.charges.get(charge.entry.job_id) is charge:
            del self.charges[charge.entry.job_id]

    def resume(self, job_id: str) -> None:
        """Note a job that was admitted before a restart: no check refuses it now."""
        self._resumed.add(job_id)

    def was_admitted(self, job_id: str) -> bool:
        """Return whether a job was admitted before a restart, and was not since."""
        return job_id in self._resumed

    def heard(self, event: RequestEvent) -> None:
        """Take a step of a request's life."""
        charge = self.charges.get(event.job_id)
        if charge is None:
            return
        if event.kind == "admitted":
            charge.told = True
            self.counts.admitted[charge.priority] += 1
        elif event.kind == "first_token":
            self.capacity.first_token(event.job_id)
        elif event.kind == "outcome" and event.outcome is not None:
            del self.charges[event.job_id]
            self.counts.outcomes[event.outcome.kind] += 1
            self.targets.note(charge.tenant, charge.priority, event.outcome)

    # ---- in the background -------------------------------------------------------------------

    async def sign_of_life(self) -> None:
        """Look after what is durable: ends that failed, what came so far, the lease."""
        self.ledger.look()
        for charge in self.charges.values():
            charge.note_progress()
        options = self.options
        try:
            await self.store.heartbeat(
                options.gateway, self.clock.now(), lease=options.lease_seconds
            )
        except SchedulerError as problem:
            self.ledger.failed(problem)
        else:
            self.ledger.recovered()
