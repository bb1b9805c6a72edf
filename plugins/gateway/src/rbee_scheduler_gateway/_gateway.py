"""The gateway: from an exchange to its answer, and everything that lives as long as the service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random, SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import attrs

from rbee_scheduler import (
    Cancelled,
    Clock,
    ConfigError,
    Deployment,
    Plugins,
    Scheduler,
    SchedulerError,
    SystemClock,
    Transport,
    WorkerRegistry,
    watch_workers,
)
from rbee_scheduler_gateway._additions import added_headers, added_routes, enter_companions
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._exchange import Exchange
from rbee_scheduler_gateway._feed import Feed
from rbee_scheduler_gateway._frozen import plugins_for
from rbee_scheduler_gateway._generation import Generation, Generations, Lent, take_workers
from rbee_scheduler_gateway._http import FastTransport
from rbee_scheduler_gateway._identity import OWNER, Unauthorized
from rbee_scheduler_gateway._jobs import Jobs
from rbee_scheduler_gateway._metrics import Metrics
from rbee_scheduler_gateway._options import GatewayOptions, options_of
from rbee_scheduler_gateway._preflight import answer_preflight, is_preflight
from rbee_scheduler_gateway._problems import problem_headers, problem_of, status_of
from rbee_scheduler_gateway._refusals import MethodNotAllowed, NotFound, ShuttingDown
from rbee_scheduler_gateway._relay import Relay
from rbee_scheduler_gateway._rooms import routes_of
from rbee_scheduler_gateway._routes import Routes
from rbee_scheduler_gateway._tracing import tracing_of
from rbee_scheduler_gateway._watchers import Watchers


if TYPE_CHECKING:
    from rbee_scheduler._watch import Watch

__all__ = ["Gateway"]

# Longest correlation id that is taken over; others are replaced.
_CORRELATION = 128


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
        jobs: The jobs (``POST /v1/jobs``), running and ended.
        feed: Tells who listens what happens.
        watchers: Told of every call that was answered: logs, metrics, traces.
        metrics: Counts what happens; ``GET /metrics``.
        tracing: Traces requests for inference; None: nobody does.
        stopping: Whether the service is about to end; it is no longer ready then.
        ended: Whether `end_all` was called.
        process: Number of this process, where the service has several.
        share: Told of each call that the service's other processes are to repeat.

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
        self.process = 0
        self.share: Callable[[Exchange], None] | None = None
        self.watchers = Watchers()
        self.metrics = Metrics(self)
        self.ended = False
        self._generations = Generations(self.clock)
        self._load = load
        self._load_plugins = load_plugins
        self._reloading = anyio.Lock()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._watch: Watch | None = None
        self._stack = AsyncExitStack()
        self._generation = self._make(deployment, options or options_of(deployment))
        self.tracing = tracing_of(self)
        self.jobs = Jobs(self)
        self.feed = Feed(self)
        self._generation.routes = Routes(added_routes(self, routes_of(self)))

    # ---- what there is -----------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that new requests go to."""
        return self._generation.scheduler

    @property
    def schedulers(self) -> tuple[Scheduler, ...]:
        """The schedulers that requests run on: the present one, and those of before a reload."""
        old = [one for one in self._generations.schedulers if one is not self.scheduler]
        return (self.scheduler, *old)

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

    @property
    def active(self) -> int:
        """How many requests for inference run, those of before a reload included."""
        return self._generations.active

    # ---- its life ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self.tracing is not None:
                stack.push_async_callback(self.tracing.aclose)
            stack.push_async_callback(self.transport.aclose)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            # After all that is entered below has left: it may have to wait for something then.
            stack.callback(self._tasks.cancel_scope.cancel)
            await self._tasks.start(self._generations.live, self._generation)
            seconds = self.options.probe_seconds
            self._watch = await stack.enter_async_context(
                watch_workers(self.registry, Lent(self.transport), interval=seconds)
            )
            await enter_companions(self, stack)
            stack.push_async_callback(self.jobs.aclose)
            await self.jobs.resume()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    def end_all(self) -> None:
        """End every request that still runs, with one error event each; take no more."""
        self.stopping = self.ended = True
        self._generations.cancel_all()

    async def reload(self) -> None:
        """Take the configuration anew, all of it or nothing; running requests are not touched.

        Raises:
            ConfigError: It is wrong, or there is none to read; the old one stays in force.
            PluginError: A plugin can't be used.
        """
        if self._load is None:
            raise ConfigError("this gateway was made without a configuration to read")
        async with self._reloading, self.metrics.reloading():
            deployment, options = self._load()
            old = self._generation
            new = self._make(deployment, options)
            self._generation = new
            try:
                new.routes = Routes(added_routes(self, routes_of(self)))
                await self.tasks.start(self._generations.live, new)
            except BaseException:
                self._generation = old
                raise
            self.feed.follow(new.scheduler)
            take_workers(self.registry, old.deployment, deployment)
            old.retire()
            if self._watch is not None:
                await self._watch.look()  # new workers are known when this returns
            self.logger.info("the configuration was reloaded")

    def _make(self, deployment: Deployment, options: GatewayOptions) -> Generation:
        config = deployment.scheduler
        if not options.strategy_header or options.mode == "platform":
            config = attrs.evolve(config, allow_strategy_override=False)
        old: Generation | None = getattr(self, "_generation", None)
        plugins = plugins_for(deployment, options, old, self._load_plugins)
        self.metrics.watch_plugins(plugins, options)
        scheduler = Scheduler(self.registry, plugins, config, transport=Lent(self.transport))
        relay = Relay(scheduler, self.transport, self.extra_headers, self.watchers, self.told)
        failed = self.metrics.plugin_failed
        return Generation(deployment, options, plugins, scheduler, relay, failed=failed)

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
        call.generation = generation
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
            call.let_go()
            self.watchers.call(call)

    async def _answer(self, generation: Generation, call: Call) -> None:
        exchange = call.exchange
        methods, call.params = generation.routes.find(exchange.path)
        method = exchange.method
        if is_preflight(exchange):
            await answer_preflight(call, methods)
            return
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            if not methods:
                raise NotFound(f"there is no path {exchange.path!r}", hint="see GET /openapi.json")
            raise MethodNotAllowed(
                f"{exchange.path} has no {method}", allowed=", ".join(sorted(methods))
            )
        call.route = route.path
        call.identity = await generation.gatekeeper.identify(exchange, route)
        if route.inference and self.tracing is not None:
            self.tracing.begin(call)
        if self.ended:
            raise ShuttingDown("the service stops", retry_after=5.0)
        await route.answer(call)
        if route.shared and self.share is not None and call.status < 300:  # noqa: PLR2004 - HTTP: done
            self.share(exchange)

    async def repeat(self, exchange: Exchange) -> None:
        """Do again what another process of this service has done; see `share`.

        Raises:
            SchedulerError: It can't be done here.
        """
        methods, params = self.routes.find(exchange.path)
        route = methods.get(exchange.method)
        if route is None or not route.shared:
            raise NotFound(f"{exchange.method} {exchange.path} is not shared by processes")
        call = Call(exchange, OWNER, "", [], self.clock.monotonic())
        call.params = params
        await route.answer(call)

    async def _refuse(self, call: Call, error: SchedulerError) -> None:
        """Tell the client why there is no answer."""
        error = self.told(error)
        call.error = call.error or error  # watchers are told of a bug as what it is
        headers = list(problem_headers(error))
        if isinstance(error, Unauthorized):
            headers.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, MethodNotAllowed):
            headers.append((b"allow", error.allowed.encode()))
        headers += self.extra_headers(call, error)
        await call.respond(status_of(error), problem_of(error), *headers)

    def told(self, error: SchedulerError) -> SchedulerError:
        """Return ``error`` as clients are told of it: what `end_all` cancelled, it says so."""
        if self.ended and isinstance(error, Cancelled):
            return ShuttingDown("the service stops", retry_after=5.0)
        return error

    def extra_headers(
        self, call: Call, error: SchedulerError | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers that plugins add to an answer (`rbee_answer_headers`)."""
        calls = self._generation.answer_headers
        return added_headers(calls, call, error, self.metrics.plugin_failed) if calls else []
