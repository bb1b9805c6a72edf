"""Answers of policies: each good one means something, each bad one says what was expected."""

from __future__ import annotations

import pytest

from rbee_scheduler import Act, PolicyError, PoolCommand, Reject, Wait, hookimpl
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Plugins
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler_script import Policy, SelectPolicy
from rbee_scheduler_script._answers import selection
from rbee_scheduler_script._problems import WrongAnswer
from rbee_scheduler_script._sample import sample_request, sample_snapshot


NONE = Wait("nobody")
PAIR = ["job-1", "job-9"]


@pytest.fixture
def view():
    snapshot = sample_snapshot()
    request = sample_request()
    policy = Policy("fn schedule(ctx) { }")
    return policy.view(request, snapshot.free(request.model), snapshot)


def action(kind, **keys):
    return {"action": kind, **keys}


START = action("start_worker", pool_id="ohio", gpu_id="o-0", model_ref="m", reason="more")
EVICT = action("evict_worker", worker_id="gpu-3")
START_COMMAND = PoolCommand(
    kind="start_worker", pool_id="ohio", gpu_id="o-0", model_ref="m", reason="more"
)
EVICT_COMMAND = PoolCommand(kind="evict_worker", worker_id="gpu-3")

GOOD = {
    "an id": ("gpu-1", ["gpu-1"]),
    "a map with an id": ({"id": "gpu-2"}, ["gpu-2"]),
    "unit": (None, NONE),
    "an array": (["gpu-2", {"id": "gpu-1"}], ["gpu-2", "gpu-1"]),
    "an empty array": ([], NONE),
    "reject": (action("reject", reason="no"), Reject("no")),
    "reject this job": (action("reject", job_id="job-1", reason="no"), Reject("no")),
    "dispatch": (action("dispatch", job_id="job-1", worker_id="mac-1"), ["mac-1"]),
    "dispatch without a job": (action("dispatch", worker_id="mac-1"), ["mac-1"]),
    "wait": (action("wait"), Wait("the policy says so")),
    "wait for": (action("wait", reason="r", retry_after_ms=250), Wait("r", retry_after=0.25)),
    "delegate": (action("delegate"), None),
    "another job first": (
        action("dispatch", job_id="job-2", worker_id="gpu-1"),
        Wait("the policy decided on job 'job-2' first", retry_after=0.05),
    ),
    "start": (START, Act(Wait("more"), [START_COMMAND])),
    "evict": (EVICT, Act(Wait("the policy asked for evict_worker"), [EVICT_COMMAND])),
    "batch": (
        action("batch", actions=[START, action("dispatch", worker_id="gpu-1"), EVICT]),
        Act(["gpu-1"], [START_COMMAND, EVICT_COMMAND]),
    ),
    "batch for two jobs": (
        action("batch", actions=[action("dispatch", job_id=job, worker_id="gpu-1")
                                 for job in ("job-2", "job-1")]),
        ["gpu-1"],
    ),
    "empty batch": (action("batch", actions=[]), NONE),
    "start and delegate": (
        action("batch", actions=[START, action("delegate")]), Act(None, [START_COMMAND]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "means"), GOOD.values(), ids=GOOD)
def test_good_answers(view, answer, means):
    assert means == selection(answer, view, NONE)


BAD = {
    "a number": (42, "the number 42", "a worker, its id"),
    "a bool": (True, "true", "a worker, its id"),
    "an unknown id": ("gpu-9", "the id 'gpu-9', which no worker has", "a worker, its id"),
    "another model's": ("gpu-3", "serves llama-3-70b and not llama-3-8b", "candidates"),
    "a map without an id": ({"url": "x", "a": 1}, "a map with the keys a, url", "a worker, its id"),
    "an empty map": ({}, "a map with the keys none", "a worker, its id"),
    "an array of numbers": ([1], "the number 1", "a worker, its id"),
    "an id that is no text": ({"id": 1}, "a map with the keys id", "a worker"),
    "an unknown action": (action("fly"), "the action the string 'fly'", "batch, delegate, "),
    "an action that is no text": (action(1), "the action the number 1", "one of"),
    "a missing key": (action("dispatch", job_id="job-1"), "without worker_id", "keys worker_id"),
    "a key that is ()": (action("reject", reason=None), "without reason", "the keys reason"),
    "an unknown key": (
        action("wait", retry_after=1), "unknown key 'retry_after'", "reason?, retry_after_ms?",
    ),
    "an id of a wrong type": (action("dispatch", worker_id=3), "worker_id is the number", "string"),
    "a bad pause": (action("wait", retry_after_ms=-1), "is the number -1", "0 or more"),
    "a pause in words": (action("wait", retry_after_ms="1s"), "the string '1s'", "0 or more"),
    "start without a gpu": (action("start_worker", pool_id="a"), "without gpu_id", "model_ref"),
    "batch of nothing": (action("batch"), "without actions", "the keys actions"),
    "batch of a map": (action("batch", actions={}), "actions are a map", "an array"),
    "batch of numbers": (action("batch", actions=[1]), "in a batch: the number 1", "decision map"),
    "batch in a batch": (
        action("batch", actions=[action("batch", actions=[])]), "a batch inside a batch", "one",
    ),
    "dispatch to another model": (action("dispatch", worker_id="gpu-3"), "serves", "candidates"),
    "a long text": ("x" * 500, "x...", "a worker"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "came", "expected"), BAD.values(), ids=BAD)
def test_bad_answers(view, answer, came, expected):
    with pytest.raises(WrongAnswer) as caught:
        selection(answer, view, NONE)
    assert came in caught.value.came or answer == "x" * 500
    assert expected in caught.value.expected


STATES = {
    "full": ({"slots": 1, "running": 1}, "is full (1 of 1 slots)"),
    "busy": ({"status": "busy"}, "is busy"),
    "offline": ({"online": False}, "is offline"),
    "another task": ({"capabilities": ["embedding"]}, "can't do text-gen"),
}


@pytest.mark.parametrize(("fields", "why"), STATES.values(), ids=STATES)
def test_a_worker_that_is_no_candidate(fields, why):
    workers = free_workers(2)
    workers[1] = workers[1].changed(**fields)
    snapshot = fleet(workers)
    request = sample_request(model="m")
    policy = Policy("fn schedule(ctx) { }")
    view = policy.view(request, snapshot.free("m"), snapshot)
    with pytest.raises(WrongAnswer) as caught:
        selection("w1", view, NONE)
    assert why in caught.value.came


def test_a_worker_that_was_filtered_out():
    snapshot = fleet(free_workers(3))
    policy = Policy("fn schedule(ctx) { }")
    view = policy.view(sample_request(model="m"), snapshot.free("m")[1:], snapshot)
    assert selection("w1", view, NONE) == ["w1"]
    with pytest.raises(WrongAnswer) as caught:
        selection("w0", view, NONE)
    assert "was dropped by a filter" in caught.value.came


class Manager:
    """Takes commands to pools."""

    def __init__(self, answer=True):
        self.answer = answer
        self.taken = []

    @hookimpl
    def rbee_pool_command(self, command):
        self.taken.append(command)
        return self.answer


def decided(source, *others):
    policy = Policy(source, file="p.rhai")
    chain = Plugins([SelectPolicy(policy), *others]).chain("script")
    failures = []
    decision = decide(sample_request(), sample_snapshot(), chain, on_failure=failures.append)
    return decision, failures


BATCH = """
fn schedule(ctx) {
    #{ action: "batch", actions: [
        #{ action: "start_worker", pool_id: "ohio", gpu_id: "o-0", model_ref: "m" },
        #{ action: "dispatch", job_id: ctx.queue[0].id, worker_id: "gpu-2" },
    ] }
}
"""


def test_commands_are_part_of_the_decision():
    manager = Manager()
    decision, failures = decided(BATCH, manager)
    assert (decision.worker.id, failures) == ("gpu-2", [])
    assert [c.kind for c in decision.commands] == ["start_worker"]
    assert decision.reason == ""
    assert manager.taken == []  # deciding tells nobody


def test_the_decision_says_when_nobody_takes_commands():
    decision, _ = decided(BATCH)
    assert decision.worker.id == "gpu-2"
    assert decision.reason == "no plugin takes commands to pools"


def test_a_wrong_answer_is_a_policy_error_at_the_function():
    decision, [error] = decided("\n\nfn schedule(ctx) { 1 }")
    assert decision.strategy == "first-available"
    assert isinstance(error, PolicyError)
    assert (error.place, error.message) == ("p.rhai:3:1", "answered the number 1")
    assert error.hint == 'expected a worker, its id, () for none, or reject("reason")'
