"""Scores: any range, either direction, weighted and summed; one bad number ruins nothing."""

import math
from decimal import Decimal

import pytest

from rbee_scheduler import Scores
from rbee_scheduler._normalise import normalise
from rbee_scheduler.testing import free_workers


def scores(*values, **options):
    return Scores({f"w{n}": v for n, v in enumerate(values)}, **options)


def seen_by_selector(case):
    """Return the sums that a selector would see."""
    seen = {}

    def look(scores):
        seen.update(scores)

    case.select(look).decide()
    return seen


# ---- the law of one scorer -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "options", "weight", "expected"),
    [
        ([0, 5, 10], {}, 1.0, [0.0, 0.5, 1.0]),
        ([0, 5, 10], {"better": "lower"}, 1.0, [1.0, 0.5, 0.0]),
        ([0, 5, 10], {}, 4.0, [0.0, 2.0, 4.0]),
        ([0, 5, 10], {"lowest": 0, "highest": 20}, 1.0, [0.0, 0.25, 0.5]),
        ([0, 5, 10], {"lowest": 0, "highest": 20, "better": "lower"}, 1.0, [1.0, 0.75, 0.5]),
        ([-5, 5, 30], {"lowest": 0, "highest": 20}, 1.0, [0.0, 0.25, 1.0]),
        ([0, 5, 10], {"lowest": -10}, 1.0, [0.5, 0.75, 1.0]),
        ([0, 5, 10], {"highest": 40}, 1.0, [0.0, 0.125, 0.25]),
        ([7, 7, 7], {}, 2.0, [2.0, 2.0, 2.0]),
        ([7], {}, 1.0, [1.0]),
        ([7, 8], {"lowest": 9}, 1.0, [1.0, 1.0]),
        ([3, 4], {"lowest": 5, "highest": 5}, 1.0, [1.0, 1.0]),
        ([0, None, 10], {}, 1.0, [0.0, 0.0, 1.0]),
        ([0, math.nan, 10], {}, 1.0, [0.0, 0.0, 1.0]),
        ([0, math.inf, 10], {"better": "lower"}, 1.0, [1.0, 0.0, 0.0]),
        ([None, math.nan, -math.inf], {}, 1.0, [0.0, 0.0, 0.0]),
        ([7, None, 7], {}, 1.0, [1.0, 0.0, 1.0]),
        ([True, False], {}, 1.0, [1.0, 0.0]),
        ([Decimal(1), Decimal(3)], {}, 2, [0, 2]),
        ([0.0, 5e-324], {}, 1.0, [0.0, 1.0]),
        ([0.1, 0.7], {}, 0.3, [0.0, 0.3]),
        ([1, 2, 3], {}, 0.0, [0.0, 0.0, 0.0]),
        ([], {}, 1.0, []),
    ],
    ids=str,
)
def test_a_range_becomes_0_to_the_weight(raw, options, weight, expected):
    assert expected == normalise(raw, Scores({}, **options), weight)


@pytest.mark.parametrize(
    ("raw", "options", "error"),
    [
        ([1, "2"], {}, TypeError),
        ([1, [2]], {}, TypeError),
        ([1, 2], {"lowest": 3, "highest": 1}, ValueError),
        ([1, 2], {"lowest": math.nan}, ValueError),
        ([1, 2], {"highest": math.inf}, ValueError),
        ([-1e308, 1e308], {}, ValueError),
        ([1, 2], {"better": "high"}, ValueError),
        ([1, 10**400], {}, OverflowError),
    ],
    ids=lambda value: str(value)[:30],
)
def test_nonsense_is_refused(raw, options, error):
    with pytest.raises(error):
        normalise(raw, Scores({}, **options), 1.0)


# ---- in the pipeline -------------------------------------------------------------------------


def test_the_best_sum_wins_and_the_others_follow(case):
    case.score(scores(1, 4, 2, 3))
    assert case.order() == ["w1", "w3", "w2", "w0"]
    assert case.decide().selected_by == "core"


def test_of_equals_the_earliest_registered_wins(case):
    assert case.score(scores(1, 2, 2, 1)).order() == ["w1", "w2", "w0", "w3"]


def test_a_plain_mapping_means_higher_is_better(case):
    assert case.score({"w2": 1.0, "w3": 2.0, "w0": 0.0, "w1": 0.5}).order()[0] == "w3"


def test_weights_decide_between_scorers(case):
    case.score(scores(1, 0, 0, 0), weight=1.0).score(scores(0, 1, 0, 0), weight=1.5)
    assert seen_by_selector(case) == {"w0": 1.0, "w1": 1.5, "w2": 0.0, "w3": 0.0}
    assert case.order() == ["w1", "w0", "w2", "w3"]


def test_who_is_left_out_counts_as_the_worst(case):
    assert case.score({"w3": 1.0, "w2": 5.0}).order()[0] == "w2"
    assert seen_by_selector(case)["w0"] == 0.0


def test_ids_that_are_no_candidates_are_ignored(case):
    case.filter({"w0": "gone"}).score({"w0": 100.0, "x": 100.0, "w1": 1.0, "w2": 2.0, "w3": 0.0})
    assert seen_by_selector(case) == {"w1": 0.5, "w2": 1.0, "w3": 0.0}


def test_no_opinion_leaves_the_sum_alone(case):
    case.score(None).score(scores(0, 1, 0, 0)).score(None)
    assert case.order()[0] == "w1"
    assert [plugin for plugin, _, _ in case.trace.contributions] == ["score-2"]


def test_nobody_scoring_is_not_everybody_scoring_nothing(case):
    assert seen_by_selector(case.score(None)) == {}
    assert seen_by_selector(case.score({})) == dict.fromkeys(["w0", "w1", "w2", "w3"], 0.0)


def test_the_best_few_of_many_are_found(case_of):
    case = case_of(free_workers(300))
    case.score(lambda candidates: {w.id: (n * 7919) % 300 for n, w in enumerate(candidates)})
    by_score = sorted(range(300), key=lambda n: -((n * 7919) % 300))
    assert case.order() == [f"w{n}" for n in by_score[:5]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([1, 2], "answered list [1, 2], not Scores or a mapping"),
        (7, "answered int 7, not Scores or a mapping"),
        (Scores([1.0]), "not Scores or a mapping"),
        ({"w0": "fast"}, "TypeError"),
        (Scores({"w0": 1.0, "w1": 2.0}, better="smaller"), "better is 'smaller'"),
        (Scores({"w0": 1.0}, lowest=2, highest=1), "the range 2 to 1 makes no sense"),
    ],
)
def test_a_wrong_answer_is_a_named_failure(case, wrong, said):
    assert case.score(wrong).decide().strategy == "first-available"
    (failure,) = case.failures
    assert (failure.plugin, failure.distribution) == ("score-1", "dist 1.0")
    assert said in str(failure)


def test_a_scorer_that_must_not_be_missed_refuses_the_request(case):
    decision = case.score(lambda: 1 / 0, on_error="reject").decide()
    assert decision.action == "reject"
    assert "ZeroDivisionError" in decision.reason


def test_scorers_behind_one_that_fails_are_not_asked(case):
    case.score(lambda: 1 / 0).score(lambda: pytest.fail("asked")).decide()
    assert len(case.failures) == 1
