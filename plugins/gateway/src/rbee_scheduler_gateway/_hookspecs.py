"""The hooks of the gateway: how another plugin extends the HTTP service.

Implement them with ``rbee_scheduler.hookimpl``, like core's. A plugin that also works without
the gateway marks them ``@hookimpl(optionalhook=True)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rbee_scheduler._hookspecs import hookspec


if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from rbee_scheduler import InferenceRequest, SchedulerError, WorkerRegistry
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._identity import Identity
    from rbee_scheduler_gateway._journal import JobJournal
    from rbee_scheduler_gateway._routes import Route
    from rbee_scheduler_script import PolicyDeployer


__all__: list[str] = []


@hookspec(firstresult=True)
async def rbee_identify(token: str, client: str) -> Identity | None:
    """Called for each request with a token, before anything else. Return who asks.

    The first answer wins. Plain functions are called, and answer at once; ``async def`` may
    wait. While a plugin has this hook, the configured tokens are asked last, and there are no
    requests without a token except for open routes.

    Args:
        token: The bearer token; empty when the request has none.
        client: Address of the peer.

    Returns:
        Who asks, or None: not known here.

    Raises:
        Unauthorized: The token is wrong, expired or revoked.
        Forbidden: It is known, but its owner may not use the service.
        QuotaExceeded: Too many failures from this address.
    """


@hookspec
def rbee_register_routes(gateway: Gateway) -> Sequence[Route]:
    """Called when the gateway starts, and after each reload. Return routes of the plugin's own.

    Args:
        gateway: The gateway; `Gateway.scheduler` is the scheduler.
    """
    raise NotImplementedError


@hookspec
def rbee_answer_headers(
    request: InferenceRequest | None, identity: Identity, error: SchedulerError | None
) -> Mapping[str, str] | None:
    """Called when an inference request is about to be answered. Return headers to add.

    Args:
        request: The request, where it came so far.
        identity: Who asks.
        error: Why it failed; None: it is served.
    """


@hookspec(firstresult=True)
def rbee_job_journal() -> JobJournal | None:
    """Called when the gateway starts. Return where jobs (``POST /v1/jobs``) are written down.

    The first answer wins; without one, jobs live in memory.
    """


@hookspec
def rbee_collect_metrics() -> Iterable[Collector]:
    """Called when the gateway starts. Return Prometheus collectors to show at ``/metrics``."""
    raise NotImplementedError


@hookspec
def rbee_policy_deployer(registry: WorkerRegistry) -> PolicyDeployer | None:
    """Called when policies are listed or changed. Return what deploys the plugin's own policy.

    It is the same object each time: what is deployed with it decides from the next request on.

    Args:
        registry: The workers, to try a policy on.
    """


@hookspec
def rbee_gateway_lifespan(gateway: Gateway) -> AbstractAsyncContextManager[object] | None:
    """Called when the gateway starts. Return what lives as long: an async context manager.

    Entered before the first request is taken, left after the last one.
    """
