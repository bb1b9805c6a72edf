"""The explanation says what the decision says, and why, in three forms."""

import json
import math

import pytest

from rbee_scheduler import Act, InferenceRequest, PoolCommand, Soft, Wait, Worker
from rbee_scheduler._explain import explain_decision
from rbee_scheduler.testing import free_workers


REQUEST = InferenceRequest(job_id="job", model="m", prompt="Hello!", created_at=1.0)


def explain(case, **options):
    decision = case.decide(REQUEST, **options)
    return explain_decision(REQUEST, case.snapshot, decision, case.trace)


def test_a_choice_as_text(case):
    case.filter({"w0": "too old"}).filter(Soft({"w3": "far"}))
    case.score({"w1": 1.0, "w2": 3.0}, weight=2.0).select(lambda candidates: ["w2", "w1"])
    assert str(explain(case)) == (
        "job job, model m: goes to w2, then w1 (strategy test, selected by select-1)\n"
        "  - w0\n"
        "       filter-1 dropped it: too old\n"
        "  2. w1: score 0.000\n"
        "       score-1 gave 1, counts 0.000 of 2\n"
        "  1. w2: score 2.000\n"
        "       score-1 gave 3, counts 2.000 of 2\n"
        "  - w3\n"
        "       filter-2 would rather not have it: far"
    )


def test_a_wait_and_a_refusal_as_text(case):
    waits = explain(case.select(Wait("later")))
    assert str(waits).splitlines()[0] == "job job, model m: waits: later (strategy test)"
    assert (waits.worker_id, waits.fallbacks, waits.selected_by) == ("", (), "select-1")
    refused = explain(case.filter(lambda candidates: {w.id: "x" for w in candidates}))
    assert "is refused: filters dropped all 4 free workers" in str(refused)


def test_failures_and_relaxed_wishes_are_said(case):
    case.filter(Soft(dict.fromkeys(["w0", "w1", "w2", "w3"], "far"))).score(lambda: 1 / 0)
    lines = str(explain(case)).splitlines()
    assert lines[1].startswith("  ! plugin 'score-1' (dist 1.0) in rbee_score_workers: ZeroDiv")
    assert lines[2] == "  soft filters were dropped: together they would have left nobody"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"online": False}, "offline: no heartbeat in time"),
        ({"status": "starting"}, "status starting"),
        ({"capabilities": ["embedding"]}, "can't do text-gen"),
        ({"slots": 2, "running": 2}, "full: 2 of 2 slots"),
    ],
)
def test_who_is_no_candidate_and_why(case_of, fields, state):
    case = case_of([Worker(id="w", url="http://h", model="m", **fields), *free_workers(1)])
    explanation = explain(case)
    assert (explanation.workers[0].candidate, explanation.workers[0].state) == (False, state)
    assert f"  - w: {state}" in str(explanation)


def test_a_worker_that_failed_the_request_is_said_to_have(case):
    assert explain(case, exclude={"w0"}).workers[0].state == "failed this request already"


def test_workers_of_other_models_are_not_listed(case_of):
    others = [Worker(id="other", url="http://h", model="o")]
    assert [w.worker_id for w in explain(case_of([*others, *free_workers(1)])).workers] == ["w0"]


def test_the_total_is_the_decisions_own_sum(case):
    seen = {}
    for weight in (0.1, 0.2, 0.3):
        case.score({f"w{n}": n for n in range(4)}, weight=weight)

    def look(scores):
        seen.update(scores)

    case.select(look)
    assert {w.worker_id: w.total for w in explain(case).workers} == seen


def test_scores_of_a_strategy_that_failed_do_not_count(case, case_of):
    case.score({"w0": 9.0, "w1": 1.0}).score(lambda: 1 / 0)
    assert [w.total for w in explain(case).workers] == [None] * 4
    fallback = (
        case_of(strategy="fb").score({"w3": 1.0, "w2": 0.5}, plugin="fb", strategy="fb").chain
    )
    explanation = explain(case, fallback=fallback)
    assert explanation.worker_id == "w3"
    assert [[part.plugin for part in w.contributions] for w in explanation.workers] == [["fb"]] * 4


def test_numbers_that_json_lacks_become_null(case):
    case.score({"w0": math.nan, "w1": math.inf, "w2": 2, "w3": 1.0})
    explanation = explain(case)
    assert math.isnan(explanation.workers[0].contributions[0].raw)
    plain = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert [w["contributions"][0]["raw"] for w in plain["workers"]] == [None, None, 2.0, 1.0]
    assert "gave nan, counts 0.000" in str(explanation)


def test_a_worker_without_a_number_got_nothing(case):
    assert "score-1 gave nothing, counts 0.000 of 1" in str(explain(case.score({"w0": 1.0})))


def test_reasons_of_any_type_are_shown_as_text(case):
    case.filter({"w0": None, "w1": ["a", 1]})
    explanation = explain(case)
    verdicts = [worker.verdicts[0] for worker in explanation.workers]
    assert [(v.kept, v.reason) for v in verdicts] == [
        (False, "None"),
        (False, "['a', 1]"),
        (True, ""),
        (True, ""),
    ]
    json.dumps(explanation.to_dict())


def test_a_strategy_that_selects_itself_is_named_once(case):
    text = str(explain(case.select(["w1"], plugin="test")))
    assert text.splitlines()[0] == "job job, model m: goes to w1 (strategy test)"


def test_commands_are_shown_as_plain_values(case):
    command = PoolCommand(kind="start_worker", pool_id="p", model_ref="m", reason="busy")
    explanation = explain(case.take_commands().select(Act(["w1"], [command])))
    (plain,) = json.loads(json.dumps(explanation.to_dict()))["commands"]
    assert (plain["kind"], plain["pool_id"], plain["reason"]) == ("start_worker", "p", "busy")
