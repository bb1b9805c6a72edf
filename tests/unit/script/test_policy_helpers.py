"""Every helper does what its entry in the catalogue says; the catalogue lacks none."""

from __future__ import annotations

import json

import pytest

from rbee_scheduler_script import HELPERS, rhai
from rbee_scheduler_script._helpers import bind_all
from rbee_scheduler_script._sample import sample_request, sample_snapshot
from rbee_scheduler_script._view import Desk, View


# Names of reference/scheduler_api.md section 4, in its order; `filter` and friends are standard.
EXPECTED = [
    "idle",
    "available",
    "online",
    "with_model",
    "with_capacity",
    "with_capability",
    "in_region",
    "least_loaded",
    "most_vram_free",
    "round_robin",
    "random",
    "min_by",
    "max_by",
    "sort_by_key",
    "first",
    "last",
    "is_empty",
    "sum_by",
    "average_by",
    "group_by",
    "take",
    "find_least_loaded_worker",
    "find_most_vram_free_worker",
    "find_ready_worker",
    "find_worker_round_robin",
    "filter_workers",
    "get_all_workers",
    "find_workers_by_model",
    "get_worker",
    "find_best_worker_for_model",
    "find_idle_workers",
    "find_workers_with_model",
    "find_workers_with_capacity",
    "list_online_workers",
    "list_online_hives",
    "list_available_hives",
    "get_hive",
    "get",
    "get_pool",
    "filter_pools",
    "find_pools_with_capacity",
    "is_pool_healthy",
    "get_pool_utilization",
    "gpu_vram_total",
    "gpu_vram_free",
    "gpu_device_name",
    "find_gpus_with_vram",
    "get_gpu",
    "check_gpu_compatibility",
    "estimate_performance",
    "resolve_model",
    "get_model",
    "model_exists",
    "filter_models",
    "find_models_by_family",
    "get_model_vram",
    "model_size_bytes",
    "model_vram_required",
    "get_job",
    "filter_jobs",
    "calculate_wait_time",
    "estimate_job_duration",
    "can_job_fit",
    "get_job_priority_score",
    "tenant_over_quota",
    "tenant_remaining_quota",
    "tenant_usage",
    "check_tenant_quota",
    "get_tenant_usage",
    "estimate_quota_impact",
    "find_worker_to_evict_lru",
    "find_worker_to_evict_lfu",
    "should_evict",
    "find_model_to_evict",
    "distance",
    "reject",
    "log_debug",
    "log_info",
    "log_warn",
    "log_error",
    "emit_metric",
    "now",
    "elapsed_since",
    "average",
    "max",
    "min",
    "string_contains",
    "string_starts_with",
    "platform_schedule",
    "get_platform_scheduler_source",
]


class Bench:
    """Runs expressions over the sample fleet."""

    def __init__(self, request=None, snapshot=None):
        self.desk = Desk()
        self.functions = bind_all(self.desk)
        self.request = request or sample_request()
        self.snapshot = snapshot or sample_snapshot()
        self.said = []
        self.measured = []

    def __call__(self, expression, **fixed):
        names = ["job", "registry", "workers", "hives", "pools", "ctx", *fixed]
        program = rhai.compile(
            f"fn example({', '.join(names)}) {{ {expression} }}", functions=self.functions
        )
        view = self.desk.view = View(
            self.desk,
            self.request,
            self.snapshot.free(self.request.model),
            self.snapshot,
            say=lambda *line: self.said.append(line),
            measure=lambda *pair: self.measured.append(pair),
        )
        values = [view.job, view.pools, view.workers, view.pools, view.pools, {}, *fixed.values()]
        return program.call("example", *values)


@pytest.fixture
def bench():
    return Bench()


def test_catalogue_has_every_helper():
    names = [helper.name for helper in HELPERS]
    assert sorted(EXPECTED) == sorted(names)
    assert len(HELPERS) == len(set(names)) >= 40


@pytest.mark.parametrize("helper", list(HELPERS), ids=lambda helper: helper.name)
def test_example(bench, helper):
    given = bench(helper.example)
    assert helper.gives == given
    assert type(helper.gives) is type(given)


def test_every_entry_is_complete():
    for helper in HELPERS:
        assert helper.forms, helper.name
        assert helper.answers.endswith("."), helper.name
        assert all(helper.name in form for form in helper.forms), helper.name
        assert helper.name in helper.example, helper.name


def test_catalogue_is_json():
    rows = json.loads(json.dumps(HELPERS.to_dict()))
    assert {"name", "group", "signatures", "answers", "example", "gives"} == rows[0].keys()
    assert len(HELPERS) == len(rows)


