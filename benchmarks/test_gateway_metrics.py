"""What the metrics of the gateway cost: us per request, per hook that is timed, per scrape."""

from __future__ import annotations

import anyio
import pytest

from rbee_scheduler import (
    Deployment,
    Outcome,
    Plugins,
    Usage,
    Worker,
    WorkerRegistry,
    WorkerTimeout,
    hookimpl,
)
from rbee_scheduler_gateway import Gateway, GatewayOptions
from rbee_scheduler_gateway._metrics._plugin_time import PluginTime
from rbee_scheduler_gateway._metrics._recorder import Recorder
from rbee_scheduler_gateway._metrics._text import text_of


class Surface:
    path = "/v1/chat/completions"


class Asked:
    """What the recorder reads of a request."""

    surface = Surface()
    stream = True

    def __init__(self, model="m"):
        self.request = type("Request", (), {"model": model})()


class Call:
    """What the recorder reads of a call."""

    route = "/v1/chat/completions"
    status = 200
    pieces = 100


SERVED = Outcome(
    job_id="job",
    kind="success",
    worker_id="w0",
    usage=Usage(prompt_tokens=20, completion_tokens=100),
    attempts=1,
    first_token_ms=35.0,
    total_ms=900.0,
)
FAILED = Outcome(
    job_id="job", kind="timeout", worker_id="w0", error=WorkerTimeout("slow"), attempts=3
)


@pytest.fixture
def recorder():
    made = Recorder(WorkerRegistry(), lambda: (100, 100))
    made.on_outcome(Call(), Asked(), SERVED)
    made.on_outcome(Call(), Asked(), FAILED)
    return made


@pytest.mark.parametrize("outcome", [SERVED, FAILED], ids=["served", "failed"])
def test_record_a_request(benchmark, recorder, outcome):
    """Both watchers, as the gateway calls them: at most 4 us."""
    call, asked = Call(), Asked()

    def record():
        recorder.on_outcome(call, asked, outcome)
        recorder.on_call(call)

    benchmark(record)


@pytest.mark.parametrize("timed", [False, True], ids=["as it is", "timed"])
def test_call_a_hook(benchmark, timed):
    class Filter:
        __name__ = "filter"

        @hookimpl
        def rbee_filter_workers(self, request, candidates, snapshot):
            return {}

    plugins = Plugins([Filter()])
    if timed:
        plugins.wrap_calls(PluginTime().timed)
    (call,) = plugins.chain("best-score").filter_workers
    benchmark(call.function, None, (), None)


def busy_gateway(models, workers):
    """A gateway that has served many models on many workers."""
    fleet = tuple(
        Worker(id=f"w{n}", url=f"http://127.0.0.1:{10_000 + n}", model=f"m{n % models}")
        for n in range(workers)
    )
    gateway = Gateway(
        Deployment(workers=fleet, plugins=()), GatewayOptions(), load_plugins=lambda _: Plugins([])
    )
    recorder = gateway.metrics.recorder
    for n in range(models):
        for outcome in (SERVED, FAILED):
            recorder.on_outcome(Call(), Asked(f"m{n}"), outcome)
    return gateway


SIZES = pytest.mark.parametrize(
    ("models", "workers"), [(1, 4), (10, 100), (100, 10_000)], ids=["small", "middle", "large"]
)


@SIZES
def test_read_off(benchmark, models, workers):
    """What a scrape keeps the event loop from."""

    async def make():
        return busy_gateway(models, workers)

    gateway = anyio.run(make)
    rows = benchmark(gateway.metrics.rows)
    benchmark.extra_info["lines"] = sum(max(1, len(r.counts)) for _, some in rows for r in some)


@SIZES
def test_write(benchmark, models, workers):
    """The rest of a scrape, which a thread does when it is much."""

    async def make():
        return busy_gateway(models, workers)

    rows = anyio.run(make).metrics.rows()
    text = benchmark(lambda: text_of(rows, openmetrics=False))
    benchmark.extra_info["bytes"] = len(text)


def test_trace_a_request(benchmark):
    """One span, kept in memory; where there is no tracing, a request pays one comparison."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from rbee_scheduler_gateway._tracing import Tracing

    async def make():
        return busy_gateway(1, 4)

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(spans))
    tracing = Tracing(anyio.run(make), provider)

    class Exchange:
        method, path = "POST", "/v1/chat/completions"
        headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}  # noqa: RUF012 - never changed

    class Traced(Call):
        exchange = Exchange()
        correlation_id = "0123456789abcdef"
        error = None

    asked = Asked()

    def trace():
        call = Traced()
        tracing.begin(call)
        tracing._outcome(call, asked, SERVED)
        tracing._call(call)

    benchmark(trace)
    provider.shutdown()
