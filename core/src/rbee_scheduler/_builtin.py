"""Core's own strategy, registered the way any plugin registers its own."""

from __future__ import annotations

from collections.abc import Mapping

from rbee_scheduler._hookspecs import hookimpl


__all__ = ["BEST_SCORE", "FIRST_AVAILABLE", "rbee_register_strategies"]

BEST_SCORE = "best-score"

# Shown as the strategy of a decision that core made alone, because a plugin failed and
# the deployment names no fall-back of its own: candidates in registration order.
FIRST_AVAILABLE = "first-available"


class BestScore:
    """No hooks of its own: the best scored candidate, the earliest registered of equals."""


@hookimpl
def rbee_register_strategies() -> Mapping[str, object]:
    """Return core's strategies by name."""
    return {BEST_SCORE: BestScore()}
