"""Helpers at the edges: nobody there, ties, unknown values, wrong arguments."""

from __future__ import annotations

import math
import time
from random import Random

import pytest

from rbee_scheduler import Catalog, Surroundings, WorkerRegistry
from rbee_scheduler.testing import fleet, free_workers
from rbee_scheduler_script import rhai
from rbee_scheduler_script._helpers import bind_all
from rbee_scheduler_script._sample import sample_registry, sample_request, sample_snapshot
from rbee_scheduler_script._view import Desk, View


@pytest.fixture
def run():
    def make(expression, request=None, snapshot=None, limits=None, **fixed):
        desk = Desk()
        request = request or sample_request()
        snapshot = snapshot or sample_snapshot()
        source = f"fn e({', '.join(['job', 'workers', *fixed])}) {{ {expression} }}"
        program = rhai.compile(source, functions=bind_all(desk), limits=limits)
        candidates = snapshot.free(request.model)
        desk.view = View(
            desk, request, candidates, snapshot, say=lambda *_: None, measure=lambda *_: None
        )
        return program.call("e", desk.view.job, desk.view.workers, *fixed.values())

    return make


EMPTY_GIVES_UNIT = [
    "least_loaded()", "most_vram_free()", "round_robin()", "random()", "first()", "last()",
    "min_by(|w| w.load)", "max_by(|w| w.load)", "average_by(|w| w.load)", "max()", "min()",
    "average()", 'get("x")',
]  # fmt: skip


@pytest.mark.parametrize("call", EMPTY_GIVES_UNIT)
def test_of_nobody_it_is_unit(run, call):
    assert run(f"[].{call}") is None


@pytest.mark.parametrize(
    ("call", "gives"),
    [
        ("sum_by(|w| w.load)", 0),
        ("group_by(|w| w.load)", {}),
        ("take(3)", []),
        ("sort_by_key(|w| w.load)", []),
        ("idle()", []),
        ('in_region("eu")', []),
        ("is_empty()", True),
    ],
)
def test_of_nobody_it_is_nothing(run, call, gives):
    assert gives == run(f"[].{call}")


@pytest.mark.parametrize(
    "call",
    [
        "least_loaded()",
        "most_vram_free()",
        'min_by("load")',
        "max_by(|w| 1.0)",
        "min_by(|w| w.model)",
        "max_by(|w| w.model)",
    ],
)
def test_ties_go_to_the_earliest(run, call):
    snapshot = fleet(free_workers(5))
    assert run(f"workers.{call}.id", sample_request(model="m"), snapshot) == "w0"


KEYS = {
    "numbers": ([3, 1, 2], 1, 0),
    "mixed numbers": ([3, 0.5, 2], 1, 0),
    "texts": (["b", "a", "c"], 1, 2),
    "unit is the worst": ([None, 2, 1], 2, 1),
    "NaN is the worst": ([math.nan, 2.0, 1.0], 2, 1),
    "NaN in the middle": ([2.0, math.nan, 1.0], 2, 0),
    "infinity counts": ([math.inf, 5.0, -math.inf], 2, 0),
    "only unknown ones": ([None, None], 0, 0),
    "NaN and unit": ([math.nan, None], 0, 0),
    "equal": ([1, 1, 1], 0, 0),
    "texts and unit": (["b", None, "a"], None, None),
}


@pytest.mark.parametrize(("keys", "least", "most"), KEYS.values(), ids=KEYS)
def test_min_by_and_max_by(run, keys, least, most):
    items = [{"id": n, "key": key} for n, key in enumerate(keys)]
    if least is None:
        with pytest.raises(rhai.RhaiError, match="different types"):
            run("items.min_by(|x| x.key)", items=items)
        return
    assert least == run("items.min_by(|x| x.key).id", items=items)
    assert most == run("items.max_by(|x| x.key).id", items=items)
    assert least == run('items.min_by("key").id', items=items)


def test_sort_by_key_is_stable_and_puts_the_unknown_last(run):
    items = [{"id": n, "key": key} for n, key in enumerate([2, None, 1, 2, math.nan, 1])]
    assert run("items.sort_by_key(|x| x.key).map(|x| x.id)", items=items) == [2, 5, 0, 3, 1, 4]
    names = [{"id": n, "key": key} for n, key in enumerate(["b", "a", None])]
    assert run('items.sort_by_key("key").map(|x| x.id)', items=names) == [1, 0, 2]


