"""The checker finds what Rhai lets pass, says what was meant, and cries no wolf."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rbee_scheduler_script import HELPERS, Policy, rhai
from rbee_scheduler_script._check import (
    CODES,
    Function,
    Vocabulary,
    check,
    findings_as_json,
    findings_as_text,
    standard_vocabulary,
)
from rbee_scheduler_script._check._answers import ANSWERS, CALLBACKS
from rbee_scheduler_script._check._check_values import WORDS
from rbee_scheduler_script._check._infer import Types
from rbee_scheduler_script._check._kinds import bare, element
from rbee_scheduler_script._check._shapes import SHAPES
from rbee_scheduler_script._sample import sample_request, sample_snapshot


ROOT = Path(__file__).parents[3]
POLICIES = [
    *sorted((ROOT / "examples" / "policies").glob("*.rhai")),
    *sorted((ROOT / "plugins/script/src/rbee_scheduler_script/_templates").glob("*.rhai")),
]


def found(body, *, head="fn schedule_job(job, pools, workers)", rest=""):
    """Return ``code:word`` of what is found in the body of a policy."""
    source = f"{head} {{\n{body}\n}}\n{rest}"
    lines = source.split("\n")
    return [(f.code, lines[f.line - 1][f.column - 1 : f.end_column - 1]) for f in check(source)]


def hint(body, code):
    source = f"fn schedule_job(job, pools, workers) {{\n{body}\n}}\n"
    (finding,) = [f for f in check(source) if f.code == code]
    return finding.hint


# ---- no false alarms -----------------------------------------------------------------------


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_nothing_is_found_in_good_policies(path):
    assert check(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "body",
    [
        "let w = workers.first(); if w == () { return (); } w.id",
        'workers.filter(|w| w.geo != () && w.geo.region == "eu").first()',
        "workers.filter(|w| w.labels.zone == 5).first()",
        "let best = (); for w in workers { if best == () || w.load < best.load { best = w; } } ()",
        "for (w, i) in workers { if i > 2 && w.gpus > 1 { return w; } } ()",
        "let m = #{}; m.count = 1; m.count += 1; if m.count == 2 { workers[0] } else { () }",
        "let w = workers[0]; w.mark = 5; if w.mark > 3 { w } else { () }",
        "workers.map(|w| #{ id: w.id, score: w.load }).sort_by_key(|s| s.score)[0].id",
        "workers.reduce(|a, w| if a == () || w.load < a.load { w } else { a }, ())",
        "let f = |w| w.load; workers.min_by(f)",
        "workers.group_by(|w| w.pool_id).values()[0].least_loaded()",
        'if job.deadline > now() { workers.first() } else { reject("late") }',
        "let n = 0; while n < 5 { n += 1; } workers[n]",
        "loop { break workers.first(); }",
        'switch job.type { "a" | "b" => workers.first(), _ => reject(`no ${job.type}`) }',
        "try { workers.first() } catch (e) { log_error(e.message); () }",
        "get_model(job.model)?.vram_required_bytes ?? return workers.first(); workers.last()",
        'if job.priority in ["batch"] { workers.first() } else { throw "x"; }',
        "let t = tenant_remaining_quota(job.tenant_id); if t < 5 { return (); } workers.first()",
        "workers.filter(|w| w.models.contains(job.model) && w.models.len > 0).first()",
        "find_gpus_with_vram(5)[0].pool_id",
        "workers.sort(|a, b| a.load - b.load); workers.first()",
        'let w = workers.take(2).most_vram_free(); let id = if w == () { "" } else { w.id }; id',
        'is_def_var("x"); workers.first()',
        "let x = ctx!(); workers.first()",
    ],
)  # fmt: skip
def test_nothing_is_found_in_good_code(body):
    rest = "fn ctx() { 1 }" if "ctx!" in body else ""
    assert [code for code, _ in found(body, rest=rest) if code != "unused-variable"] == []


# ---- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "word", "said"),
    [
        ("workers.filter(|w| w.gpu > 1).first()", "gpu", "did you mean `gpus`?"),
        ('workers.filter(|w| w["gpu"] > 1).first()', '"gpu"', "did you mean `gpus`?"),
        ("workers.min_by(|w| w.cost)", "cost", "did you mean `cost_per_token`?"),
        ('workers.min_by("cost_per_tokn")', '"cost_per_tokn"', "did you mean `cost_per_token`?"),
        ("workers.filter(|w| w.load < 1).take(2).map(|w| w.idd)", "idd", "did you mean `id`?"),
        ("for w in workers { if w.stats == 5 { return w; } } ()", "stats",
         "did you mean `status`?"),
        ("if job.geo == () { () } else { workers.first() }", "geo", "did you mean `user.geo`?"),
        ("pools[0].gpus.max_by(|g| g.vram_free)", "vram_free", "did you mean `vram_free_bytes`?"),
        ("get_model(job.model).vram", "vram", "did you mean `vram_required_bytes`?"),
        ("let w = workers.least_loaded(); w.ide", "ide", "did you mean `id`?"),
        ('get_worker("a")?.modell', "modell", "did you mean `model`?"),
        ("check_tenant_quota(job.tenant_id, job).okay", "okay", "did you mean `ok`?"),
        ("workers.id", "id", "it has several workers; take one, or ask of each: .map(|x| x.id)"),
        ("job.model.size", "size", ""),
        ("can_job_fit(job, workers[0]).zzz", "zzz", ""),
    ],
)  # fmt: skip
def test_unknown_fields(body, word, said):
    assert ("unknown-field", word) in found(body)
    assert hint(body, "unknown-field") == said


def test_fields_are_known_across_functions():
    rest = "fn big(w) { w.gpu > 1 } fn pick(ws) { ws.filter(|w| big(w)).first() }"
    assert found("pick(workers).idd", rest=rest) == [
        ("unknown-field", "idd"), ("unknown-field", "gpu"),
    ]  # fmt: skip


def test_the_queue_form():
    source = "fn schedule(ctx) { ctx.queue[0].modle + ctx.metrics.queue_dept + ctx.metrics.mine }"
    assert [f.message for f in check(source)] == [
        "a job has no field `modle`; in Rhai it is just ()",
        "`metrics` has no field `queue_dept`; in Rhai it is just ()",
    ]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("workers.leest_loaded()", "unknown-function", "did you mean `least_loaded`?"),
        ("find_redy_worker(job.model)", "unknown-function", "did you mean `find_ready_worker`?"),
        ("xyzzy(1)", "unknown-function", "`policy helpers` lists them"),
        ('eval("1")', "unknown-function",
         "it is left out on purpose: decisions must come out the same when repeated"),
        ("workers.first(1)", "wrong-arity", ""),
        ("distance(1, 2, 3)", "wrong-arity", ""),
        ("workers.frist", "unknown-field", ""),
        ("wrkers.first()", "unknown-variable", "did you mean `workers`?"),
        ("LIMIT", "unknown-variable", ""),
        ("global::LIMIT", "unknown-variable", ""),
    ],
)  # fmt: skip
def test_unknown_names(body, code, said):
    assert code in [name for name, _ in found(body)]
    assert hint(body, code) == said


def test_constants_are_seen_through_global():
    source = "const MAX = 3;\nfn schedule_job(job, pools, workers) { workers[MAX] }"
    codes = {f.code: f.hint for f in check(source)}
    assert codes == dict.fromkeys(
        ("unused-variable", "unknown-variable"), "functions see constants as `global::MAX`"
    )
    good = source.replace("[MAX]", "[global::MAX]")
    assert check(good) == []
    (finding,) = check(good.replace("global::MAX", "global::MAXX").replace("const", "export const"))
    assert finding.hint == "did you mean `global::MAX`?"


def test_registry_helpers_take_their_receiver_or_not():
    assert found("pools.find_ready_worker(job.model) ?? find_ready_worker(job.model)") == []


# ---- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ("job.model == 3", "=="),
        ('job.max_tokens > "100"', ">"),
        ('job.max_tokens != "100"', "!="),
        ('job == "x"', "=="),
        ("workers == 0", "=="),
        ('workers.len() == "0"', "=="),
        ("job.seed < ()", "<"),
        ("job.model in [1, 2]", "in"),
        ('workers.first() == "gpu-1"', "=="),
    ],
)  # fmt: skip
def test_types_that_never_match(condition, word):
    assert found(f"if {condition} {{ return (); }}\nworkers.first()") == [("type-mismatch", word)]


def test_what_was_meant():
    body = 'if job.max_tokens > "100" { return (); } ()'
    assert hint(body, "type-mismatch") == "leave out the quotes: 100"
    body = "if job.model == 70 { return (); } ()"
    assert hint(body, "type-mismatch") == 'put it in quotes if a text is meant: "70"'
    body = 'if job.priority == "intractive" { return (); } ()'
    assert hint(body, "impossible-value") == 'did you mean "interactive"?'
    assert found('if "up" == workers[0].status { return (); } ()') == [("impossible-value", '"up"')]


@pytest.mark.parametrize(
    "condition", ["true", "false", "1 == 1", "1 > 2", "job.model == job.model", "!(1 < 2) || true"]
)
def test_conditions_that_never_change(condition):
    codes = [code for code, _ in found(f"if {condition} {{ return (); }}\nworkers.first()")]
    assert codes == ([] if "||" in condition else ["constant-condition"])


def test_while_true_is_a_loop():
    assert found("while true { return workers.first(); } ()") == []
    assert found("while false { return workers.first(); } ()") == [("constant-condition", "false")]
    assert found("if workers.random() == workers.random() { return (); } ()") == []


def test_values_that_nobody_takes():
    assert found("job.max_tokens == 5; workers.first()") == [("no-effect", "==")]
    assert hint("job.max_tokens == 5; workers.first()", "no-effect") == "did you mean `=`?"
    assert found("workers.first; workers.first()") == [
        ("no-effect", "first"), ("unknown-field", "first"),
    ]  # fmt: skip


# ---- flow ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        'return workers.first(); log_info("x");',
        'if job.resume { return (); } else { throw "x"; } log_info("x")',
        "for w in workers { continue; log_info(w.id); } ()",
        'switch job.type { "a" => return (), _ => return workers.first() } log_info("x")',
        'loop { job.resume = true; } log_info("x")',
    ],
)  # fmt: skip
def test_code_that_is_never_reached(body):
    assert ("unreachable-code", "log_info") in found(body)


def test_questions_asked_twice():
    body = (
        'if job.resume { workers.first() } else if job.type == "a" { () } '
        "else if job.resume { workers.last() } else { () }"
    )
    assert found(body) == [("repeated-condition", "resume")]
    assert found('switch job.type { "a" => 1, "b" | "a" => 2, _ => 3 }') == [
        ("duplicate-case", '"a"')
    ]
    assert found('switch job.type { "a" if job.resume => 1, "a" => 2, _ => 3 }') == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("", "{"),
        ("if job.resume { workers.first() }", "if"),
        ("if job.resume { return workers.first(); }", "if"),
        ("let w = workers.first();", "let"),
        ("for w in workers { return w; }", "for"),
        ('switch job.type { "a" => workers.first() }', "switch"),
        ('if job.resume { workers.first() } else { log_info("x") }', "log_info"),
        ("try { workers.first() } catch { }", "{"),
        ("let w = 1; { }", "{"),
    ],
)  # fmt: skip
def test_ends_without_an_answer(body, word):
    assert ("no-answer", word) in found(body)


def test_answers_that_are_left_out_on_purpose():
    assert found("if job.resume { return; } ()") == []
    assert "no-answer" in [c for c, _ in found("let n = 1;", head="fn score(job, worker)")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("fn schedule_jobs(job, pools, workers) { () }",
         "did you mean `fn schedule_job` with 3 parameters?"),
        ("fn schedule_job(job) { job }", "did you mean `fn schedule_job` with 3 parameters?"),
        ("fn schedul(ctx) { ctx }", "did you mean `fn schedule` with 1 parameter?"),
        ("1", "write fn schedule_job(job, pools, workers) { ... }"),
    ],
)  # fmt: skip
def test_policies_that_decide_nothing(source, said):
    (finding,) = [f for f in check(source) if f.code == "no-entry-point"]
    assert finding.hint == said


# ---- what nothing uses ---------------------------------------------------------------------


def test_what_nothing_uses():
    rest = "fn unused(a) { a }\nfn used(a, b, c) { b }\nfn _silent() { 1 }"
    assert found("let x = 5; let _y = 6;\nused(1, 2, 3);\nlet z = 1; z = 2;\n()", rest=rest) == [
        ("unused-variable", "x"), ("unused-variable", "z"), ("unused-function", "unused"),
        ("unused-parameter", "c"),
    ]  # fmt: skip
    assert found("for (w, i) in workers { return w; } ()") == [("unused-variable", "i")]
    assert found("workers.map(|w, i| w.id)[0]") == [("unused-parameter", "i")]
    assert found("workers.map(|w| 5)[0]") == [("unused-parameter", "w")]
    assert found('call(Fn("f"), 1)', rest="fn f(x) { x }") == []


# ---- allowing, severities, faults ----------------------------------------------------------

GPU = "fn schedule_job(job, pools, workers) {\n{}    workers.filter(|w| w.gpu > 1).first(){}\n}"


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("    // allow(unknown-field)\n", ""),
        ("    // it comes with our agent: allow(no-answer, unknown-field)\n", ""),
        ("    /* two\n lines: allow(unknown-field) */\n", ""),
        ("", " // allow(unknown-field)"),
        ('    log_info("x"); // allow-file(unknown-field)\n', ""),
    ],
)  # fmt: skip
def test_comments_that_silence(before, behind):
    source = GPU.replace("{}", before, 1).replace("{}", behind, 1)
    assert check(source) == []


def test_comments_that_silence_something_else():
    source = GPU.replace("{}", "    // allow(unknown-feild)\n\n", 1).replace("{}", "", 1)
    assert [(f.code, f.line, f.column, f.hint) for f in check(source)] == [
        ("unknown-allow", 2, 8, "did you mean `unknown-field`?"),
        ("unknown-field", 4, 26, "did you mean `gpus`?"),
    ]


def test_severities():
    source = GPU.replace("{}", "")
    assert [f.severity for f in check(source)] == ["error"]
    assert [f.severity for f in check(source, severities={"unknown-field": "warning"})] == [
        "warning"
    ]
    assert check(source, severities={"unknown-field": "off"}) == []
    with pytest.raises(ValueError, match="did you mean 'unknown-field'"):
        check(source, severities={"unknown-feild": "off"})


def test_faults_of_syntax_are_findings():
    (finding,) = check("fn schedule_job(job {")
    assert (finding.code, finding.severity, finding.line, finding.column) == (
        "syntax-error", "error", 1, 21,
    )  # fmt: skip
    (finding,) = check("if x = 1 {}")
    assert finding.message == "Possibly a typo of '=='?"
    assert check("(", severities={"syntax-error": "off"}) == []
    assert check("x" * 100_000)[0].code == "syntax-error"


def test_words_of_one_s_own():
    words = Vocabulary(
        shapes={"thing": {"size": "int"}},
        functions={"grow": Function(name="grow", arities=frozenset({1}), answers="thing")},
        entries={"decide": ("thing",)},
        roles={"decide": "select"},
        globals={"here": "thing"},
    )
    source = "fn decide(t) { if t.sise > 1 { grow(t).sizes } else { here.sze } }"
    hints = [f.hint for f in check(source, vocabulary=words)]
    assert hints == ["did you mean `size`?"] * 3


# ---- showing -------------------------------------------------------------------------------


def test_text():
    source = GPU.replace("{}", "")
    assert findings_as_text(check(source), source, "p.rhai") == (
        "p.rhai:2:26: error[unknown-field]: a worker has no field `gpu`; in Rhai it is just ()\n"
        " 2 |     workers.filter(|w| w.gpu > 1).first()\n"
        "   |                          ^^^ did you mean `gpus`?\n"
    )


def test_text_of_long_lines_and_tabs():
    source = f"fn schedule_job(job, pools, workers) {{ {'workers.len();' * 200}\tjob.modle }}"
    shown = findings_as_text(check(source), source)
    line, caret = shown.split("\n")[1:3]
    assert len(line) < 140
    assert line[caret.index("^") :].startswith("modle")


def test_json():
    source = GPU.replace("{}", "")
    assert json.loads(findings_as_json(check(source), "p.rhai")) == [
        {
            "file": "p.rhai", "code": "unknown-field", "severity": "error", "line": 2,
            "column": 26, "end_column": 29, "hint": "did you mean `gpus`?",
            "message": "a worker has no field `gpu`; in Rhai it is just ()",
        }
    ]  # fmt: skip


# ---- the tables say what is so ---------------------------------------------------------------


@pytest.fixture(scope="module")
def view():
    policy = Policy("fn schedule_job(job, pools, workers) { [job.messages, job.prompt_hash] }")
    snapshot = sample_snapshot()
    request = sample_request()
    return policy.view(request, snapshot.free(request.model), snapshot)


def fits(value, kind):
    """Whether a value of a run is of the type that the tables say."""
    if value is None:
        return kind.endswith("?") or kind in ("any", "()")
    stem = bare(kind)
    plain = {
        "string": (str,), "int": (int,), "float": (float,), "number": (int, float),
        "bool": (bool,), "map": (dict,), "any": (object,),
    }.get(stem)  # fmt: skip
    if plain is not None:
        return isinstance(value, plain) and isinstance(value, bool) <= (stem in ("bool", "any"))
    if stem.startswith("["):
        return isinstance(value, list) and all(fits(item, element(stem)) for item in value)
    return set(value) == set(SHAPES[stem]) - ({"pool_id"} if stem == "gpu" else set()) and all(
        fits(value[name], field) for name, field in SHAPES[stem].items() if name in value
    )


@pytest.mark.parametrize(
    "name", ["job", "workers", "pools", "queue", "metrics", "config", "catalog", "tenants"]
)
def test_the_fields_are_what_policies_see(view, name):
    value = getattr(view, name)
    kind = SHAPES["ctx"].get(name, name)
    assert fits(list(value.values()) if name == "tenants" else value, kind)


def test_the_context_has_these_fields():
    from rbee_scheduler_script._entry import CTX_FIELDS

    assert set(SHAPES["ctx"]) == set(CTX_FIELDS)


def test_the_answers_are_what_helpers_give():
    """Each helper has a type, and its example on the sample fleet gives a value of it."""
    known = standard_vocabulary().functions
    for helper in HELPERS:
        assert helper.name in ANSWERS, helper.name
        assert known[helper.name].arities >= set(helper.arities), helper.name
        script = rhai.parse(
            "fn schedule_job(job, pools, workers) {"
            f"let registry = pools; let hives = pools; let ctx = 0; {helper.example} }}"
        )
        kind = Types(script, standard_vocabulary()).value(script.functions[0].body)
        assert kind == "answer" or fits(helper.gives, kind), (helper.name, kind)
    assert set(ANSWERS) <= known.keys()
    assert set(CALLBACKS) <= known.keys()


def test_the_words_of_fields_are_those_of_core():
    from rbee_scheduler._request import PRIORITIES
    from rbee_scheduler._worker import STATUSES

    assert WORDS["job", "priority"] == tuple(PRIORITIES)
    assert set(WORDS["worker", "status"]) == set(STATUSES)


def test_every_code_is_in_the_docs():
    page = (ROOT / "docs" / "checker.md").read_text(encoding="utf-8")
    for code in CODES:
        assert f"`{code}`" in page
