"""`SimpleScheduler`: the scheduler of the original's first milestone, in one call."""

from __future__ import annotations

from typing import Any

from rbee_scheduler import PluginConfig, Scheduler, WorkerRegistry


__all__ = ["SimpleScheduler"]


class SimpleScheduler(Scheduler):
    """A scheduler with the ``simple`` strategy alone.

    ``SimpleScheduler(registry)`` is ``Scheduler(registry, ["simple"])``.

    Args:
        registry: The workers.
        **options: Passed on to `Scheduler`.
    """

    def __init__(self, registry: WorkerRegistry, **options: Any) -> None:
        super().__init__(registry, [PluginConfig(name="simple")], **options)
