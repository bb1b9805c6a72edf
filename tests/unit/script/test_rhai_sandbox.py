# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
"""Every known attack ends with a limit, an error or a value.

How soon is measured in benchmarks/test_rhai_sandbox.py: no test looks at a clock. That the
clock is looked at often enough is proved with an injected one, here and in test_rhai_meter.py.
"""

from __future__ import annotations

import copy

import pytest

from rbee_scheduler_script import rhai


LIMIT_KINDS = {
    "ErrorTooManyOperations",
    "ErrorTerminated",
    "ErrorStackOverflow",
    "ErrorDataTooLarge",
    "ErrorTooManyVariables",
    "ErrorParsing/ExprTooDeep",
    "ErrorParsing/LiteralTooLarge",
    "ErrorParsing/TooManyFunctions",
}


def outcome(source, *arguments, functions=None, **limits):
    """(kind or None, value or None)."""
    try:
        program = rhai.compile(source, limits=rhai.Limits(**limits), functions=functions)
        value = program.call("f", *arguments) if arguments else program.eval()
    except rhai.RhaiError as error:
        return error.kind, None
    return None, value


ENDLESS = {
    "loop": "loop { }",
    "while": "while true { }",
    "do": "do { } while true",
    "for over all numbers": "for i in (0..) { }",
    "for over a wide range": "for i in -9223372036854775808..9223372036854775807 { }",
    "for over a stepped range": "for i in range(0, 9223372036854775807, 1) { }",
    "loop around try": "loop { try { throw 1; } catch { } }",
    "catching the limit": "loop { try { loop { } } catch { } }",
    "closure": "let f = || 1; loop { f.call(); }",
    "nested map": "let a = [1]; a.pad(1000, 1); loop { a.map(|x| a.map(|y| a.map(|z| z))) }",
    "nested filter": "let a = [1]; a.pad(5000, 1); a.filter(|x| a.filter(|y| a.some(|z| z > 5)).len > 0)",
    "sort with a closure": "let a = []; for i in 0..20000 { a.push(i * 7919 % 20011); } loop { a.sort(|x, y| y - x); a.sort(|x, y| x - y); }",
    "sort that never agrees": "let a = []; a.pad(50000, 1); loop { a.sort(|x, y| 1); }",
    "split in a loop": "let s = 'x'.to_string(); s.pad(50000, \" x\"); loop { s.split(); }",
    "in over a large array": "let a = [0.5]; a.pad(50000, 0.5); loop { 'x' in a; }",
    "text in over a large array": 'let a = ["a"]; a.pad(50000, "b"); loop { "zz" in a; }',
    "contains on text": 'let s = "a"; s.pad(500000, "ab"); loop { s.contains("abc"); }',
    "index_of": "let a = [0]; a.pad(50000, 0); loop { a.index_of(1); }",
    "equality of large arrays": "let a = [0]; a.pad(50000, 0); let b = a; loop { a == b; }",
    "copy on write": "let a = [0]; a.pad(50000, 0); loop { let b = a; b.push(1); }",
    "keys": "let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } loop { m.keys(); m.values(); }",
    "to_upper": 'let s = "a"; s.pad(500000, "b"); loop { s.to_upper(); }',
    "interpolation": 'let s = "a"; s.pad(100000, "b"); loop { let t = `${s}${s}`; }',
    "switch on a large array": "let a = [0]; a.pad(50000, 0); loop { switch a { [1] => 1, _ => 2 } }",
    "json": 'let s = "["; s.pad(100000, "[],"); s += "[]]"; loop { try { parse_json(s); } catch { } }',
    "rotate": "let a = [0]; a.pad(100000, 0); loop { a.insert(0, a.pop()); }",
    "shift": "let a = [0]; a.pad(100000, 0); loop { a.push(a.shift()); }",
    "reverse": "let a = [0]; a.pad(100000, 0); loop { a.reverse(); }",
    "dedup": "let a = [0]; a.pad(50000, 0); loop { let b = a; b.dedup(|x, y| false); }",
    "reduce": "let a = [0]; a.pad(50000, 0); loop { a.reduce(|t, x| t + x, 0); }",
    "zip": "let a = [0]; a.pad(50000, 0); loop { a.zip(a, |x, y| x); }",
    "for_each": "let a = [0]; a.pad(50000, 0); loop { a.for_each(|| this += 1); }",
    "chars": 'let s = "a"; s.pad(50000, "b"); loop { for c in s { } }',
    "bits": "loop { for b in 5.bits() { } }",
    "replace": 'let s = "a"; s.pad(100000, "ab"); loop { s.replace("a", "b"); s.replace("b", "a"); }',
    "pop": "let s = 'a'.to_string(); s.pad(500000, \"b\"); loop { let t = s; t.pop(); }",
    "getters": 'let s = "a"; s.pad(1000000, "b"); loop { s.bytes; s.chars; }',
    "parse": 'let s = "1"; s.pad(100000, "1"); loop { try { parse_float(s); } catch { } }',
    "print flood": "loop { print(1); }",
    "curry": "let f = |x| x; loop { f = f.curry(1); }",
    "find_map": "let a = [0]; a.pad(50000, 0); loop { a.find_map(|x| ()); }",
    "order": "let a = []; for i in 0..20000 { a.push(i * 7919 % 20011 * 1.5); } loop { a.order(); }",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_work_ends_at_a_limit(name):
    kind, _ = outcome(ENDLESS[name])
    assert kind in LIMIT_KINDS


GROWING = {
    "string doubling": 'let s = "ab"; loop { s += s; }',
    "array doubling": "let a = [1]; loop { a += a; }",
    "array doubling by +": "let a = [1]; loop { a = a + a; }",
    "append to itself": "let a = [1]; loop { a.append(a); }",
    "pad of an array": "let a = []; a.pad(1000000000, 1);",
    "pad of a string": 'let s = ""; s.pad(9223372036854775807, "x");',
    "replace blow-up": 'let s = "a"; loop { s.replace("a", "aaaaaaaaaa"); }',
    "replace of nothing": 'let s = "a"; s.pad(500000, "b"); let t = s; s.replace("", t);',
    "interpolation doubling": 'let s = "ab"; loop { s = `${s}${s}`; }',
    "join of aliases": "let a = [1, 2]; loop { a = [a, a]; a.to_string(); }",
    "map growth": "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }",
    "push growth": "let a = []; loop { a.push([1, 2, 3]); }",
    "string growth": 'let s = ""; loop { s += "0123456789"; }',
    "nesting": "let a = []; loop { a = [a]; }; a",
    "splice": "let a = [1, 2]; loop { a.splice(0, 0, a); }",
    "insert": "let a = [1]; loop { a.insert(0, a); }",
    "blobs": 'let b = "aaaaaaaaaaaaaaaa".to_blob(); loop { b += b; }',
    "float range": "range(0.0, 1e18, 1.0)",
    "chars": 'let s = "a"; s.pad(1000000, "b"); let a = []; loop { a.push(s.to_chars()); }',
    "mixin": "let m = #{}; for i in 0..100000 { m[`k${i}`] = #{a: m, b: m}; }",
    "closures": "let a = []; loop { let b = a; a.push(|| b); }",
    "scopes": "let a = []; loop { a.push(|x| a); }",
}


@pytest.mark.parametrize("name", GROWING)
def test_growth_ends_at_a_limit(name):
    kind, _ = outcome(GROWING[name])
    assert kind in LIMIT_KINDS


BOMB = "let a = [1, 2]; for i in 0..60 { a = [a, a]; } "


@pytest.mark.parametrize(
    "use",
    [
        "a.to_string()",
        "a == a",
        "let b = [a, 1]; b.push(1); b == [a, 1, 1]",
        "a",
        "#{a: a}.to_json()",
        "switch a { [1] => 1, _ => 2 }",
        "a in [a]",
        "print(a)",
        "throw a",
        "`${a}`",
        "[a].contains(a)",
        "a.to_debug()",
        '"" + a',
        'let n = 0; fn count(x) { let s = 0; for y in x { s += if type_of(y) == "array" { count(y) } else { 1 }; } s } count(a)',
    ],
)
def test_aliased_containers_do_not_explode(use):
    kind, _ = outcome(BOMB + use)
    assert kind in LIMIT_KINDS


RECURSION = {
    "function": "fn g(n) { g(n + 1) } g(0)",
    "mutual": "fn a() { b() } fn b() { a() } a()",
    "method": "fn g() { this.g() } let x = 1; x.g()",
    "closure": "let f = || 0; f = || f.call(); f.call()",
    "closure in map": "let f = |x| x; f = |x| [x].map(f); f.call(1)",
    "closure in filter": "let f = |x| x; f = |x| [x].filter(f); [1].filter(f)",
    "closure in sort": "let f = |x, y| 0; f = |x, y| [y, x].order_by(f); [1, 2].order_by(f)",
    "closure in reduce": "let f = |a, x| a; f = |a, x| [1].reduce(f, 0); [1].reduce(f, 0)",
    "pointer": 'fn g() { Fn("g").call() } g()',
    "map method": "let m = #{}; m.f = || this.f(); m.f()",
    "caught": "fn g() { try { g() } catch { g() } } g()",
}


@pytest.mark.parametrize("name", RECURSION)
def test_recursion_ends_at_the_depth_limit(name):
    kind, _ = outcome(RECURSION[name])
    assert kind in LIMIT_KINDS


PARSER = {
    "parentheses": "(" * 30_000,
    "balanced parentheses": "(" * 5_000 + "1" + ")" * 5_000,
    "arrays": "[" * 30_000,
    "maps": "#{a:" * 10_000,
    "bangs": "!" * 30_000 + "true",
    "minuses": "- " * 30_000 + "1",
    "sum": "1" + "+1" * 20_000,
    "logic": "true" + "&&true" * 8_000,
    "coalesce": "a" + "??a" * 10_000,
    "else if": "if true {}" + " else if true {}" * 3_000,
    "properties": "a" + ".b" * 20_000,
    "indexes": "a" + "[0]" * 15_000,
    "calls": "f(" * 20_000,
    "methods": "a" + ".b()" * 10_000,
    "optional chain": "a" + "?.b" * 10_000,
    "closures": "|x| " * 15_000,
    "blocks": "{" * 30_000,
    "interpolation": "`${" * 10_000,
    "loops": "loop {" * 5_000,
    "switches": "switch 1 { 1 => " * 3_000,
    "functions in calls": "let f = " + "|a| f(" * 5_000,
    "unterminated string": '"' + "a" * 60_000,
    "unterminated comment": "/*" * 30_000,
    "shifts": "1" + "<<1" * 15_000,
    "powers": "2" + "**2" * 15_000,
    "ranges": "1" + "..1" * 15_000,
    "try": "try {" * 8_000,
    "assignment": "x = " * 10_000 + "1",
    "huge integer": "9" * 60_000,
    "huge float": "1." + "9" * 60_000,
    "huge hexadecimal": "0x" + "f" * 60_000,
    "huge exponent": "1e" + "9" * 60_000,
    "huge name": "a" * 60_000,
    "nothing": "",
    "nul bytes": "\0" * 1_000,
    "surrogates": "\ud800" * 1_000,
    "quotes": "'" * 60_000,
    "hashes": "#" * 60_000 + '"',
    "too long": " " * 100_000,
    "many functions": "".join(f"fn f{i}(){{}}" for i in range(4_000)),
    "many variables": "".join(f"let a{i}=1;" for i in range(4_000)),
    "many statements": "1;" * 30_000,
    "many cases": "switch 1 {" + ",".join(f"{i}=>1" for i in range(6_000)) + "}",
    "many arguments": "f(" + "1," * 30_000 + "1)",
    "wide array": "[" + "1," * 30_000 + "1]",
    "wide map": "#{" + ",".join(f"a{i}:1" for i in range(6_000)) + "}",
    "many parts": "`" + "${1}" * 10_000 + "`",
    "caller's scope": "fn g() { g!() } g!()",
    "caller's scope doubling": "fn a(){b!();b!();b!()} fn b(){c!();c!();c!()} fn c(){d!();d!()} fn d(){} a!()",
}


@pytest.mark.parametrize("name", PARSER)
def test_no_source_hangs_or_breaks_the_compiler(name):
    # A value, a limit or a parse error; `outcome` lets nothing else through.
    kind, _ = outcome(PARSER[name])
    assert kind is None or kind.startswith("Error")


ESCAPES = [
    "().__class__",
    '"".__class__.__mro__',
    "[].__len__()",
    "let x = 1; x.real",
    '"{0.__class__}".format(1)',
    '"a".encode()',
    "[].append.__self__",
    "__builtins__",
    "__import__('os')",
    "M",
    "M.limits",
    "main()",
    "run",
    "f_f_0()",
    "globals()",
    "type(1)",
    "dict()",
    "open('/etc/passwd')",
    "exec('1')",
    "let f = |x| x; f.function",
    "let f = |x| x; f.code",
    "let f = |x| x; f.__globals__",
    'let f = Fn("__import__"); f.call("os")',
    'Fn("eval").call("1")',
    'Fn("exec").call("1")',
    'Fn("open").call("x")',
    'import "os" as os; os::system("x")',
    "os::system(1)",
    "global::M",
    "this",
    "n_len_1",
    "k_1",
    "HELPERS",
    "(0..1).numbers()",
    "let c = 'a'; c.upper()",
    "#{}.get.x",
    "#{}.update(#{})",
    "[].sort.call()",
    "v_x_1",
    "t_1",
    "RhaiError",
    "#{}.items()",
    "let x = #{}; x.items",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_of_python_is_reachable(source):
    kind, value = outcome(source)
    assert kind is not None or value is None


def test_a_limit_cannot_be_caught():
    source = "let n = 0; try { loop { } } catch { n = 1; } n"
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile(source, limits=rhai.Limits(operations=1_000)).eval()
    assert caught.value.kind == "ErrorTooManyOperations"


def test_a_spent_run_stays_spent():
    clock = iter(range(10_000))
    limits = rhai.Limits(time_ms=2_500)
    source = "let n = 0; loop { try { loop { } } catch { n += 1; } }"
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile(source, limits=limits, clock=lambda: next(clock)).eval()
    assert caught.value.kind == "ErrorTerminated"
    # Start, two looks in time, one too late.
    assert next(clock) == 4


def test_time_is_looked_at_every_few_thousand_steps():
    looks = []

    def clock():
        looks.append(None)
        return 0.0

    limits = rhai.Limits(operations=200_000)
    with pytest.raises(rhai.RhaiError):
        rhai.compile("let a = 0; loop { a += 1; }", limits=limits, clock=clock).eval()
    assert len(looks) > 200_000 / 2_500


def test_host_data_is_never_changed():
    workers = [
        {"id": f"w{i}", "load": i / 4, "tags": ["a", "b"], "geo": {"lat": 1.0}} for i in range(4)
    ]
    job = {"id": "j", "user": {"tier": "gold"}}
    before = copy.deepcopy((workers, job))
    source = """
        fn touch() { this.load = 9.0; this.tags.push("t"); }
        fn f(job, workers) {
            job.user.tier = "x"; job.extra = workers;
            workers[0].load = 5.0; workers[1].tags.push("c"); workers[2].geo.lat += 1.0;
            workers[3].touch();
            for w in workers { w.id = "z"; w.tags.clear(); w.touch(); }
            workers.for_each(|| this.load = 0.0);
            workers.map(|w| { w.geo.lat = 7.0; w });
            let first = workers.shift();
            first.tags += "q"; first.geo.remove("lat");
            workers.sort(|a, b| b.id > a.id); workers.reverse(); workers.truncate(1);
            let copy = workers; copy[0].tags.push("y"); copy += first;
            [workers, copy, job, first]
        }
    """
    program = rhai.compile(source)
    result = program.call("f", job, workers)
    assert (workers, job) == before
    assert "extra" in result[2]
    scope = {"workers": workers, "job": job}
    rhai.compile(
        "workers.truncate(1); workers[0].tags[0] = 5; job.user = 1; job = 2; workers"
    ).eval(scope)
    assert (workers, job) == before
    assert scope == {"workers": workers, "job": job}


class Odd:
    secret = "s3cret"

    def __repr__(self):
        raise AssertionError("the repr of host objects stays out of messages")


class Number(int):
    """An int that is not exactly int."""


@pytest.mark.parametrize("value", [Odd(), object(), (1, 2), {1}, b"x", 1 + 2j, Number(3), 2**63])
def test_what_is_no_script_value_is_refused_at_the_border(value):
    program = rhai.compile("fn f(x) { x }")
    with pytest.raises(rhai.RhaiError) as caught:
        program.call("f", value)
    assert caught.value.kind == "ErrorMismatchDataType"
    with pytest.raises(rhai.RhaiError):
        rhai.compile("x").eval({"x": value})


@pytest.mark.parametrize(
    "use",
    [
        "x.a + 1",
        "x.a > 1",
        "x.a == x.a",
        "x.a.b",
        "x.a.f()",
        "`${x.a}`",
        "x.a[0]",
        "type_of(x.a)",
        "x.a",
        "if x.a { }",
        "x.a in [1]",
        "[1, x.a].sort()",
        "-x.a",
        "x.to_json()",
        "x.a < 0.5",
        "let y = []; y += x.a;",
    ],
)
def test_what_is_no_script_value_is_refused_where_it_is_used(use):
    kind, _ = outcome(f"fn f(x) {{ {use} }}", {"a": Odd()})
    assert kind in ("ErrorMismatchDataType", "ErrorFunctionNotFound")


def test_a_host_function_that_fails_is_named_but_not_quoted():
    def broken():
        raise ValueError("the password is hunter2")

    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile("let a = 1;\n  broken()", functions={"broken": broken}).eval()
    assert caught.value.kind == "ErrorSystem"
    assert "hunter2" not in str(caught.value)
    assert caught.value.where == (2, 3)
    assert isinstance(caught.value.__cause__, ValueError)


def test_output_is_capped():
    limits = rhai.Limits(output_lines=5, output_size=30)
    program = rhai.compile('for i in 0..100 { print("1234567890") }', limits=limits)
    program.eval()
    assert program.output == ["1234567890"] * 3


def test_memory_of_a_run_is_bounded():
    kind, _ = outcome(
        "let a = []; for i in 0..1000000 { a.push(`text ${i} that takes some room in memory`); }",
        time_ms=10_000,
        operations=10**9,
        memory=1_000_000,
        array_size=10**9,
    )
    assert kind == "ErrorDataTooLarge"
