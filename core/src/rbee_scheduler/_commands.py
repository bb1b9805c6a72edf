"""Commands to a pool manager: what a policy may ask for beyond choosing a worker."""

from __future__ import annotations

from typing import Literal

import attrs


__all__ = ["PoolCommand"]


@attrs.frozen(kw_only=True)
class PoolCommand:
    """Start a worker in a pool, or evict one.

    Attributes:
        kind: ``"start_worker"`` or ``"evict_worker"``.
        pool_id: Where to start it.
        gpu_id: On which GPU to start it.
        model_ref: What to load.
        worker_id: Which one to evict.
        reason: Why, for logs and the audit trail.
    """

    kind: Literal["start_worker", "evict_worker"]
    pool_id: str = ""
    gpu_id: str = ""
    model_ref: str = ""
    worker_id: str = ""
    reason: str = ""
