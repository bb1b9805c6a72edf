"""Placement: decide and reserve in one step.

Choosing and reserving happen without a pause in between, so that a burst of requests sees
each other's reservations and spreads.
"""

from __future__ import annotations

from rbee_scheduler._decision import Decision
from rbee_scheduler._life import RequestLife
from rbee_scheduler._observe import Observer
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Chain
from rbee_scheduler._queue import JobQueue
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._request import InferenceRequest
from rbee_scheduler._reservation import Reservation
from rbee_scheduler._settings import SchedulerConfig
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._surroundings import Surroundings
from rbee_scheduler._trace import Trace


__all__ = ["Placement"]

SEED_MIX = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: seeds of neighbouring turns differ widely


class Placement:
    """Finds workers for requests.

    Args:
        registry: The workers.
        config: The settings.
        fallback: The strategy that decides when a plugin fails.
        observer: Who is told.
    """

    __slots__ = (
        "_config", "_fallback", "_observer", "_registry", "queue", "surroundings", "turns",
    )  # fmt: skip

    def __init__(
        self,
        registry: WorkerRegistry,
        config: SchedulerConfig,
        fallback: Chain | None,
        observer: Observer,
    ) -> None:
        self._registry = registry
        self._config = config
        self._fallback = fallback
        self._observer = observer
        self.queue = JobQueue(config.queue.capacity)
        self.surroundings = Surroundings(jobs=self._waiting, config=config)
        self.turns = 0

    def snapshot(self, *, peek: bool = False) -> Snapshot:
        """Return the snapshot of the next decision, with its turn and its seed.

        Args:
            peek: Whether the turn is left for the decision that follows.
        """
        turn = self.turns
        if not peek:
            self.turns = turn + 1
        seed = (self._config.seed + turn) * SEED_MIX & 0xFFFF_FFFF_FFFF_FFFF
        return self._registry.snapshot(turn=turn, seed=seed, surroundings=self.surroundings)

    def _waiting(self) -> list[InferenceRequest]:
        return [job.life.request for job in self.queue.jobs()]

    def decide(
        self, life: RequestLife, snapshot: Snapshot | None = None, trace: Trace | None = None
    ) -> Decision:
        """Return the decision for a request, without acting on it."""
        snapshot = snapshot or self.snapshot()
        decision = decide(
            life.request,
            snapshot,
            life.chain,
            fallback=self._fallback,
            exclude=life.tried,
            on_failure=self._observer.plugin_failed,
            trace=trace,
        )
        life.decision = decision
        if decision.commands and trace is None:
            life.post(decision.commands, snapshot)
        return decision

    def place(self, life: RequestLife) -> Reservation | Decision:
        """Reserve the best worker now; or return why the request must wait.

        Raises:
            SchedulerError: It can't be served, now or by waiting.
        """
        decision = self.decide(life)
        if decision.worker is not None:
            reservation = self._registry.reserve(decision.worker.id)
            if reservation is not None:
                return reservation
        if decision.error is not None:
            raise decision.error
        return decision

    def place_on(self, life: RequestLife, worker_id: str) -> Reservation | Decision:
        """Reserve the worker that was chosen before; any other when it is not free now."""
        worker = self._registry.snapshot().worker(worker_id)
        if worker is not None and worker.serves(life.request.model):
            reservation = self._registry.reserve(worker_id)
            if reservation is not None:
                life.decision = Decision("dispatch", life.chain.strategy, worker=worker)
                return reservation
        return self.place(life)
