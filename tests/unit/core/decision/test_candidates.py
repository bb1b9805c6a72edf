"""Before any hook is asked: who is free for the model and the task, and what if nobody is."""

import attrs
import pytest

from rbee_scheduler import InferenceRequest, NoWorkersAvailable, Worker
from rbee_scheduler.testing import free_workers


def worker(name, **fields):
    return Worker(**{"id": name, "url": "http://h", "model": "m", **fields})


def test_without_hooks_registration_order_decides(case):
    assert case.order() == ["w0", "w1", "w2", "w3"]
    decision = case.decide()
    assert (decision.action, decision.strategy, decision.selected_by) == (
        "dispatch",
        "test",
        "core",
    )


def test_a_decision_names_five_workers_at_most(case_of):
    assert case_of(free_workers(20)).order() == ["w0", "w1", "w2", "w3", "w4"]


@pytest.mark.parametrize(
    "fields",
    [
        {"online": False},
        {"status": "starting"},
        {"slots": 1, "running": 1},
        {"model": "other"},
        {"capabilities": ["embedding"]},
    ],
)
def test_who_is_not_free_for_the_model_and_the_task_is_no_candidate(case_of, fields):
    assert case_of([worker("not", **fields), worker("yes")]).order() == ["yes"]


def test_any_of_a_workers_models_will_do(case_of):
    assert case_of([worker("w", model="a", models=["a", "m"])]).order() == ["w"]


def test_the_task_type_must_match(case_of):
    case = case_of([worker("text"), worker("image", capabilities=["image-gen"])])
    request = InferenceRequest(job_id="j", model="m", prompt="p", task_type="image-gen")
    assert case.decide(request).worker.id == "image"


def test_workers_that_failed_the_request_are_left_out(case):
    assert case.order(exclude={"w0", "w2"}) == ["w1", "w3"]


def test_a_model_that_nobody_serves_is_refused(case_of):
    decision = case_of([worker("w", model="other")]).decide()
    assert decision.action == "reject"
    assert isinstance(decision.error, NoWorkersAvailable)
    assert "no worker serves 'm'" in decision.reason
    assert decision.error.retry_after is None


def test_workers_that_are_down_may_come_back(case_of):
    decision = case_of([worker("w", status="failed")]).decide()
    assert decision.action == "reject"
    assert "1 workers serve 'm', but none is up for 'text-gen'" in decision.reason
    assert decision.error.retry_after == 1.0


def test_full_workers_are_worth_waiting_for(case_of):
    decision = case_of(free_workers(2, slots=1, running=1)).decide()
    assert (decision.action, decision.reason) == ("wait", "all 2 workers of 'm' are full")


def test_when_all_have_failed_the_request_it_waits(case):
    decision = case.decide(exclude={"w0", "w1", "w2", "w3"})
    assert decision.action == "wait"
    assert decision.reason == "all 4 workers of 'm' are full, or failed this request already"


def test_the_candidates_are_noted_in_the_trace(case):
    case.decide(exclude={"w1"})
    assert [w.id for w in case.trace.candidates] == ["w0", "w2", "w3"]


def test_equal_rejections_are_equal_decisions(case_of):
    case = case_of([])
    assert case.decide() == case.decide()
    assert attrs.evolve(case.decide(), error=None) != case.decide()
