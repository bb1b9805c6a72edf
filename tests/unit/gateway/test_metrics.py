"""The metrics: everything is counted once, and nothing that a client makes up grows a page."""

import random

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from rbee_scheduler import ConfigError, ModelInfo, hookimpl
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway._metrics import _names as names
from rbee_scheduler_gateway._metrics._cells import Bounded, Histogram, Row
from rbee_scheduler_gateway._metrics._names import METRICS, Metric
from rbee_scheduler_gateway._metrics._text import text_of


TOKEN = "a-token-of-many-letters"
SECRET = "the prompt that nobody may see"
FINAL = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
LABELS = {"gen_ai_operation_name": "text_completion", "gen_ai_provider_name": "rbee-scheduler"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(memory):
    return lambda call: memory.stream(*completion(["a", "b", "c"]))


async def scrape(site, **options):
    """The samples by name and labels."""
    answer = await site.ask("/metrics", method="GET", **options)
    assert answer.status == 200
    return samples(read_text(answer.answer.decode()))


def samples(families):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found, name, **labels):
    return found.get((name, frozenset(labels.items())), 0.0)


def names_in(found):
    return {name for name, _ in found}


# ---- what is counted -------------------------------------------------------------------------


async def test_a_request_is_counted_by_route_outcome_model_and_worker(memory):
    async with memory.open_site(told(memory)) as site:
        for _ in range(3):
            await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    model = {**LABELS, "gen_ai_request_model": "bee"}
    assert value(found, "rbee_http_requests_total", route="/v1/completions", status="2xx") == 3
    assert value(found, "rbee_outcomes_total", kind="success", code="") == 3
    assert value(found, "gen_ai_server_request_duration_seconds_count", **model, error_type="") == 3
    assert value(found, "gen_ai_server_time_to_first_token_seconds_count", **model) == 3
    assert sum(value(found, "rbee_worker_requests_total", worker=w) for w in ("w0", "w1")) == 3
    assert value(found, "rbee_decisions_total") == 3
    assert value(found, "rbee_queue_wait_seconds_count") == 3


