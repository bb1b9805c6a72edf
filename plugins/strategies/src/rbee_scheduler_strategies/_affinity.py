"""Session affinity: one session, one worker, as long as that worker is not overloaded.

Theory of operation. Each pair of session and worker has a rank, a number that depends on
nothing else. A session belongs to the worker with the highest rank among the candidates
(rendezvous hashing; Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998).
When a worker leaves, only its own sessions move, and they spread over all others; when one
comes, it takes its share from all of them. There is no table to keep, and schedulers that
know nothing of each other agree.

With ``s`` and ``w`` 64-bit digests of session and worker, the rank is that paper's, with 64
bits instead of 31, weighted by slots as in Schindelhauer and Schomaker (SPAA 2005)::

    u = (A * (s ^ w)) mod 2**64         rank = ln((u + 1) / 2**64) / slots

A session whose worker has more than its share goes to the next one in the order of ranks
(consistent hashing with bounded loads; Mirrokni, Thorup and Zadimoghaddam,
arXiv:1608.01350, 2016). With ``m`` requests running on all candidates, a worker is passed
over unless::

    running < load_factor * (m + 1) * slots / (slots of all candidates)

That bounds every worker at the next whole number, ``ceil(load_factor * ...)``, and somebody
always has room, because the right sides sum up to ``m + 1`` or more.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from hashlib import blake2b
from math import log

from rbee_scheduler import InferenceRequest, Snapshot, Worker, hookimpl
from rbee_scheduler_strategies._least import LeastInFlight
from rbee_scheduler_strategies._turns import NAMED


__all__ = ["SessionAffinity"]

_U64 = 0xFFFF_FFFF_FFFF_FFFF
_LN_2_64 = 64 * log(2)

# An odd multiplier with a good spectrum for 64 bits (Steele and Vigna, "Computationally easy,
# spectrally good multipliers", 2022): the paper's own one is for 31 bits.
_A = 0xD134_2543_DE82_EF95

# Slots of a worker of unknown ones; the registry reckons loads with the same number.
NOMINAL_SLOTS = 8


class _Digests(dict[str, int]):
    """Worker id -> digest, each made once; the hash takes 1 us, which 1,000 candidates feel."""

    LIMIT = 200_000  # twice the largest fleet measured; ids of containers come without end

    def __missing__(self, worker_id: str) -> int:
        if len(self) >= self.LIMIT:
            self.clear()
        digest = self[worker_id] = _digest(worker_id)
        return digest


class SessionAffinity:
    """``session-affinity``: requests of one session go to one worker, whose cache is warm.

    Requests without a session go to the least loaded worker, as with `LeastInFlight`.

    Args:
        load_factor: How far above its share of the load a worker may go, 1 or more. Lower is
            more even, higher is more faithful.

    Example:
        >>> from rbee_scheduler import InferenceRequest
        >>> from rbee_scheduler.testing import fleet, free_workers
        >>> workers = free_workers(3)
        >>> ask = InferenceRequest(job_id="j", model="m", prompt="Hi", session_id="chat-7")
        >>> order = SessionAffinity().rbee_select_worker(ask, workers, fleet(workers, turn=1))
        >>> order == SessionAffinity().rbee_select_worker(ask, workers, fleet(workers, turn=2))
        True
    """

    __slots__ = ("_digests", "_load_factor", "_without")

    def __init__(self, load_factor: float = 1.25) -> None:
        self._load_factor = load_factor
        self._digests = _Digests()
        self._without = LeastInFlight()

    @hookimpl
    def rbee_select_worker(
        self, request: InferenceRequest, candidates: Sequence[Worker], snapshot: Snapshot
    ) -> list[str]:
        """Return the session's worker, and those it would go to next as fall-backs."""
        session = request.session_id
        if not session:
            return self._without.rbee_select_worker(candidates, snapshot)
        ranked = self._ranked(_digest(session), candidates)
        if not ranked:  # counts so large that the bound is lost in rounding
            return self._without.rbee_select_worker(candidates, snapshot)
        return [worker_id for _, worker_id in heapq.nlargest(NAMED, ranked)]

    def _ranked(self, session: int, candidates: Sequence[Worker]) -> list[tuple[float, str]]:
        """Return rank and id of the candidates that are under the bound."""
        slots = [worker.slots or NOMINAL_SLOTS for worker in candidates]
        running = [worker.running for worker in candidates]
        bound = self._load_factor * (sum(running) + 1) / sum(slots)
        digests = self._digests
        return [
            ((log((_A * (session ^ digests[worker.id]) & _U64) + 1) - _LN_2_64) / own, worker.id)
            for worker, own, busy in zip(candidates, slots, running, strict=True)
            if busy < bound * own
        ]


def _digest(name: str) -> int:
    # Not hash(): Python salts that of texts, and every process would have its own order.
    raw = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little")
