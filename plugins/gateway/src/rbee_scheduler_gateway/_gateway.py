"""The gateway: from an exchange to its answer, and everything that lives as long as the service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self

import anyio
import attrs

from rbee_scheduler import (
    Cancelled,
    Catalog,
    Clock,
    ConfigError,
    Deployment,
    Plugins,
    Scheduler,
    SchedulerError,
    SystemClock,
    Transport,
    WorkerRegistry,
    structure,
    watch_workers,
)
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._generation import Generation, Lent
from rbee_scheduler_gateway._http import FastTransport
from rbee_scheduler_gateway._identity import OWNER, Unauthorized
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._problems import problem_headers, problem_of, status_of
from rbee_scheduler_gateway._refusals import MethodNotAllowed, NotFound, ShuttingDown
from rbee_scheduler_gateway._relay import Relay
from rbee_scheduler_gateway._rooms import routes_of
from rbee_scheduler_gateway._routes import Route, Routes
from rbee_scheduler_gateway._watchers import Watchers


__all__ = ["Gateway", "options_of"]

# What a page of an allowed origin may send.
_ALLOWED_HEADERS = (
    b"authorization, content-type, last-event-id, x-correlation-id, x-deadline-ms, x-priority, "
    b"x-rbee-resume, x-rbee-strategy, x-session-id"
)

# Longest correlation id that is taken over; others are replaced.
_CORRELATION = 128


def options_of(deployment: Deployment) -> GatewayOptions:
    """Return the options of the deployment's gateway: of its ``[[plugins]]`` table, if any.

    Raises:
        ConfigError: An option is unknown or wrong.
    """
    for number, plugin in enumerate(deployment.plugins or ()):
        if (plugin.plugin or plugin.name) == "gateway":
            place = f"$.plugins[{number}].options"
            return structure(dict(plugin.options), GatewayOptions, place=place, error=ConfigError)
    return GatewayOptions()


class Gateway:
    """One HTTP service in front of all workers: `handle` answers requests.

    Enter it with ``async with`` before the first request; leaving it ends all that still runs.

    Args:
        deployment: What to serve with.
        options: The gateway's own settings; None: those of the deployment.
        load: Reads the configuration anew, for `reload`.
        load_plugins: Loads a deployment's plugins.
        transport: Calls workers; None: a `FastTransport`.
        clock: Source of time.
        rng: Source of ids.
        logger: Where the service's events go; prompts never do.

    Attributes:
        registry: The workers.
        watchers: Told of every call that was answered: logs, metrics, traces.

    Example::

        async with Gateway(deployment) as gateway:
            await Server(gateway.handle).serve(sockets)
    """

    def __init__(
        self,
        deployment: Deployment,
        options: GatewayOptions | None = None,
        *,
        load: Callable[[], tuple[Deployment, GatewayOptions]] | None = None,
        load_plugins: Callable[[Deployment], Plugins] = Deployment.load_plugins,
        transport: Transport | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.logger = logger or logging.getLogger("rbee_scheduler.gateway")
        self.rng = rng or Random(SystemRandom().getrandbits(128))
        self.transport: Transport = transport or FastTransport(clock=self.clock)
        self.registry: WorkerRegistry = deployment.make_registry(clock=self.clock)
        self.stopping = False
        self.watchers = Watchers()
        self._load = load
        self._load_plugins = load_plugins
        self._reloading = anyio.Lock()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._generation = self._make(deployment, options or options_of(deployment))
        self._generation.routes = Routes(self._routes())

    # ---- what there is -----------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that new requests go to."""
        return self._generation.scheduler

    @property
    def options(self) -> GatewayOptions:
        """The gateway's own settings."""
        return self._generation.options

    @property
    def deployment(self) -> Deployment:
        """The configuration that is in force."""
        return self._generation.deployment

    @property
    def plugins(self) -> Plugins:
        """The plugins that are in force."""
        return self._generation.plugins

    @property
    def routes(self) -> Routes:
        """Who answers what."""
        return self._generation.routes

    @property
    def relay(self) -> Relay:
        """Relays requests for inference."""
        return self._generation.relay

    @property
    def tasks(self) -> anyio.abc.TaskGroup:
        """Where what lives as long as the gateway runs.

        Raises:
            RuntimeError: The gateway was not entered.
        """
        if self._tasks is None:
            raise RuntimeError("enter the gateway with 'async with' first")
        return self._tasks

    # ---- its life ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.transport.aclose)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            await self._tasks.start(self._live, self._generation)
            seconds = self.options.probe_seconds
            await stack.enter_async_context(
                watch_workers(self.registry, Lent(self.transport), interval=seconds)
            )
            for call in self.plugins.calls("rbee_gateway_lifespan"):
                beside = call.function(self)
                if beside is not None:
                    await stack.enter_async_context(beside)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tasks.cancel_scope.cancel()
        await self._stack.__aexit__(kind, error, traceback)

    async def _live(
        self, generation: Generation, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        await generation.live(task_status=task_status)

    def end_all(self) -> None:
        """End every request that still runs, with one error event each."""
        self.stopping = True
        self.scheduler.cancel_all()

    async def reload(self) -> None:
        """Take the configuration anew, all of it or nothing; running requests are not touched.

        Raises:
            ConfigError: It is wrong, or there is none to read; the old one stays in force.
            PluginError: A plugin can't be used.
        """
        if self._load is None:
            raise ConfigError("this gateway was made without a configuration to read")
        async with self._reloading:
            deployment, options = self._load()
            old = self._generation
            new = self._make(deployment, options)
            self._generation = new
            try:
                new.routes = Routes(self._routes())
                await self.tasks.start(self._live, new)
            except BaseException:
                self._generation = old
                raise
            self._take_workers(old.deployment, deployment)
            old.retire()
            self.logger.info("the configuration was reloaded")

    def _take_workers(self, old: Deployment, new: Deployment) -> None:
        """Let the configured workers come, change and leave; those of others stay."""
        if new.models != old.models:
            self.registry.set_catalog(Catalog(new.models))
        before = {worker.id: worker for worker in old.workers}
        for worker in new.workers:
            if before.pop(worker.id, None) != worker:
                self.registry.add(worker)
        for worker_id in before:
            self.registry.remove(worker_id, "no longer configured")

    def _make(self, deployment: Deployment, options: GatewayOptions) -> Generation:
        config = deployment.scheduler
        if not options.strategy_header:
            config = attrs.evolve(config, allow_strategy_override=False)
        plugins = self._load_plugins(deployment)
        scheduler = Scheduler(self.registry, plugins, config, transport=Lent(self.transport))
        relay = Relay(scheduler, self.transport, self.extra_headers, self.watchers)
        return Generation(deployment, options, plugins, scheduler, relay)

    def _routes(self) -> Iterable[Route]:
        yield from routes_of(self)
        for call in self.plugins.calls("rbee_register_routes"):
            yield from call.function(self)

    # ---- one exchange --------------------------------------------------------------------

    async def handle(self, exchange: Exchange) -> None:
        """Answer an exchange, whatever it is."""
        generation = self._generation
        correlation = exchange.headers.get("x-correlation-id", "")
        if not correlation or len(correlation) > _CORRELATION or not correlation.isprintable():
            correlation = f"{self.rng.getrandbits(128):032x}"
        common = [(b"x-correlation-id", correlation.encode("latin-1", "replace"))]
        common += generation.gatekeeper.cors(exchange.headers)
        call = Call(exchange, OWNER, correlation, common, self.clock.monotonic())
        generation.calls += 1
        try:
            await self._answer(generation, call)
        except SchedulerError as error:
            await self._refuse(call, error)
        except Exception as bug:
            call.error = bug
            self.logger.exception("a call failed", extra={"correlation_id": correlation})
            if exchange.started:
                raise
            await self._refuse(call, SchedulerError("the service failed; its log says why"))
        finally:
            generation.leave()
            self.watchers.call(call)

    async def _answer(self, generation: Generation, call: Call) -> None:
        exchange = call.exchange
        methods, call.params = generation.routes.find(exchange.path)
        method = exchange.method
        if method == "OPTIONS" and "access-control-request-method" in exchange.headers:
            await self._preflight(call, methods)
            return
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            if not methods:
                raise NotFound(f"there is no path {exchange.path!r}", hint="see GET /openapi.json")
            raise MethodNotAllowed(
                f"{exchange.path} has no {method}", allowed=", ".join(sorted(methods))
            )
        call.identity = await generation.gatekeeper.identify(exchange, route)
        await route.answer(call)

    async def _preflight(self, call: Call, methods: Any) -> None:
        """Tell a browser what a page of another origin may send."""
        if len(call.common) == 1:  # no CORS headers: not for this origin, or not at all
            raise MethodNotAllowed("CORS is off for this origin", allowed=", ".join(methods))
        await call.respond(
            204,
            b"",
            (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", b"600"),
        )

    async def _refuse(self, call: Call, error: SchedulerError) -> None:
        """Tell the client why there is no answer."""
        if self.stopping and isinstance(error, Cancelled):
            error = ShuttingDown("the service stops", retry_after=5.0)
        call.error = error
        headers = list(problem_headers(error))
        if isinstance(error, Unauthorized):
            headers.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, MethodNotAllowed):
            headers.append((b"allow", error.allowed.encode()))
        headers += self.extra_headers(call, error)
        await call.respond(status_of(error), problem_of(error), *headers)

    def extra_headers(
        self, call: Call, error: SchedulerError | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers that plugins add to an answer (`rbee_answer_headers`)."""
        found: list[tuple[bytes, bytes]] = []
        for one in self._generation.answer_headers:
            hook: Any = one
            try:
                answer = hook.function(call.request, call.identity, error)
            except Exception as problem:  # noqa: BLE001 - a plugin can't take the service down
                self.logger.warning("%s", hook.failure(problem))
                continue
            for name, value in (answer or {}).items():
                found.append((name.encode("latin-1"), value.encode("latin-1")))
        return found
