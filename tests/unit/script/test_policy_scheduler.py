"""`RhaiScheduler` and `Policy`: decisions, failures, time-outs, being set aside, secrets."""

from __future__ import annotations

import logging
import re
import threading

import anyio
import pytest

from rbee_scheduler import (
    Act,
    NoWorkersAvailable,
    PolicyError,
    PolicyTimeout,
    Rejected,
    SchedulerConfig,
    User,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing import free_workers
from rbee_scheduler_script import Policy, RhaiScheduler, rhai
from rbee_scheduler_script._sample import sample_registry, sample_request


CHEAPEST = "fn schedule_job(job, pools, workers) { workers.min_by(|w| w.cost_per_token) }"
BROKEN = "fn schedule_job(job, pools, workers) {\n    workers.nonsense()\n}"
SECRET = "my very secret prompt"


def request_(**fields):
    return sample_request(**{"queued_at": 0.0, "created_at": 0.0, **fields})


def scheduler(source, **options):
    return RhaiScheduler.from_source(source, sample_registry(), file="p.rhai", **options)


async def test_schedules():
    result = await scheduler(CHEAPEST).schedule(request_())
    assert (result.worker_id, result.strategy, result.selected_by) == ("gpu-2", "script", "script")


async def test_from_file(tmp_path):
    path = tmp_path / "scheduler.rhai"
    path.write_text(CHEAPEST)
    made = RhaiScheduler.from_file(path, sample_registry())
    assert (await made.schedule(request_())).worker_id == "gpu-2"
    assert made.status().file == str(path)


async def test_a_registry_of_its_own():
    made = RhaiScheduler.from_source(CHEAPEST)
    with pytest.raises(NoWorkersAvailable):
        await made.schedule(request_())
    made.registry.add_url("http://127.0.0.1:8080", id="one", model="llama-3-8b")
    assert (await made.schedule(request_())).worker_id == "one"


def test_an_empty_registry_is_kept():
    registry = WorkerRegistry()
    made = RhaiScheduler.from_source(CHEAPEST, registry)
    assert made.registry is registry


FORMS = {
    "pools": "fn schedule_job(job, pools, workers) { workers[2] }",
    "registry": "fn schedule_job(job, registry, workers) "
    "{ registry.find_most_vram_free_worker(job.model) }",
    "an id": 'fn schedule_job(job, pools, workers) { "gpu-2" }',
    "job alone": "fn schedule_worker(job) { find_most_vram_free_worker(job.model) }",
    "ctx": "fn schedule(ctx) { #{ action: `dispatch`, job_id: ctx.queue[0].id, "
    "worker_id: ctx.workers.last().id } }",
    "ctx, bare": "fn schedule(ctx) { ctx.workers.most_vram_free() }",
    "everyone": "fn schedule_worker(job) { get_all_workers().with_model(job.model)"
    ".filter(|w| w.free).sort_by_key(|w| w.cost_per_token) }",
}


@pytest.mark.parametrize("source", FORMS.values(), ids=FORMS)
def test_forms(source):
    explained = scheduler(source).explain(request_())
    assert (explained.worker_id, explained.failures) == ("gpu-2", ())


def test_an_array_gives_fall_backs():
    source = "fn schedule_job(job, pools, workers) { workers.sort_by_key(|w| w.cost_per_token) }"
    explained = scheduler(source).explain(request_())
    assert (explained.worker_id, explained.fallbacks) == ("gpu-2", ("mac-1", "gpu-1"))


async def test_reject():
    with pytest.raises(Rejected, match="too large"):
        await scheduler('fn schedule_job(a, b, c) { reject("too large") }').schedule(request_())


@pytest.mark.parametrize(
    ("when_none", "action", "worker_id"),
    [("wait", "wait", ""), ("reject", "reject", ""), ("next", "dispatch", "gpu-1")],
)
def test_nobody(when_none, action, worker_id):
    made = scheduler("fn schedule_job(a, b, c) { }", when_none=when_none)
    explained = made.explain(request_())
    assert (action, worker_id) == (explained.action, explained.worker_id)
    assert explained.failures == ()


async def test_a_job_that_waits_is_asked_again():
    registry = WorkerRegistry()
    registry.add(free_workers(1)[0])
    made = RhaiScheduler.from_source(
        "fn schedule_job(j, p, workers) { workers.filter(|w| w.gpus > 1).first() }", registry
    )
    results = []

    async def ask():
        results.append(await made.schedule(request_(model="m")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        registry.add(free_workers(1, gpus=2)[0].changed(id="big"))
    assert results[0].worker_id == "big"


async def test_commands_reach_the_pool_manager():
    taken = []

    class Manager:
        @hookimpl
        async def rbee_pool_command(self, command):
            await anyio.lowlevel.checkpoint()
            taken.append(command)
            registry.add(free_workers(1, gpus=2)[0].changed(id="new"))
            return True

    registry = WorkerRegistry()
    registry.add(free_workers(1)[0])
    source = """
    fn schedule(ctx) {
        let big = ctx.workers.filter(|w| w.gpus > 1);
        if !big.is_empty() { return big[0]; }
        #{ action: "start_worker", pool_id: "home", gpu_id: "0", model_ref: ctx.queue[0].model,
           reason: "no big one" }
    }"""
    made = RhaiScheduler.from_source(source, registry, plugins=[Manager()])
    with anyio.fail_after(60):
        result = await made.schedule(request_(model="m"))
    assert result.worker_id == "new"
    assert {(c.kind, c.pool_id, c.model_ref, c.reason) for c in taken} == {
        ("start_worker", "home", "m", "no big one")
    }


# Failures


def test_a_script_that_fails_is_told_with_its_place(caplog):
    made = scheduler(BROKEN)
    explained = made.explain(request_())
    assert (explained.worker_id, explained.strategy) == ("gpu-1", "first-available")
    [failure] = explained.failures
    assert "p.rhai:2:13: ErrorFunctionNotFound" in failure
    assert "    workers.nonsense()" in failure
    assert "                ^" in failure
    assert made.statistics().plugin_failures == {("script", "rbee_select_worker"): 1}
    assert "nonsense" in caplog.text


async def test_the_fall_back_strategy_decides():
    class Last:
        @hookimpl
        def rbee_select_worker(self, candidates):
            return [candidates[-1].id]

    class Lasts:
        @hookimpl
        def rbee_register_strategies(self):
            return {"last": Last()}

    made = scheduler(BROKEN, plugins=[Lasts()], config=SchedulerConfig(fallback="last"))
    result = await made.schedule(request_())
    assert (result.worker_id, result.strategy) == ("gpu-2", "last")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("fn schedule_job(a, b, c) { loop { } }", PolicyTimeout),
        ("fn schedule_job(a, b, c) { let x = []; loop { x.push(x.len()); } }", PolicyError),
        ("fn f(n) { f(n + 1) } fn schedule_job(a, b, c) { f(0) }", PolicyError),
        ('fn schedule_job(a, b, c) { throw "no" }', PolicyError),
        ("fn schedule_job(a, b, c) { try { loop { } } catch { } c[0] }", PolicyTimeout),
        ("fn schedule_job(a, b, c) { |x| x }", PolicyError),
        ("fn schedule_job(a, b, c) { c.map(|w| w.geo.latitude / 0) }", PolicyError),
        ("const X = undefined_name; fn schedule_job(a, b, c) { c[0] }", PolicyError),
    ],
)
def test_nothing_takes_it_down(source, kind):
    limits = rhai.Limits(operations=20_000, time_ms=10_000, array_size=1000)
    policy = Policy(source, limits=limits)
    made = RhaiScheduler(policy, sample_registry())
    assert made.explain(request_()).worker_id == "gpu-1"
    assert type(policy._last_error) is kind
    assert policy.status().timeouts == (kind is PolicyTimeout)


def test_running_out_of_time_is_a_time_out():
    """By the engine's own clock: the limit is negative, so that the first look is too late."""
    policy = Policy("fn schedule_job(a, b, c) { loop { } }", limits=rhai.Limits(time_ms=-1.0))
    made = RhaiScheduler(policy, sample_registry())
    [failure] = made.explain(request_()).failures
    assert "ErrorTerminated" in failure
    assert policy.status().timeouts == 1


def test_after_too_many_failures_it_is_set_aside(caplog):
    made = scheduler(BROKEN, max_failures=3)
    for _ in range(5):
        assert made.explain(request_()).worker_id == "gpu-1"
    status = made.status()
    assert (status.state, status.runs, status.failures) == ("set-aside", 3, 3)
    assert "ErrorFunctionNotFound" in status.last_error
    assert caplog.text.count("is set aside after 3 failures in a row") == 1
    [failure] = made.explain(request_()).failures
    assert "p.rhai:2:13: set aside after 3 failures in a row" in failure


def test_loading_it_again_puts_it_back():
    made = scheduler(BROKEN, max_failures=1)
    made.explain(request_())
    assert made.status().state == "set-aside"
    before = made.status().digest
    made.policy.load(CHEAPEST)
    assert made.explain(request_()).worker_id == "gpu-2"
    status = made.status()
    assert (status.state, status.failures, status.last_error) == ("active", 0, "")
    assert before != status.digest


def test_a_bad_version_leaves_the_old_one():
    made = scheduler(CHEAPEST)
    for bad in ("fn schedule_job(", "fn other() { }", "let x = ;"):
        with pytest.raises(PolicyError):
            made.policy.load(bad)
    assert made.explain(request_()).worker_id == "gpu-2"


def test_one_success_starts_the_count_anew():
    source = "fn schedule_job(job, p, workers) { if job.max_tokens == 1 { 1 } else { workers[0] } }"
    made = scheduler(source, max_failures=2)
    for tokens in (1, 2, 1, 2, 1, 2):
        made.explain(request_(max_tokens=tokens))
    status = made.status()
    assert (status.state, status.failures, status.failures_in_row) == ("active", 3, 0)


def test_never_set_aside():
    made = scheduler(BROKEN, max_failures=0)
    for _ in range(20):
        made.explain(request_())
    assert made.status().state == "active"


def test_a_syntax_error_is_told_with_its_place():
    with pytest.raises(PolicyError) as caught:
        scheduler("fn schedule_job(job, pools, workers) {\n    workers.min_by(|w| )\n}")
    assert caught.value.place.startswith("p.rhai:2:")
    assert "workers.min_by(|w| )" in caught.value.message


def test_a_policy_that_does_not_choose():
    policy = Policy("fn score(job, worker) { 1 }")
    with pytest.raises(PolicyError, match="chooses no worker"):
        RhaiScheduler(policy)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "p.rhai"
    if content:
        path.write_bytes(content)
    with pytest.raises(PolicyError, match="can't be read") as caught:
        RhaiScheduler.from_file(path)
    assert caught.value.place == str(path)


# Secrets, logs, metrics


MESSAGES = [
    {"role": "user", "content": "another " + SECRET},
    {"role": "user", "content": [{"type": "text", "text": "the third " + SECRET}]},
]
LEAKS = [
    "log_error(job.prompt); workers[0]",
    "throw job.prompt",
    "workers[0].nonsense(job.prompt)",
    "job.prompt",
    "reject(1 + job.prompt.len())",
    "#{ action: job.prompt }",
    "parse_json(job.prompt)",
    "let m = #{}; m[job.prompt] = 1; m",
    'log_warn("it says: " + job.messages[0].content); workers[0]',
    "log_warn(job.messages[1].content[0].text); throw job.messages",
    "workers[0][job.prompt + job.prompt].x",
    "throw #{ a: [job.prompt] }",
]


@pytest.mark.parametrize("body", LEAKS)
def test_the_prompt_stays_out_of_the_log(caplog, body):
    caplog.set_level(logging.DEBUG)
    request = request_(prompt=SECRET, messages=MESSAGES)
    made = scheduler(f"fn schedule_job(job, pools, workers) {{ {body} }}")
    explained = made.explain(request)
    assert SECRET not in caplog.text
    assert SECRET not in explained.to_text()
    assert SECRET not in made.status().last_error


NASTY = [
    SECRET,
    "line one\nline two\twith \"quotes\" and 'more' \\ and é and \x00",
    SECRET * 100,
    "zz",
    "{}",
]


@pytest.mark.parametrize("prompt", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("body", LEAKS)
def test_prompts_of_all_kinds_stay_out(caplog, body, prompt):
    caplog.set_level(logging.DEBUG)
    made = scheduler(f"fn schedule_job(job, pools, workers) {{ {body} }}")
    explained = made.explain(request_(prompt=prompt, messages=MESSAGES))
    told = "".join([record.getMessage() for record in caplog.records] + [explained.to_text()])
    told = told.partition("\n")[0]  # the script's own line, which is cited, may have such words
    start = prompt[:16]
    if len(start) > 5:
        assert start not in told
        assert repr(start)[1:-1] not in told
    else:
        assert prompt not in re.findall(r"\w+", told)


def test_a_log_line_is_cut(caplog):
    caplog.set_level(logging.DEBUG)
    scheduler(
        'fn schedule_job(a, b, c) { let s = "x"; s.pad(5000, "y"); log_info(s); c[0] }'
    ).explain(request_())
    assert len(caplog.records[0].getMessage()) == len("script: ") + 500


def test_logs_are_lines_of_the_policy(caplog):
    caplog.set_level(logging.DEBUG, "rbee_scheduler.policy")
    source = (
        "fn schedule_worker(job) { log_warn(`${job.id} is hot`); find_ready_worker(job.model) }"
    )
    scheduler(source).explain(request_())
    assert caplog.record_tuples == [
        ("rbee_scheduler.policy", logging.WARNING, "script: job-1 is hot")
    ]


def test_metrics_are_kept_and_bounded():
    made = scheduler(
        "fn schedule_job(a, b, c) { for i in 0..400 { emit_metric(`m${i}`, i); }"
        " emit_metric(`m1`, 7); c[0] }"
    )
    made.explain(request_())
    metrics = made.status().metrics
    assert (len(metrics), metrics["m1"]) == (256, 7)


# Determinism, data, threads


def test_the_same_question_has_the_same_answer():
    made = scheduler("fn schedule_job(job, pools, workers) { workers.random() }")
    answers = {made.explain(request_()).worker_id for _ in range(10)}
    assert len(answers) == 1


def test_a_script_cannot_change_what_others_see():
    source = """
    fn schedule_job(job, pools, workers) {
        workers[0].id = "x";
        workers[1].labels.y = 1;
        workers.sort(|a, b| -1);
        pools.clear();
        job.model = "other";
        let all = get_all_workers();
        all[0].load = 0.0;
        all.push(1);
        get_pool("ohio").gpus.clear();
        "gpu-2"
    }"""
    made = scheduler(source)
    first = made.explain(request_())
    desk = made.policy._desk
    seen = [dict(m) for m in desk.workers.all(made.registry.snapshot().workers())]
    assert made.explain(request_()) == first
    assert seen == desk.workers.all(made.registry.snapshot().workers())
    assert seen[0]["id"] == "gpu-1"
    assert len(made.registry.snapshot().pool("ohio").gpus) == 2


def test_threads_do_not_see_each_other():
    made = scheduler(
        "fn schedule_job(j, p, w) { for i in 0..200 { get_job(j.id); } get_worker(j.tenant_id) }"
    )
    answers = {}

    def ask(worker_id):
        answers[worker_id] = {
            made.explain(request_(tenant_id=worker_id)).worker_id for _ in range(10)
        }

    threads = [threading.Thread(target=ask, args=(w,)) for w in ("gpu-1", "gpu-2", "mac-1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {w: {w} for w in ("gpu-1", "gpu-2", "mac-1")}


def test_no_view_is_kept():
    """A view holds the request, and a request its prompt."""
    made = scheduler(CHEAPEST)
    made.explain(request_())
    assert made.policy._desk.view is None


def test_without_a_place_the_nearest_is_the_first():
    made = scheduler(
        "fn schedule_job(job, pools, workers) { workers.min_by(|w| distance(job.user.geo, w.geo)) }"
    )
    assert made.explain(request_(user=None)).worker_id == "gpu-1"
    assert made.explain(request_(user=User())).failures == ()


def test_act_is_public():
    assert Act([], []).commands == ()