async def test_tokens_are_those_that_the_worker_counted(memory):
    body = {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": FINAL["usage"]}
    async with memory.open_site(lambda call: memory.whole(body), workers=1) as site:
        await site.ask("/v1/completions", {**memory.PLAIN, "stream": False})
        found = await scrape(site)
    model = {**LABELS, "gen_ai_request_model": "bee"}
    usage = "gen_ai_client_token_usage_sum"
    assert value(found, usage, **model, gen_ai_token_type="input") == 7
    assert value(found, usage, **model, gen_ai_token_type="output") == 3
    assert value(found, "rbee_worker_output_tokens_total", worker="w0") == 3
    # A whole answer has no first token that anybody saw.
    assert "gen_ai_server_time_to_first_token_seconds_count" not in names_in(found)


async def test_times_are_in_seconds_and_per_token_after_the_first(memory):
    def answer(call):
        async def slowly():
            site.clock.advance(2.0)

        steps = [memory.piece("a"), memory.piece("b", "stop"), memory.event(FINAL), memory.DONE]
        return memory.stream(slowly, steps[0], slowly, *steps[1:])

    async with memory.open_site(answer, workers=1) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    model = {**LABELS, "gen_ai_request_model": "bee"}
    assert value(found, "gen_ai_server_time_to_first_token_seconds_sum", **model) == 2.0
    assert value(found, "gen_ai_server_request_duration_seconds_sum", **model, error_type="") == 4.0
    # Two of the three tokens came after the first one, within 2 s.
    assert value(found, "gen_ai_server_time_per_output_token_seconds_sum", **model) == 1.0


async def test_a_worker_that_counts_no_tokens_is_taken_to_send_one_with_each_event(memory):
    async with memory.open_site(
        lambda call: memory.stream(memory.piece("a"), memory.piece("b"), memory.DONE), workers=1
    ) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    assert value(found, "rbee_worker_output_tokens_total", worker="w0") == 2
    assert "gen_ai_client_token_usage_sum" not in names_in(found)


async def test_a_failed_try_is_the_workers_and_the_outcome_its_successors(memory):
    def answer(call):
        return memory.whole({}, 500) if ":10000" in call.url else told(memory)(call)

    async with memory.open_site(answer) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    assert value(found, "rbee_worker_failures_total", worker="w0") == 1
    assert value(found, "rbee_worker_failures_total", worker="w1") == 0
    assert value(found, "rbee_worker_requests_total", worker="w1") == 1
    assert value(found, "rbee_retries_total") == 1
    assert value(found, "rbee_outcomes_total", kind="success", code="") == 1


async def test_errors_are_told_by_code(memory):
    async with memory.open_site(told(memory)) as site:
        await site.ask("/v1/completions", {**memory.PLAIN, "model": "nobody-has-it"})
        await site.ask("/nowhere", method="GET")
        found = await scrape(site)
    refused = "NO_WORKERS_AVAILABLE"
    assert value(found, "rbee_outcomes_total", kind="rejected", code=refused) == 1
    model = {**LABELS, "gen_ai_request_model": "other", "error_type": refused}
    assert value(found, "gen_ai_server_request_duration_seconds_count", **model) == 1
    assert value(found, "rbee_http_requests_total", route="other", status="4xx") == 1


async def test_jobs_are_counted_like_requests(memory):
    async with memory.open_site(told(memory)) as site:
        job = await site.ask("/v1/jobs", {"model": "bee", "prompt": "Once"})
        await site.ask(job.json()["events_url"], method="GET")
        found = await scrape(site)
    model = {**LABELS, "gen_ai_request_model": "bee"}
    assert value(found, "gen_ai_server_time_to_first_token_seconds_count", **model) == 1
    assert value(found, "rbee_outcomes_total", kind="success", code="") == 1
    assert value(found, "rbee_jobs", status="ended") == 1


async def test_what_waits_and_runs_is_shown(memory):
    go, began = anyio.Event(), anyio.Event()

    def answer(call):
        async def wait():
            began.set()
            await go.wait()

        return memory.stream(wait, *completion(["a"]))

    fields = {"slots": 1}
    async with memory.open_site(answer, workers=1, fields=fields) as site:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(site.ask, "/v1/completions", memory.PLAIN)
            await began.wait()
            await anyio.wait_all_tasks_blocked()
            found = await scrape(site)
            go.set()
        later = await scrape(site)
    assert value(found, "rbee_queue_depth", model="bee") == 2
    assert value(found, "rbee_requests_active") == 3
    assert value(found, "rbee_worker_in_flight", worker="w0") == 1
    assert "rbee_queue_depth" not in names_in(later)
    assert value(later, "rbee_requests_active") == 0


async def test_workers_are_shown_by_status(memory):
    async with memory.open_site(None, workers=3) as site:
        site.gateway.registry.drain("w1")
        site.gateway.registry.update("w2", online=False)
        found = await scrape(site)
    shown = {status: value(found, "rbee_workers", status=status) for status in ("ready", "offline")}
    assert shown == {"ready": 1, "offline": 1}
    assert value(found, "rbee_workers", status="stopped") == 1


async def test_heartbeats_are_counted_by_what_became_of_them(memory):
    async with memory.open_site(None, workers=0) as site:
        now = site.clock.now()
        worker = {"id": "w9", "url": "http://127.0.0.1:9", "model": "bee"}
        for _ in range(2):  # the second one is a replay
            await site.ask("/v1/worker-heartbeat", {"worker": worker, "timestamp": now})
        found = await scrape(site)
    assert value(found, "rbee_heartbeats_total", source="worker", result="taken") == 1
    assert value(found, "rbee_heartbeats_total", source="worker", result="refused") == 1


async def test_a_client_that_leaves_before_its_answer_is_counted_as_such(memory):
    async with memory.open_site(told(memory)) as site:
        exchange = memory.MemoryExchange("/v1/completions", memory.PLAIN)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await site.gateway.handle(exchange)
        found = await scrape(site)
    assert value(found, "rbee_http_requests_total", route="/v1/completions", status="left") == 1


async def test_connections_are_counted_where_the_server_is_ours(running):
    from rbee_scheduler.testing import FakeWorker

    async with FakeWorker() as worker, running.open_service(worker) as service:
        await service.ask()
        text = (await service.client.get("/metrics")).text
    assert value(samples(read_text(text)), "rbee_connections") >= 1


# ---- reloads -----------------------------------------------------------------------------------


async def test_sums_survive_a_reload_and_reloads_are_counted(memory):
    async with memory.open_site(told(memory)) as site:
        gateway = site.gateway
        deployment, options = gateway.deployment, gateway.options
        await site.ask("/v1/completions", memory.PLAIN)
        await scrape(site)
        gateway._load = lambda: (deployment, options)
        await gateway.reload()

        def refuse():
            raise ConfigError("wrong")

        gateway._load = refuse
        with pytest.raises(ConfigError):
            await gateway.reload()
        await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    assert value(found, "rbee_decisions_total") == 2
    assert value(found, "rbee_outcomes_total", kind="success", code="") == 2
    assert value(found, "rbee_config_reloads_total", result="taken") == 1
    assert value(found, "rbee_config_reloads_total", result="refused") == 1


# ---- bounds ------------------------------------------------------------------------------------


async def test_names_that_clients_make_up_get_no_label(memory):
    rng = random.Random(4)
    made_up = [f"model-{rng.getrandbits(64):x}" for _ in range(10_000)]
    async with memory.open_site(told(memory), options={"metrics_models": 5}) as site:
        before = None
        for number, model in enumerate(made_up):
            await site.ask("/v1/completions", {**memory.PLAIN, "model": model})
            if number == 0:
                before = await scrape(site)
        await site.ask("/v1/completions", memory.PLAIN)
        answer = await site.ask("/metrics", method="GET")
        found = samples(read_text(answer.answer.decode()))
    assert not [model for model in made_up if model in answer.answer.decode()]
    # What was added is the lines of the one real model, which all the others left room for.
    assert len(found) - len(before) < 60
    model = {**LABELS, "gen_ai_request_model": "bee", "error_type": ""}
    assert value(found, "gen_ai_server_request_duration_seconds_count", **model) == 1


async def test_more_models_than_may_have_a_label_share_one(memory):
    fields = {"models": tuple(f"m{n}" for n in range(20))}
    async with memory.open_site(
        told(memory), workers=1, fields=fields, options={"metrics_models": 3}
    ) as site:
        for n in range(20):
            await site.ask("/v1/completions", {**memory.PLAIN, "model": f"m{n}"})
        found = await scrape(site)
    counts = {
        dict(labels)["gen_ai_request_model"]: count
        for (name, labels), count in found.items()
        if name == "gen_ai_server_request_duration_seconds_count"
    }
    assert counts == {"m0": 1, "m1": 1, "m2": 1, "other": 17}


async def test_an_alias_is_counted_as_the_model_that_it_stands_for(memory):
    models = (ModelInfo(model_ref="bee", aliases=("b", "buzz")),)
    async with memory.open_site(told(memory), models=models) as site:
        for name in ("bee", "b", "buzz"):
            await site.ask("/v1/completions", {**memory.PLAIN, "model": name})
        found = await scrape(site)
    model = {**LABELS, "gen_ai_request_model": "bee", "error_type": ""}
    assert value(found, "gen_ai_server_request_duration_seconds_count", **model) == 3


async def test_more_workers_than_may_have_a_label_share_one(memory):
    async with memory.open_site(
        told(memory), workers=30, options={"metrics_workers": 4}, strategy="best-score"
    ) as site:
        for _ in range(3):
            await site.ask("/v1/completions", memory.PLAIN)
        for n in range(30):
            site.gateway.registry.report_failure(f"w{n}")
        found = await scrape(site)
    labels = [dict(made) for name, made in found if name == "rbee_worker_in_flight"]
    assert len(labels) == 5
    assert {"worker": "other"} in labels
    assert value(found, "rbee_worker_failures_total", worker="other") == 26
    assert value(found, "rbee_worker_failures_total", worker="w0") == 1


async def test_a_worker_that_left_makes_room(memory):
    async with memory.open_site(told(memory), workers=2, options={"metrics_workers": 1}) as site:
        await scrape(site)
        site.gateway.registry.remove("w0")
        found = await scrape(site)
    assert [dict(labels) for name, labels in found if name == "rbee_worker_in_flight"] == [
        {"worker": "w1"}
    ]


async def test_neither_prompts_nor_tokens_nor_tenants_are_shown(memory):
    from rbee_scheduler_gateway import Identity

    class Known:
        @hookimpl
        def rbee_identify(self, token):
            return Identity(role="operator", tenant_id="secret-tenant")

    body = {**memory.PLAIN, "prompt": SECRET, "user": "ann@example.org"}
    async with memory.open_site(told(memory), plugins=[Known()]) as site:
        for model in ("bee", SECRET):
            await site.ask(
                "/v1/completions",
                {**body, "model": model},
                headers={"authorization": f"Bearer {TOKEN}", "x-session-id": "sess-1"},
            )
        answer = await site.ask("/metrics", method="GET")
    text = answer.answer.decode()
    words = (SECRET, TOKEN, "secret-tenant", "ann@example.org", "sess-1", "127.0.0.1")
    assert [word for word in words if word in text] == []


def test_cells_beyond_the_limit_are_one():
    cells = Bounded(lambda name: [name], "other")
    taken = [cells.take(str(n), 3) for n in range(1000)]
    assert [cell for _, cell in cells] == [["0"], ["1"], ["2"], ["other"]]
    assert taken[3] is taken[999]
    assert cells.take("other", 10) is cells.rest


def test_a_value_that_equals_a_bound_belongs_below_it():
    histogram = Histogram((1.0, 2.0))
    for number in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(number)
    assert histogram.row("a").counts == (2, 2, 1)
    assert histogram.row("a").value == 8.0


# ---- what is written -----------------------------------------------------------------------------


async def test_both_formats_are_valid_and_say_the_same(memory):
    async with memory.open_site(told(memory)) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        plain = await site.ask("/metrics", method="GET")
        open_ = await site.ask(
            "/metrics",
            method="GET",
            headers={"accept": "application/openmetrics-text; version=1.0.0"},
        )
    assert plain.answer_headers["content-type"].startswith("text/plain; version=0.0.4")
    assert open_.answer_headers["content-type"].startswith("application/openmetrics-text")
    assert open_.answer.endswith(b"# EOF\n")

    def own(found):
        route = ("route", "/metrics")
        return {
            key: number
            for key, number in found.items()
            if key[0].startswith(("gen_ai", "rbee")) and route not in key[1]
        }

    found = own(samples(read_text(plain.answer.decode())))
    assert found == own(samples(read_openmetrics(open_.answer.decode())))
    assert value(found, "rbee_outcomes_total", kind="success", code="") == 1


async def test_all_names_are_those_of_the_table_and_fit_prometheus(memory):
    async with memory.open_site(told(memory)) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        answer = await site.ask("/metrics", method="GET")
    families = {
        family.name: family
        for family in read_text(answer.answer.decode())
        if not family.name.startswith("process_")
    }
    table = {metric.name: metric for metric in METRICS}
    assert families.keys() <= table.keys()
    for name, family in families.items():
        assert family.type == table[name].kind
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(table[name].labels)
    assert len(table) == len(METRICS)
    for metric in METRICS:
        assert list(metric.buckets) == sorted(metric.buckets)
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))


