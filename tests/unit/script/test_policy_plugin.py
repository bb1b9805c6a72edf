"""The plugin `script`: options, roles, several instances, the contract."""

from __future__ import annotations

import pytest

from rbee_scheduler import (
    ConfigError,
    InferenceRequest,
    PluginConfig,
    PluginError,
    PolicyError,
    Rejected,
    Scheduler,
    SchedulerConfig,
)
from rbee_scheduler._plugins import Plugins
from rbee_scheduler.testing import PluginContract
from rbee_scheduler_script import (
    FilterPolicy,
    Options,
    Policy,
    ScorePolicy,
    SelectPolicy,
    as_plugin,
    rbee_configure,
    rhai,
)
from rbee_scheduler_script._sample import sample_registry, sample_request


CHEAPEST = "fn schedule_job(job, pools, workers) { workers.min_by(|w| w.cost_per_token) }"
BY_MEMORY = "fn score(job, worker) { worker.vram_free_mb }"
METAL = "fn filter(job, worker) { worker.backend == `metal` }"


def plugin(name="script", **options):
    more = {key: options.pop(key) for key in ("weight", "on_error") if key in options}
    return PluginConfig(name=name, plugin="script", options=options, **more)


def explain(*plugins, strategy="", **fields):
    request = sample_request(**{"queued_at": 0.0, "created_at": 0.0, **fields})
    config = SchedulerConfig(strategy=strategy)
    return Scheduler(sample_registry(), Plugins(plugins, strict=True), config).explain(request)


def test_a_selecting_policy_is_a_strategy_of_the_instances_name():
    explained = explain(plugin("cheapest", source=CHEAPEST))
    assert (explained.strategy, explained.selected_by, explained.worker_id) == (
        "cheapest", "cheapest", "gpu-2",
    )  # fmt: skip


def test_two_policies_are_two_strategies():
    both = [
        plugin("cheapest", source=CHEAPEST),
        plugin("first", source="fn schedule_worker(job) { find_ready_worker(job.model) }"),
    ]
    assert explain(*both, strategy="first").worker_id == "gpu-1"
    assert explain(*both, strategy="cheapest").worker_id == "gpu-2"


def test_from_a_file(tmp_path):
    path = tmp_path / "p.rhai"
    path.write_text(CHEAPEST)
    assert explain(plugin(file=str(path))).worker_id == "gpu-2"


def test_a_scorer():
    explained = explain(plugin(source=BY_MEMORY))
    assert (explained.worker_id, explained.strategy) == ("gpu-2", "best-score")
    raw = {w.worker_id: w.contributions[0].raw for w in explained.workers}
    assert raw == {"gpu-1": 8192.0, "mac-1": 10240.0, "gpu-2": 40960.0}


def test_a_scorer_where_lower_is_better():
    score = "fn score(job, worker) { worker.load }"
    assert explain(plugin(source=score, better="lower")).worker_id == "mac-1"
    assert explain(plugin(source=score)).worker_id == "gpu-1"


def test_scorers_are_weighed():
    memory = plugin("memory", source=BY_MEMORY, weight=1.0)
    load = plugin("load", source="fn score(job, worker) { 1.0 - worker.load }", weight=10.0)
    assert explain(memory, load).worker_id == "mac-1"


def test_a_scorer_without_an_opinion_on_some():
    score = "fn score(job, worker) { if worker.gpus == 1 { 5 } }"
    assert explain(plugin(source=score)).worker_id == "gpu-1"


def test_a_hard_filter():
    explained = explain(plugin(source=METAL))
    assert (explained.worker_id, explained.fallbacks) == ("mac-1", ())
    [verdict] = explained.workers[0].verdicts
    assert (verdict.kept, verdict.reason) == (False, "the policy drops it")


@pytest.mark.parametrize(
    "answer", ['"no metal"', 'reject("no metal")', "#{action: `reject`, reason: `no metal`}"]
)
def test_a_filter_may_give_its_reason(answer):
    source = f"fn filter(job, worker) {{ if worker.backend != `metal` {{ {answer} }} }}"
    explained = explain(plugin(source=source))
    assert explained.worker_id == "mac-1"
    assert explained.workers[0].verdicts[0].reason == "no metal"


def test_a_soft_filter_gives_way():
    nobody = "fn filter(job, worker) { false }"
    soft = explain(plugin(source=nobody, role="soft-filter"))
    assert (soft.worker_id, soft.relaxed) == ("gpu-1", True)
    hard = explain(plugin(source=nobody, role="filter"))
    assert (hard.action, hard.worker_id) == ("reject", "")


@pytest.mark.parametrize("roles", [("filter", METAL), ("score", BY_MEMORY)])
def test_one_call_for_all_workers(roles):
    role, source = roles
    policy = Policy(source)
    assert policy.role == role
    explain(as_plugin(policy))
    assert policy.status().runs == 1


