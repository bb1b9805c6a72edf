"""The generation: everything that one version of the configuration has made.

A reload makes a new generation and lets new requests in there; the old one ends when its last
request has.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from rbee_scheduler import Deployment, HttpCall, HttpResponse, Plugins, Scheduler, Transport
from rbee_scheduler_gateway._gatekeeper import Gatekeeper
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._relay import Relay
from rbee_scheduler_gateway._routes import Routes


__all__ = ["Generation", "Lent"]


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
    ) -> None:
        self.deployment = deployment
        self.options = options
        self.plugins = plugins
        self.scheduler = scheduler
        self.relay = relay
        self.gatekeeper = Gatekeeper(options, plugins.calls("rbee_identify"))
        self.routes = Routes([])
        self.answer_headers: Sequence[object] = plugins.calls("rbee_answer_headers")
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

    async def live(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run the scheduler until the generation is retired and has answered its last call."""
        async with self.scheduler:
            task_status.started()
            await self._idle.wait()

    def _look(self) -> None:
        if not self.calls:
            self._idle.set()
