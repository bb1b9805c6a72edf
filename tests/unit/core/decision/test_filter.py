"""Filters: hard ones hold, soft ones are wishes, and who nobody drops stays."""

import pytest

from rbee_scheduler import NoWorkersAvailable, PluginError, Soft
from rbee_scheduler.testing import free_workers


def drops(*ids):
    return dict.fromkeys(ids, "because")


def raises(*_):
    raise RuntimeError("boom")


@pytest.mark.parametrize("nobody", [None, {}, Soft({})])
def test_a_filter_may_drop_nobody(case, nobody):
    assert case.filter(nobody).order() == ["w0", "w1", "w2", "w3"]


def test_who_nobody_drops_stays(case):
    assert case.filter(drops("w0")).filter(drops("w2", "w0")).order() == ["w1", "w3"]


def test_every_filter_sees_the_same_candidates(case):
    seen = []

    def look(candidates):
        seen.append([w.id for w in candidates])
        return drops("w0")

    case.filter(look).filter(look).decide()
    assert seen == [["w0", "w1", "w2", "w3"]] * 2


def test_later_hooks_see_who_is_kept(case):
    seen = []

    def look(candidates):
        seen.append([w.id for w in candidates])

    case.filter(drops("w1")).filter(Soft(drops("w2"))).score(look).select(look).decide()
    assert seen == [["w0", "w3"]] * 2


@pytest.mark.parametrize("wrap", [dict, Soft], ids=["hard", "soft"])
def test_what_hooks_are_shown_can_not_be_changed(case, wrap):
    def meddle(candidates):
        candidates[0] = candidates[1]

    case.filter(wrap(drops("w1"))).score(meddle).decide()
    assert "does not support item assignment" in str(case.failures[0])


def test_a_soft_filter_holds_when_somebody_passes(case):
    assert case.filter(Soft(drops("w0", "w1"))).order() == ["w2", "w3"]
    assert not case.trace.relaxed


def test_soft_filters_that_leave_nobody_are_dropped_together(case):
    case.filter(Soft(drops("w0", "w1"))).filter(Soft(drops("w2", "w3")))
    assert case.order() == ["w0", "w1", "w2", "w3"]
    assert case.trace.relaxed


def test_hard_filters_hold_when_soft_ones_are_relaxed(case):
    case.filter(drops("w0")).filter(Soft(drops("w1", "w2", "w3")))
    assert case.order() == ["w1", "w2", "w3"]


def test_a_relaxed_worker_may_be_selected_and_a_dropped_one_may_not(case):
    everyone = Soft(drops("w0", "w1", "w2", "w3"))
    assert case.filter(everyone).select(["w2"]).order() == ["w2"]


def test_names_of_workers_that_are_no_candidates_are_harmless(case):
    assert case.filter(drops("elsewhere", "w0")).order() == ["w1", "w2", "w3"]


# ---- nobody is left ----------------------------------------------------------------------------


def test_when_all_are_dropped_the_request_is_refused_with_the_reasons(case):
    reasons = {"w0": "old", "w1": "far", "w2": "old", "w3": "old"}
    decision = case.filter(reasons).decide()
    assert decision.action == "reject"
    assert isinstance(decision.error, NoWorkersAvailable)
    assert decision.reason == "filters dropped all 4 free workers of 'm': far, old"


def test_a_worker_that_is_full_and_would_pass_is_worth_waiting_for(case_of):
    workers = [
        *free_workers(2),
        *[w.changed(id="full") for w in free_workers(1, slots=1, running=1)],
    ]
    case = case_of(workers).filter(
        lambda candidates: {w.id: "x" for w in candidates if w.id != "full"}
    )
    decision = case.decide()
    assert (decision.action, decision.reason) == ("wait", "those that pass are full (x)")


def test_dropping_workers_of_other_models_does_not_hide_those_that_are_full(case_of):
    full = [w.changed(id="full") for w in free_workers(1, slots=1, running=1)]
    others = [
        w.changed(id=f"o{n}", model="o", models=("o",)) for n, w in enumerate(free_workers(5))
    ]
    case = case_of([*free_workers(2), *full, *others])
    case.filter(lambda snapshot: {w.id: "x" for w in snapshot.workers() if w.id != "full"})
    assert case.decide().action == "wait"


def test_a_worker_that_is_full_and_would_not_pass_is_not(case_of):
    workers = [
        *free_workers(2),
        *[w.changed(id="full") for w in free_workers(1, slots=1, running=1)],
    ]
    case = case_of(workers).filter(lambda candidates: {w.id: "x" for w in candidates})
    assert case.decide().action == "reject"


def test_a_filter_that_fails_on_the_full_ones_is_counted(case_of):
    workers = [
        *free_workers(2),
        *[w.changed(id="full") for w in free_workers(1, slots=1, running=1)],
    ]

    def fragile(candidates):
        return {w.id: "x" for w in candidates if 1 / (3 - len(candidates))}

    case = case_of(workers).filter(fragile)
    assert case.decide().action == "reject"
    assert [type(f.__cause__) for f in case.failures] == [ZeroDivisionError]


def test_reasons_of_any_type_do_not_hurt(case):
    decision = case.filter({"w0": None, "w1": 3, "w2": [], "w3": "x"}).decide()
    assert decision.reason.endswith("3, None, [], and 1 other reasons")


def test_a_thousand_different_reasons_make_a_short_message(case_of):
    case = case_of(free_workers(1000))
    case.filter(
        lambda candidates: {w.id: f"{w.id} is {n} ms away" for n, w in enumerate(candidates)}
    )
    assert len(case.decide().reason) < 200


# ---- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [[], "w0", ["w0"], 0, False, Soft(["w0"]), Soft(None), {"w0"}])
def test_an_answer_that_is_no_mapping_is_a_named_failure(case, wrong):
    decision = case.filter(wrong).decide()
    (failure,) = case.failures
    assert isinstance(failure, PluginError)
    assert (failure.plugin, failure.hook) == ("filter-1", "rbee_filter_workers")
    assert "not a mapping of worker id to reason" in str(failure)
    assert decision.strategy == "first-available"


def test_after_a_failure_the_drops_of_the_sound_filters_hold(case):
    case.filter(drops("w0")).filter(raises).filter(drops("w1"))
    decision = case.decide()
    assert decision.strategy == "first-available"
    assert (decision.worker.id, decision.fallbacks) == ("w2", ("w3",))


def test_when_the_sound_filters_leave_nobody_a_failure_changes_nothing(case):
    decision = case.filter(raises).filter(drops("w0", "w1", "w2", "w3")).decide()
    assert (decision.action, decision.strategy) == ("reject", "test")


def test_a_failure_of_a_filter_that_must_not_fail_open_refuses_the_request(case):
    decision = case.filter(raises, on_error="reject").filter(drops("w0")).decide()
    assert (decision.action, decision.strategy) == ("reject", "test")
    assert isinstance(decision.error, PluginError)
    assert (
        "plugin 'filter-1' (dist 1.0) in rbee_filter_workers: RuntimeError: boom" in decision.reason
    )


@pytest.mark.parametrize("order", [("reject", "fallback"), ("fallback", "reject")])
def test_of_two_failures_the_stricter_one_decides(case, order):
    for on_error in order:
        case.filter(raises, on_error=on_error)
    assert case.decide().action == "reject"
    assert len(case.failures) == 2


def test_a_strict_filter_that_fails_refuses_even_when_nobody_is_left(case):
    case.filter(raises, on_error="reject").filter(drops("w0", "w1", "w2", "w3"))
    assert isinstance(case.decide().error, PluginError)
