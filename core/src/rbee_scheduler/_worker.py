"""The worker: one inference server, as the scheduler knows it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._request import Geo
from rbee_scheduler._validate import as_tuple, integer, listed, non_empty, number, one_of, shown


__all__ = ["PROTOCOLS", "STATUSES", "Worker", "id_of"]

STATUSES = ("starting", "ready", "busy", "stopped", "failed")
PROTOCOLS = ("openai", "queen")


def _base_url(url: Any) -> Any:
    return url.rstrip("/") if isinstance(url, str) else url


def _address(url: Any) -> tuple[str, int]:
    """Return host and port of a base URL; no host when it is none."""
    return _parsed(url) if isinstance(url, str) else ("", 0)


@lru_cache(maxsize=4096)
def _parsed(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        return "", 0
    if (
        parts.scheme not in {"http", "https"}
        or parts.query
        or parts.fragment
        or any(character <= " " for character in url)
    ):
        return "", 0
    return parts.hostname or "", port or (443 if parts.scheme == "https" else 80)


def _has_address(_: Any, __: Any, url: Any) -> None:
    if not _address(url)[0]:
        raise ConfigError(
            f"url is {shown(url)}",
            place="$.url",
            hint="it must be the base URL of the server, such as http://127.0.0.1:8080",
        )


def _vram_free(worker: Worker) -> float:
    try:
        return max(0.0, worker.total_vram_mb - worker.vram_mb)
    except (TypeError, OverflowError):
        return 0.0  # the checks of these two say what is wrong


# A record without __slots__: a reservation changes four of its 47 fields on every request,
# and copying a __dict__ takes 0.5 us where as many slots take 3.2 us (CPython 3.11).
@attrs.frozen(kw_only=True, slots=False, eq=True, hash=False)
class Worker:
    """One inference server; immutable.

    The registry publishes a new record whenever something changes. `running`, `load` and
    `in_flight` it keeps current itself, from its own count of requests in flight.

    Attributes:
        id: Unique name; of the form ``group-instance`` in the original system.
        url: Base URL, ``http://host:port``; without a slash at the end.
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
        load: 0 (idle) to 1 (full): `running` over `slots` where slots are known. What a
            worker reports beyond 1 counts as 1.
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

    Raises:
        ConfigError: A value is out of range; the error names it.

    Example:
        >>> worker = Worker(id="gpu-1", url="http://10.0.0.7:8080", model="llama-3-8b")
        >>> worker.host, worker.port, worker.available
        ('10.0.0.7', 8080, True)
    """

    id: str = attrs.field(validator=non_empty)
    url: str = attrs.field(converter=_base_url, validator=_has_address)
    model: str = ""
    models: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "model names")
    )
    pool_id: str = ""
    device: str = "cpu"
    backend: str = "cpu"
    implementation: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = attrs.field(
        default=("text-gen",), converter=as_tuple, validator=listed(str, "task types")
    )
    protocol: str = attrs.field(default="openai", validator=one_of(PROTOCOLS))
    status: str = attrs.field(default="ready", validator=one_of(STATUSES))
    online: bool = True
    gpus: int = attrs.field(default=0, validator=integer(at_least=0))
    gpu_ids: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "GPU names")
    )
    cost_per_token: float = attrs.field(default=0.0, validator=number(at_least=0))
    geo: Geo | None = None
    estimated_time: float | None = attrs.field(
        default=None, validator=number(at_least=0, optional=True)
    )
    load: float = attrs.field(default=0.0, validator=number(at_least=0))
    running: int = attrs.field(default=0, validator=integer(at_least=0))
    waiting: int = attrs.field(default=0, validator=integer(at_least=0))
    in_flight: int = attrs.field(default=0, validator=integer(at_least=0))
    slots: int | None = attrs.field(default=None, validator=integer(at_least=1, optional=True))
    pid: int | None = attrs.field(default=None, validator=integer(at_least=0, optional=True))
    group: str = ""
    instance: str = ""
    cpu_pct: float = attrs.field(default=0.0, validator=number(at_least=0))
    rss_mb: float = attrs.field(default=0.0, validator=number(at_least=0))
    io_r_mb_s: float = attrs.field(default=0.0, validator=number(at_least=0))
    io_w_mb_s: float = attrs.field(default=0.0, validator=number(at_least=0))
    uptime_s: float = attrs.field(default=0.0, validator=number(at_least=0))
    gpu_util_pct: float = attrs.field(default=0.0, validator=number(at_least=0))
    vram_mb: float = attrs.field(default=0.0, validator=number(at_least=0))
    total_vram_mb: float = attrs.field(default=0.0, validator=number(at_least=0))
    vram_free_mb: float = attrs.field(
        default=attrs.Factory(_vram_free, takes_self=True), validator=number(at_least=0)
    )
    jobs_completed: int = attrs.field(default=0, validator=integer(at_least=0))
    avg_tokens_per_sec: float = attrs.field(default=0.0, validator=number(at_least=0))
    current_job_id: str | None = None
    last_used_at: float = attrs.field(default=0.0, validator=number(at_least=0))
    labels: Mapping[str, str] = attrs.field(factory=dict)
    host: str = attrs.field(default=attrs.Factory(lambda it: _address(it.url)[0], takes_self=True))
    port: int = attrs.field(default=attrs.Factory(lambda it: _address(it.url)[1], takes_self=True))

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

    def __hash__(self) -> int:
        return hash(self.id)  # equal workers have equal ids; hashing all fields would cost 3 us

    def serves(self, model: str) -> bool:
        """Whether it can serve ``model``."""
        return model in self.models

    def changed(self, **changes: Any) -> Worker:
        """Return a copy with ``changes``, unchecked: for values that are known to be sound.

        Costs 0.6 us where `revised`, which checks all fields again, costs 18.
        """
        copy = object.__new__(Worker)
        object.__setattr__(copy, "__dict__", self.__dict__ | changes)
        return copy

    def revised(self, **changes: Any) -> Worker:
        """Return a copy with ``changes``, checked; what derives from them follows.

        Unlike `attrs.evolve`, which takes what was derived from the old values for given.

        Raises:
            ConfigError: A value is out of range, or there is no such field.
        """
        fields = {name: getattr(self, name) for name in _FIELDS}
        if unknown := sorted(changes.keys() - fields.keys()):
            raise ConfigError(f"a worker has no field {unknown[0]!r}", place=f"$.{unknown[0]}")
        if "url" in changes:
            del fields["host"], fields["port"]
        if changes.keys() & {"vram_mb", "total_vram_mb"}:
            del fields["vram_free_mb"]
        if "model" in changes and self.models == (self.model,):
            del fields["models"]  # it was loaded and listed nowhere else
        return Worker(**{**fields, **changes})


_FIELDS = tuple(field.name for field in attrs.fields(Worker))


def id_of(url: str) -> str:
    """Return the id of a worker of which only the base URL is known.

    Example:
        >>> id_of("http://user:password@10.0.0.7:8080/llama/")
        '10.0.0.7:8080/llama'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # for `Worker` to refuse
    return parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
