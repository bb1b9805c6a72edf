"""Traces: one span per request for inference, joined to the client's and the worker's."""

import importlib.util
import subprocess
import sys

import anyio
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from rbee_scheduler import ConfigError
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway import _tracing
from rbee_scheduler_gateway._tracing import Tracing, tracing_of


SECRET = "the prompt that nobody may see"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = {
    "choices": [{"text": SECRET, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans):
    """Let a site's requests be traced into ``spans``."""

    def trace(site):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(spans))
        site.gateway.tracing = Tracing(site.gateway, provider)
        return site.gateway.tracing

    return trace


def whole(memory):
    return lambda call: memory.whole(BODY)


async def test_a_request_is_one_span_that_says_what_was_asked_and_used(memory, spans, traced):
    async with memory.open_site(whole(memory), workers=1) as site:
        traced(site)
        await site.ask("/v1/completions", {"model": "bee", "prompt": SECRET})
    (span,) = spans.get_finished_spans()
    facts = dict(span.attributes)
    assert span.name == "text_completion bee"
    assert span.kind == SpanKind.SERVER
    assert span.status.status_code == StatusCode.UNSET
    assert facts["gen_ai.operation.name"] == "text_completion"
    assert facts["gen_ai.request.model"] == "bee"
    assert facts["gen_ai.response.model"] == "bee"
    assert facts["gen_ai.usage.input_tokens"] == 7
    assert facts["gen_ai.usage.output_tokens"] == 3
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert facts["rbee.worker.id"] == "w0"
    assert (facts["server.address"], facts["server.port"]) == ("127.0.0.1", 10_000)
    assert facts["http.route"] == "/v1/completions"
    assert facts["http.response.status_code"] == 200
    assert SECRET not in span.to_json()


async def test_the_clients_trace_goes_on_in_the_gateway_and_at_the_worker(memory, spans, traced):
    async with memory.open_site(whole(memory), workers=1) as site:
        traced(site)
        headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
        await site.ask("/v1/completions", memory.PLAIN, headers=headers)
        (asked,) = site.asked
    (span,) = spans.get_finished_spans()
    trace_id, span_id = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    assert trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert asked.headers["traceparent"] == f"00-{trace_id}-{span_id}-01"
    assert asked.headers["tracestate"] == "vendor=1"


async def test_requests_without_a_trace_begin_one_each(memory, spans, traced):
    async with memory.open_site(whole(memory), workers=1) as site:
        traced(site)
        for header in ({}, {"traceparent": "nonsense"}):
            await site.ask("/v1/completions", memory.PLAIN, headers=header)
        sent = [call.headers["traceparent"] for call in site.asked]
    first, second = spans.get_finished_spans()
    assert first.parent is second.parent is None
    assert first.context.trace_id != second.context.trace_id
    assert [made.split("-")[1] for made in sent] == [
        f"{span.context.trace_id:032x}" for span in (first, second)
    ]


async def test_each_try_of_one_request_belongs_to_its_span(memory, spans, traced):
    def answer(call):
        return memory.whole({}, 500) if ":10000" in call.url else whole(memory)(call)

    async with memory.open_site(answer) as site:
        traced(site)
        await site.ask("/v1/completions", memory.PLAIN)
        parents = {call.headers["traceparent"] for call in site.asked}
    (span,) = spans.get_finished_spans()
    assert len(parents) == 1
    assert span.attributes["rbee.attempts"] == 2


async def test_a_failure_is_told_by_its_code_and_not_by_its_words(memory, spans, traced):
    said = {"error": {"message": SECRET}}
    async with memory.open_site(lambda call: memory.whole(said, 400), workers=1) as site:
        traced(site)
        await site.ask("/v1/completions", {"model": "bee", "prompt": SECRET})
        await site.ask("/v1/completions", {"model": SECRET[:3], "prompt": SECRET})
        await site.ask("/v1/completions", b"{")
    found = spans.get_finished_spans()
    codes = [span.attributes["error.type"] for span in found]
    assert codes == ["WORKER_ERROR", "NO_WORKERS_AVAILABLE", "INVALID_REQUEST"]
    assert [span.status.status_code for span in found] == [StatusCode.ERROR] * 3
    assert [span.attributes["http.response.status_code"] for span in found] == [400, 503, 400]
    assert not [span for span in found if SECRET in span.to_json()]


async def test_a_client_that_leaves_ends_its_span(memory, spans, traced):
    async with memory.open_site(whole(memory), workers=1) as site:
        tracing = traced(site)
        exchange = memory.MemoryExchange("/v1/completions", memory.PLAIN)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await site.gateway.handle(exchange)
        assert tracing._spans == {}
    (span,) = spans.get_finished_spans()
    assert span.attributes["rbee.outcome"] == "cancelled"


async def test_a_job_is_a_span_as_long_as_it_ran(memory, spans, traced):
    def answer(call):
        async def slowly():
            site.clock.advance(2.0)

        return memory.stream(slowly, *completion(["a", "b"]))

    async with memory.open_site(answer, workers=1) as site:
        traced(site)
        job = await site.ask("/v1/jobs", {"model": "bee", "prompt": SECRET})
        await site.ask(job.json()["events_url"], method="GET")
    named = {span.name: span for span in spans.get_finished_spans()}
    span = named["text_completion bee"]
    assert span.end_time - span.start_time == 2_000_000_000
    assert span.attributes["rbee.outcome"] == "success"
    assert not [span for span in named.values() if SECRET in span.to_json()]


async def test_what_is_no_inference_has_no_span(memory, spans, traced):
    async with memory.open_site(None) as site:
        traced(site)
        for path in ("/health", "/v1/models", "/metrics", "/nowhere"):
            await site.ask(path, method="GET")
    assert spans.get_finished_spans() == ()


async def test_without_it_nothing_is_sent_to_workers(memory):
    async with memory.open_site(whole(memory), workers=1) as site:
        assert site.gateway.tracing is None
        await site.ask("/v1/completions", memory.PLAIN)
        (asked,) = site.asked
    assert "traceparent" not in asked.headers


# ---- whether there are traces ------------------------------------------------------------------


async def test_the_option_or_the_endpoint_turns_it_on(memory, monkeypatch):
    for name in _tracing.ENDPOINT:
        monkeypatch.delenv(name, raising=False)
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    made = {}
    for option in (None, True, False):
        async with memory.open_site(None, options={"tracing": False}) as site:
            options = site.gateway.options.__class__(tracing=option)
            site.gateway._generation.options = options
            for environ in ({}, endpoint):
                tracing = tracing_of(site.gateway, environ)
                made[option, bool(environ)] = tracing is not None
                if tracing is not None:
                    await tracing.aclose()
    on = {which for which, is_made in made.items() if is_made}
    assert on == {(None, True), (True, False), (True, True)}


async def test_without_the_extra_it_is_refused_where_it_was_asked_for(memory, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        _tracing, "find_spec", lambda name: None if "exporter" in name else real(name)
    )
    with pytest.raises(ConfigError, match=r"rbee-scheduler-gateway\[otel\]"):
        async with memory.open_site(None, options={"tracing": True}):
            pass
    async with memory.open_site(None) as site:
        assert tracing_of(site.gateway, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}) is None


def test_opentelemetry_is_not_imported_unless_it_is_wanted():
    program = (
        "import sys, anyio\n"
        "from rbee_scheduler import Deployment\n"
        "from rbee_scheduler_gateway import Gateway\n"
        "async def main():\n"
        "    async with Gateway(Deployment(plugins=())): pass\n"
        "anyio.run(main)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    environ = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=True
    )
    assert done.stdout == "[]\n"
