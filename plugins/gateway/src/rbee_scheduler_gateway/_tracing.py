"""Traces: one OpenTelemetry span for each request for inference, and no word of a prompt.

OpenTelemetry is imported when traces are asked for, and not before: it takes 0.2 s. A span
costs some 35 us, so per request it is fine; events of a stream have none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from rbee_scheduler import Catalog, ConfigError, InferenceRequest, Outcome, SchedulerError
from rbee_scheduler_gateway._metrics._names import PROVIDER
from rbee_scheduler_gateway._metrics._recorder import OPERATIONS, operation_of


if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from rbee_scheduler_gateway._call import Call
    from rbee_scheduler_gateway._gateway import Gateway
    from rbee_scheduler_gateway._relay import Asked


__all__ = ["Tracing", "tracing_of"]

ENDPOINT: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# W3C trace context: what a client may send, and a worker gets.
_CONTEXT: Final = ("traceparent", "tracestate")

_NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def tracing_of(gateway: Gateway, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Return what traces a gateway's requests; None where that is not wanted.

    Args:
        gateway: Its option ``tracing`` says whether; where it says nothing, the environment.
        environ: Where the exporter's endpoint may be set.

    Raises:
        ConfigError: It is wanted, and the extra ``otel`` is not installed.
    """
    wanted = gateway.options.tracing
    if wanted is None and not any(environ.get(name) for name in ENDPOINT):
        return None
    if wanted is False:
        return None
    if not _installed():
        if wanted is None:
            gateway.logger.info("no traces: the extra 'otel' is not installed")
            return None
        raise ConfigError(
            "tracing needs OpenTelemetry",
            place="$.tracing",
            hint="pip install 'rbee-scheduler-gateway[otel]', or leave tracing out",
        )
    return Tracing(gateway, _exporting(environ))


def _installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of the package around it
        return False


def _exporting(environ: Mapping[str, str]) -> TracerProvider:
    """Return a provider that sends spans where the environment says, from a thread of its own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environ.get("OTEL_SERVICE_NAME", "rbee-scheduler-gateway")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Traces requests for inference: one of each of `Watchers`' lists.

    A request's span begins when its client is known, and is the parent of what its worker
    traces; the client's own trace context is its parent. Jobs get a span when they end.

    Args:
        gateway: The gateway.
        provider: Makes spans, and knows where they go; closed with the gateway.

    Example::

        gateway.tracing = Tracing(gateway, TracerProvider())
    """

    def __init__(self, gateway: Gateway, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from rbee_scheduler_gateway import __version__

        self._gateway = gateway
        self._provider = provider
        self._tracer = provider.get_tracer("rbee_scheduler_gateway", __version__)
        self._api = trace
        self._context = TraceContextTextMapPropagator()
        self._spans: dict[Call, Span] = {}
        watchers = gateway.watchers
        watchers.on_outcome.append(self._outcome)
        watchers.on_call.append(self._call)
        watchers.on_job.append(self._job)

    async def aclose(self) -> None:
        """Send what is left, for as long as the exporter's time limits let it, and stop."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._provider.shutdown)

    def begin(self, call: Call) -> None:
        """Begin the span of a request; its worker is told of it."""
        headers = call.exchange.headers
        given = {name: headers[name] for name in _CONTEXT if name in headers}
        span = self._tracer.start_span(
            call.exchange.path,
            context=self._context.extract(given) if given else _nothing(),
            kind=self._api.SpanKind.SERVER,
            attributes={
                "http.request.method": call.exchange.method,
                "http.route": call.route,
                "rbee.correlation_id": call.correlation_id,
            },
        )
        self._spans[call] = span
        passed: dict[str, str] = {}
        self._context.inject(passed, self._api.set_span_in_context(span, _nothing()))
        call.trace = passed

    def _outcome(self, call: Call, asked: Asked, outcome: Outcome) -> None:
        span = self._spans.get(call)
        if span is not None:
            self._describe(span, OPERATIONS[asked.surface.path], asked.request, outcome)

    def _call(self, call: Call) -> None:
        span = self._spans.pop(call, None)
        if span is None:
            return
        span.set_attribute("http.response.status_code", call.status)
        if call.error is not None:
            self._fail(span, call.error)
        span.end()

    def _job(self, request: InferenceRequest, outcome: Outcome) -> None:
        now = int(self._gateway.clock.now() * 1_000_000)
        span = self._tracer.start_span(
            "job",
            context=_nothing(),
            kind=self._api.SpanKind.INTERNAL,
            start_time=now - int(outcome.total_ms * 1_000_000),
        )
        self._describe(span, operation_of(request), request, outcome)
        if outcome.error is not None:
            self._fail(span, outcome.error)
        span.end(now)

    def _describe(
        self, span: Span, operation: str, request: InferenceRequest, outcome: Outcome
    ) -> None:
        """Say what was asked and how it went; neither prompts nor what was generated."""
        span.update_name(f"{operation} {request.model}")
        usage = outcome.usage
        facts: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": request.model,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "rbee.job_id": outcome.job_id,
            "rbee.outcome": outcome.kind,
            "rbee.attempts": outcome.attempts,
            "rbee.queued_ms": outcome.queued_ms,
            "rbee.first_token_ms": outcome.first_token_ms,
        }
        if outcome.finish_reason:
            facts["gen_ai.response.finish_reasons"] = (outcome.finish_reason[:100],)
        registry = self._gateway.registry
        worker = registry.snapshot().worker(outcome.worker_id)
        if worker is not None:
            facts["rbee.worker.id"] = worker.id
            facts["server.address"], facts["server.port"] = worker.host, worker.port
            facts["gen_ai.response.model"] = _own_name(registry.catalog, request, worker.models)
        span.set_attributes({key: value for key, value in facts.items() if value is not None})

    def _fail(self, span: Span, error: Exception) -> None:
        # Without its message: that may quote a prompt.
        known = isinstance(error, SchedulerError)
        kind = error.code if isinstance(error, SchedulerError) else type(error).__name__
        span.set_attribute("error.type", kind)
        span.set_status(self._api.Status(self._api.StatusCode.ERROR, kind if known else None))


def _own_name(catalog: Catalog, request: InferenceRequest, models: tuple[str, ...]) -> str:
    return catalog.known_as(catalog.resolve(request.model), models)


def _nothing() -> Any:
    """Return a context without a span: not that of whatever else runs in this process."""
    from opentelemetry.context import Context

    return Context()