def test_min_by_agrees_with_python(run):
    rng = Random(4)
    for _ in range(50):
        keys = [
            rng.choice([rng.random(), rng.randrange(4), 0.5]) for _ in range(rng.randrange(1, 9))
        ]
        items = [{"id": n, "key": key} for n, key in enumerate(keys)]
        assert keys.index(min(keys)) == run("items.min_by(|x| x.key).id", items=items)
        assert keys.index(max(keys)) == run("items.max_by(|x| x.key).id", items=items)


def test_group_by_any_key(run):
    items = [{"k": k} for k in ["a", 1, True, None, "a", 1.5]]
    groups = run("items.group_by(|x| x.k)", items=items)
    sizes = {key: len(group) for key, group in groups.items()}
    assert sizes == {"a": 2, "1": 1, "true": 1, "": 1, "1.5": 1}


def test_what_a_helper_answers_does_not_change_its_source(run):
    assert run("let t = workers.take(2); t.push(1); workers.len()") == 3
    assert run("let g = get_all_workers(); g[0].load = 9.0; get_all_workers()[0].load") == 0.5
    assert run("workers[0].labels.x = 1; get_worker(workers[0].id).labels.len()") == 0
    assert run("let q = filter_jobs(|j| true); q[0].model = `x`; job.model") == "llama-3-8b"


WRONG = {
    "least_loaded of a text": ('"x".least_loaded()', "arrays of workers"),
    "idle of numbers": ("[1].idle()", "another array"),
    "min_by without a key": ("workers.min_by(3)", "closure"),
    "min_by of a map": ("job.min_by(|w| 1)", "function of arrays"),
    "filter_workers without one": ("filter_workers(3)", "closure"),
    "with_model of a number": ("workers.with_model(1)", "the model must be a string, not a number"),
    "with_capacity of a text": ('workers.with_capacity("1")', "must be a number, not a string"),
    "in_region of ()": ("workers.in_region(())", r"must be a string, not \(\)"),
    "take half": ("workers.take(1.5)", "integer"),
    "group_by arrays": ("workers.group_by(|w| w.models)", "the key must be"),
    "sum_by texts": ("workers.sum_by(|w| w.id)", "no number"),
    "distance of numbers": ("distance(1, 2)", "two places"),
    "distance of maps": ("distance(#{}, #{})", "two places"),
    "distance of texts in maps": (
        'distance(#{latitude: "a", longitude: 1}, #{latitude: 1, longitude: 1})', "two places",
    ),
    "distance of a text": ('distance(1, 2, 3, "4")', "must be a number"),
    "filter_jobs of a text": ('filter_jobs("x")', "closure, or a map"),
    "wait of a text": ('calculate_wait_time("x")', "must be a map"),
    "duration on a text": ('estimate_job_duration(job, "x")', "worker must be a map"),
    "quota of a number": ("tenant_over_quota(1)", "tenant's id must be a string"),
    "quota of no job": ('check_tenant_quota("a", 1)', "job must be a map"),
    "reject with a number": ("reject(1)", "the reason must be a string"),
    "log a number": ("log_info(1)", "the text must be a string"),
    "metric of a text": ('emit_metric("a", "b")', "the value must be a number"),
    "elapsed since a text": ('elapsed_since("x")', "the moment must be a number"),
    "random of a map": ("job.random()", "arrays of workers"),
}  # fmt: skip


