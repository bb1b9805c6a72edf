"""One process: the gateway, the service around it, and who may tell it to stop."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from socket import socket
from typing import Any

import anyio
import attrs

from rbee_scheduler import Clock
from rbee_scheduler_gateway._gateway import Gateway
from rbee_scheduler_gateway._logs import AccessLog, setup_logging
from rbee_scheduler_gateway._options import GatewayOptions
from rbee_scheduler_gateway._server import listen
from rbee_scheduler_gateway._service._changes import FileChanges
from rbee_scheduler_gateway._service._plan import Plan
from rbee_scheduler_gateway._service._service import Service
from rbee_scheduler_gateway._service._signals import Stopped, obey_signals
from rbee_scheduler_gateway._worker_log import WorkerLog


__all__ = ["Started", "serve_alone", "serve_process", "started", "url_of"]


@attrs.frozen(kw_only=True)
class Started:
    """What a service says of itself when it has started.

    Attributes:
        url: Where it is.
        mode: Its mode.
        strategy: The strategy that decides.
        workers: Workers that are known.
        usable: Those of them that can serve.
        processes: How many processes it has.
    """

    url: str
    mode: str
    strategy: str
    workers: int
    usable: int
    processes: int = 1


def url_of(scheme: str, host: str, sockets: Sequence[socket]) -> str:
    """Return the URL of a service that listens on ``sockets``."""
    if host.startswith("unix:"):
        return host
    port = sockets[0].getsockname()[1]
    return f"{scheme}://{f'[{host}]' if ':' in host else host or '0.0.0.0'}:{port}"  # noqa: S104 - shown, not bound


def started(gateway: Gateway, url: str) -> Started:
    """Return what a service says of itself."""
    workers = gateway.registry.snapshot().workers()
    return Started(
        url=url,
        mode=gateway.options.mode,
        strategy=gateway.scheduler.strategy,
        workers=len(workers),
        usable=sum(worker.usable for worker in workers),
    )


async def serve_alone(
    plan: Plan, announce: Callable[[Started], None], *, clock: Clock | None = None
) -> bool:
    """Serve in this process until a signal ends it.

    Args:
        plan: What to serve.
        announce: Told once it can be reached.
        clock: Source of time.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        ConfigError: It can't be served like that.
    """

    def sockets(options: GatewayOptions) -> list[socket]:
        return listen(options.host, options.port)

    def ready(gateway: Gateway, url: str) -> None:
        announce(started(gateway, url))

    return await serve_process(plan, sockets, ready, clock=clock)


async def serve_process(
    plan: Plan,
    make_sockets: Callable[[GatewayOptions], list[socket]],
    announce: Callable[[Gateway, str], None],
    *,
    process: int | None = None,
    beside: Callable[..., Coroutine[Any, Any, None]] | None = None,
    clock: Clock | None = None,
) -> bool:
    """Serve in this process until a signal, or what runs beside it, ends it.

    Args:
        plan: What to serve.
        make_sockets: Opens the sockets.
        announce: Called with the gateway and its URL, once it can be reached.
        process: Number of this process, where there are several.
        beside: Runs beside the service, which it is given; started before that is.
        clock: Source of time.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        ConfigError: It can't be served like that.
    """
    deployment, options = plan.load()
    files = FileChanges(plan.files(options))
    undo = setup_logging(options.log_level, options.log_format, process=process)
    try:
        gateway = Gateway(
            deployment, options, load=plan.load, load_plugins=plan.load_plugins, clock=clock
        )
        gateway.process = process or 0
        gateway.watchers.on_call.append(AccessLog(gateway))
        gateway.registry.subscribe(WorkerLog(gateway.registry, gateway.logger))
        service = Service(gateway, files=files)
        stopped = Stopped(service)
        _raise_file_limit()
        # Before plugins begin to work: the port may be another service's. One of several
        # processes takes its share of connections only when it can serve them.
        sockets = make_sockets(options) if process is None else []
        async with gateway, anyio.create_task_group() as tasks:
            await tasks.start(obey_signals, service, stopped)
            if beside is not None:
                await tasks.start(beside, service)
            sockets = sockets or make_sockets(options)
            # What there is now stays; the collector need not look through it again and again.
            gc.collect()
            gc.freeze()

            async def told(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                await service.run(sockets, task_status=task_status)
                tasks.cancel_scope.cancel()

            await tasks.start(told)
            announce(gateway, url_of(service.scheme, options.host, sockets))
    finally:
        gc.unfreeze()
        undo()
    return stopped.by_keyboard


def _raise_file_limit() -> None:
    """Take as many file descriptors as the system lets us: each connection is one."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