@given(
    st.lists(st.text(), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
    st.floats(allow_nan=False, allow_infinity=False, min_value=0),
)
def test_whatever_stands_in_a_label_can_be_read_again(values, counts, total):
    counter = Metric("bees", "counter", "Bees.", ("kind",))
    times = Metric("flight_seconds", "histogram", "Flights.", ("kind",), (0.5, 2.5))
    rows = [
        (counter, [Row((text,), total) for text in values]),
        (times, [Row((text,), total, tuple(counts)) for text in values]),
    ]
    plain = samples(read_text(text_of(rows, openmetrics=False)))
    open_ = samples(read_openmetrics(text_of(rows, openmetrics=True) + "# EOF\n"))
    assert plain == open_
    for text in values:
        assert value(plain, "bees_total", kind=text) == total
        assert value(plain, "flight_seconds_bucket", kind=text, le="2.5") == sum(counts[:2])
        assert value(plain, "flight_seconds_count", kind=text) == sum(counts)
        assert value(plain, "flight_seconds_sum", kind=text) == total


def test_buckets_are_those_of_the_conventions():
    assert names.REQUEST_SECONDS.buckets[:3] == (0.01, 0.02, 0.04)
    assert names.REQUEST_SECONDS.buckets[-1] == 81.92
    assert names.TIME_TO_FIRST.buckets[0] == 0.001
    assert len(names.TIME_TO_FIRST.buckets) == 16
    assert len(names.TIME_PER_TOKEN.buckets) == 13
    assert names.TOKENS.buckets[-1] == 67_108_864


async def test_a_large_page_is_written_in_a_thread_and_is_the_same(memory, monkeypatch):
    from rbee_scheduler_gateway._metrics import _exposition

    calls = []
    original = anyio.to_thread.run_sync

    async def run_sync(function, *args, **options):
        calls.append(function)
        return await original(function, *args, **options)

    monkeypatch.setattr(_exposition.anyio.to_thread, "run_sync", run_sync)
    async with memory.open_site(told(memory), workers=2) as site:
        small = await scrape(site)
        assert calls == []
        monkeypatch.setattr(_exposition, "_FEW", 10)
        large = await scrape(site)
    assert len(calls) == 1
    assert small.keys() - large.keys() == set()


# ---- who may look --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 200),
        ({"tokens": [TOKEN]}, 200),
        ({"tokens": [TOKEN], "host": "0.0.0.0"}, 401),
        ({"tokens": [TOKEN], "mode": "lab"}, 401),
    ],
    ids=["home", "home with a token", "reached from elsewhere", "lab"],
)
async def test_everybody_may_look_where_only_this_machine_can(memory, options, status):
    async with memory.open_site(None, options=options) as site:
        answer = await site.ask("/metrics", method="GET")
        headers = {"authorization": f"Bearer {TOKEN}"}
        operator = await site.ask("/metrics", method="GET", headers=headers)
    assert (answer.status, operator.status) == (status, 200)


