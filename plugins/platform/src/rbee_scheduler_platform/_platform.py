"""The plugin: the platform's part in every request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from rbee_scheduler import (
    Allow,
    Deny,
    InferenceRequest,
    Outcome,
    RequestEvent,
    SchedulerError,
    Snapshot,
    Wait,
    Worker,
    hookimpl,
)
from rbee_scheduler._answers import LaneOrder
from rbee_scheduler_platform._errors import StoreError, StoreUnavailable
from rbee_scheduler_platform._options import PlatformOptions
from rbee_scheduler_platform._quota import rate_limit_headers
from rbee_scheduler_platform._targets import filter_regions
from rbee_scheduler_platform._tokens import parse_token


if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from rbee_scheduler_gateway import Gateway, Identity, JobJournal, Route
    from rbee_scheduler_platform._runtime import Runtime


__all__ = ["Platform", "SharedPlatform"]


class _Selector:
    """The strategy: of the workers that have room, the one with the fewest tokens for it.

    When all are full nobody is chosen: the backlog stays here, where it is fair.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @hookimpl
    def rbee_select_worker(
        self,
        request: InferenceRequest,
        candidates: Sequence[Worker],
        scores: Mapping[str, float],
        snapshot: Snapshot,
    ) -> list[str] | Wait:
        runtime = self._platform.runtime
        if runtime is None:  # asked for an explanation, by who does not serve
            by_load = sorted(candidates, key=lambda worker: worker.in_flight)
            return [worker.id for worker in by_load]
        return runtime.capacity.gate.select_worker(request, candidates, scores, snapshot)


class Platform:
    """One instance of the plugin. It admits nothing until it is open (`opened`).

    Args:
        name: The instance's name, and its strategy's.
        options: The deployment's wishes.

    Attributes:
        runtime: What works while it is open; None: it is not.
    """

    def __init__(self, name: str, options: PlatformOptions) -> None:
        self.name = self.__name__ = name  # where it is listed as an object
        self.options = options
        self.runtime: Runtime | None = None

    def store_failed(self, problem: Exception) -> None:
        """Note that the store lost a change that nobody waited for."""
        if self.runtime is not None:
            self.runtime.ledger.failed(problem)

    # ---- decisions ---------------------------------------------------------------------------

    @hookimpl
    def rbee_register_strategies(self) -> Mapping[str, object]:
        return {self.name: _Selector(self)}

    @hookimpl
    def rbee_check_quota(self, request: InferenceRequest, snapshot: Snapshot) -> Allow | Deny:
        runtime = self.runtime
        return _closed() if runtime is None else runtime.admission.admit(request, snapshot)

    @hookimpl
    def rbee_filter_workers(
        self, request: InferenceRequest, candidates: Sequence[Worker]
    ) -> Mapping[str, str]:
        if self.runtime is None:
            return {}
        tenant = self.runtime.directory.view.tenants.get(request.tenant_id or "")
        if tenant is None:
            return dict.fromkeys([worker.id for worker in candidates], "there is no such tenant")
        return filter_regions(tenant, candidates)

    @hookimpl
    def rbee_order_lane(self, model: str, task: str, wake: Callable[[], None]) -> LaneOrder | None:
        return None if self.runtime is None else self.runtime.order.lane(model, task, wake)

    # ---- runs --------------------------------------------------------------------------------

    @hookimpl
    async def rbee_reserve(self, request: InferenceRequest, worker: Worker) -> Deny | None:
        """Count the request in at once; wait until its charge can no longer be lost."""
        runtime = self.runtime
        charge = None if runtime is None else runtime.charges.get(request.job_id)
        if runtime is None or charge is None:
            return _closed()
        load = runtime.capacity.flights.tokens(worker.id)
        # Before anything waits: who is placed next must see it.
        runtime.book.claim(request.job_id)
        runtime.order.dispatched(request)
        runtime.capacity.dispatched(request, worker)
        try:
            await charge.entry.durable()
        except StoreError as problem:
            runtime.capacity.ended(request.job_id)
            runtime.ledger.failed(problem)
            error: SchedulerError = runtime.ledger.trouble() or problem
            return Deny(error.message, error=error)
        except BaseException:
            runtime.capacity.ended(request.job_id)
            raise
        charge.entry.worker_id = worker.id
        runtime.ledger.note(
            "decision",
            charge.tenant.id,
            request.job_id,
            worker.id,
            strategy=self.name,
            tokens_in_flight=round(load),
            running=worker.in_flight,
        )
        return None

    @hookimpl
    def rbee_release(self, request: InferenceRequest, worker: Worker, outcome: Outcome) -> None:  # noqa: ARG002 - the hook's arguments
        if self.runtime is not None:
            self.runtime.capacity.ended(request.job_id)

    @hookimpl
    def rbee_on_event(self, event: RequestEvent) -> None:
        if self.runtime is not None:
            self.runtime.heard(event)

    # ---- the service -------------------------------------------------------------------------

    @hookimpl(optionalhook=True)
    async def rbee_identify(self, token: str, client: str) -> Identity | None:
        if self.runtime is None:
            raise _closed().as_error()
        identity = self.runtime.authenticator.known(token)
        if identity is not None:
            return identity
        if parse_token(token) is None:  # a worker's, of the configuration: not ours to judge
            return None
        return await self.runtime.authenticator.check(token, client)

    @hookimpl(optionalhook=True)
    def rbee_gateway_lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object]:
        from rbee_scheduler_platform._lifespan import serving

        return serving(self, gateway)

    @hookimpl(optionalhook=True)
    def rbee_answer_headers(
        self, request: InferenceRequest | None, identity: Identity, error: SchedulerError | None
    ) -> Mapping[str, str]:
        del request, error
        runtime = self.runtime
        if runtime is None or runtime.options.shared or identity.tenant_id is None:
            return {}
        tenant = runtime.directory.view.tenants.get(identity.tenant_id)
        if tenant is None:
            return {}
        headers = rate_limit_headers(runtime.book.rate_limits(tenant))
        return {name.lower(): value for name, value in headers.items()}

    @hookimpl(optionalhook=True)
    def rbee_job_journal(self) -> JobJournal | None:
        from rbee_scheduler_platform._journal import StoreJournal

        return None if self.runtime is None else StoreJournal(self.runtime)

    @hookimpl(optionalhook=True)
    def rbee_register_routes(self, gateway: Gateway) -> Sequence[Route]:
        from rbee_scheduler_platform._immutable import check_deployment
        from rbee_scheduler_platform._routes import platform_routes

        # Here because it is asked when the gateway is made, before anything is started.
        check_deployment(self.name, gateway)
        return platform_routes(self, gateway)

    @hookimpl(optionalhook=True)
    def rbee_collect_metrics(self) -> Iterable[Collector]:
        from rbee_scheduler_platform._metrics import PlatformCollector

        return [PlatformCollector(self)]


class SharedPlatform(Platform):
    """An instance whose quotas are in a store that several gateways share."""

    @hookimpl
    async def rbee_check_quota(  # type: ignore[override]  # the hook may be either
        self, request: InferenceRequest, snapshot: Snapshot
    ) -> Allow | Deny:
        runtime = self.runtime
        if runtime is None:
            return _closed()
        return await runtime.admission.admit_shared(request, snapshot)


def _closed() -> Deny:
    error: Any = StoreUnavailable(
        "the platform is not open", hint="start it with: rbee-scheduler serve", retry_after=2.0
    )
    return Deny(error.message, error=error)