METHODS_AND_FUNCTIONS = [
    ("workers.idle()", "idle(workers)"),
    ("workers.available()", "available(workers)"),
    ("workers.online()", "online(workers)"),
    ("workers.with_model(job.model)", "with_model(workers, job.model)"),
    ("workers.with_capacity(9000)", "with_capacity(workers, 9000)"),
    ('workers.with_capability("image-gen")', 'with_capability(workers, "image-gen")'),
    ('workers.in_region("eu-west")', 'in_region(workers, "eu-west")'),
    ("workers.least_loaded()", "least_loaded(workers)"),
    ("workers.most_vram_free()", "most_vram_free(workers)"),
    ("workers.round_robin()", "round_robin(workers)"),
    ("workers.filter(|w| w.gpus > 1)", "filter(workers, |w| w.gpus > 1)"),
    ("workers.min_by(|w| w.load)", "min_by(workers, |w| w.load)"),
    ("workers.max_by(|w| w.load)", "max_by(workers, |w| w.load)"),
    ("workers.sort_by_key(|w| w.load)", "sort_by_key(workers, |w| w.load)"),
    ("workers.first()", "first(workers)"),
    ("workers.last()", "last(workers)"),
    ("workers.is_empty()", "is_empty(workers)"),
    ("workers.sum_by(|w| w.gpus)", "sum_by(workers, |w| w.gpus)"),
    ("workers.average_by(|w| w.gpus)", "average_by(workers, |w| w.gpus)"),
    ("workers.group_by(|w| w.pool_id)", "group_by(workers, |w| w.pool_id)"),
    ("workers.take(2)", "take(workers, 2)"),
    ("[3, 1].max()", "max([3, 1])"),
    ("[3, 1].min()", "min([3, 1])"),
    ("[3, 1].average()", "average([3, 1])"),
    ("job.calculate_wait_time()", "calculate_wait_time(job)"),
    ("job.get_job_priority_score()", "get_job_priority_score(job)"),
    ("job.estimate_job_duration(workers[0])", "estimate_job_duration(job, workers[0])"),
    ("job.can_job_fit(workers[0])", "can_job_fit(job, workers[0])"),
    ("job.user.geo.distance(workers[0].geo)", "distance(job.user.geo, workers[0].geo)"),
    ('"a".gpu_device_name()', 'gpu_device_name("a")'),
    ('hives.get("ohio")', 'get(hives, "ohio")'),
    ('"llama3".resolve_model()', 'resolve_model("llama3")'),
    ("job.tenant_id.tenant_over_quota()", "tenant_over_quota(job.tenant_id)"),
    ('job.model.string_contains("8b")', 'string_contains(job.model, "8b")'),
]


@pytest.mark.parametrize(("method", "function"), METHODS_AND_FUNCTIONS)
def test_method_and_function_agree(bench, method, function):
    assert bench(method) == bench(function)


ON_REGISTRY = [
    "find_best_worker_for_model(job.model)",
    "find_idle_workers()",
    "find_workers_with_model(job.model)",
    "find_workers_with_capacity(1000)",
    "list_online_workers()",
    "list_online_hives()",
    "list_available_hives()",
    'get_hive("ohio")',
    "find_least_loaded_worker(job.model)",
    'find_least_loaded_worker(job.model, "paris")',
    "find_most_vram_free_worker(job.model)",
    "find_ready_worker(job.model)",
    "find_worker_round_robin(job.model)",
    "filter_workers(|w| w.gpus > 1)",
    "get_all_workers()",
    "find_workers_by_model(job.model)",
    'get_worker("gpu-3")',
    'get_pool("ohio")',
    "filter_pools(|p| p.gpus.len() > 0)",
    'is_pool_healthy("paris")',
    'get_pool_utilization("paris")',
    'get_gpu("ohio", "o-0")',
    "find_worker_to_evict_lru()",
    'find_worker_to_evict_lru("ohio")',
    'should_evict("ohio")',
]


@pytest.mark.parametrize("call", ON_REGISTRY)
@pytest.mark.parametrize("receiver", ["registry", "pools", "hives"])
def test_queries_work_on_registry_and_alone(bench, call, receiver):
    assert bench(call) == bench(f"{receiver}.{call}")
    assert bench(call) is not None


def test_logs_and_metrics_go_to_the_host(bench):
    bench('log_warn("hot"); log_debug(`${workers.len()} there`); emit_metric("n", 3)')
    assert bench.said == [("warn", "hot"), ("debug", "3 there")]
    assert bench.measured == [("n", 3)]
