"""One form for all scripts; what they say stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script._format import format_source


ROOT = Path(__file__).parents[3]
POLICIES = [
    *sorted((ROOT / "examples" / "policies").glob("*.rhai")),
    *sorted((ROOT / "plugins/script/src/rbee_scheduler_script/_templates").glob("*.rhai")),
]

UGLY = """\


// head
/* block
   comment */
const   A=1;let b  = -A+2*( 3 -4 ) ; // trailing
private fn f( a,b ){if a>b{return a;}else if a==b { return -a; } else{ b }}


fn schedule_job(job,pools,workers){ // why

    let candidates = workers.filter(|w| w.gpus > 1 && w.vram_free_mb > 20000 && w.backend == "cuda").sort_by_key(|w| w.cost_per_token).take(3);
    if job.model.contains("70b") && job.priority == "interactive" && job.tenant_id != () && job.max_tokens > 1000 { return candidates.first(); }
    let m = #{a:1,b:[1,2,3],c:#{}}; let n = #{
        action: "dispatch", job_id: job.id,
        worker_id: 5 // x
    };
    switch job.type{"a"|"b"=>1,1..=5 if x>3=>{ foo(); bar() } "c" => if a { 1 } else { 2 }
      // comment
      _=>(),}


    workers.for_each(|i| { log_info(`n ${ i }`); print(i); });
    let long = some_function_name_that_is_long(job.model, job.priority, job.tenant_id, workers.least_loaded(), pools);
    do { x+=1; } while x<5; loop { break; }
    try { throw "x"; } catch(e) { log_error(e.message) }
    let r=0..=5; let s = a ?? b; let t = xs[-1]; let u = - 5; let v = !a; let z = f!(1);
    let q = || 5; let y = |a,b|a+b; let w = job . user?.geo ?[ 0 ];
    return workers
      .filter(|w| w.gpus>1).first();

}
"""  # noqa: E501
NEAT = """\
// head
/* block
   comment */
const A = 1;
let b = -A + 2 * (3 - 4); // trailing
private fn f(a, b) { if a > b { return a; } else if a == b { return -a; } else { b } }

fn schedule_job(job, pools, workers) { // why

    let candidates = workers
        .filter(|w| w.gpus > 1 && w.vram_free_mb > 20000 && w.backend == "cuda")
        .sort_by_key(|w| w.cost_per_token)
        .take(3);
    if job.model.contains("70b")
        && job.priority == "interactive"
        && job.tenant_id != ()
        && job.max_tokens > 1000 {
        return candidates.first();
    }
    let m = #{ a: 1, b: [1, 2, 3], c: #{} };
    let n = #{
        action: "dispatch",
        job_id: job.id,
        worker_id: 5 // x
    };
    switch job.type {
        "a" | "b" => 1,
        1..=5 if x > 3 => {
            foo();
            bar()
        }
        "c" => if a { 1 } else { 2 }
        // comment
        _ => (),
    }

    workers.for_each(|i| {
        log_info(`n ${ i }`);
        print(i);
    });
    let long = some_function_name_that_is_long(
        job.model,
        job.priority,
        job.tenant_id,
        workers.least_loaded(),
        pools
    );
    do { x += 1; } while x < 5;
    loop { break; }
    try { throw "x"; } catch (e) { log_error(e.message) }
    let r = 0..=5;
    let s = a ?? b;
    let t = xs[-1];
    let u = - 5;
    let v = !a;
    let z = f!(1);
    let q = || 5;
    let y = |a, b| a + b;
    let w = job.user?.geo?[0];
    return workers
        .filter(|w| w.gpus > 1).first();
}
"""


def test_a_whole_policy():
    assert format_source(UGLY) == NEAT
    assert format_source(NEAT) == NEAT


@pytest.mark.parametrize(
    "path",
    [path for path in POLICIES if not path.stem.startswith("seed-")],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_our_own_policies_have_that_form(path):
    source = path.read_text(encoding="utf-8")
    assert format_source(source) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("  \n\n", ""),
        ("1", "1\n"),
        ("// only this  ", "// only this\n"),
        ("/* open", "/* open\n"),
        ("/* a /* b */ c */1", "/* a /* b */ c */\n1\n"),
        ("1 /* x */ + 2", "1 /* x */ + 2\n"),
        ("f(1,// one\n2)", "f(\n    1, // one\n    2\n)\n"),
        ("{}", "{}\n"),
        ("let a=#{};let b=[ ];f( )", "let a = #{};\nlet b = [];\nf()\n"),
        ("-5.abs()", "-5.abs()\n"),
        ("- 5.abs()", "- 5.abs()\n"),
        ("- -5", "- -5\n"),
        ("!!true", "!!true\n"),
        ("a- -b", "a - -b\n"),
        ("a!in b", "a !in b\n"),
        ("x..", "x..\n"),
        ("f(1..)", "f(1..)\n"),
        ("if a{1}else{2}", "if a { 1 } else { 2 }\n"),
        ("let a=if b{1}else{2};", "let a = if b { 1 } else { 2 };\n"),
        ("while true{\nbreak}", "while true {\n    break\n}\n"),
        ("fn f(){// c\n}", "fn f() { // c\n}\n"),
        ("a;;b", "a;\n;\nb\n"),
        ("fn int.f( x ){x}", "fn int.f(x) { x }\n"),
        ("global::X", "global::X\n"),
        ("for(a,b)in c{a}", "for (a, b) in c { a }\n"),
        ('"a""b" + `x\n  y` + #"r"# + \'c\'', '"a""b" + `x\n  y` + #"r"# + \'c\'\n'),
        ("let a = 0xFF_FF + 1_000;", "let a = 0xFF_FF + 1_000;\n"),
        ("a;\r\n// b\r\nc", "a;\n// b\nc\n"),
    ],
)
def test_small_things(source, expected):
    assert format_source(source) == expected
    assert format_source(expected) == expected


def test_what_can_t_be_formatted_stays():
    # The text goes on up to the column of its quote: moving the quote would change it.
    source = 'fn f() {\nlet a = "x\\\n            y";\n}\n'
    assert format_source(source) == source


def test_what_does_not_parse_is_an_error():
    with pytest.raises(rhai.RhaiError):
        format_source("let = 5")