async def test_an_unknown_parameter_is_refused(memory):
    async with memory.open_site(None) as site:
        answer = await site.ask("/metrics?name=x", method="GET")
    assert answer.status == 400


# ---- plugins -------------------------------------------------------------------------------------


class Collecting:
    """A plugin with metrics of its own."""

    def __init__(self, *collectors):
        self.collectors = collectors

    @hookimpl
    def rbee_collect_metrics(self):
        return self.collectors


class Gauges:
    """A collector that makes its families anew each time."""

    def __init__(self, name="bees", broken=False):
        self.name = name
        self.broken = broken

    def collect(self):
        if self.broken:
            raise RuntimeError("no bees")
        yield GaugeMetricFamily(self.name, "How many bees there are.", value=3)


async def test_metrics_of_plugins_are_shown(memory):
    counter = PrometheusCounter("honey_grams", "Honey made.", registry=None)
    counter.inc(5)
    async with memory.open_site(None, plugins=[Collecting(Gauges(), counter)]) as site:
        found = await scrape(site)
    assert value(found, "bees") == 3
    assert value(found, "honey_grams_total") == 5


async def test_a_collector_that_fails_is_named_and_the_rest_is_there(memory, caplog):
    broken = Gauges()
    async with memory.open_site(None, plugins=[Collecting(broken, Gauges("wasps"))]) as site:
        broken.broken = True
        await scrape(site)
        found = await scrape(site)
    failed = {"plugin": "Collecting", "hook": "rbee_collect_metrics"}
    assert "bees" not in names_in(found)
    assert value(found, "wasps") == 3
    assert (
        sum(
            count
            for (name, labels), count in found.items()
            if name == "rbee_plugin_failures_total" and ("hook", failed["hook"]) in labels
        )
        >= 1
    )
    assert "no bees" in caplog.text


