"""The gateway as an ASGI application, for whoever has a server of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from rbee_scheduler import Clock, ConfigError, Configuration, Deployment, Transport, structure
from rbee_scheduler_gateway._asgi import AsgiApp, asgi_app
from rbee_scheduler_gateway._gateway import Gateway
from rbee_scheduler_gateway._logs import AccessLog
from rbee_scheduler_gateway._options import GatewayOptions, options_of
from rbee_scheduler_gateway._service import Plan, limits_of


__all__ = ["create_app"]

_Load = Callable[[], tuple[Deployment, GatewayOptions]]


def create_app(
    configuration: Deployment | Configuration | str | Path | None = None,
    *,
    transport: Transport | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> AsgiApp:
    """Return the gateway as an ASGI 3 application; it runs on asyncio and trio.

    It needs a server that speaks the lifespan protocol, as uvicorn, hypercorn and granian do.
    What to listen on, TLS and the times of connections are that server's to say.

    Args:
        configuration: What to serve: a deployment, a configuration, or the path of a file.
            None: the configuration file that is found, and the default strategy of ``serve``.
        transport: Calls workers; None: the built-in one.
        clock: Source of time.
        **options: Options of the gateway (`GatewayOptions`); they win over the configuration's.

    Raises:
        ConfigError: The configuration or an option is wrong.

    Example::

        # service.py; run it with: uvicorn --factory service:make
        def make():
            return create_app("rbee-scheduler.toml", mode="lab", tokens=[os.environ["TOKEN"]])
    """
    # Checked by itself, so that an error names the argument.
    structure(options, GatewayOptions, place="create_app", error=ConfigError)
    load: _Load
    if configuration is None or isinstance(configuration, (str, Path)):
        path = None if configuration is None else str(configuration)
        load = Plan(config=path, options=options).load
    else:
        found = configuration
        deployment = found.deployment if isinstance(found, Configuration) else found

        def load() -> tuple[Deployment, GatewayOptions]:
            return deployment, attrs.evolve(options_of(deployment), **options)

    gateway = Gateway(*load(), load=load, transport=transport, clock=clock)
    gateway.watchers.on_call.append(AccessLog(gateway))
    return asgi_app(
        gateway.handle,
        limits=limits_of(gateway.options),
        lifespan=lambda: gateway,
        logger=gateway.logger,
    )
