"""The rooms of the service, by the routes they answer: what is answered where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._feed import feed_routes
from rbee_scheduler_gateway._fleet import fleet_routes
from rbee_scheduler_gateway._health import health_routes
from rbee_scheduler_gateway._inference import inference_routes
from rbee_scheduler_gateway._jobs import job_routes
from rbee_scheduler_gateway._metrics._exposition import metric_routes
from rbee_scheduler_gateway._models import model_routes
from rbee_scheduler_gateway._openapi import openapi_routes
from rbee_scheduler_gateway._policies import policy_routes


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._routes import Route


__all__ = ["routes_of"]


def routes_of(gateway: Gateway) -> Iterator[Route]:
    """Yield all routes of the gateway itself."""
    yield from inference_routes(gateway)
    yield from model_routes(gateway)
    yield from health_routes(gateway)
    yield from job_routes(gateway)
    yield from fleet_routes(gateway)
    yield from policy_routes(gateway)
    yield from feed_routes(gateway)
    yield from metric_routes(gateway)
    yield from openapi_routes(gateway)
