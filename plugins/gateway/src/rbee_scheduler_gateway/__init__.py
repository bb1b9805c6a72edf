"""The gateway of rbee-scheduler: one HTTP service in front of all workers.

Run it with ``rbee-scheduler serve``, or as an ASGI application (`create_app`). Its HTTP client
serves any scheduler::

    from rbee_scheduler_gateway import FastTransport

    scheduler = Scheduler(registry, transport=FastTransport())

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from rbee_scheduler_gateway._app import create_app as create_app
    from rbee_scheduler_gateway._asgi import asgi_app as asgi_app
    from rbee_scheduler_gateway._call import Call as Call
    from rbee_scheduler_gateway._exchange import Exchange as Exchange
    from rbee_scheduler_gateway._gateway import Gateway as Gateway
    from rbee_scheduler_gateway._http import FastHttpxTransport as FastHttpxTransport
    from rbee_scheduler_gateway._http import FastTransport as FastTransport
    from rbee_scheduler_gateway._http import HttpLimits as HttpLimits
    from rbee_scheduler_gateway._identity import Forbidden as Forbidden
    from rbee_scheduler_gateway._identity import Identity as Identity
    from rbee_scheduler_gateway._identity import Unauthorized as Unauthorized
    from rbee_scheduler_gateway._journal import JobJournal as JobJournal
    from rbee_scheduler_gateway._options import GatewayOptions as GatewayOptions
    from rbee_scheduler_gateway._plugin import rbee_configure as rbee_configure
    from rbee_scheduler_gateway._plugin import rbee_options as rbee_options
    from rbee_scheduler_gateway._plugin import rbee_register_commands as rbee_register_commands
    from rbee_scheduler_gateway._routes import Route as Route


__version__ = "0.1.0"

# Name -> the room it is in.
_PLACES = {
    "Call": "_call",
    "Exchange": "_exchange",
    "FastHttpxTransport": "_http",
    "FastTransport": "_http",
    "Forbidden": "_identity",
    "Gateway": "_gateway",
    "GatewayOptions": "_options",
    "HttpLimits": "_http",
    "Identity": "_identity",
    "JobJournal": "_journal",
    "Route": "_routes",
    "Unauthorized": "_identity",
    "asgi_app": "_asgi",
    "create_app": "_app",
    "rbee_configure": "_plugin",
    "rbee_options": "_plugin",
    "rbee_register_commands": "_plugin",
}

__all__ = [
    "Call", "Exchange", "FastHttpxTransport", "FastTransport", "Forbidden", "Gateway",
    "GatewayOptions", "HttpLimits", "Identity", "JobJournal", "Route", "Unauthorized",
    "__version__", "asgi_app", "create_app", "rbee_configure", "rbee_options",
    "rbee_register_commands",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    room = _PLACES.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
