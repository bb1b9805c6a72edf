"""The compiled policy decides exactly as the rules say, over random rules, jobs and fleets."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rbee_scheduler import Geo, InferenceRequest, Surroundings, User, Worker, WorkerRegistry
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_script import Policy, rhai
from rbee_scheduler_script._yaml import Scene, compile_rules, compile_yaml, evaluate, parse_yaml
from rbee_scheduler_script._yaml import _rules as r
from rbee_scheduler_script._yaml._glob import GLOB_FUNCTION, glob_matches, simple_form
from rbee_scheduler_script._yaml._literals import as_comment, as_literal, as_text
from rbee_scheduler_script._yaml._tables import (
    EVICTIONS,
    MODEL_MATCHES,
    OPERATORS,
    SELECTIONS,
    field_paths,
)


# ---- texts become literals -----------------------------------------------------------

NASTY = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="\"\\'`${}()/*\n\r\t\0;x#u1F ", max_size=20),
    st.sampled_from(['"; evil(); "', "${evil()}", "\\", '\\"', "*/ evil() /*", "\u2028", "\x7f"]),
).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))


@given(NASTY)
@example('"')
@example("\U0001f600\u202e\xa0")
def test_any_text_survives_as_a_literal(text):
    assert rhai.compile(as_text(text)).eval() == text


@given(
    st.recursive(
        st.none() | st.booleans() | NASTY | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=4), max_leaves=8,
    )
)  # fmt: skip
def test_any_value_survives_as_a_literal(value):
    assert rhai.compile(as_literal(value)).eval() == value


@given(NASTY)
def test_no_text_leaves_its_comment(text):
    assert rhai.compile(f"// {as_comment(text)}\n5").eval() == 5


# ---- patterns ------------------------------------------------------------------------

PATTERNS = st.text(alphabet="ab*?", max_size=8)


@given(PATTERNS, st.text(alphabet="abc", max_size=8))
def test_patterns_match_as_they_should(pattern, text):
    program = rhai.compile(GLOB_FUNCTION)
    assert program.call("matches_glob", text, pattern) is glob_matches(text, pattern)


@given(PATTERNS, st.text(alphabet="ab?*", max_size=8))
def test_simple_patterns_are_what_they_come_to(pattern, text):
    form = simple_form(pattern)
    if form is not None:
        method, part = form
        does = {
            "equals": text == part,
            "starts_with": text.startswith(part),
            "ends_with": text.endswith(part),
            "contains": part in text,
            "exists": True,
        }
        assert glob_matches(text, pattern) is does[method]


# ---- rules ---------------------------------------------------------------------------

MODELS = ("llama-3-8b", "llama-3-70b", "a", "")
WORDS = st.sampled_from([*MODELS[:3], "eu-west", "eu", "b", "batch", "interactive", "text-gen", ""])
NUMBERS = st.sampled_from([0, 1, 2, 5, 0.1, 0.2, 0.30000000000000004, 0.3, -1, 1e300, 100]) | (
    st.integers(-3, 1000)
)


def operands(operator, kind):
    scalar = {
        "string": WORDS, "[string]": WORDS, "bool": st.booleans(), "map": st.none(),
    }.get(kind.removesuffix("?"), NUMBERS)  # fmt: skip
    if operator.name == "matches_glob":
        return st.text(alphabet="lama-378b*?", max_size=6)
    return {
        "scalar": scalar | st.none(),
        "list": st.lists(scalar, min_size=1, max_size=4).map(tuple),
        "flag": st.booleans(),
    }.get(operator.takes, scalar)


def askable(kind):
    family = {"string": "text", "[string]": "array", "bool": "bool", "map": "map"}.get(
        kind.removesuffix("?"), "number"
    )
    return [
        operator
        for operator in OPERATORS.values()
        if operator.takes == "flag"
        or family in operator.fields
        or (not operator.fields and family not in ("array", "map"))
    ]


# The hash and the messages are made when the source names them; here jobs are given as they are.
FIELDS = [
    (root, path, kind)
    for root in ("job", "metrics")
    for path, kind in field_paths(root).items()
    if path != "messages"
]


@st.composite
def comparisons(draw):
    root, path, kind = draw(st.sampled_from(FIELDS))
    operator = draw(st.sampled_from(askable(kind)))
    return r.Compare(
        root=root, path=tuple(path.split(".")), kind=kind, operator=operator.name,
        value=draw(operands(operator, kind)),
    )  # fmt: skip


def combined(inner):
    several = st.lists(inner, min_size=1, max_size=9).map(tuple)
    return (
        several.map(lambda parts: r.All(conditions=parts))
        | several.map(lambda parts: r.Any_(conditions=parts))
        | inner.map(lambda part: r.Not(condition=part))
    )


CONDITIONS = st.recursive(comparisons() | st.just(r.Always()), combined, max_leaves=25)

# What `select` may say, and the same in Python.
SELECTS = {
    "workers.filter(gpus > 1).first()": lambda _j, ws: next((w for w in ws if w["gpus"] > 1), None),
    "workers.min_by(cost_per_token + load)": lambda _j, ws: min(
        ws, key=lambda w: w["cost_per_token"] + w["load"], default=None
    ),
    "workers.filter(backend == 'cuda' && model == job.model).last()": lambda j, ws: next(
        (w for w in reversed(ws) if w["backend"] == "cuda" and w["model"] == j["model"]), None
    ),
    "workers.filter(|x| x.id != 'w0').take(1)": lambda _j, ws: [
        w for w in ws if w["id"] != "w0"
    ][:1],
}  # fmt: skip


def _select(source):
    (rule,) = parse_yaml(
        json.dumps({"rules": [{"condition": True, "action": {"select": source}}]})
    ).rules
    return rule.action


ACTIONS = st.one_of(
    st.builds(
        r.Dispatch,
        worker_selection=st.sampled_from(sorted(SELECTIONS)),
        model_match=st.sampled_from(sorted(MODEL_MATCHES)),
    ),
    st.sampled_from([_select(source) for source in SELECTS]),
    st.just(r.UsePlatform()),
    st.builds(r.WaitFor, duration_ms=st.integers(0, 10_000) | st.floats(0, 10_000)),
    st.builds(r.RejectWith, reason=NASTY),
    st.builds(r.Evict, worker_id=st.sampled_from(["w0", "nobody"])),
    st.builds(r.Evict, strategy=st.sampled_from(sorted(EVICTIONS))),
)
RULES = st.lists(
    st.builds(
        r.Rule,
        name=NASTY,
        condition=CONDITIONS,
        action=ACTIONS,
        priority=st.none() | st.integers(-9, 9),
        comments=st.lists(NASTY, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=6,
)
RULE_SETS = st.builds(
    r.RuleSet, rules=RULES.map(tuple), name=NASTY, version=NASTY,
    comments=st.lists(NASTY, max_size=2).map(tuple),
)  # fmt: skip

WORKERS = st.lists(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(MODELS),
            "gpus": st.integers(0, 3),
            "cost_per_token": st.sampled_from([0.0, 0.1, 0.2]),
            "backend": st.sampled_from(["cuda", "cpu"]),
            "running": st.integers(0, 2),
            "vram_mb": st.sampled_from([0.0, 100.0]),
            "total_vram_mb": st.just(1000.0),
            "avg_tokens_per_sec": st.sampled_from([0.0, 5.0, 50.0]),
            "last_used_at": st.integers(0, 3).map(float),
            "jobs_completed": st.integers(0, 3),
        }
    ),
    max_size=5,
)
JOBS = st.builds(
    InferenceRequest,
    job_id=st.just("j"),
    model=st.sampled_from(MODELS[:3]),
    prompt=WORDS.filter(bool),
    max_tokens=st.integers(1, 5),
    temperature=st.sampled_from([0.0, 0.1, 0.7]),
    task_type=st.just("text-gen"),
    priority=st.sampled_from(["interactive", "batch"]),
    seed=st.none() | st.integers(0, 3),
    top_p=st.none() | st.sampled_from([0.1, 1.0]),
    top_k=st.none() | st.integers(1, 3),
    stop=st.lists(WORDS.filter(bool), max_size=2).map(tuple),
    tenant_id=st.none() | WORDS.filter(bool),
    user=st.none() | st.just(User(geo=Geo(latitude=1.0, longitude=2.0, region="eu-west"))),
    retry_count=st.integers(0, 2),
    estimated_vram_bytes=st.none() | st.integers(0, 3),
)


def fleet(rows):
    registry = WorkerRegistry(clock=VirtualClock())
    for at, row in enumerate(rows):
        models = tuple(model for model in MODELS if model)
        registry.add(
            Worker(id=f"w{at}", url="http://127.0.0.1:8080", models=models, slots=9, **row)
        )
    return registry


def victim(view, strategy):
    key = {"lru": "last_used_at", "lfu": "jobs_completed"}[strategy]
    idle = [worker for worker in view.everyone() if not worker["running"] and worker["online"]]
    return min(idle, key=lambda worker: worker[key], default=None)


@settings(max_examples=250, deadline=None)
@given(RULE_SETS, JOBS, WORKERS, st.integers(0, 20), st.integers(0, 5))
def test_the_compiled_policy_decides_as_the_rules_say(rules, job, rows, turn, waiting):
    compiled = compile_rules(rules)
    policy = Policy(compiled.rhai_source, limits=rhai.Limits(time_ms=5_000))
    surroundings = Surroundings(
        jobs=lambda: [attrs.evolve(job, job_id=f"q{at}") for at in range(waiting)]
    )
    snapshot = fleet(rows).snapshot(turn=turn, seed=3, surroundings=surroundings)
    view = policy.view(job, snapshot.free(job.model, job.task_type), snapshot)
    scene = Scene(
        metrics=view.metrics,
        turn=turn,
        chance=snapshot.random(),
        select=lambda action, j, workers: SELECTS[action.source](j, workers),
        evict=lambda strategy: victim(view, strategy),
    )
    said = {**view.job, "prompt_hash": job.prompt_hash}
    expected = evaluate(rules, said, view.workers, scene)
    assert policy.run(view) == expected


@pytest.mark.parametrize("count", [5, 40, 400])
def test_long_conditions_fit_into_a_function(count):
    parts = [{"max_tokens_gt": n} for n in range(count)]
    text = json.dumps(
        {"rules": [{"condition": {"any": [{"not": {"all": parts}}, {"all": parts[:7]}]},
                    "action": {"use": "platform-scheduler"}}]}
    )  # fmt: skip
    program = rhai.compile(
        compile_yaml(text).rhai_source, functions={"platform_schedule": lambda: 0}
    )
    assert program.call("schedule_job", {"max_tokens": count - 1}, [], []) == 0