@pytest.mark.parametrize(("expression", "says"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_say_what_is_wanted(run, expression, says):
    with pytest.raises(rhai.RhaiError, match=says) as caught:
        run(expression)
    assert caught.value.kind == "ErrorRuntime"
    assert caught.value.where == (1, caught.value.where[1])
    # A script may catch it.
    assert run(f"try {{ {expression}; }} catch (e) {{ return `caught`; }}") == "caught"


def test_unknown_things(run):
    assert run('get_worker("x")') is None
    assert run('get_pool("x")') is None
    assert run('get_hive("x")') is None
    assert run('get_gpu("x", "y")') is None
    assert run('get_gpu("ohio", "y")') is None
    assert run('get_model("x")') is None
    assert run('get_job("x")') is None
    assert run('gpu_vram_free("x")') == 0
    assert run('gpu_device_name("x")') == ""
    assert run('get_model_vram("x")') == 0
    assert run('model_size_bytes("x")') == 0
    assert run('get_pool_utilization("x")') == 0.0
    assert run('find_model_to_evict("x")') is None
    assert run('should_evict("x").reason') == "there is no such pool"
    assert run('is_pool_healthy("x")') is False
    assert run('find_ready_worker("x")') is None
    assert run('find_worker_to_evict_lru("x")') is None


@pytest.mark.parametrize(
    ("gpu", "model", "reason"),
    [
        ('"p-0"', "llama3", ""),
        ('"x"', "llama3", "there is no such GPU"),
        ('"p-0"', "x", "the model is not in the catalog"),
        (
            'get_gpu("paris", "p-0")',
            "llama-3-70b",
            "needs 42949672960 bytes of memory, the GPU has",
        ),
    ],
)
def test_gpu_compatibility(run, gpu, model, reason):
    answer = run(f'check_gpu_compatibility({gpu}, "{model}")')
    assert answer["ok"] is (not reason)
    assert answer["reason"].startswith(reason)


def test_where_it_fits(run):
    busy = run(
        'can_job_fit(job, #{models: [job.model], capabilities: ["text-gen"], '
        'available: false, online: true, status: "busy"})'
    )
    assert busy == {"ok": False, "reason": "is busy"}
    offline = run('can_job_fit(job, #{models: [job.model], capabilities: ["text-gen"]})')
    assert offline == {"ok": False, "reason": "is offline"}
    assert run("can_job_fit(job, workers[0])") == {"ok": True, "reason": ""}
    assert run('job.task_type = "x"; can_job_fit(job, workers[0]).reason') == "can't do x"
    assert run("workers[0].running = 4; can_job_fit(job, workers[0]).reason") == (
        "runs 4 of 4 requests"
    )
    huge = sample_request(estimated_vram_bytes=2**40)
    assert run("can_job_fit(job, workers[0]).reason", huge) == "has too little free GPU memory"


def test_job_durations(run):
    assert run("estimate_job_duration(job)") == 2500.0  # 100 tokens, 40 a second by the catalog
    assert run("estimate_job_duration(job)", sample_request(estimated_duration_ms=7.0)) == 7.0
    assert run("estimate_job_duration(job, #{estimated_time: 9})") == 9.0
    assert run("estimate_job_duration(#{})") == 0.0
    # A deadline in 10 s adds the 50 s it is short of a minute; a batch job has no head start.
    urgent = sample_request(priority="batch", deadline=1_700_000_010_000.0, queued_at=0.0)
    assert run("get_job_priority_score(job)", urgent) == 50.0
    assert run("calculate_wait_time(job)", sample_request(queued_at=0.0)) == 0.0


def test_distances(run):
    assert run("distance(52.52, 13.41, 48.86, 2.35)") == pytest.approx(878, abs=1)
    assert run("distance(0, 0, 0, 180)") == pytest.approx(math.pi * 6371.0088)
    assert run("distance(1, 1, 1, 1)") == 0.0
    assert run("distance((), workers[0].geo)") == math.inf
    assert run("distance(job.user.geo, ())", sample_request(user=None)) == math.inf


def test_without_quotas_there_is_no_limit(run):
    snapshot = sample_registry().snapshot()
    assert run("tenant_over_quota(job.tenant_id)", snapshot=snapshot) is False
    assert run("tenant_over_quota(())", snapshot=snapshot) is False
    assert run("tenant_remaining_quota(job.tenant_id)", snapshot=snapshot) == 2**63 - 1
    assert run("check_tenant_quota(job.tenant_id, job).ok", snapshot=snapshot) is True
    assert run("tenant_usage(job.tenant_id)", snapshot=snapshot) == 0.0
    assert run("estimate_quota_impact((), job)", snapshot=snapshot)["would_exceed"] is False


def test_quotas_of_all_kinds(run):
    facts = {
        "jobs": {"quota_max_concurrent_jobs": 1, "concurrent_jobs": 1},
        "vram": {"quota_vram_bytes": 10, "vram_used_bytes": 5},
        "flag": {"quota_exceeded": True},
    }
    around = Surroundings(tenants=lambda: facts)
    snapshot = sample_registry().snapshot(surroundings=around)
    reasons = {t: run(f'check_tenant_quota("{t}", job).reason', snapshot=snapshot) for t in facts}
    assert reasons["jobs"] == "2 of 1 jobs at a time"
    assert reasons["vram"].endswith("of 10 bytes of GPU memory")
    assert reasons["flag"] == "the quota is spent"
    assert run('tenant_over_quota("flag")', snapshot=snapshot) is True


def test_chance_is_the_decisions_own(run):
    draws = "[workers.random().id, workers.random().id, workers.random().id]"
    registry = WorkerRegistry()
    for worker in free_workers(50):
        registry.add(worker)
    request = sample_request(model="m")
    first = run(draws, request, registry.snapshot(seed=1))
    assert first == run(draws, request, registry.snapshot(seed=1))
    assert len(set(first)) > 1
    assert first != run(draws, request, registry.snapshot(seed=2))
    turns = [
        run("workers.round_robin().id", request, registry.snapshot(turn=t)) for t in (0, 1, 50)
    ]
    assert turns == ["w0", "w1", "w0"]


def test_helpers_pay_for_their_work(run):
    """A loop over a cheap-looking helper ends by the limit, not by the patience of the service."""
    registry = WorkerRegistry(catalog=Catalog())
    for worker in free_workers(500):
        registry.add(worker)
    limits = rhai.Limits(operations=20_000, time_ms=10_000)
    for call in (
        "workers.least_loaded()", "workers.idle()", "get_all_workers()", "workers.take(400)",
        "workers.sort_by_key(`load`)", "find_least_loaded_worker(job.model)",
        "find_worker_to_evict_lru()", "workers.min_by(|w| w.load)", "workers.group_by(`id`)",
        "log_info(`x`)", "find_workers_by_model(job.model)", "find_idle_workers()",
    ):  # fmt: skip
        with pytest.raises(rhai.RhaiError) as caught:
            run(f"loop {{ {call}; }}", sample_request(model="m"), registry.snapshot(), limits)
        assert caught.value.kind == "ErrorTooManyOperations", call


@pytest.mark.parametrize(
    "expression",
    [
        "[#{}].with_capacity(1)",
        "[#{gpu_util_pct: 0.0}].idle()",
        "workers.map(|w| ()).online()",
        "[#{load: `x`}, #{load: 1}].least_loaded()",
        "[1, #{}].least_loaded()",
        "[#{}, 1].in_region(`x`)",
    ],
)
def test_what_is_no_worker_is_told_as_such(run, expression):
    with pytest.raises(rhai.RhaiError) as caught:
        run(expression)
    assert caught.value.kind == "ErrorRuntime"


# Attacks: a line of script that would keep the service busy, were it not paid for. Each ends by a
# limit of the engine, soon: the time is the process's own.
BIG = "let a = []; a.pad(50000, 1); "
ATTACKS = {
    "sort": BIG + "loop { a.sort_by_key(|x, i| (i * 7919) % 50021); }",
    "shared models": 'let m = []; m.pad(50000, "x"); let w = []; w.pad(50000, #{models: m}); '
    'w.with_model("y")',
    "shared capabilities": 'let m = []; m.pad(50000, "x"); let w = #{models: [job.model], '
    "capabilities: m}; loop { can_job_fit(job, w); }",
    "pools": "loop { get_pool(`ohio`); filter_pools(|p| true); list_online_hives(); }",
    "gpus": "loop { gpu_vram_free(`x`); find_gpus_with_vram(1); }",
    "everyone": "loop { get_all_workers(); find_idle_workers(); list_online_workers(); }",
    "capacity": "let i = 0; loop { i += 1; find_workers_with_capacity(i); }",
    "best": BIG + "loop { a.max(); a.min(); a.average(); }",
    "groups": BIG + "loop { a.group_by(|x, i| i); }",
    "models": "loop { get_model(`x`); filter_models(|m| true); model_exists(`y`); }",
    "jobs": "loop { get_job(`x`); filter_jobs(#{priority: `batch`}); }",
    "quotas": "loop { check_tenant_quota(`acme`, job); get_tenant_usage(`acme`); }",
    "evict": "loop { find_worker_to_evict_lru(); find_worker_to_evict_lfu(); should_evict(``); }",
    "text": "let s = ``; s.pad(500000, `x`); loop { string_contains(s, `y`); }",
    "log": "let s = ``; s.pad(500000, `x`); loop { log_info(s); }",
}


@pytest.mark.parametrize("script", ATTACKS.values(), ids=ATTACKS)
def test_attacks_end_by_a_limit(run, script):
    limits = rhai.Limits(time_ms=50.0)
    began = time.process_time()
    with pytest.raises(rhai.RhaiError) as caught:
        run(script, limits=limits)
    assert caught.value.kind in {"ErrorTooManyOperations", "ErrorTerminated", "ErrorDataTooLarge"}
    # Many times the limit, for coverage and slow machines; unmetered, most would run for minutes.
    assert time.process_time() - began < 5


def test_sorting_many_agrees_with_sorting_few(run):
    limits = rhai.Limits(time_ms=60_000.0)
    items = [{"k": n * 7919 % 5000, "at": n} for n in range(9000)]
    expected = [item["at"] for item in sorted(items, key=lambda item: item["k"])]
    found = run("items.sort_by_key(|x| x.k).map(|x| x.at)", items=items, limits=limits)
    assert found == expected


def test_sums_stay_within_64_bits(run):
    with pytest.raises(rhai.RhaiError, match="overflow"):
        run("[9223372036854775807, 1].sum_by(|x| x)")
    assert run("elapsed_since(-9223372036854775807)") == 2**63 - 1
