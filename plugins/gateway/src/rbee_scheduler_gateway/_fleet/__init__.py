"""What is known of the fleet, and what may be done with it: one file per subject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rbee_scheduler_gateway._fleet._about import about_routes
from rbee_scheduler_gateway._fleet._dry_run import dry_run_routes
from rbee_scheduler_gateway._fleet._heartbeats import heartbeat_routes
from rbee_scheduler_gateway._fleet._queue import queue_routes
from rbee_scheduler_gateway._fleet._workers import worker_routes


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._routes import Route


__all__ = ["fleet_routes"]


def fleet_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of the fleet."""
    yield from heartbeat_routes(gateway)
    yield from worker_routes(gateway)
    yield from queue_routes(gateway)
    yield from dry_run_routes(gateway)
    yield from about_routes(gateway)
