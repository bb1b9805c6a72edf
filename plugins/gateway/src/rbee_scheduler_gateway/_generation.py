"""The generation: everything that one version of the configuration has made.

A reload makes a new generation and lets new requests in there; the old one ends when its last
request has.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from rbee_scheduler import (
    Catalog,
    Clock,
    Deployment,
    HttpCall,
    HttpResponse,
    PluginError,
    Plugins,
    Scheduler,
    Transport,
    WorkerRegistry,
)
from rbee_scheduler_gateway._gatekeeper import Gatekeeper
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._relay import Relay
from rbee_scheduler_gateway._routes import Routes


__all__ = ["Generation", "Generations", "Lent", "take_workers"]

# Pause between two looks at what a retired generation still runs beside its calls. Seconds.
_LOOK = 0.5


class Lent:
    """A transport that a scheduler may use, and not close."""

    __slots__ = ("_transport",)

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def open(self, call: HttpCall) -> HttpResponse:
        """Send ``call`` and return when the response's headers are there."""
        return await self._transport.open(call)

    async def aclose(self) -> None:
        """Close nothing: the transport's owner does."""


class Generation:
    """Everything that one version of the configuration has made.

    The last argument is told of plugins that fail to say who asks.

    Attributes:
        deployment: The configuration.
        options: The gateway's own part of it.
        plugins: The plugins.
        scheduler: Decides.
        relay: Relays requests for inference.
        gatekeeper: Knows who asks.
        routes: Who answers what; set once all of the above is there.
        calls: Calls that it answers now.
    """

    def __init__(
        self,
        deployment: Deployment,
        options: GatewayOptions,
        plugins: Plugins,
        scheduler: Scheduler,
        relay: Relay,
        *,
        failed: Callable[[PluginError], None],
    ) -> None:
        self.deployment = deployment
        self.options = options
        self.plugins = plugins
        self.scheduler = scheduler
        self.relay = relay
        self.gatekeeper = Gatekeeper(options, plugins.calls("rbee_identify"), failed)
        self.routes = Routes([])
        self.answer_headers = plugins.calls("rbee_answer_headers")
        self.calls = 0
        self._retired = False
        self._idle = anyio.Event()

    def retire(self) -> None:
        """Let no more calls in, once the present ones are answered."""
        self._retired = True
        self._look()

    def leave(self) -> None:
        """Note that a call was answered."""
        self.calls -= 1
        if self._retired:
            self._look()

    @property
    def active(self) -> int:
        """How many requests for inference it runs, those of jobs included."""
        return self.scheduler.statistics().active

    async def live(self, clock: Clock, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run the scheduler until the generation is retired and has nothing more to do."""
        async with self.scheduler:
            task_status.started()
            await self._idle.wait()
            while self.active:  # jobs belong to no call
                await clock.sleep(_LOOK)

    def _look(self) -> None:
        if not self.calls:
            self._idle.set()


class Generations:
    """The generations that have something to do: the present one, and what reloads left over.

    Args:
        clock: Source of time.
    """

    __slots__ = ("_clock", "_living")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._living: list[Generation] = []

    @property
    def active(self) -> int:
        """How many requests for inference they run."""
        return sum(generation.active for generation in self._living)

    @property
    def schedulers(self) -> list[Scheduler]:
        """Their schedulers, in the order in which they came."""
        return [generation.scheduler for generation in self._living]

    def cancel_all(self) -> None:
        """Cancel every request of all of them."""
        for generation in self._living:
            generation.scheduler.cancel_all()

    async def live(
        self, generation: Generation, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """Run a generation to its end."""
        self._living.append(generation)
        try:
            await generation.live(self._clock, task_status=task_status)
        finally:
            self._living.remove(generation)


def take_workers(registry: WorkerRegistry, old: Deployment, new: Deployment) -> None:
    """Let the configured workers come, change and leave; those of others stay."""
    if new.models != old.models:
        registry.set_catalog(Catalog(new.models))
    before = {worker.id: worker for worker in old.workers}
    for worker in new.workers:
        if before.pop(worker.id, None) != worker:
            registry.add(worker)
    for worker_id in before:
        registry.remove(worker_id, "no longer configured")
