"""First available: no load balancing, no state, the same cost for any fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbee_scheduler import Worker, hookimpl


__all__ = ["SimpleStrategy", "rbee_register_strategies"]

# As many as a request makes attempts by default; core looks at no more.
NAMED = 5


class SimpleStrategy:
    """The first available worker, in the order in which workers registered.

    The candidates are the free workers of the model: online, ready, with a slot left.
    """

    @hookimpl
    def rbee_select_worker(self, candidates: Sequence[Worker]) -> list[str]:
        """Return the first candidate, and the next ones as fall-backs."""
        return [worker.id for worker in candidates[:NAMED]]


@hookimpl
def rbee_register_strategies() -> Mapping[str, object]:
    """Register the strategy ``simple``."""
    return {"simple": SimpleStrategy()}