async def test_what_a_plugin_shows_and_nobody_can_write_is_left_out(memory, caplog):
    class Odd(Gauges):
        def collect(self):
            family = GaugeMetricFamily("odd", "Not a number.", labels=["a"])
            family.add_metric(["x"], 1.0)
            if self.broken:
                family.samples[0] = family.samples[0]._replace(value=object())
            yield family

    odd = Odd()
    async with memory.open_site(None, plugins=[Collecting(odd)]) as site:
        odd.broken = True
        found = await scrape(site)
    assert "odd" not in names_in(found)
    assert value(found, "rbee_requests_active") == 0
    assert "rbee_workers" in names_in(found)
    assert "can't be written" in caplog.text


@pytest.mark.parametrize("name", ["rbee_workers", "bees"])
async def test_two_metrics_of_one_name_stop_the_start(memory, name):
    plugins = [Collecting(Gauges(name), Gauges("bees"))]
    with pytest.raises(ConfigError, match=name):
        async with memory.open_site(None, plugins=plugins):
            pass


async def test_failures_of_plugins_are_counted_by_hook(memory):
    class Faulty:
        __name__ = "faulty"

        @hookimpl
        def rbee_filter_workers(self, candidates):
            raise RuntimeError("oops")

        @hookimpl
        def rbee_answer_headers(self):
            raise RuntimeError("no headers")

    async with memory.open_site(told(memory), plugins=[Faulty()]) as site:
        await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    failures = {
        dict(labels)["hook"]: count
        for (name, labels), count in found.items()
        if name == "rbee_plugin_failures_total"
    }
    assert failures == {"rbee_filter_workers": 1, "rbee_answer_headers": 1}


