"""The pool (a hive): one host, its GPUs and the models in its cache."""

from __future__ import annotations

import attrs

from rbee_scheduler._validate import as_tuple, integer, listed, non_empty, number, one_of


__all__ = ["POOL_STATUSES", "Gpu", "Pool"]

POOL_STATUSES = ("healthy", "degraded", "offline")


def _vram_free(gpu: Gpu) -> int:
    try:
        return max(0, gpu.vram_total_bytes - gpu.vram_allocated_bytes)
    except TypeError:
        return 0  # the checks of these two say what is wrong


@attrs.frozen(kw_only=True)
class Gpu:
    """One GPU of a pool; memory in bytes, power in watts, temperature in Celsius."""

    id: str = attrs.field(validator=non_empty)
    device_name: str = ""
    compute_capability: str = ""
    vram_total_bytes: int = attrs.field(default=0, validator=integer(at_least=0))
    vram_allocated_bytes: int = attrs.field(default=0, validator=integer(at_least=0))
    vram_free_bytes: int = attrs.field(
        default=attrs.Factory(_vram_free, takes_self=True), validator=integer(at_least=0)
    )
    utilization_percent: float = attrs.field(default=0.0, validator=number(at_least=0))
    temperature_celsius: float = attrs.field(default=0.0, validator=number())
    power_draw_watts: float = attrs.field(default=0.0, validator=number(at_least=0))
    supports_fp16: bool = False
    supports_int8: bool = False
    supports_tensor_cores: bool = False


@attrs.frozen(kw_only=True)
class Pool:
    """One host with its GPUs; its workers are found through the snapshot.

    Attributes:
        id: Unique name of the pool (the original's ``hive_id``).
        endpoint: Base URL of its agent, where there is one.
        status: ``"healthy"``, ``"degraded"`` or ``"offline"``.
        last_heartbeat_ms: Wall-clock ms of the last heartbeat; 0: none yet.
        region: Where it stands.
        gpus: Its GPUs.
        worker_ids: Its workers, in the order in which they registered.
        cached_models: Models that need no download there.
    """

    id: str = attrs.field(validator=non_empty)
    endpoint: str = ""
    status: str = attrs.field(default="healthy", validator=one_of(POOL_STATUSES))
    last_heartbeat_ms: float = attrs.field(default=0.0, validator=number(at_least=0))
    region: str = ""
    gpus: tuple[Gpu, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(Gpu, "GPUs")
    )
    worker_ids: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "worker ids")
    )
    cached_models: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "model names")
    )

    def heartbeat_age_ms(self, now: float) -> float:
        """Return how many ms ago the pool was last heard of at ``now`` (wall-clock ms)."""
        return max(0.0, now - self.last_heartbeat_ms)
