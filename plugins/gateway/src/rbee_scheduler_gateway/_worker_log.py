"""The log of workers: who came, went, and can't be used; never of their load."""

from __future__ import annotations

import logging

from rbee_scheduler import WorkerEvent, WorkerRegistry


__all__ = ["WorkerLog"]


class WorkerLog:
    """Writes a line for each worker that comes, leaves, or is lost and found.

    Args:
        registry: The workers.
        logger: Where the lines go.

    Example::

        gateway.registry.subscribe(WorkerLog(gateway.registry, gateway.logger))
    """

    def __init__(self, registry: WorkerRegistry, logger: logging.Logger) -> None:
        self._registry = registry
        self._logger = logger
        self._usable = {worker.id: worker.usable for worker in registry.snapshot().workers()}

    def __call__(self, event: WorkerEvent) -> None:
        before = self._usable.pop(event.worker_id, None)
        worker = None if event.kind == "left" else self._registry.snapshot().worker(event.worker_id)
        if worker is None:
            self._write(logging.INFO, "left", event)
            return
        self._usable[worker.id] = worker.usable
        if before is None:
            self._write(logging.INFO, "came", event)
        elif before and not worker.usable:
            self._write(logging.WARNING, "can't be used", event)
        elif worker.usable and not before:
            self._write(logging.INFO, "can be used", event)

    def _write(self, level: int, words: str, event: WorkerEvent) -> None:
        why = f": {event.reason}" if event.reason else ""
        extra = {"worker": event.worker_id}
        self._logger.log(level, "worker %s %s%s", event.worker_id, words, why, extra=extra)
