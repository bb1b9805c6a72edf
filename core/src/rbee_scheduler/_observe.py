"""Watching: events to plugins and to the log, and a count of everything that failed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from rbee_scheduler._errors import PluginError
from rbee_scheduler._events import RequestEvent, WorkerEvent
from rbee_scheduler._listeners import Listeners
from rbee_scheduler._outcome import Outcome
from rbee_scheduler._plugins import Call, Chain
from rbee_scheduler._snapshot import Snapshot


__all__ = ["Observer", "SchedulerStatistics"]


@attrs.frozen(kw_only=True)
class SchedulerStatistics:
    """What a scheduler has done so far.

    Attributes:
        decisions: Decisions made, dry runs included.
        active: Requests admitted and not ended.
        queued: Jobs that wait now.
        outcomes: Number of outcomes by kind.
        retries: Tries after the first one.
        plugin_failures: Number of failures by (plugin, hook).
    """

    decisions: int
    active: int
    queued: int
    outcomes: Mapping[str, int]
    retries: int
    plugin_failures: Mapping[tuple[str, str], int]


class Observer:
    """Tells plugins and the log what happens, and counts it; never raises.

    Args:
        logger: Where warnings go; prompts never do.

    Attributes:
        listeners: Who is told of each step of each request's life.
        outcomes: Number of outcomes by kind.
        plugin_failures: Number of failures by (plugin, hook).
        retries: Tries after the first one.
    """

    __slots__ = ("listeners", "logger", "outcomes", "plugin_failures", "retries")

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.outcomes: Counter[str] = Counter()
        self.plugin_failures: Counter[tuple[str, str]] = Counter()
        self.retries = 0
        self.listeners: Listeners[RequestEvent] = Listeners()

    def plugin_failed(self, error: PluginError) -> None:
        """Count a plugin's failure; log the first with its traceback, then each doubling.

        One that fails at every decision would fill the log.
        """
        key = (error.plugin, error.hook)
        self.plugin_failures[key] += 1
        count = self.plugin_failures[key]
        if count == 1:
            self.logger.warning("%s", error, exc_info=error.__cause__)
        elif count & (count - 1) == 0:
            self.logger.warning("%s [failed %d times so far]", error, count)

    def count(self, kind: str, outcome: Outcome | None) -> None:
        """Count a step in a request's life."""
        if outcome is not None:
            self.outcomes[outcome.kind] += 1
        elif kind == "retry":
            self.retries += 1

    def listen(self, listener: Callable[[RequestEvent], None]) -> Callable[[], None]:
        """Tell ``listener`` of each step of each request's life; return what ends that."""
        name = getattr(listener, "__qualname__", type(listener).__qualname__)
        call = Call(listener, plugin=name, source=listener.__module__, hook="Scheduler.subscribe")
        return self.listeners.add(lambda event: self._tell((call,), event))

    def request_event(self, event: RequestEvent, chain: Chain) -> None:
        """Tell plugins and listeners of a step in a request's life."""
        self._tell(chain.on_event, event)
        self.listeners.tell(event)

    def worker_event(self, event: WorkerEvent, snapshot: Snapshot, chain: Chain) -> None:
        """Tell plugins of a worker that came, changed or left."""
        self.logger.info("worker %s: %s %s", event.worker_id, event.kind, event.reason)
        self._tell(chain.worker_event, event, snapshot)

    def _tell(self, calls: tuple[Call, ...], *arguments: Any) -> None:
        for call in calls:
            try:
                call.function(*arguments)
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                self.plugin_failed(call.failure(problem))
