"""The rooms of the service, by the routes they answer: what is answered where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._inference import inference_routes
from rbee_scheduler_gateway._models import model_routes


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._routes import Route


__all__ = ["routes_of"]


def routes_of(gateway: Gateway) -> Iterator[Route]:
    """Yield all routes of the gateway itself."""
    yield from inference_routes(gateway)
    yield from model_routes(gateway)
