"""Rules become Rhai that people can read, and that decides; editors get a schema of them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from rbee_scheduler import InferenceRequest, Worker, WorkerRegistry
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_script import Policy, rhai
from rbee_scheduler_script._check import check
from rbee_scheduler_script._yaml import (
    RulesError,
    Scene,
    compile_yaml,
    evaluate,
    json_schema,
    parse_yaml,
)
from rbee_scheduler_script._yaml_scheduler import YamlScheduler


FOLDER = Path(__file__).parents[3] / "examples" / "rules"
FILES = sorted(FOLDER.glob("*.yaml"))


def rule(condition="true", action="use: platform-scheduler"):
    return f"rules:\n  - condition: {condition}\n    action: {{ {action} }}\n"


def source(*args):
    return compile_yaml(rule(*args)).rhai_source


# ---- the policy ----------------------------------------------------------------------------


def test_the_first_dialect():
    compiled = compile_yaml((FOLDER / "simple.yaml").read_text(encoding="utf-8"))
    assert compiled.rhai_source == (
        "// first match wins, top to bottom\n"
        "\n"
        "fn schedule_job(job, pools, workers) {\n"
        "    // Large models to multi-GPU\n"
        "    // bare field names inside filter/min_by mean the worker's fields\n"
        '    if job.model.contains("70b") {\n'
        "        return workers.filter(|w| w.gpus > 1).first();\n"
        "    }\n"
        "\n"
        "    // Image generation to CUDA\n"
        '    if job.task_type == "image-gen" {\n'
        '        return workers.filter(|w| w.backend == "cuda").least_loaded();\n'
        "    }\n"
        "\n"
        "    // Default to cheapest\n"
        "    return workers.min_by(|w| w.cost_per_token);\n"
        "}\n"
    )
    assert compiled.rule_lines == {
        4: 2, 5: 2, 6: 3, 7: 4, 8: 3, 10: 5, 11: 6, 12: 7, 13: 6, 15: 8, 16: 10,
    }  # fmt: skip


def test_the_second_dialect():
    compiled = compile_yaml((FOLDER / "determinism-first.yaml").read_text(encoding="utf-8"))
    assert (compiled.name, compiled.version) == ("determinism-first", "1.0")
    assert compiled.rhai_source == (
        "// determinism-first, version 1.0\n"
        "// highest priority first\n"
        "\n"
        "fn schedule_job(job, pools, workers) {\n"
        "    // prioritize-seeded-jobs (priority 100)\n"
        "    if job.seed != () {\n"
        "        return workers.with_model(job.model).least_loaded();\n"
        "    }\n"
        "\n"
        "    // batch-jobs-low-priority (priority 50)\n"
        '    if job.priority == "batch" {\n'
        "        return workers.most_vram_free();\n"
        "    }\n"
        "\n"
        "    // fallback (priority 0)\n"
        "    return platform_schedule();\n"
        "}\n"
    )


def test_who_asks_for_metrics_gets_ctx():
    text = source(
        "{ metrics.queue_depth_gt: 3, model: a }",
        'select: "workers.first() ?? pools[0].workers[0]"',
    )
    assert text.startswith(
        "fn schedule(ctx) {\n"
        "    let job = ctx.queue[0];\n"
        "    let workers = ctx.workers;\n"
        "    let pools = ctx.pools;\n"
        "    let metrics = ctx.metrics;\n"
    )
    small = source("{ metrics.queue_depth_gt: 3 }")
    assert [line.strip() for line in small.split("\n") if "let " in line] == [
        "let metrics = ctx.metrics;"
    ]
    assert "fn schedule_job" in source('{ model: "metrics" }')


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{ user.geo.region: eu }", 'job.user.geo?.region == "eu"'),
        ("{ tenant_id_contains: a }", '(job.tenant_id?.contains("a") ?? false)'),
        ("{ model_in: [a, b] }", 'job.model in ["a", "b"]'),
        ("{ seed_exists: false }", "job.seed == ()"),
        ("{ seed: null }", "job.seed == ()"),
        ("{ resume: true }", "job.resume == true"),
        ("{ temperature_lt: 0.5 }", "job.temperature < 0.5"),
        ("{ max_tokens_gt: -1 }", "job.max_tokens > -1"),
        ("{ model_matches_glob: '*70b*' }", 'job.model.contains("70b")'),
        ("{ model_matches_glob: '70b' }", 'job.model == "70b"'),
        ("{ model_matches_glob: '*' }", "job.model != ()"),
        ("{ model_matches_glob: 'a*b' }", 'matches_glob(job.model, "a*b")'),
        ("{ not: { any: [{ model: a }, { type: b }] } }",
         '!(job.model == "a" || job.type == "b")'),
        ("{ model: a, any: [{ type: b }, { type: c }] }",
         'job.model == "a" && (job.type == "b" || job.type == "c")'),
    ],
)  # fmt: skip
def test_conditions(condition, expected):
    assert f"    if {expected} {{\n" in source(condition)


def test_the_function_for_patterns_comes_along_when_it_is_needed():
    assert "fn matches_glob" in source("{ model_matches_glob: 'a*b' }")
    assert "fn matches_glob" not in source("{ model_matches_glob: 'a*' }")


def test_rules_behind_one_that_always_applies_are_found_by_the_checker():
    text = "rules:\n" + "".join(
        f"  - {{ name: {name}, condition: true, action: {{ use: platform-scheduler }} }}\n"
        for name in "ab"
    )
    compiled = compile_yaml(text)
    (finding,) = check(compiled.rhai_source)
    assert finding.code == "unreachable-code"
    assert compiled.rule_lines[finding.line] == 3


def test_no_rule_that_applies_means_nobody():
    assert source("{ model: a }").endswith("    // No rule applies: nobody.\n    ()\n}\n")


NASTY = ['"; evil(); "', "${x}", "\\", "*/", "a\nb", "a\u2028b", "'", "\0"]


@pytest.mark.parametrize("text", NASTY)
def test_texts_stay_texts(text):
    quoted = json.dumps(text)
    rules = (
        f"name: {quoted}\nversion: {quoted}\nrules:\n"
        f"  - {{ name: {quoted}, condition: {{ model: {quoted} }}, "
        f"action: {{ reject: {{ reason: {quoted} }} }} }}\n"
    )
    program = rhai.compile(
        compile_yaml(rules).rhai_source, functions={"reject": lambda reason: reason}
    )
    assert program.call("schedule_job", {"model": text}, [], []) == text
    assert program.call("schedule_job", {"model": "other"}, [], []) is None


def test_a_policy_too_large_is_refused():
    text = "rules:\n" + "".join(
        f"  - {{ name: r{n}, condition: {{ model: '{'x' * 300}' }}, action: {{ use: "
        "platform-scheduler } }\n" for n in range(400)
    )  # fmt: skip
    with pytest.raises(RulesError, match="too much for one policy"):
        compile_yaml(text)


def test_the_evaluator_says_what_it_needs():
    rules = parse_yaml(rule(action='select: "workers.first()"'))
    with pytest.raises(ValueError, match=r"give Scene\.select"):
        evaluate(rules, {}, [])
    assert evaluate(rules, {}, ["w"], Scene(select=lambda _, __, workers: workers[0])) == "w"


# ---- the examples --------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_examples_compile_to_policies_without_findings(path):
    compiled = compile_yaml(path.read_text(encoding="utf-8"), file=path.name)
    assert check(compiled.rhai_source) == []
    assert Policy(compiled.rhai_source).role == "select"
    lines = compiled.rhai_source.split("\n")
    written = path.read_text(encoding="utf-8").split("\n")
    for line, origin in compiled.rule_lines.items():
        assert lines[line - 1].strip()
        assert written[origin - 1].strip()


def test_there_are_both_dialects_and_three_more():
    assert len(FILES) == 5


# ---- the scheduler -------------------------------------------------------------------------


def registry(*workers):
    out = WorkerRegistry(clock=VirtualClock())
    for each in workers:
        out.add(each)
    return out


def worker(id_, **fields):
    return Worker(**{"id": id_, "url": "http://127.0.0.1:8080", "model": "m-70b", **fields})


def test_yaml_scheduler(tmp_path):
    workers = registry(worker("one", gpus=1), worker("two", gpus=2))
    scheduler = YamlScheduler.from_file(FOLDER / "simple.yaml", workers)
    job = InferenceRequest(job_id="j", model="m-70b", prompt="Hi")
    assert scheduler.explain(job).worker_id == "two"
    # Whatever the file is called.
    path = tmp_path / "rules"
    path.write_text((FOLDER / "simple.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert YamlScheduler.from_file(path, workers).explain(job).worker_id == "two"
    with pytest.raises(RulesError, match=r"rules\.yaml:1:1"):
        YamlScheduler.from_source("", file="rules")


def test_a_rejection_reaches_the_caller():
    text = rule("{ max_tokens_gt: 5 }", "reject: { reason: too long }")
    scheduler = YamlScheduler.from_source(text, registry(worker("one")))
    explained = scheduler.explain(InferenceRequest(job_id="j", model="m-70b", prompt="Hi"))
    assert (explained.action, explained.reason) == ("reject", "too long")


# ---- the schema ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema():
    made = json_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


GOOD = [
    rule(),
    rule("always"),
    rule("{ model_contains: a, user.geo: { exists: true }, metrics.queue_depth: { gt: 3 } }"),
    rule("{ any: [{ model: [a, b] }, { not: { job.seed: null } }, true] }"),
    rule("{ stop_contains: x, resume: false, temperature_lte: 0.5 }"),
    rule(action="evict: { strategy: lru }"),
    rule(action="dispatch: { worker_selection: first, model_match: any }"),
    (
        "scheduler: { version: 1.0, rules: [{ condition: true, priority: 3, "
        "action: { wait: { duration_ms: 0.5 } } }] }"
    ),
]  # fmt: skip
BAD = [
    "rules: []",
    "rule: []",
    rule("false"),
    rule("{}"),
    rule("{ modle: a }"),
    rule("{ model_contains: 70 }"),
    rule("{ max_tokens: x }"),
    rule("{ max_tokens_contains: x }"),
    rule("{ stop: x }"),
    rule("{ user.geo: 3 }"),
    rule("{ seed: { exists: 1 } }"),
    rule("{ model_in: a }"),
    rule("{ model: { contain: a } }"),
    rule("{ all: [] }"),
    rule(action=""),
    rule(action="use: platform"),
    rule(action="evict: { strategy: lru, worker_id: a }"),
    rule(action="wait: { duration_ms: -1 }"),
    rule(action="wait: {}"),
    rule(action='select: ""'),
    rule(action="use: platform-scheduler, reject: { reason: x }"),
    rule() + "    priority: 3\n",
    "scheduler: { rules: [] }",
    "scheduler: { rules: [{ condition: true, action: { use: platform-scheduler }, priority: a }] }",
]


@pytest.mark.parametrize("text", [*GOOD, *(path.read_text(encoding="utf-8") for path in FILES)])
def test_the_schema_takes_what_the_reader_takes(schema, text):
    assert parse_yaml(text).rules
    assert list(schema.iter_errors(YAML(typ="safe", pure=True).load(text))) == []


@pytest.mark.parametrize("text", BAD)
def test_the_schema_refuses_what_the_reader_refuses(schema, text):
    with pytest.raises(RulesError):
        parse_yaml(text)
    assert not schema.is_valid(YAML(typ="safe", pure=True).load(text))