WRONG = {
    "score a text": ("fn score(job, worker) { worker.id }", "'gpu-1' for the worker 'gpu-1'",
                     "expected a number"),
    "score a bool": ("fn score(job, worker) { true }", "true for the worker", "expected a number"),
    "filter a number": ("fn filter(job, worker) { 1 }", "the number 1 for the worker 'gpu-1'",
                        "expected true to keep it"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "came", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_answers(source, came, expected):
    [failure] = explain(plugin(source=source)).failures
    assert came in failure
    assert expected in failure


def test_a_place_inside_score_is_the_scripts_own():
    [failure] = explain(
        plugin(source="\nfn score(job, worker) {\n    worker.id.nonsense() }")
    ).failures
    assert "<script>:3:15" in failure


async def test_a_filter_that_must_not_fail_open_never_does():
    broken = plugin(source="fn filter(j, w) { w.nonsense() }", on_error="reject", max_failures=2)
    scheduler = Scheduler(sample_registry(), [broken])
    request = sample_request(queued_at=0.0, created_at=0.0)
    for _ in range(5):
        with pytest.raises(PolicyError):
            await scheduler.schedule(request)


def test_a_scorer_that_is_set_aside_has_no_opinion():
    policy = Policy("fn score(job, worker) { worker.nonsense() }", max_failures=2)
    other = plugin("memory", source=BY_MEMORY)
    failures = [explain(ScorePolicy(policy), other).failures for _ in range(4)]
    assert [bool(told) for told in failures] == [True, True, False, False]
    assert explain(ScorePolicy(policy), other).worker_id == "gpu-2"


def test_a_soft_filter_that_is_set_aside_has_no_opinion():
    policy = Policy("fn filter(j, w) { w.x() }", role="soft-filter", max_failures=1)
    assert explain(FilterPolicy(policy)).failures
    assert not explain(FilterPolicy(policy)).failures


def test_filter_score_and_select_together():
    explained = explain(
        plugin("metal", source="fn filter(job, worker) { worker.id != `gpu-2` }"),
        plugin("memory", source=BY_MEMORY),
        plugin("mine", source="fn schedule_job(job, pools, workers) { workers.last() }"),
        strategy="mine",
    )
    assert (explained.worker_id, explained.failures) == ("mac-1", ())


# Options


def test_without_a_policy_it_does_nothing():
    """So it is when it is installed and the deployment lists no plugins."""
    plugins = Plugins(["script"], strict=True)
    [row] = [row for row in plugins.rows if row.status == "active"]
    assert (row.name, row.strategies) == ("script", ())
    assert explain("script").worker_id == "gpu-1"


BAD_OPTIONS = {
    "unknown": ({"sauce": "x"}, "$.plugins['script'].options.sauce"),
    "both": ({"file": "a", "source": "b"}, "source"),
    "role": ({"source": CHEAPEST, "role": "boss"}, "role"),
    "time": ({"source": CHEAPEST, "time_ms": 0}, "time_ms"),
    "failures": ({"source": CHEAPEST, "max_failures": -1}, "max_failures"),
    "when_none": ({"source": CHEAPEST, "when_none": "panic"}, "when_none"),
}


@pytest.mark.parametrize(("options", "place"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_stop_the_start(options, place):
    with pytest.raises(ConfigError) as caught:
        Plugins([plugin(**options)], strict=True)
    assert place in str(caught.value)


BAD_POLICIES = {
    "does not parse": ({"source": "fn schedule_job("}, "<script>:1:"),
    "decides nothing": ({"source": "let x = 1;"}, "no function that decides"),
    "wrong role": ({"source": CHEAPEST, "role": "score"}, "fn score(job, worker)"),
    "no file": ({"file": "no-such-file.rhai"}, "no-such-file.rhai"),
}


@pytest.mark.parametrize(("options", "says"), BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_bad_policies_stop_the_start(options, says):
    with pytest.raises(PluginError) as caught:
        Plugins([plugin(**options)], strict=True)
    assert says in str(caught.value)


def test_a_bad_policy_shows_as_a_failed_row():
    [row] = [r for r in Plugins([plugin(source="fn x(")]).rows if r.name == "script"]
    assert row.status == "failed"
    assert "<script>:1:" in row.error


def test_limits_are_options():
    configured = rbee_configure("x", Options(source=CHEAPEST, time_ms=5, memory_mb=1, operations=9))
    assert isinstance(configured, SelectPolicy)
    limits = configured.policy.limits
    assert (limits.time_ms, limits.memory, limits.operations) == (5, 1024 * 1024, 9)


async def test_a_request_may_choose_a_policy():
    scheduler = Scheduler(
        sample_registry(),
        [plugin("a", source=CHEAPEST), plugin("b", source="fn schedule(ctx) { reject(`b`) }")],
    )
    request = InferenceRequest(job_id="j", model="llama3", prompt="x", strategy="b")
    with pytest.raises(Rejected, match="b"):
        await scheduler.schedule(request)


# The contract, for policies of each role; with time enough for 10,000 workers under a debugger

PATIENT = rhai.Limits(time_ms=60_000)


def policy(source):
    return as_plugin(Policy(source, limits=PATIENT))


class TestInstalledContract(PluginContract):
    plugin = PluginConfig(
        name="cheapest", plugin="script", options={"source": CHEAPEST, "time_ms": 60_000.0}
    )


class TestRandomContract(PluginContract):
    plugin = policy("fn schedule_job(job, pools, workers) { workers.random() }")


class TestCtxContract(PluginContract):
    plugin = policy("fn schedule(ctx) { ctx.metrics.total_workers; ctx.workers.round_robin() }")


class TestFilterContract(PluginContract):
    plugin = policy("fn filter(job, worker) { worker.load < 0.9 }")


class TestScoreContract(PluginContract):
    plugin = policy("fn score(job, worker) { 0.0 - distance(job.user.geo, worker.geo) }")
