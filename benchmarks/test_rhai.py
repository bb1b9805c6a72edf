"""Seven policies over fleets of 10 to 10,000 workers, and what compiling costs.

    python -m pytest benchmarks/test_rhai.py --benchmark-only --benchmark-group-by=param:workers

A worker is a map of 16 fields. The host functions below stand in for the scheduler's helpers.
"""

from __future__ import annotations

import math
import random

import pytest

from rbee_scheduler_script import rhai


LIMITS = rhai.Limits(time_ms=10_000)

POLICIES = {
    "least loaded": "fn pick(job, workers) { workers.least_loaded() }",
    "min_by": "fn pick(job, workers) { workers.min_by(|w| w.cost_per_token) }",
    "filter, first": "fn pick(job, workers) { workers.filter(|w| w.gpus > 1).first() }",
    "filter, score": """
        fn pick(job, workers) {
            let fit = workers.filter(
                |w| w.online && w.vram_free > 4096 && w.capability == job.type);
            fit.min_by(|w| w.cost_per_token * 1000.0 + w.load * 2.0)
        }""",
    "for loop": """
        fn pick(job, workers) {
            let best = ();
            for w in workers {
                if !w.online { continue; }
                if best == () || w.cost_per_token < best.cost_per_token { best = w; }
            }
            best
        }""",
    "nearest": """
        fn pick(job, workers) {
            workers.filter(|w| w.online == true).min_by(|w| distance(w.geo, job.geo))
        }""",
    "score function": """
        fn score(w) { let s = w.load * 2.0; if w.status == "busy" { s += 10.0; } s }
        fn pick(job, workers) { workers.min_by(|w| score(w)) }""",
}
LONG_POLICY = """
// Route by model size, then cost, then load.
const BIG = 8;
fn cost(w, job) {
    let c = w.cost_per_token * 1000.0;
    if w.region != job.region { c += 0.5; }
    c + w.load * 2.0
}
fn fits(w, job) {
    w.online && w.vram_free > 4096 && w.capability == job.type
}
fn pick(job, workers) {
    let candidates = workers.filter(|w| fits(w, job));
    if candidates.is_empty() { return (); }
    if job.model.contains("70b") {
        let multi = candidates.filter(|w| w.gpus > 1);
        if !multi.is_empty() { candidates = multi; }
    }
    let best = ();
    let best_score = 1000000.0;
    for w in candidates {
        let score = cost(w, job);
        if w.status == "busy" { score += 10.0; }
        if score < best_score {
            best = w;
            best_score = score;
        }
    }
    switch job.tier { "gold" | "silver" => best, _ => best }
}
"""


@rhai.host(checked=False)
def first(run, items):
    return items[0] if items else None


@rhai.host(checked=False)
def min_by(run, items, key):
    if not items:
        return None
    keys = run.map_items(key, items)
    run.charge(len(keys) >> 3)
    return items[keys.index(min(keys))]


@rhai.host(checked=False)
def least_loaded(run, items):
    if not items:
        return None
    run.charge(len(items))
    loads = [worker.get("load", math.inf) for worker in items]
    return items[loads.index(min(loads))]


@rhai.host(checked=False)
def distance(run, a, b):
    a_lat, a_lon, b_lat, b_lon = map(math.radians, (a["lat"], a["lon"], b["lat"], b["lon"]))
    h = math.sin((b_lat - a_lat) / 2) ** 2
    h += math.cos(a_lat) * math.cos(b_lat) * math.sin((b_lon - a_lon) / 2) ** 2
    return 12742.0 * math.asin(math.sqrt(h))


HOST = {"first": first, "min_by": min_by, "least_loaded": least_loaded, "distance": distance}
JOB = {
    "id": "j", "type": "image-gen", "model": "llama-70b", "tier": "gold", "region": "eu",
    "geo": {"lat": 1.0, "lon": 2.0},
}  # fmt: skip


def fleet(size):
    rng = random.Random(1)
    return [
        {
            "id": f"w{i}",
            "gpus": rng.choice([1, 2, 4, 8]),
            "load": rng.random(),
            "queue": rng.randrange(10),
            "cost_per_token": rng.random() / 1000,
            "capability": rng.choice(["text-gen", "image-gen"]),
            "online": rng.random() < 0.9,
            "status": rng.choice(["available", "busy"]),
            "tags": ["a", "b"],
            "vram_free": rng.randrange(100_000),
            "region": rng.choice(["eu", "us"]),
            "model": "llama-70b",
            "geo": {"lat": rng.random() * 90, "lon": rng.random() * 90},
            "pool": "p",
            "hive": "h",
            "name": "n",
        }
        for i in range(size)
    ]


@pytest.mark.parametrize("workers", [10, 100, 1_000, 10_000])
@pytest.mark.parametrize("policy", POLICIES)
def test_policy(benchmark, policy, workers):
    program = rhai.compile(POLICIES[policy], functions=HOST, limits=LIMITS)
    everyone = fleet(workers)
    chosen = benchmark(program.call, "pick", JOB, everyone)
    assert chosen in everyone


def test_compile_of_a_30_line_policy(benchmark):
    program = benchmark(rhai.compile, LONG_POLICY)
    assert program.functions() == {"cost": (2,), "fits": (2,), "pick": (2,)}


def test_parse_of_a_30_line_policy(benchmark):
    script = benchmark(rhai.parse, LONG_POLICY)
    assert len(script.functions) == 3


def test_change_of_one_worker_copies_its_path_only(benchmark):
    program = rhai.compile(
        "fn pick(job, workers) { workers[5].load = 0.0; workers[5] }", limits=LIMITS
    )
    everyone = fleet(1_000)
    assert benchmark(program.call, "pick", JOB, everyone)["load"] == 0.0
    assert everyone[5]["load"] != 0.0


def test_arithmetic(benchmark):
    program = rhai.compile(
        "fn f(n) { let s = 0; let i = 0; while i < n { s += i * 3 % 7; i += 1; } s }", limits=LIMITS
    )
    assert benchmark(program.call, "f", 1_000) == sum(i * 3 % 7 for i in range(1_000))
