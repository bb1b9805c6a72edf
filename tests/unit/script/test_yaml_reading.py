"""Rules are read strictly: everything wrong is told, at its place, with what to write instead."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from rbee_scheduler import PolicyError
from rbee_scheduler_script import _check, _format, _yaml
from rbee_scheduler_script._yaml import RulesError, parse_yaml
from rbee_scheduler_script._yaml import _rules as r
from rbee_scheduler_script._yaml._tables import OPERATORS


def problems(text):
    with pytest.raises(RulesError) as caught:
        parse_yaml(text, file="rules.yaml")
    return [(p.line, p.column, p.message, p.hint) for p in caught.value.problems]


def rule(condition="true", action="use: platform-scheduler"):
    return f"rules:\n  - condition: {condition}\n    action: {{ {action} }}\n"


def condition(text):
    return parse_yaml(rule(text)).rules[0].condition


def action(text):
    return parse_yaml(rule(action=text)).rules[0].action


# ---- conditions ----------------------------------------------------------------------------


def compare(path, kind, operator, value, root="job"):
    return r.Compare(
        root=root, path=tuple(path.split(".")), kind=kind, operator=operator, value=value, line=2
    )


@pytest.mark.parametrize("text", ["true", "always", "'always'", "True", "TRUE"])
def test_what_always_holds(text):
    assert condition(text) == r.Always()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{ model_contains: "70b" }', compare("model", "string", "contains", "70b")),
        ("{ task_type: image-gen }", compare("task_type", "string", "equals", "image-gen")),
        ("{ job.priority: batch }", compare("priority", "string", "equals", "batch")),
        ("{ job.seed: { exists: true } }", compare("seed", "number?", "exists", value=True)),
        ("{ seed_exists: false }", compare("seed", "number?", "exists", value=False)),
        ("{ max_tokens_gt: 5 }", compare("max_tokens", "int", "gt", 5)),
        ("{ task_type_not_equals: a }", compare("task_type", "string", "not_equals", "a")),
        ("{ model: [a, b] }", compare("model", "string", "in", ("a", "b"))),
        ("{ model_in: [a] }", compare("model", "string", "in", ("a",))),
        ("{ job.tenant_id: null }", compare("tenant_id", "string?", "equals", None)),
        ("{ stop_contains: x }", compare("stop", "[string]", "contains", "x")),
        (
            "{ user.geo.region_starts_with: eu }",
            compare("user.geo.region", "string?", "starts_with", "eu"),
        ),
        ("{ job.user.geo: { exists: true } }", compare("user.geo", "map?", "exists", value=True)),
        (
            "{ metrics.queue_depth_gte: 3 }",
            compare("queue_depth", "int", "gte", 3, root="metrics"),
        ),
        ("{ temperature: { lte: 0.5 } }", compare("temperature", "number", "lte", 0.5)),
        ("{ model_matches_glob: '*-8b' }", compare("model", "string", "matches_glob", "*-8b")),
    ],
)
def test_questions(text, expected):
    assert condition(text) == expected


def test_several_keys_all_hold_and_words_combine():
    one, two = compare("model", "string", "equals", "a"), compare("type", "string", "equals", "b")
    assert condition("{ model: a, type: b }") == r.All(conditions=(one, two))
    assert condition("{ all: [{ model: a }, { type: b }] }") == r.All(conditions=(one, two))
    assert condition("{ any: [{ model: a }, { type: b }] }") == r.Any_(conditions=(one, two))
    assert condition("{ not: { model: a } }") == r.Not(condition=one)
    assert condition("{ any: [{ model: a }] }") == one
    several = condition("{ max_tokens: { gt: 1, lt: 9 } }")
    assert [part.operator for part in several.conditions] == ["gt", "lt"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{ modle: a }", "unknown field `modle`", "did you mean `model`?"),
        ("{ job.modle: a }", "unknown field `job.modle`", "did you mean `job.model`?"),
        ("{ modle_contains: a }", "unknown field `modle_contains`",
         "did you mean `model_contains`?"),
        ("{ queue_depth: 3 }", "unknown field `queue_depth`",
         "did you mean `metrics.queue_depth`?"),
        ("{ user: 3 }", "unknown field `user`",
         "ask about a field of it, such as `job.user.geo`"),
        ("{ al: [] }", "unknown field `al`", "did you mean `all`?"),
        ("{ zzz: a }", "unknown field `zzz`", "see docs/yaml.md for the fields"),
        ("{ model: { contain: a } }", "unknown operator `contain`", "did you mean `contains`?"),
        ("{ model_contains: 70 }", "`model` is a text and never the number 70",
         'put it in quotes: "70"'),
        ("{ model: yes, max_tokens: x }", "`max_tokens` is a number and never the text 'x'", ""),
        ("{ model: true }", "`model` is a text and never the value true",
         'put it in quotes: "true"'),
        ("{ resume: 1 }", "`resume` is true or false and never the number 1", ""),
        ("{ max_tokens_contains: x }",
         "`max_tokens` is a number, and contains asks about a list or a text", ""),
        ("{ stop: x }", "`stop` is a list", "use contains, or exists"),
        ("{ user.geo: 3 }", "`user.geo` is a map",
         "ask whether it exists, or about a field of it"),
        ("{ seed_gt: null }", "gt can't be asked of null", "use exists: false"),
        ("{ seed: { exists: 1 } }", "exists takes true or false, not the number 1", ""),
        ("{ model_in: a }", "`in` takes a list of at least one value", ""),
        ("{ model: [] }", "`in` takes a list of at least one value", ""),
        ("{ model_contains: [a] }", "`contains` takes a plain value, not a list", ""),
        ("{ model: {} }", "no operator",
         f"one of {', '.join(OPERATORS)}"),
        ("{ all: [] }", "must be a list of at least one condition", ""),
        ("{}", "an empty condition", "write true for one that always holds"),
        ("[a]", "a list instead of a condition", "write { all: [...] } or { any: [...] }"),
        ("1", "a number (1) instead of a condition",
         "write true, always, or a map such as { model_contains: 70b }"),
    ],
)  # fmt: skip
def test_what_is_no_condition(text, message, hint):
    assert [(message, hint)] == [problem[2:] for problem in problems(rule(text))]


# ---- actions -------------------------------------------------------------------------------


def test_actions():
    assert action("dispatch: { worker_selection: random }") == r.Dispatch(worker_selection="random")
    assert action("wait: { duration_ms: 5 }") == r.WaitFor(duration_ms=5)
    assert action("reject: { reason: no way }") == r.RejectWith(reason="no way")
    assert action("evict: { worker_id: w1 }") == r.Evict(worker_id="w1")
    assert action("evict: { strategy: lfu }") == r.Evict(strategy="lfu")
    assert action("use: platform-scheduler") == r.UsePlatform()


@pytest.mark.parametrize(
    ("text", "rhai"),
    [
        ("workers.filter(gpus > 1).first()", "workers.filter(|w| w.gpus > 1).first()"),
        ("workers.filter(backend == 'cuda')", 'workers.filter(|w| w.backend == "cuda")'),
        ("workers.min_by(cost_per_token)", "workers.min_by(|w| w.cost_per_token)"),
        ('workers.min_by("load")', 'workers.min_by("load")'),
        ("workers.filter(|x| x.gpus > 1)", "workers.filter(|x| x.gpus > 1)"),
        ("workers.filter((gpus) > 1 && model == job.model)",
         "workers.filter(|w| (w.gpus) > 1 && w.model == job.model)"),
        ("pools.filter(status == 'healthy')[0].workers.filter(gpus>1)",
         'pools.filter(|w| w.status == "healthy")[0].workers.filter(|w| w.gpus>1)'),
        ("workers.filter(models.some(|w| w == id))",
         "workers.filter(|worker| worker.models.some(|w| w == worker.id))"),
        ("filter_workers(gpus > 1)", "filter_workers(|w| w.gpus > 1)"),
        (r"workers.filter(id == 'it\'s \"x\"')", r'workers.filter(|w| w.id == "it\'s \"x\"")'),
        ("get_worker(job.session_id)", "get_worker(job.session_id)"),
        ("workers.filter(labels.zone == `a${job.id}`)",
         "workers.filter(|w| w.labels.zone == `a${job.id}`)"),
    ],
)  # fmt: skip
def test_expressions(text, rhai):
    quoted = text.replace("'", "''")
    expected = rhai.replace("\\'", "'")
    assert action(f"select: '{quoted}'").rhai == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('select: "workers.filter(gpu > 1)"', "unknown name `gpu`", "did you mean `gpus`?"),
        ('select: "wrkers.first()"', "unknown name `wrkers`", "did you mean `workers`?"),
        ('select: "cost_per_token"', "unknown name `cost_per_token`",
         "fields stand inside filter(...), min_by(...): min_by(cost_per_token)"),
        ('select: "workers.first() // x"', "a comment inside an expression",
         "write it behind a # of YAML"),
        ('select: "workers.first() /*"', "a comment inside an expression",
         "write it behind a # of YAML"),
        ('select: "workers.first(); workers"', "not one expression",
         "write what is to be chosen, nothing else"),
        ('select: "fn f() {} workers"', "not one expression",
         "write what is to be chosen, nothing else"),
        ('select: "return workers"', "a statement instead of an expression",
         "put decisions into rules, or write the policy in Rhai"),
        ('select: "workers;"', "a semicolon behind the expression", "leave it out"),
        ('select: "workers.first("', "not an expression: Expecting ')' to close this list", ""),
        ('select: ""', "`select` is empty", ""),
        ("select: 5", "`select` must be a text, not a number", 'put it in quotes: "5"'),
        ("use: platform", "`use` is no 'platform'", "did you mean `platform-scheduler`?"),
        ("dispach: {}", "unknown key `dispach` in an action", "did you mean `dispatch`?"),
        ("dispatch: {}", "`dispatch` without `worker_selection`", ""),
        ("dispatch: { worker_selection: least_loaded }", "`worker_selection` is no 'least_loaded'",
         "did you mean `least-loaded`?"),
        ("dispatch: x", "a text under `dispatch`", "write `worker_selection:` there"),
        ("wait: { duration_ms: -1 }",
         "`duration_ms` must be a number of milliseconds, 0 to 86400000", ""),
        ("wait: { duration_ms: 1s }",
         "`duration_ms` must be a number of milliseconds, 0 to 86400000", ""),
        ("reject: { reason: ' ' }", "`reason` is empty", ""),
        ("evict: {}", "`evict` takes one of worker_id, strategy", ""),
        ("evict: { strategy: lru, worker_id: a }", "`evict` takes one of worker_id, strategy", ""),
        ("", "0 actions where one action is wanted",
         "write one of select, dispatch, use, wait, reject, evict"),
        ("use: platform-scheduler, wait: { duration_ms: 1 }",
         "2 actions where one action is wanted",
         "write one of select, dispatch, use, wait, reject, evict"),
    ],
)  # fmt: skip
def test_what_is_no_action(text, message, hint):
    assert [(message, hint)] == [problem[2:] for problem in problems(rule(action=text))]


def test_a_problem_in_an_expression_is_at_its_character():
    (problem,) = problems(rule(action='select: "workers.filter(gpu > 1)"'))
    line = '    action: { select: "workers.filter(gpu > 1)" }'
    assert problem[:2] == (3, line.index("gpu") + 1)


# ---- files ---------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once():
    text = rule("{ modle: a }", "dispach: {}").replace("rules", "rulse")
    assert len(problems(text)) == 2  # rulse is unknown, rules is missing
    found = problems(rule("{ modle: a }", "dispach: {}"))
    assert [(line, column) for line, column, *_ in found] == [(2, 18), (3, 15)]
    with pytest.raises(PolicyError) as caught:
        parse_yaml(rule("{ modle: a }", "dispach: {}"), file="rules.yaml")
    assert caught.value.place == "rules.yaml:2:18"
    assert "3:15: unknown key `dispach` in an action (did you mean `dispatch`?)" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[]", "a list instead of rules"),
        ("rules: {}", "`rules` must be a list with at least one rule"),
        ("rules: []", "`rules` must be a list with at least one rule"),
        ("rules: [5]", "a number instead of a rule"),
        ("rules: [{action: {use: platform-scheduler}}]", "a rule without `condition`"),
        ("scheduler: 5", "a number under `scheduler`"),
        ("scheduler: {rules: [{condition: true, action: {use: platform-scheduler}, priority: a}]}",
         "a priority must be a whole number"),
        (rule() + "name: 5", "the name must be a text, not a number"),
        (rule() + "version: [1]", "the version must be a text, not a list"),
        (rule() + "rules: []", "the key 'rules' is there twice"),
        (rule() + "5: a", "a key must be a text"),
        (rule() + "<<: {}", "merge keys (<<) are not part of YAML 1.2"),
        ("rules: !!python/object:os.system [x]",
         "tags (tag:yaml.org,2002:python/object:os.system) are not allowed"),
        ("%YAML 1.1\n---\n" + rule(), "directives are not allowed"),
        (rule() + "---\n" + rule(), "there is a second document"),
        ("rules: *x", "no anchor &x before this"),
        ("rules: &x [*x]", "*x contains itself"),
        ("rules: " + "[" * 40, "nested deeper than 32 levels"),
        ('name: "\\ud800"', "the text has a lone surrogate, which is no character"),
        (" " * 300_000, "the file is longer than 262,144 characters"),
        ("rules: [", ("not YAML: while parsing a flow node, expected the node content, but found"
                      " '<stream end>'")),
        (rule("{ max_tokens: 1e999 }"), "the number 1e999 is too large"),
        (rule("{ max_tokens: .inf }"), ".inf is no number that can be compared"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_rules(text, message):
    assert problems(text)[0][2] == message


def test_aliases_are_fine_and_bombs_are_not():
    shared = (
        "rules:\n"
        "  - { name: a, condition: &small { model_contains: 8b }, action: &go { use: "
        "platform-scheduler } }\n"
        "  - { name: b, condition: { not: *small }, action: *go }\n"
    )
    one, two = parse_yaml(shared).rules
    assert two.condition == r.Not(condition=one.condition)
    levels = "\n".join(f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    (problem,) = problems(f"k0: &a0 [x]\n{levels}")
    assert problem[2] == "more than 20,000 values, aliases unfolded"
    many = ", ".join(["*a"] * 300)
    assert problems(f"a: &a x\nb: [{many}]")[0][2] == "more than 200 aliases"


def test_scalars_follow_yaml_1_2():
    texts = parse_yaml(rule("{ model_in: [yes, no, on, 1_000, 0b1, 1:30, 2026-01-01, '5'] }"))
    assert texts.rules[0].condition.value == (
        "yes", "no", "on", "1_000", "0b1", "1:30", "2026-01-01", "5",
    )  # fmt: skip
    numbers = parse_yaml(rule("{ max_tokens_in: [0o17, 0x1F, +5, -3, .5, 1e3] }"))
    assert numbers.rules[0].condition.value == (15, 31, 5, -3, 0.5, 1000.0)


def test_the_order_of_rules():
    text = "scheduler:\n  rules:\n" + "".join(
        f"    - {{ name: {name}, condition: true, action: {{ use: platform-scheduler }}{rank} }}\n"
        for name, rank in [("a", ""), ("b", ", priority: 5"), ("c", ", priority: -1"),
                           ("d", ", priority: 5")]
    )  # fmt: skip
    assert [each.name for each in parse_yaml(text).rules] == ["b", "d", "a", "c"]
    hint = "rules under `rules:` go from top to bottom; priorities are for the form with"
    assert hint in problems("rules: [{condition: true, action: {use: platform-scheduler},"
                            " priority: 1}]")[0][3]  # fmt: skip


def test_comments_belong_to_the_rule_they_stand_above_or_in():
    rules = parse_yaml(
        "# about the file\n"
        "rules: # and more\n"
        "  # about the first\n"
        "  # two lines\n"
        "  - name: first # beside\n"
        "    condition: true\n"
        "    action: { select: \"workers.filter(|w| w.id == '#x').first()\" } # the action\n"
        "\n"
        "  # about the second\n"
        "  - { name: 'a # b', condition: true, action: { use: platform-scheduler } }\n"
        "# at the end\n"
    )
    first, second = rules.rules
    assert rules.comments == ("about the file", "and more")
    assert first.comments == ("about the first", "two lines", "beside", "the action")
    assert second.comments == ("about the second", "at the end")


def test_names_tell_rules_apart():
    text = (
        "rules:\n" + "  - { name: a, condition: true, action: { use: platform-scheduler } }\n" * 2
    )
    assert problems(text) == [
        (3, 1, "the name 'a' is there twice, first in line 2",
         "names tell rules apart in traces; give each its own")
    ]  # fmt: skip
    assert parse_yaml(rule()).rules[0].name == "rule 1"


@pytest.mark.parametrize("package", [_check, _format, _yaml])
def test_examples_in_docstrings(package):
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        assert doctest.testmod(module).failed == 0
