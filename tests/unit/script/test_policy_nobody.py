"""Nobody is free: whether a policy is asked then, and what its answers mean."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from rbee_scheduler import (
    Catalog,
    Gpu,
    HiveHeartbeat,
    ModelInfo,
    PolicyError,
    PolicyTimeout,
    Surroundings,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Plugins
from rbee_scheduler.testing import FakeWorker, VirtualClock, free_workers
from rbee_scheduler_script import Policy, RhaiScheduler, SelectPolicy, rhai
from rbee_scheduler_script._sample import sample_request


EXAMPLES = Path(__file__).parents[3] / "examples" / "policies"

NO_WORKER = "no worker serves 'm'"
ALL_FULL = "all 2 workers of 'm' are full"


def full(count=2):
    return [worker.changed(slots=1, running=1) for worker in free_workers(count)]


def long_form(answer):
    return f"fn schedule(ctx) {{ {answer} }}"


def short_form(answer):
    return f"fn schedule_job(job, pools, workers) {{ {answer} }}"


def decided(source, workers=(), *others, when_none="wait", jobs=(), exclude=(), policy=None):
    """Return the decision of a policy on a job for the model m, the failures, and the policy."""
    policy = policy or Policy(source, file="p.rhai")
    chain = Plugins([SelectPolicy(policy, when_none), *others]).chain("script")
    failures = []
    registry = WorkerRegistry(clock=VirtualClock())
    for worker in workers:
        registry.add(worker)
    snapshot = registry.snapshot(surroundings=Surroundings(jobs=lambda: list(jobs)))
    request = sample_request(model="m")
    decision = decide(request, snapshot, chain, on_failure=failures.append, exclude=exclude)
    return decision, failures, policy


# Answers


START = '#{ action: "start_worker", pool_id: "lab", gpu_id: "0", model_ref: ctx.queue[0].model }'
OTHER = '#{ action: "dispatch", job_id: "job-9", worker_id: "w0" }'

# Answer -> action and reason without a worker, and with two full ones.
MEANINGS = {
    "wait": ('#{ action: "wait", reason: "soon" }', ("wait", "soon"), ("wait", "soon")),
    "reject": ('reject("never")', ("reject", "never"), ("reject", "never")),
    "reject the job": (
        '#{ action: "reject", job_id: ctx.queue[0].id, reason: "never" }',
        ("reject", "never"), ("reject", "never"),
    ),
    "unit": ('if false { reject("") }', ("reject", NO_WORKER), ("wait", ALL_FULL)),
    "an empty array": ('if false { reject("") } []', ("reject", NO_WORKER), ("wait", ALL_FULL)),
    "the platform": (
        'if false { reject("") } platform_schedule(ctx)', ("reject", NO_WORKER), ("wait", ALL_FULL),
    ),
    "another job": (
        f'if false {{ reject("") }} {OTHER}', ("reject", NO_WORKER), ("wait", ALL_FULL),
    ),
    "what is usual when somebody is free": (
        'if false { reject("") } ctx.workers.least_loaded()',
        ("reject", NO_WORKER), ("wait", ALL_FULL),
    ),
}  # fmt: skip


@pytest.mark.parametrize("when_none", ["wait", "reject", "next"])
@pytest.mark.parametrize(("answer", "nobody", "busy"), MEANINGS.values(), ids=MEANINGS)
def test_what_answers_mean(answer, nobody, busy, when_none):
    for workers, expected in (((), nobody), (full(), busy)):
        decision, failures, _ = decided(long_form(answer), workers, when_none=when_none)
        assert (decision.action, decision.reason) == expected
        assert failures == []


class Manager:
    """Takes commands to pools."""

    @hookimpl
    def rbee_pool_command(self, command):
        return True


COMMANDS = {
    "alone": (START, "wait", "the policy asked for start_worker"),
    "with a wait": (
        f'#{{ action: "batch", actions: [{START}, #{{ action: "wait", reason: "soon" }}] }}',
        "wait", "soon",
    ),
    "with no opinion": (
        f'#{{ action: "batch", actions: [{START}, platform_schedule(ctx)] }}',
        "reject", NO_WORKER,
    ),
    "with another job": (
        f'#{{ action: "batch", actions: [{START}, {OTHER}] }}',
        "wait", "the policy asked for start_worker",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "action", "reason"), COMMANDS.values(), ids=COMMANDS)
def test_commands(answer, action, reason):
    decision, failures, _ = decided(long_form(answer), (), Manager())
    assert (decision.action, decision.reason, failures) == (action, reason, [])
    [command] = decision.commands
    assert (command.kind, command.pool_id, command.model_ref) == ("start_worker", "lab", "m")


def test_a_command_beside_a_full_worker():
    answer = f'#{{ action: "batch", actions: [{START}, #{{action: "dispatch", worker_id: "w1"}}] }}'
    decision, failures, _ = decided(long_form(answer), full(), Manager())
    assert (decision.action, decision.reason, failures) == ("wait", ALL_FULL, [])
    assert [command.kind for command in decision.commands] == ["start_worker"]


NAMED = {
    "a dispatch": 'if false { reject("") } #{ action: "dispatch", worker_id: "w1" }',
    "a worker": 'if false { reject("") } get_worker("w1")',
    "an id": 'if false { reject("") } "w1"',
    "workers": 'if false { reject("") } find_workers_by_model("m")',
}


@pytest.mark.parametrize("answer", NAMED.values(), ids=NAMED)
def test_naming_a_full_worker_is_no_opinion(answer):
    decision, failures, policy = decided(long_form(answer), full())
    assert (decision.action, decision.reason, failures) == ("wait", ALL_FULL, [])
    assert policy.status().runs == 1


def test_naming_a_busy_worker_is_no_opinion():
    busy = [worker.changed(status="busy") for worker in free_workers(2)]
    decision, failures, _ = decided(long_form(NAMED["an id"]), busy)
    assert (decision.action, failures) == ("wait", [])


def test_naming_a_worker_that_failed_the_job_is_no_opinion():
    decision, failures, _ = decided(
        long_form(NAMED["an id"]), free_workers(2), exclude=["w0", "w1"]
    )
    assert (decision.action, failures) == ("wait", [])


WRONG = {
    "an unknown id": ('"w9"', "the id 'w9', which no worker has"),
    "one that is offline": ('"off"', "the worker 'off', which is offline"),
    "one that starts": ('"new"', "the worker 'new', which is starting"),
    "another model's": ('"other"', "which serves n and not m"),
    "no answer at all": ("1", "the number 1"),
    "an unknown action": ('#{ action: "fly" }', "the action the string 'fly'"),
}


@pytest.mark.parametrize(("answer", "came"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_a_policy_error(answer, came):
    one = full(1)[0]
    workers = [
        *full(),
        one.changed(id="off", online=False),
        one.changed(id="new", status="starting"),
        one.changed(id="other", model="n", models=("n",)),
    ]
    source = long_form(f'if false {{ reject("") }} {answer}')
    decision, [error], policy = decided(source, workers)
    assert (decision.action, decision.reason) == ("wait", ALL_FULL)
    assert type(error) is PolicyError
    assert (error.place, error.hook) == ("p.rhai:1:1", "rbee_no_candidate")
    assert came in error.message
    assert policy.status().failures == 1


# What it sees


def test_the_job_is_first_in_the_queue_and_there_are_no_candidates():
    waiting = sample_request(job_id="job-2", model="m")
    seen = "ctx.queue.map(|job| job.id) + [ctx.workers.len(), get_all_workers().len()]"
    decision, failures, _ = decided(
        long_form(f"reject(`${{{seen}}}`)"), full(), jobs=[waiting, sample_request(model="m")]
    )
    assert (decision.reason, failures) == ('["job-1", "job-2", 0, 2]', [])


# Who is asked


@pytest.mark.parametrize("source", [
    short_form("reject(`${workers.len()} for ${job.model}`)"),
    'fn schedule_worker(job) { reject("0 for " + job.model) }',
])  # fmt: skip
def test_the_short_form_is_asked_when_no_worker_is_up(source):
    down = [worker.changed(online=False) for worker in free_workers(2)]
    for workers in ((), down):
        decision, failures, _ = decided(source, workers)
        assert (decision.action, decision.reason, failures) == ("reject", "0 for m", [])


def test_the_short_form_is_not_asked_while_workers_are_full():
    source = short_form('let cuda = workers.filter(|w| w.backend == "cuda"); '
                        'if cuda.is_empty() { return reject("needs CUDA"); } cuda[0]')  # fmt: skip
    decision, _, policy = decided(source, full())
    assert (decision.action, decision.reason) == ("wait", ALL_FULL)
    assert policy.status().runs == 0


def test_the_short_form_may_start_a_worker():
    decision, failures, _ = decided(short_form(START.replace("ctx.queue[0]", "job")), (), Manager())
    assert (decision.action, failures) == ("wait", [])
    assert decision.commands[0].model_ref == "m"


@pytest.mark.parametrize("source", [
    short_form("workers[0].id"),
    long_form('#{ action: "dispatch", worker_id: ctx.workers.last().id }'),
    long_form("if ctx.queue[0].wait_time_ms > 0 { ctx.workers[0] } else { ctx.workers[1] }"),
])  # fmt: skip
@pytest.mark.parametrize("workers", [(), full()])
def test_a_script_that_only_dispatches_is_not_asked(source, workers):
    decision, failures, policy = decided(source, workers)
    assert (decision.action, failures) == ("wait" if workers else "reject", [])
    status = policy.status()
    assert (status.runs, status.when_nobody) == (0, "not-asked")


@pytest.mark.parametrize("said", [
    'reject("x")', "reject ( `x` )", '"x".reject()', '#{action: "wait"}', "#{action: `wait`}",
    '#{action: "reject", reason: "x"}', '#{"action": "evict_worker", worker_id: "w0"}',
    '#{action: "batch", actions: [#{action: "wait"}]}',
])  # fmt: skip
def test_a_script_with_an_answer_is_asked(said):
    decision, failures, policy = decided(long_form(said))
    assert (policy.status().when_nobody, policy.status().runs, failures) == ("asked", 1, [])
    assert decision.selected_by == "script"


def test_it_is_asked_once_when_somebody_is_free():
    source = long_form('if ctx.workers.is_empty() { reject("never") } else { ctx.workers[0] }')
    decision, _, policy = decided(source, free_workers(1))
    assert (decision.worker.id, policy.status().runs) == ("w0", 1)


def test_it_is_not_asked_when_filters_dropped_all():
    class Nobody:
        @hookimpl
        def rbee_filter_workers(self, candidates):
            return {worker.id: "not today" for worker in candidates}

    decision, _, policy = decided(long_form('reject("x")'), free_workers(1), Nobody())
    assert "not today" in decision.reason
    assert policy.status().runs == 0


@pytest.mark.parametrize("source", [
    'fn filter(job, worker) { reject("x") }', "fn score(job, worker) { reject(`x`) }",
])  # fmt: skip
def test_filters_and_scorers_are_not_asked(source):
    assert Policy(source).status().when_nobody == "not-asked"


# Failures


BROKEN = long_form('if ctx.workers.is_empty() { throw "oops" } ctx.workers[0] } fn f() { reject(1)')


def test_a_failure_is_told_with_its_place_and_the_next_one_is_asked():
    class Next:
        @hookimpl
        def rbee_no_candidate(self, request):
            from rbee_scheduler import Reject

            return Reject("the next one says no")

    decision, [error], _ = decided(BROKEN, (), Next())
    assert decision.reason == "the next one says no"
    assert (type(error), error.hook) == (PolicyError, "rbee_no_candidate")
    assert error.place.startswith("p.rhai:1:")
    assert "oops" in error.message


def test_taking_too_long_is_a_time_out():
    policy = Policy(long_form('loop { } reject("x")'), limits=rhai.Limits(operations=20_000))
    decision, [error], _ = decided("", policy=policy)
    assert (decision.action, type(error)) == ("reject", PolicyTimeout)
    assert policy.status().timeouts == 1


def test_failures_with_nobody_set_aside_that_question_alone(caplog):
    policy = Policy(BROKEN, file="p.rhai", max_failures=3)
    failed = [len(decided("", policy=policy)[1]) for _ in range(5)]
    assert failed == [1, 1, 1, 0, 0]
    status = policy.status()
    assert (status.state, status.when_nobody) == ("active", "set-aside")
    assert (status.runs, status.failures, status.failures_in_row) == (3, 3, 0)
    assert caplog.text.count("set aside for jobs that nobody is free for after 3 failures") == 1
    assert decided("", free_workers(1), policy=policy)[0].worker.id == "w0"

    policy.load(policy.source)
    assert policy.status().when_nobody == "asked"


def test_the_two_rows_of_failures_do_not_mix():
    source = long_form('if ctx.workers.is_empty() { reject("x") } else { throw "oops" }')
    policy = Policy(source, max_failures=2)
    decided("", free_workers(1), policy=policy)
    assert decided("", policy=policy)[0].reason == "x"  # a success, which is none of the other's
    assert policy.status().failures_in_row == 1
    decided("", free_workers(1), policy=policy)
    assert policy.status().state == "set-aside"

    decision, failures, _ = decided("", policy=policy)
    assert (decision.reason, failures) == (NO_WORKER, [])  # set aside, it has no opinion


def test_an_answer_ends_a_row():
    source = long_form('if ctx.queue.len() > 1 { throw "oops" } reject("x")')
    policy = Policy(source, max_failures=2)
    others = [sample_request(job_id="job-2")]
    for jobs in (others, (), others, (), others):
        decided("", policy=policy, jobs=jobs)
    assert (policy.status().failures, policy.status().when_nobody) == (3, "asked")


# The whole way


async def test_the_first_worker_of_a_model_is_started_and_serves():
    taken = []
    catalog = Catalog([ModelInfo(model_ref="m", vram_required_bytes=6 * 10**9)])
    registry = WorkerRegistry(catalog=catalog)
    now = registry.snapshot().now
    gpu = Gpu(id="g0", vram_total_bytes=24 * 10**9)
    registry.hive_heartbeat(HiveHeartbeat(hive_id="attic", timestamp=now, gpus=[gpu]))

    async with FakeWorker() as worker:

        class Manager:
            @hookimpl
            async def rbee_pool_command(self, command):
                await anyio.lowlevel.checkpoint()
                taken.append(command)
                registry.add_url(worker.url, id="new", model=command.model_ref)
                return True

        scheduler = RhaiScheduler.from_file(
            EXAMPLES / "start-when-missing.rhai", registry, plugins=[Manager()]
        )
        request = sample_request(model="m", created_at=0.0, queued_at=0.0)
        with anyio.fail_after(60):
            async with scheduler, scheduler.stream(request) as events:
                kinds = [event.type async for event in events]

    assert (kinds[:2], kinds[-1]) == (["queued", "started"], "end")
    [command] = taken
    assert (command.kind, command.pool_id, command.gpu_id) == ("start_worker", "attic", "g0")
    assert scheduler.status().failures == 0


async def test_a_rejection_ends_the_job_at_once():
    scheduler = RhaiScheduler.from_source(long_form('reject("closed on Sundays")'))
    async with scheduler, scheduler.stream(sample_request(model="m")) as events:
        last = [event async for event in events][-1]
    assert (last.type, last.error.code) == ("error", "REJECTED")
