"""``GET /v1/plugins`` and ``/v1/config``: what is in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbee_scheduler import unstructure
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._parameters import parameters
from rbee_scheduler_gateway._routes import Route
from rbee_scheduler_gateway._shown import masked


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["about_routes"]


def about_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes that tell what is in force."""

    async def plugins(call: Call) -> None:
        parameters(call)
        await call.answer(
            {
                "object": "list",
                "digest": gateway.plugins.digest,
                "strategy": gateway.scheduler.strategy,
                "strategies": list(gateway.plugins.strategies),
                "data": masked(unstructure(list(gateway.plugins.rows))),
            }
        )

    async def config(call: Call) -> None:
        parameters(call)
        deployment = masked(unstructure(gateway.deployment))
        await call.answer({**deployment, "gateway": masked(unstructure(gateway.options))})

    yield Route("GET", "/v1/plugins", plugins, access="operator")
    yield Route("GET", "/v1/config", config, access="operator")
