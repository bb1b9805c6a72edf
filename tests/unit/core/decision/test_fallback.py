"""A plugin that fails can't take the service down: the fall-back decides, and it is told."""

import pytest

from rbee_scheduler import (
    Act,
    InferenceRequest,
    PluginConfig,
    PluginError,
    Plugins,
    PolicyError,
    PoolCommand,
    Scheduler,
    SchedulerConfig,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import free_workers


def boom(*_):
    raise RuntimeError("boom")


def fallback_with(case_of, **hooks):
    """Return the chain of a fall-back strategy with these hooks of its own."""
    case = case_of(strategy="fb")
    for hook, (answer, options) in hooks.items():
        getattr(case, hook)(answer, **{"plugin": "fb", "strategy": "fb", **options})
    return case.chain


def test_without_a_fallback_registration_order_decides(case):
    decision = case.select(boom).score({"w3": 1.0}).decide()
    assert (decision.strategy, decision.selected_by) == ("first-available", "core")
    assert (decision.worker.id, decision.fallbacks) == ("w0", ("w1", "w2", "w3"))


@pytest.mark.parametrize("hook", ["filter", "score", "select"])
def test_the_failure_names_who_failed_where_and_why(case, hook):
    getattr(case, hook)(boom).decide()
    (failure,) = case.failures
    assert str(failure).startswith(f"plugin '{hook}-1' (dist 1.0) in rbee_{hook}_worker")
    assert str(failure).endswith(": RuntimeError: boom")
    assert isinstance(failure.__cause__, RuntimeError)
    assert case.trace.failures == [failure]


def test_a_plugins_own_error_keeps_its_class_and_gets_the_names(case):
    def policy(candidates):
        raise PolicyError("line 3 makes no sense", place="rules.yaml:3:1")

    case.score(policy).decide()
    (failure,) = case.failures
    assert isinstance(failure, PolicyError)
    assert (failure.plugin, failure.hook) == ("score-1", "rbee_score_workers")
    assert "rules.yaml:3:1: line 3 makes no sense" in str(failure)


def test_nobody_need_listen(case):
    assert case.select(boom).decide(on_failure=None, trace=None).worker.id == "w0"


def test_the_fallback_strategy_decides_with_its_own_hooks(case, case_of):
    fallback = fallback_with(case_of, score=({"w2": 1.0, "w0": 0.0}, {}))
    decision = case.select(boom).decide(fallback=fallback)
    assert (decision.strategy, decision.worker.id) == ("fb", "w2")


def test_the_fallbacks_selector_is_asked(case, case_of):
    decision = case.score(boom).decide(fallback=fallback_with(case_of, select=(["w3"], {})))
    assert (decision.strategy, decision.selected_by, decision.worker.id) == ("fb", "fb", "w3")


def test_hooks_of_plugins_take_no_part_in_the_fallback_whatever_their_name(case, case_of):
    other = case_of(strategy="fb").score(lambda: pytest.fail("asked"), plugin="fb").chain
    assert case.select(boom).decide(fallback=other).strategy == "fb"


def test_the_fallback_chooses_among_those_the_sound_filters_keep(case, case_of):
    case.filter({"w0": "x"}).filter(boom)
    fallback = fallback_with(case_of, select=(lambda candidates: [w.id for w in candidates], {}))
    assert case.order(fallback=fallback) == ["w1", "w2", "w3"]


@pytest.mark.parametrize("on_error", ["fallback", "reject"])
def test_a_fallback_that_fails_too_leaves_registration_order(case, case_of, on_error):
    fallback = fallback_with(case_of, select=(boom, {"on_error": on_error}))
    decision = case.score(boom).decide(fallback=fallback)
    assert (decision.strategy, decision.worker.id) == ("first-available", "w0")
    assert [failure.plugin for failure in case.failures] == ["score-1", "fb"]


def test_a_fallback_that_names_a_dropped_worker_has_failed(case, case_of):
    case.filter({"w0": "x"}).select(boom)
    decision = case.decide(fallback=fallback_with(case_of, select=(["w0"], {})))
    assert (decision.strategy, decision.worker.id) == ("first-available", "w1")


def test_a_selector_with_on_error_reject_refuses(case):
    decision = case.select(boom, on_error="reject").decide()
    assert decision.action == "reject"
    assert isinstance(decision.error, PluginError)


def test_commands_of_a_strategy_that_failed_are_not_sent_and_those_of_the_fallback_are(
    case, case_of
):
    start, evict = (PoolCommand(kind=kind) for kind in ("start_worker", "evict_worker"))
    case.select(Act(None, [start])).select(boom)
    assert case.decide().commands == ()
    fallback = fallback_with(case_of, select=(Act(["w1"], [evict]), {}))
    decision = case.decide(fallback=fallback)
    assert (decision.strategy, decision.commands) == ("fb", (evict,))


# ---- in a scheduler ----------------------------------------------------------------------------


class Broken:
    @hookimpl
    def rbee_score_workers(self, candidates):
        raise RuntimeError("boom")


class Strategies:
    @hookimpl
    def rbee_register_strategies(self):
        return {"last": Last()}


class Last:
    @hookimpl
    def rbee_select_worker(self, candidates):
        return [candidates[-1].id]


async def test_failures_are_counted_and_logged_at_each_doubling(caplog):
    registry = WorkerRegistry()
    for worker in free_workers(3):
        registry.add(worker)
    config = SchedulerConfig(strategy="best-score", fallback="last")
    async with Scheduler(registry, [Strategies(), Broken()], config) as scheduler:
        for n in range(3):
            request = InferenceRequest(job_id=f"j{n}", model="m", prompt="p")
            assert (await scheduler.schedule(request)).worker_id == "w2"
        failures = scheduler.statistics().plugin_failures
    assert failures == {("Broken", "rbee_score_workers"): 3}
    assert [record.exc_info is not None for record in caplog.records] == [True, False]
    assert "failed 2 times so far" in caplog.text


def test_on_error_and_weight_of_the_table_reach_the_calls():
    class Configured:
        @hookimpl
        def rbee_configure(self, name):
            return Broken()

    (call,) = Plugins([Configured()]).chain("best-score").score_workers
    assert (call.weight, call.on_error) == (1.0, "fallback")
    assert PluginConfig(name="x", on_error="reject").on_error == "reject"
