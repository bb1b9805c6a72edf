"""``GET /v1/events``: what happens, as it happens: requests, workers, and numbers each second.

Nothing is subscribed to, and nothing is counted, while nobody listens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs

from rbee_scheduler import RequestEvent, Scheduler, WorkerEvent
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._events import Kept, begin_events, sse, to_json
from rbee_scheduler_gateway._jobs._job import outcome_data
from rbee_scheduler_gateway._parameters import parameters
from rbee_scheduler_gateway._routes import Route
from rbee_scheduler_gateway._shown import shown_worker


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["Feed", "feed_routes"]

# Events that wait for one listener; beyond it the oldest are lost.
WAITING: Final = 1000
STATISTICS_SECONDS: Final = 1.0


class _Listener:
    """One who listens: events wait here until they are sent."""

    __slots__ = ("_waiting", "lost", "news")

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self.lost = 0
        self.news = anyio.Event()

    def tell(self, event: bytes) -> None:
        """Let an event wait; the oldest one is lost when there is no room."""
        self.lost += len(self._waiting) == WAITING
        self._waiting.append(event)
        self.news.set()

    def take(self) -> bytes:
        """Return all that waits, behind how many events were lost, if any."""
        events, lost = list(self._waiting), self.lost
        self._waiting.clear()
        self.lost = 0
        self.news = anyio.Event()
        if lost:
            events.insert(0, _event("lost", {"count": lost}))
        return b"".join(events)


class Feed:
    """Tells those who listen what happens.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._listeners: dict[_Listener, None] = {}
        self._subscribed: dict[Scheduler, Callable[[], None]] = {}
        self._unsubscribe_workers: Callable[[], None] | None = None

    @property
    def listens(self) -> bool:
        """Whether anybody does."""
        return bool(self._listeners)

    def follow(self, scheduler: Scheduler) -> None:
        """Tell of the requests of another scheduler, too, while somebody listens.

        Args:
            scheduler: One that a reload has made.
        """
        if self._listeners and scheduler not in self._subscribed:
            self._subscribed[scheduler] = scheduler.subscribe(self._request)
            for old in self._subscribed.keys() - set(self._gateway.schedulers):
                self._subscribed.pop(old)()

    async def send(self, call: Call) -> None:
        """Send what happens to a client until it leaves, or the service has nothing left to do."""
        gateway, exchange = self._gateway, call.exchange
        clock = gateway.clock
        listener = _Listener()
        self._join(listener)
        try:
            due = clock.monotonic()
            while gateway.active or not gateway.stopping:
                if clock.monotonic() >= due:
                    due = clock.monotonic() + STATISTICS_SECONDS
                    listener.tell(_event("statistics", self.statistics()))
                if data := listener.take():
                    await exchange.write(data)
                with clock.move_on_after(due - clock.monotonic()):
                    await listener.news.wait()
            if data := listener.take():
                await exchange.write(data)
            await exchange.finish()
        finally:
            self._leave(listener)

    def statistics(self) -> Mapping[str, Any]:
        """Return numbers over all schedulers that run requests, and over the fleet."""
        every = [scheduler.statistics() for scheduler in self._gateway.schedulers]
        return {
            "type": "statistics",
            "at": self._gateway.clock.now(),
            "decisions": sum(one.decisions for one in every),
            "active": sum(one.active for one in every),
            "queued": sum(one.queued for one in every),
            "retries": sum(one.retries for one in every),
            "outcomes": _sums([one.outcomes for one in every]),
            "plugin_failures": sum(sum(one.plugin_failures.values()) for one in every),
            "jobs": len(self._gateway.jobs),
            "fleet": attrs.asdict(self._gateway.registry.statistics()),
        }

    # ---- inside --------------------------------------------------------------------------

    def _join(self, listener: _Listener) -> None:
        self._listeners[listener] = None
        for scheduler in self._gateway.schedulers:
            self.follow(scheduler)
        if self._unsubscribe_workers is None:
            self._unsubscribe_workers = self._gateway.registry.subscribe(self._worker)

    def _leave(self, listener: _Listener) -> None:
        del self._listeners[listener]
        if self._listeners:
            return
        for unsubscribe in self._subscribed.values():
            unsubscribe()
        self._subscribed.clear()
        if self._unsubscribe_workers is not None:
            self._unsubscribe_workers()
            self._unsubscribe_workers = None

    def _request(self, event: RequestEvent) -> None:
        # Neither prompts nor messages of errors, which may quote one.
        data: dict[str, Any] = {
            "type": "request",
            "kind": event.kind,
            "at": event.at,
            "job_id": event.job_id,
            "model": event.model,
            "worker_id": event.worker_id or None,
            "strategy": event.strategy or None,
            "tenant_id": event.tenant_id,
            "error": None if event.error is None else event.error.code,
            "outcome": None if event.outcome is None else outcome_data(event.outcome),
        }
        self._tell("request", data)

    def _worker(self, event: WorkerEvent) -> None:
        data = {"type": "worker", **attrs.asdict(event)}
        worker = self._gateway.registry.snapshot().worker(event.worker_id)
        data["worker"] = None if worker is None else shown_worker(worker)
        self._tell("worker", data)

    def _tell(self, kind: str, data: Mapping[str, Any]) -> None:
        event = _event(kind, data)
        for listener in self._listeners:
            listener.tell(event)


def feed_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the route of the feed."""

    async def events(call: Call) -> None:
        parameters(call)
        if await begin_events(call):
            await gateway.feed.send(call)

    yield Route("GET", "/v1/events", events, access="operator")


def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    return sse(Kept(0, kind, to_json(data)))


def _sums(counts: list[Mapping[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            sums[name] = sums.get(name, 0) + number
    return sums
