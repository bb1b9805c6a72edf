"""Selectors: the first answer wins, and only candidates can be named."""

import pytest

from rbee_scheduler import Act, PoolCommand, Reject, Rejected, Soft, Wait
from rbee_scheduler.testing import free_workers


def test_the_answers_order_is_the_decisions(case):
    case.select(["w2", "w0"])
    assert case.order() == ["w2", "w0"]
    assert case.decide().selected_by == "select-1"


@pytest.mark.parametrize("answer", [("w1", "w3"), ["w1", "w3"]])
def test_any_sequence_will_do(case, answer):
    assert case.select(answer).order() == ["w1", "w3"]


def test_no_opinion_asks_the_next_and_the_first_answer_wins(case):
    case.select(None).select(["w1"]).select(lambda: pytest.fail("asked"))
    decision = case.decide()
    assert (decision.worker.id, decision.selected_by) == ("w1", "select-2")


def test_when_nobody_answers_core_decides(case):
    decision = case.select(None).score({"w2": 1.0, "w0": 0.0}).decide()
    assert (decision.worker.id, decision.selected_by) == ("w2", "core")


def test_selectors_read_the_scores_and_can_not_change_them(case):
    def meddle(scores):
        scores["w0"] = 9.9

    case.score({"w0": 0.0, "w1": 1.0}).select(meddle).decide()
    assert "does not support item assignment" in str(case.failures[0])


def test_a_worker_named_twice_is_tried_once(case):
    assert case.select(["w1", "w1", "w0", "w1"]).order() == ["w1", "w0"]


def test_five_are_kept_of_a_long_answer(case_of):
    case = case_of(free_workers(9)).select(lambda candidates: [w.id for w in candidates][::-1])
    assert case.order() == ["w8", "w7", "w6", "w5", "w4"]


def test_wait(case):
    decision = case.select(Wait("a warm one will be free", retry_after=0.5)).decide()
    assert (decision.action, decision.selected_by) == ("wait", "select-1")
    assert (decision.reason, decision.retry_after) == ("a warm one will be free", 0.5)


def test_an_empty_list_is_a_wait(case):
    decision = case.select([]).decide()
    assert (decision.action, decision.reason) == ("wait", "the selector named nobody")


def test_reject(case):
    decision = case.select(Reject("not on Sundays")).decide()
    assert (decision.action, decision.reason) == ("reject", "not on Sundays")
    assert isinstance(decision.error, Rejected)
    assert str(decision.error) == "not on Sundays"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Wait(3), TypeError),
        (lambda: Wait(retry_after="soon"), Exception),
        (lambda: Wait(retry_after=-1.0), Exception),
        (lambda: Wait(retry_after=float("nan")), Exception),
        (lambda: Reject(None), TypeError),
    ],
    ids=["reason", "text", "negative", "nan", "no reason"],
)
def test_an_ill_typed_answer_fails_where_it_is_made(case, make, error):
    assert case.select(make).decide().strategy == "first-available"
    assert isinstance(case.failures[0].__cause__, error)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["nobody"], "named 'nobody', which is no candidate"),
        (["w1", "nobody"], "named 'nobody'"),
        ([None], "named None"),
        ([["w0"]], "unhashable"),
        ("w0", "answered str 'w0', not a list of worker ids"),
        (b"w0", "named 119"),
        ({"w0": 1}, "answered dict"),
        (7, "answered int 7"),
        (True, "answered bool True"),
        (iter(["w0"]), "not a list of worker ids"),
    ],
)
def test_a_wrong_answer_is_a_named_failure(case, answer, said):
    decision = case.select(answer).decide()
    assert (decision.strategy, decision.worker.id) == ("first-available", "w0")
    (failure,) = case.failures
    assert (failure.plugin, failure.hook) == ("select-1", "rbee_select_worker")
    assert said in str(failure)


def test_a_long_wrong_answer_is_shown_in_part(case):
    case.select({"x" * 500: 1}).decide()
    assert len(str(case.failures[0])) < 150


def named(case, name):
    case.select([name]).decide()
    return [str(f).rpartition("ValueError: ")[2] for f in case.failures]


def test_workers_that_are_no_candidates_can_not_be_named(case_of):
    workers = free_workers(2)
    full = workers[0].changed(id="full", slots=1, running=1)
    other = workers[0].changed(id="other", model="o", models=("o",))
    image = workers[0].changed(id="image", capabilities=("image-gen",))
    for worker in (full, other, image):
        case = case_of([*workers, worker])
        assert named(case, worker.id) == [f"named {worker.id!r}, which is no candidate"]


def test_workers_that_a_filter_dropped_can_not_be_named(case_of):
    assert named(case_of().filter({"w0": "x"}), "w0")
    assert named(case_of().filter(Soft({"w0": "x"})), "w0")


def test_workers_that_failed_the_request_can_not_be_named(case):
    decision = case.select(["w0"]).decide(exclude={"w0"})
    assert (decision.worker.id, len(case.failures)) == ("w1", 1)


# ---- commands that go out with an answer -----------------------------------------------------

START = PoolCommand(kind="start_worker", pool_id="p", model_ref="m")
EVICT = PoolCommand(kind="evict_worker", worker_id="w0")


@pytest.mark.parametrize(
    ("answer", "action"), [(["w1"], "dispatch"), (Wait("more"), "wait"), (Reject("no"), "reject")]
)
def test_commands_go_out_with_any_answer(case, answer, action):
    decision = case.take_commands().select(Act(answer, [START])).decide()
    assert (decision.action, decision.commands) == (action, (START,))


def test_commands_without_an_opinion_wait_for_the_next_answer(case):
    case.take_commands().select(Act(None, [START])).select(Act(["w2"], [EVICT]))
    decision = case.decide()
    assert (decision.worker.id, decision.commands) == ("w2", (START, EVICT))
    assert case.take_commands().decide().selected_by == "select-2"


def test_a_decision_says_when_no_plugin_takes_its_commands(case):
    assert case.select(Act(["w1"], [START])).decide().reason == "no plugin takes commands to pools"


def test_it_says_so_beside_its_own_reason(case):
    decision = case.select(Act(Wait("more"), [START])).decide()
    assert decision.reason == "more (no plugin takes commands to pools)"


def test_no_commands_are_nothing(case):
    decision = case.select(Act(["w1"], [])).decide()
    assert (decision.worker.id, decision.commands, decision.reason) == ("w1", (), "")


@pytest.mark.parametrize("commands", ["start", [3], 7])
def test_commands_of_a_wrong_type_are_a_named_failure(case, commands):
    assert case.select(lambda: Act(["w1"], commands)).decide().strategy == "first-available"
    assert len(case.failures) == 1
