"""The pool (a hive): one host, its GPUs and the models in its cache."""

from __future__ import annotations

from typing import Any

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._validate import as_tuple, non_empty, number


__all__ = ["POOL_STATUSES", "Gpu", "Pool"]

POOL_STATUSES = ("healthy", "degraded", "offline")


def _known_status(_: Any, attribute: Any, value: Any) -> None:
    if value not in POOL_STATUSES:
        raise ConfigError(
            f"{attribute.name} is {value!r}",
            place=f"$.{attribute.name}",
            hint=f"it must be one of {', '.join(POOL_STATUSES)}",
        )


@attrs.frozen(kw_only=True)
class Gpu:
    """One GPU of a pool; memory in bytes, power in watts, temperature in Celsius."""

    id: str = attrs.field(validator=non_empty)
    device_name: str = ""
    compute_capability: str = ""
    vram_total_bytes: int = attrs.field(default=0, validator=number(at_least=0))
    vram_allocated_bytes: int = attrs.field(default=0, validator=number(at_least=0))
    vram_free_bytes: int = attrs.field()
    utilization_percent: float = 0.0
    temperature_celsius: float = 0.0
    power_draw_watts: float = 0.0
    supports_fp16: bool = False
    supports_int8: bool = False
    supports_tensor_cores: bool = False

    @vram_free_bytes.default
    def _derive_free(self) -> int:
        return max(0, self.vram_total_bytes - self.vram_allocated_bytes)


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
    status: str = attrs.field(default="healthy", validator=_known_status)
    last_heartbeat_ms: float = 0.0
    region: str = ""
    gpus: tuple[Gpu, ...] = attrs.field(default=(), converter=as_tuple)
    worker_ids: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    cached_models: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)

    def heartbeat_age_ms(self, now: float) -> float:
        """Return how many ms ago the pool was last heard of at ``now`` (wall-clock ms)."""
        return max(0.0, now - self.last_heartbeat_ms)
