"""The templates: each compiles, passes the checker, and decides as its name says."""

from __future__ import annotations

import pytest

from rbee_scheduler import (
    Catalog,
    Geo,
    InferenceRequest,
    ModelInfo,
    Plugins,
    Surroundings,
    User,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler._pipeline import decide
from rbee_scheduler_script import Policy, as_plugin
from rbee_scheduler_script._format import format_source
from rbee_scheduler_script._policy_text import policy_text
from rbee_scheduler_script._review import check_text
from rbee_scheduler_script._still_clock import NOW, StillClock
from rbee_scheduler_script._template_files import find_template, templates


NAMES = (
    "cheapest", "deadline", "eu-only", "first-available", "interactive-first",
    "large-to-multi-gpu", "least-loaded", "multi-modal", "nearest",
)  # fmt: skip
PARIS = Geo(latitude=48.86, longitude=2.35, region="eu-west")
OHIO = Geo(latitude=39.96, longitude=-83.0, region="us-east")
TASKS = ("text-gen", "image-gen", "embedding")


def worker(name, **fields):
    own = {"id": name, "url": "http://h:1", "models": ("small", "big-70b"), "slots": 4}
    return Worker(**{**own, "capabilities": TASKS, **fields})


# Each is the best at one thing.
FLEET = (
    worker("first", running=3, backend="cpu", cost_per_token=5e-6, avg_tokens_per_sec=10),
    worker("idle", backend="cpu", cost_per_token=5e-6, geo=OHIO, avg_tokens_per_sec=10,
           total_vram_mb=1000),
    worker("cheap", running=1, backend="metal", cost_per_token=1e-6, geo=OHIO, gpus=1,
           avg_tokens_per_sec=5),
    worker("near", running=2, backend="cuda", cost_per_token=4e-6, geo=PARIS, gpus=1,
           avg_tokens_per_sec=10, total_vram_mb=24_000),
    worker("many", running=2, backend="cuda", cost_per_token=8e-6, geo=OHIO, gpus=4,
           avg_tokens_per_sec=100, total_vram_mb=96_000),
)  # fmt: skip
CATALOG = Catalog(
    [
        ModelInfo(model_ref=name, estimated_tokens_per_sec={"default": 10.0})
        for name in ("small", "big-70b")
    ]
)


def job(**fields):
    own = {"job_id": "j", "model": "small", "prompt": "Hi", "max_tokens": 100, "created_at": NOW}
    return InferenceRequest(**{**own, **fields})


def decision(name, request, fleet=FLEET, waiting=()):
    registry = WorkerRegistry(clock=StillClock(), catalog=CATALOG)
    for one in fleet:
        registry.add(one)
    policy = Policy(find_template(name).source, name=name)
    chain = Plugins([as_plugin(policy)]).chain(name)
    snapshot = registry.snapshot(surroundings=Surroundings(jobs=lambda: list(waiting)))
    failures = []
    found = decide(request, snapshot, chain, on_failure=failures.append)
    assert failures == []
    return found


def chosen(name, *args, **options):
    worker = decision(name, *args, **options).worker
    return worker.id if worker else None


def test_these_are_all():
    assert tuple(one.name for one in templates()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles_and_nothing_is_to_be_said_about_it(name):
    template = find_template(name)
    assert Policy(template.source).role == "select"
    assert check_text(policy_text(template.source, "t.rhai")) == ()
    assert format_source(template.source) == template.source
    assert len(template.about) > 20


@pytest.mark.parametrize("name", NAMES)
def test_one_worker_is_enough_and_none_is_no_failure(name):
    fleet = [worker("only", geo=PARIS, gpus=2, backend="cuda"), worker("also", geo=PARIS)]
    assert chosen(name, job(), fleet) in {"only", "also"}
    assert chosen(name, job(), []) is None


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("first-available", job(), "first"),
        ("least-loaded", job(), "idle"),
        ("cheapest", job(), "cheap"),
        ("nearest", job(user=User(geo=PARIS)), "near"),
        ("nearest", job(), "idle"),
        ("eu-only", job(), "near"),
        ("large-to-multi-gpu", job(model="big-70b"), "many"),
        ("large-to-multi-gpu", job(), "idle"),
        ("multi-modal", job(task_type="image-gen"), "many"),
        ("multi-modal", job(task_type="embedding"), "cheap"),
        ("multi-modal", job(), "idle"),
        ("deadline", job(), "cheap"),
        ("deadline", job(deadline=NOW + 2_500), "many"),
        ("deadline", job(deadline=NOW + 1_000_000), "cheap"),
        ("deadline", job(deadline=NOW + 1), "many"),
        ("interactive-first", job(), "idle"),
        ("interactive-first", job(priority="batch"), "idle"),
    ],
)
def test_it_decides_as_its_name_says(name, request_, expected):
    assert chosen(name, request_) == expected


def test_eu_only_waits_for_a_worker_in_the_eu_and_refuses_without_one():
    busy = [worker("near", geo=PARIS, slots=1, running=1), worker("far", geo=OHIO)]
    assert decision("eu-only", job(), busy).action == "wait"
    refused = decision("eu-only", job(), [worker("far", geo=OHIO), worker("nowhere")])
    assert (refused.action, refused.reason) == ("reject", "no worker in the EU serves small")


def test_interactive_first_lets_batch_jobs_wait():
    batch = job(priority="batch", queued_at=NOW)
    interactive = job(job_id="other")
    assert decision("interactive-first", batch, waiting=[interactive]).action == "wait"
    assert chosen("interactive-first", batch, waiting=[job(job_id="o", priority="batch")]) == "idle"
    assert decision("interactive-first", batch, [worker("last")]).action == "wait"
    assert chosen("interactive-first", interactive, [worker("last")]) == "last"
    patient = job(priority="batch", queued_at=NOW - 600_000)
    assert chosen("interactive-first", patient, [worker("last")]) == "last"
