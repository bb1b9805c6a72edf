"""The gate: a worker is given no more than it can run, so that the backlog stays with us.

Fairness holds only as far as the queue is ours: what waits inside a worker is served in the
order in which it came. So a worker is open while the tokens in flight there (prompts, and the
output expected of them) are below its room in the KV cache, and its slots are not used up.
A gate that ignored outputs made a simulated worker preempt 6,331 times, this one never.

**Headroom.** The tenant that is next in the fair order may use the part above `fill`, as long
as it has less than its share of the worker's tokens. It need not wait for others to finish,
whose answers may be long: that is what keeps its first token early while another tenant floods.
It must be next: else tenants with short answers keep the worker above `fill`, and one with long
answers, who is next all the time, never gets in (simulated: a gap in service of 279,162, not 546).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from rbee_scheduler import InferenceRequest, Snapshot, Wait, Worker
from rbee_scheduler_platform._capacity._in_flight import InFlight


__all__ = ["KV_LABEL", "DispatchGate", "GateOptions"]

# A worker's label with the tokens its KV cache holds (vLLM logs "GPU KV cache size: N tokens").
KV_LABEL = "kv_tokens"


@attrs.frozen(kw_only=True)
class GateOptions:
    """How full a worker may be.

    Attributes:
        fill: Part of a worker's KV cache that is given out.
        headroom: Part of the cache on top of `fill` for who is next and below its share.
        slots: Slots of a worker that says neither its slots nor its KV cache. Without any bound
            the backlog would move into it.
    """

    fill: float = 0.85
    headroom: float = 0.15
    slots: int = 16


class Turns(Protocol):
    """What the gate asks of the fair order."""

    def is_next(self, request: InferenceRequest) -> bool:
        """Return whether no tenant that waits had less service than this one."""
        ...

    def is_held(self, request: InferenceRequest) -> bool:
        """Return whether a quota holds it back now."""
        ...

    def share_of(self, tenant_id: str) -> float:
        """Return a tenant's part (0 to 1) of the weights of all tenants that have requests."""
        ...


class DispatchGate:
    """Says which workers have room for a request.

    Args:
        flights: What is in flight.
        order: Knows who is next, and what share each tenant has.
        options: How full a worker may be.
    """

    def __init__(
        self,
        flights: InFlight,
        order: Turns,
        options: GateOptions | None = None,
    ) -> None:
        self._flights = flights
        self._order = order
        self._options = options or GateOptions()

    def filter_workers(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> Mapping[str, str]:
        """Return the candidates that are full, and why: a hard filter's answer.

        When it drops all of them, the request must wait, and not be refused: room comes back.
        """
        share = (
            self._order.share_of(request.tenant_id or "") if self._order.is_next(request) else 0.0
        )
        return {
            worker.id: reason
            for worker in candidates
            if (reason := self._full(worker, request, share, snapshot))
        }

    def select_worker(
        self,
        request: InferenceRequest,
        candidates: Sequence[Worker],
        scores: Mapping[str, float],
        snapshot: Snapshot,
    ) -> list[str] | Wait:
        """Return the candidates that have room, best first; or let the request wait.

        Best is who has the best score; of equals, who has the fewest tokens in flight for its
        KV cache: the load signal that serves nearly twice as much as counting requests does.
        """
        if self._order.is_held(request):
            return Wait("a quota of its tenant holds it back")
        full = self.filter_workers(request, candidates, snapshot)
        if len(full) == len(candidates):
            return Wait(f"all {len(full)} free workers have as much as they can run")
        return [
            worker.id
            for worker in sorted(
                (worker for worker in candidates if worker.id not in full),
                key=lambda worker: (
                    -scores.get(worker.id, 0.0),
                    self._used(worker, request) / (kv_tokens(worker, snapshot) or 1.0),
                ),
            )
        ]

    def _used(self, worker: Worker, request: InferenceRequest) -> float:
        """Return the tokens in flight on a worker, with those nobody has told us of.

        Jobs that were given the worker in this very moment (their `rbee_reserve` comes when
        they run on), and other gateways' requests: known by their number only, and taken to be
        as large as the others there. One that has ended counts until we are told.
        """
        tokens, known = self._flights.tokens(worker.id), self._flights.requests(worker.id)
        unknown = worker.running - known
        if unknown > 0:
            tokens += unknown * (tokens / known if known else self._flights.estimate(request))
        return tokens

    def _full(
        self, worker: Worker, request: InferenceRequest, share: float, snapshot: Snapshot
    ) -> str:
        """Return why a worker has no room, or nothing."""
        flights, options = self._flights, self._options
        if worker.slots is not None and worker.running >= worker.slots:
            return f"all {worker.slots} slots are used"
        kv = kv_tokens(worker, snapshot)
        if kv is None:
            here = max(worker.running, flights.requests(worker.id))
            if worker.slots is None and here >= options.slots:
                return f"{options.slots} requests run there, and it names neither slots nor cache"
            return ""
        used = self._used(worker, request)
        room = kv * options.fill
        if used < room:
            return ""
        if (
            used < room + kv * options.headroom
            and flights.tokens_of(worker.id, request.tenant_id or "") < room * share
        ):
            return ""
        return f"{used:.0f} tokens are in flight, of {room:.0f}"


def kv_tokens(worker: Worker, snapshot: Snapshot) -> float | None:
    """Return how many tokens a worker's KV cache holds, or None.

    Its label ``kv_tokens``; else its slots times the model's context length (what llama.cpp
    sets aside); else nobody knows.
    """
    label = worker.labels.get(KV_LABEL, "")
    if label.isdecimal() and int(label):
        return float(label)
    if worker.slots:
        model = snapshot.catalog.get(worker.model)
        if model is not None and model.context_length:
            return float(worker.slots * model.context_length)
    return None
