"""Which function decides, and what it is given of its context."""

from __future__ import annotations

import pytest

from rbee_scheduler import PolicyError
from rbee_scheduler_script import Policy
from rbee_scheduler_script._entry import CTX_FIELDS, find_entry, with_batches
from rbee_scheduler_script._sample import sample_request, sample_snapshot
from rbee_scheduler_script.rhai import compile as compile_script


ALL = frozenset(CTX_FIELDS)


def entry(source, role=""):
    return find_entry(compile_script(with_batches(source)), source, role, "p.rhai")


ROLES = {
    "schedule_job": ("fn schedule_job(j, p, w) { }", "", "select", "schedule_job"),
    "ctx": ("fn schedule(ctx) { }", "", "select", "schedule"),
    "worker": ("fn schedule_worker(job) { }", "", "select", "schedule_worker"),
    "filter": ("fn filter(job, worker) { true }", "", "filter", "filter"),
    "soft": ("fn filter(job, worker) { true }", "soft-filter", "soft-filter", "filter"),
    "score": ("fn score(job, worker) { 1 }", "", "score", "score"),
    "select wins": ("fn score(j, w) { 1 } fn schedule(c) { }", "", "select", "schedule"),
    "as asked": ("fn score(j, w) { 1 } fn schedule(c) { }", "score", "score", "score"),
    "odd spacing": ("fn   score ( j , w ) { 1 }", "", "score", "score"),
    "the first form wins": ("fn schedule(c) { } fn schedule_job(a, b, c) { }", "", "select",
                            "schedule_job"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "wanted", "role", "name"), ROLES.values(), ids=ROLES)
def test_roles(source, wanted, role, name):
    found = entry(source, wanted)
    assert (role, name) == (found.role, found.name)


READS = {
    "not at all": ("fn schedule_job(job, pools, workers) { workers[0] }", set()),
    "as registry": ("fn schedule_job(j, reg, w) { reg.find_ready_worker(j.model) }", set()),
    "as a value": ("fn schedule_job(j, pools, w) { pools.len(); w[0] }", {"pools"}),
    "in a closure": ("fn schedule_job(j, p, w) { w.find(|x| p.some(|q| q.id == x.pool_id)) }",
                     {"pools"}),
    "both": ("fn schedule_job(j, r, w) { r.get_worker(`a`); r[0] }", {"pools"}),
    "in a text": ("fn schedule_job(j, pools, w) { `${pools.len()}`; w[0] }", {"pools"}),
    "two fields": ("fn schedule(ctx) { ctx.queue[0]; ctx.workers.first() }", {"queue", "workers"}),
    "optional": ("fn schedule(ctx) { ctx?.metrics }", {"metrics"}),
    "index": ("fn schedule(ctx) { ctx[`pools`] }", ALL),
    "passed on": ("fn f(c) { c.pools } fn schedule(ctx) { f(ctx) }", ALL),
    "method": ("fn schedule(ctx) { ctx.keys() }", ALL),
    "delegated": ("fn schedule(ctx) { platform_schedule(ctx) }", set()),
    "changed": ("fn schedule(ctx) { ctx.pools = 1; ctx.pools }", {"pools"}),
    "shadowed": ("fn schedule(ctx) { let ctx = #{x: 1}; ctx.keys() }", set()),
    "in scope": ("fn f() { pools } fn schedule_job(j, pools, w) { f!() }", {"pools"}),
    "none": ("fn schedule_worker(job) { get_all_workers()[0] }", set()),
}  # fmt: skip


@pytest.mark.parametrize(("source", "reads"), READS.values(), ids=READS)
def test_reads(source, reads):
    assert reads == entry(source).reads


def test_costly_fields_are_given_to_those_who_name_them():
    assert entry("fn schedule_worker(job) { job.prompt_hash }").costly == ("prompt_hash",)
    assert entry("fn schedule_worker(job) { job.messages.len(); job.prompt }").costly == (
        "messages",
    )
    assert entry("fn schedule_worker(job) { job.prompt }").costly == ()


NO_ENTRY = {
    "nothing": ("let a = 1;", "", "has no function that decides; its functions: none"),
    "another name": ("fn pick(a) { }", "", "its functions: pick/1"),
    "wrong arity": ("fn schedule_job(job) { }", "", "its functions: schedule_job/1"),
    "wrong role": ("fn schedule(ctx) { }", "score", "can be a score"),
    "no end": ("fn score(job, worker) { 1 } /* and so on", "", "its last comment has no end"),
}


@pytest.mark.parametrize(("source", "role", "says"), NO_ENTRY.values(), ids=NO_ENTRY)
def test_no_entry(source, role, says):
    with pytest.raises(PolicyError) as caught:
        entry(source, role)
    assert says in caught.value.message
    assert caught.value.place == "p.rhai"
    assert caught.value.hint


@pytest.mark.parametrize(
    "end", ["", "\n", " // the end", "\nlet x = 5", "\n40 + 2", ";", "\n/* */"]
)
def test_a_batch_function_may_follow_anything(end):
    policy = Policy("fn score(job, worker) { worker.gpus }" + end)
    snapshot = sample_snapshot()
    request = sample_request()
    view = policy.view(request, snapshot.free(request.model), snapshot)
    assert policy.run(view) == [1, 0, 2]


def test_ctx_holds_what_is_read():
    source = """
    fn schedule(ctx) {
        #{ queue: ctx.queue.map(|j| j.id), pools: ctx.pools.len(), hives: ctx.hives.len(),
           workers: ctx.workers.len(), tenants: ctx.tenants.map(|t| t.id),
           total: ctx.metrics.total_workers, mode: ctx.config.deployment_mode,
           models: ctx.catalog.models.len(), llama: ctx.catalog.aliases.llama3 }
    }"""
    policy = Policy(source)
    snapshot = sample_snapshot()
    view = policy.view(sample_request(), snapshot.free("llama-3-8b"), snapshot)
    assert policy.run(view) == {
        "queue": ["job-1", "job-2"], "pools": 2, "hives": 2, "workers": 3,
        "tenants": ["acme", "spent"], "total": 4, "mode": "home", "models": 2,
        "llama": "llama-3-8b",
    }  # fmt: skip