class Hooked:
    """A plugin that takes part in each request."""

    __name__ = "hooked"

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {}

    @hookimpl
    async def rbee_reserve(self, request, worker):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("asked", [False, True])
async def test_hooks_are_timed_where_that_is_asked_for(memory, asked):
    options = {"metrics_plugin_time": asked}
    async with memory.open_site(told(memory), plugins=[Hooked()], options=options) as site:
        for _ in range(4):
            await site.ask("/v1/completions", memory.PLAIN)
        found = await scrape(site)
    counts = {
        dict(labels)["hook"]: count
        for (name, labels), count in found.items()
        if name == "rbee_plugin_call_seconds_count"
    }
    seconds = [count for (name, _), count in found.items() if name.endswith("call_seconds_sum")]
    expected = {"rbee_filter_workers": 4, "rbee_reserve": 4}
    assert {hook: counts[hook] for hook in expected if hook in counts} == (
        expected if asked else {}
    )
    assert all(number > 0 for number in seconds)


def test_what_is_measured_is_the_time_of_the_hook():
    from rbee_scheduler import Plugins
    from rbee_scheduler_gateway._metrics._plugin_time import PluginTime

    now = [0.0]

    class Slow:
        __name__ = "slow"

        @hookimpl
        def rbee_filter_workers(self, candidates):
            now[0] += 2.5
            raise RuntimeError("after all that")

    plugins, time = Plugins([Slow()]), PluginTime(lambda: now[0])
    plugins.wrap_calls(time.timed)
    (call,) = plugins.chain("best-score").filter_workers
    for _ in range(2):
        with pytest.raises(RuntimeError):
            call.function(None, (), None)
    (row,) = time.rows()
    assert attrs.astuple(row) == (("slow", "rbee_filter_workers"), 5.0, (2,))
