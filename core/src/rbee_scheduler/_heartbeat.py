"""Heartbeats: what hives and workers say of themselves."""

from __future__ import annotations

from typing import Any

import attrs

from rbee_scheduler._errors import ConfigError
from rbee_scheduler._pool import POOL_STATUSES, Gpu
from rbee_scheduler._validate import as_tuple, listed, non_empty, number, one_of
from rbee_scheduler._worker import Worker


__all__ = ["HiveHeartbeat", "WorkerHeartbeat"]


def _each_once(_: Any, __: Any, workers: tuple[Worker, ...]) -> None:
    seen: set[str] = set()
    for index, worker in enumerate(workers):
        if worker.id in seen:
            raise ConfigError(
                f"the worker {worker.id!r} is there twice",
                place=f"$.workers[{index}].id",
                hint="give each worker an id of its own",
            )
        seen.add(worker.id)


@attrs.frozen(kw_only=True)
class HiveHeartbeat:
    """A hive's heartbeat (POST /v1/hive-heartbeat): all of its workers, each second.

    Attributes:
        hive_id: The pool.
        timestamp: Wall-clock ms at the sender; on the wire also ISO 8601.
        workers: Every worker it runs, each once; one that is missing has left.
        endpoint: Base URL of its agent.
        status: Its own opinion of its health.
        region: Where it stands.
        gpus: Its GPUs.
        cached_models: Models that need no download there.
    """

    hive_id: str = attrs.field(validator=non_empty)
    timestamp: float = attrs.field(validator=number(at_least=0))
    workers: tuple[Worker, ...] = attrs.field(
        default=(), converter=as_tuple, validator=[listed(Worker, "workers"), _each_once]
    )
    endpoint: str = ""
    status: str = attrs.field(default="healthy", validator=one_of(POOL_STATUSES))
    region: str = ""
    gpus: tuple[Gpu, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(Gpu, "GPUs")
    )
    cached_models: tuple[str, ...] = attrs.field(
        default=(), converter=as_tuple, validator=listed(str, "model names")
    )


@attrs.frozen(kw_only=True)
class WorkerHeartbeat:
    """A worker's own heartbeat (POST /v1/worker-heartbeat), every 30 s.

    Attributes:
        worker: The worker as it sees itself.
        timestamp: Wall-clock ms at the sender; on the wire also ISO 8601.
    """

    worker: Worker
    timestamp: float = attrs.field(validator=number(at_least=0))
