"""Watching: keep workers that send no heartbeats fresh by probing them.

Probes refine what the scheduler knows, and its own count of requests in flight comes
first. A probe and a request may cross, so that one of our own looks like somebody else's;
a load that is not ours therefore counts when two probes in a row have seen it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import anyio
import attrs

from rbee_scheduler._events import WorkerEvent
from rbee_scheduler._findings import Findings
from rbee_scheduler._probe import PATHS, probe
from rbee_scheduler._registry import WorkerRegistry
from rbee_scheduler._transport import Transport
from rbee_scheduler._worker import Worker


__all__ = ["Watch", "watch_workers"]

# Probes of different workers under way at once; more would be a burst of connections.
AT_ONCE = 32

# Rounds in which a worker may keep silent before it counts as gone. One that refuses
# connections is gone at once, but one that computes may be slow to answer.
SILENT_ROUNDS = 3

# Share of the interval that is random, so that several schedulers don't probe in step.
JITTER = 0.2


@attrs.define(kw_only=True)
class _Seen:
    """What the watch remembers of a worker.

    Attributes:
        configured: The worker as it was when the watch first saw it.
        paths: What to ask it; what it does not have is asked again when it comes back.
        foreign: Requests that are not ours, as the last probe saw them.
        silent: Rounds in a row in which it kept silent.
        down: Whether it was found to be gone.
    """

    configured: Worker
    paths: tuple[str, ...] = PATHS
    foreign: int | None = None
    silent: int = 0
    down: bool = False


class Watch:
    """Probes the workers of a registry that are under no heartbeats; see `watch_workers`.

    Args:
        registry: The workers. Its clock is the watch's, too.
        transport: HTTP.
        limit: Seconds for each answer.
    """

    def __init__(
        self, registry: WorkerRegistry, transport: Transport, *, limit: float = 2.0
    ) -> None:
        self._registry = registry
        self._transport = transport
        self._limit = limit
        self._seen: dict[str, _Seen] = {}

    def forget(self, event: WorkerEvent) -> None:
        """Forget a worker that left: when it comes again, it may be another."""
        if event.kind == "left":
            self._seen.pop(event.worker_id, None)

    async def look(self) -> None:
        """Probe all workers once, and tell the registry what was found out."""
        limiter = anyio.CapacityLimiter(AT_ONCE)
        static = [
            worker
            for worker in self._registry.snapshot().workers()
            if not self._registry.under_heartbeats(worker.id)
        ]
        async with anyio.create_task_group() as tasks:
            for worker in static:
                tasks.start_soon(self._look_at, worker, limiter)

    async def _look_at(self, worker: Worker, limiter: anyio.CapacityLimiter) -> None:
        seen = self._seen.get(worker.id)
        if seen is None or seen.configured.url != worker.url:
            seen = self._seen[worker.id] = _Seen(configured=worker)
        async with limiter:
            before = self._in_flight(worker.id) or 0
            found = await probe(
                seen.configured,
                self._transport,
                clock=self._registry.clock,
                limit=self._limit,
                paths=seen.paths,
            )
        after = self._in_flight(worker.id)
        left = after is None or self._seen.get(worker.id) is not seen
        if left or self._registry.under_heartbeats(worker.id):
            return  # it left, or began to speak for itself, while it was asked
        if found.reachable:
            self._alive(seen, found, before, after or 0)
        else:
            self._dead(seen, found)

    def _alive(self, seen: _Seen, found: Findings, before: int, after: int) -> None:
        registry, worker_id = self._registry, found.worker.id
        running = found.changes.get("running")
        foreign = 0 if running is None else max(0, running - max(before, after))
        counted = foreign if seen.foreign is None else min(foreign, seen.foreign)
        seen.foreign = foreign
        changes = {**found.changes, "running": counted + after}
        now = registry.snapshot().worker(worker_id)
        if any(getattr(now, name) != value for name, value in changes.items()):
            registry.update(worker_id, **changes)
        if seen.down:
            # It was gone and is there again, so that requests failed says nothing any more.
            registry.report_success(worker_id)
        seen.down = False
        seen.silent = 0
        if found.worker.status != "starting":  # a server that loads may have more to say later
            absent = {answer.path for answer in found.answers if answer.absent}
            seen.paths = tuple(path for path in seen.paths if path not in absent) or PATHS

    def _dead(self, seen: _Seen, found: Findings) -> None:
        seen.silent += 1
        heard_before = seen.foreign is not None
        if found.timed_out and heard_before and seen.silent < SILENT_ROUNDS:
            return
        if not seen.down:
            self._registry.update(found.worker.id, **found.changes)
        seen.down = True
        seen.foreign = None
        seen.paths = PATHS  # it may come back as something else

    def _in_flight(self, worker_id: str) -> int | None:
        worker = self._registry.snapshot().worker(worker_id)
        return None if worker is None else worker.in_flight


@asynccontextmanager
async def watch_workers(
    registry: WorkerRegistry,
    transport: Transport,
    *,
    interval: float = 5.0,
    limit: float = 2.0,
    rng: Random | None = None,
) -> AsyncGenerator[Watch, None]:
    """Keep the workers of ``registry`` that send no heartbeats fresh, in the background.

    The block begins when each of them was asked once. A worker that can't be reached goes
    offline, and comes back when it answers again. What it runs beyond the requests of
    this scheduler counts as load.

    Args:
        registry: The workers; those added later are watched, too.
        transport: HTTP.
        interval: Seconds between two rounds of probes.
        limit: Seconds for each answer.
        rng: Source of the chance in the pauses.

    Yields:
        The watch; its `Watch.look` probes at once.

    Example::

        registry.add_url("http://10.0.0.7:8080")
        async with watch_workers(registry, transport):
            ...  # its models, slots and state are known
    """
    rng = rng or Random()
    watch = Watch(registry, transport, limit=limit)
    unsubscribe = registry.subscribe(watch.forget)

    async def go_on() -> None:
        while True:
            await registry.clock.sleep(interval * (1.0 - JITTER * rng.random()))
            await watch.look()

    failure: Exception | None = None
    try:
        await watch.look()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            try:
                yield watch
            except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        unsubscribe()
    if failure is not None:
        raise failure
