# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
"""What scripts mean: each row is a script and its value, or the kind of its error."""

from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai


def evaluate(source, scope=None):
    try:
        return rhai.compile(source).eval(scope)
    except rhai.RhaiError as error:
        return error.kind


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "let fs = []; for i in 0..3 { let j = i; fs.push(|| j); } fs.map(|f| f.call())",
            [0, 1, 2],
        ),
        (
            "let fs = []; for i in 0..3 { let j = i; fs.push(|| { j += 1; j }); } fs[0].call(); [fs[0].call(), fs[1].call()]",
            [2, 2],
        ),
        (
            "let fs = []; let i = 0; while i < 3 { let k = i * 10; fs.push(|x| x + k); i += 1; } fs.map(|f| f.call(1))",
            [1, 11, 21],
        ),
        ("let a = [1,2]; let b = a; b.push(3); [a, b]", [[1, 2], [1, 2, 3]]),
        ("let a = [[1]]; let b = a; b[0].push(9); a[0].push(5); [a,b]", [[[1, 5]], [[1, 9]]]),
        (
            "let m = #{a: #{b: [1]}}; let n = m.a; n.b.push(2); m.a.b.push(3); [m, n]",
            [{"a": {"b": [1, 3]}}, {"b": [1, 2]}],
        ),
        ("let a = [1,2,3]; for x in a { a.push(x); a[0] = 9; } a", [9, 2, 3, 1, 2, 3]),
        ("let a = [#{v:1}]; for x in a { a[0].v = 5; a.push(x.v); } a", [{"v": 5}, 1]),
        ("let a = [#{v:1}]; a[0].v = 2; let b = a.filter(|x| true); a[0].v = 3; b[0].v", 2),
        ("let a = [#{v:1}]; a[0].v = 2; let x = a[0]; x.v = 7; a[0].v", 2),
        ("let a = []; let b = [a, a]; b[0].push(1); b", [[1], []]),
        ("let a = []; a.push(a); a.push(a); a", [[], [[]]]),
        ("fn f(a) { a.push(1); a } let x = [0]; let y = f(x); x.push(2); [x,y]", [[0, 2], [0, 1]]),
        (
            "let x = [1]; x.push(2); let f = |y| { y.push(3); y }; [f.call(x), x]",
            [[1, 2, 3], [1, 2]],
        ),
        (
            "let a = [[1],[2]]; a[0].push(0); let r = a.map(|x| { x.push(7); x }); [a, r]",
            [[[1, 0], [2]], [[1, 0, 7], [2, 7]]],
        ),
        ('let s = "hello"; s[0] = \'J\'; s += "!"; s', "Jello!"),
        ("let m = #{s: \"abc\"}; m.s[1] = 'X'; m.s.make_upper(); m", {"s": "AXC"}),
        ("let x = 0; x[3] = true; x[0..2] = 3; x", 11),
        ("let m = #{n: 5}; m.n[0] = false; m.n", 4),
        ("fn inc() { this.n += 1; } let m = #{n: 1}; m.inc(); m.inc(); m.n", 3),
        ("fn add(x) { this.push(x); this.len() } let a = [[]]; a[0].add(5); a", [[5]]),
        ("let a = [1,2,3]; a.for_each(|| this *= 2); a", [2, 4, 6]),
        (
            "fn outer() { this.inner(); } fn inner() { this.v = 9; } let m = #{v:1}; m.outer(); m.v",
            9,
        ),
        ("const A = [1]; push(A, 2); A", [1]),
        ("const A = [1]; A.push(2)", "ErrorNonPureMethodCallOnConstant"),
        ("const X = 5; fn f() { global::X + 1 } f()", 6),
        ("let x = 5; fn f() { global::x }  f()", "ErrorVariableNotFound"),
        ("let x = 3; let f = |a| { let g = |b| a * b + x; g.call(2) }; x = 10; f.call(4)", 18),
        ("let f = |a, b| a + b; let g = f.curry(10); g.call(5)", 15),
        ('fn add(a,b) {a+b} let f = Fn("add").curry(1); [1,2].map(f)', [2, 3]),
        ('let x = 10; if x > 5 && { let y = x; y < 20 } { "in" } else { "out" }', "in"),
        (
            'let a = 1; let r = `a=${a} b=${ let b = a + 1; b * 2 } ${"n" + `in${a}`}`; r',
            "a=1 b=4 nin1",
        ),
        ("let a = if false { 1 }; a", None),
        ('let x = switch 3 { 1|2 => "a", 3 if false => "b", 3|4 => "c", _ => "d" }; x', "c"),
        ('switch "b" { "a"|"b" if 1 > 2 => 1, 0..5 => 2, _ => 3 }', 3),
        (
            "let n = 0; let r = do { n += 1; if n == 5 { break n * 2; } continue; } while true; r",
            10,
        ),
        ("let n = 0; do { n += 1; if n < 3 { continue; } } until n >= 3; n", 3),
        (
            "try { throw 1 } catch (e) { try { throw e + 1 } catch (f) { throw f + e } }",
            "ErrorRuntime",
        ),
        (
            "let r = 0; try { let x = [1]; x[5] } catch (e) { r = [e.error, e.index, e.length] } r",
            ["ErrorArrayBounds", 5, 1],
        ),
        (
            'fn f() { try { 1/0 } catch { throw; } } let k = ""; try { f() } catch (e) { k = e.error } k',
            "ErrorArithmetic",
        ),
        ('let a = #{b: ()}; a?.b?.c ?? "none"', "none"),
        ("let a = (); a?.b.c.d(1)[2]", None),
        ("let a = #{f: |x| x + this.k, k: 2}; a.f(3)", 5),
        ("let x = 1; { let x = 2; { let x = 3; } } x", 1),
        ("let x = 2; let x = x * 3; x", 6),
        (
            "[1,2,3,4].reduce(|a, x| a + x, 0) + [5].reduce(|a, x| if a == () { x } else { a + x })",
            15,
        ),
        ("let s = 0; for (x, i) in [10,20] { s += x * i } s", 20),
        ("let s = 0; for i in 0..1000 { if i % 2 == 0 { continue } s += i } s", 250000),
        ("let s = 0; for i in 0..100000 { if i > 10 { break } s += 1 } s", 11),
        ("let a = [3,1,2]; a.sort(); a.reverse(); a", [3, 2, 1]),
        ("let a = [1,2,3,4,5]; a.splice(1,2,[9,9,9]); a", [1, 9, 9, 9, 4, 5]),
        ("let a = [1,2,3]; a.drain(|x| x > 1)", [2, 3]),
        ("let a = [1,1,2,2,1]; a.dedup(); a", [1, 2, 1]),
        ("let x = 5; let f = || x; x = 6; f.call()", 6),
        ("fn fact(n) { if n <= 1 { return 1; } n * fact(n - 1) } fact(20)", 2432902008176640000),
        ("let f = |n| n; let g = f; g.call(4)", 4),
        (
            'let m = #{}; m["a b"] = 1; m.c = [1]; m.c += 2; m.c += [3]; m',
            {"a b": 1, "c": [1, 2, 3]},
        ),
        ("let x = 7; x -= 2; x *= 3; x /= 4; x **= 2; x <<= 1; x", 18),
        ("let a = [1]; a += a; a += 5; a", [1, 1, 5]),
        ('"x".is_empty() || "a" in ["a"]', True),
        (
            "let v = [1, \"a\", 'c', (), 1.5, true, 0..3, #{a: 1}]; v.to_string()",
            '[1, "a", c, (), 1.5, true, 0..3, #{"a": 1}]',
        ),
        ('print("a"); debug("b"); print(); 1', 1),
        (
            '1e15.to_string() + " " + 123456.789 + " " + 1e-5 + " " + 1.0e13 + " " + 9e12',
            "1e15 123456.789 0.00001 1e13 9000000000000.0",
        ),
        ("let x = -5; x.abs() + (-3).abs()", 8),
        ("let a = [1,2,3]; a[0] += a[1] += 1;", "ErrorParsing/MissingToken"),
        ("let x = 1; let f = || { let y = x; y += 1; x = y; }; f.call(); f.call(); x", 3),
        ('fn f(x) { if x > 0 { return x } "neg" } [f(1), f(-1)]', [1, "neg"]),
        ("fn f() { let a = []; for i in 0..3 { a.push(i) } a } f()", [0, 1, 2]),
        ("let y = { let a = [1]; a.push(2); a }; y", [1, 2]),
        ("let a=[1,2,3]; let b = a.map(|x| { if x == 2 { return 99 } x }); b", [1, 99, 3]),
        ("let a = #{b: 1}; let c = a.c?.d; c == ()", True),
        ('let x = "a"; x.pad(5, "xy"); x', "axyxy"),
        ("let o = 1; fn f(a) { a + o } let o2 = 5; f!(2)", 3),
        ("let t = 0; fn add(n) { t += n; t } add!(2); add!(3); t", 5),
        ("let x = 1..=3; let s = 0; for i in x { s += i } s", 6),
        ("let a = [1,2,3]; let [b] = a;", "ErrorParsing/VariableExpected"),
        ("a.b.c = 1", "ErrorVariableNotFound"),
        ("let x = #{a: [1,2]}; x.a[1] += 5; x.a[-1]", 7),
        ("let x = #{a: [1,2]}; let y = x.a.pop(); [x, y]", [{"a": [1]}, 2]),
        ("let x = [1,2]; x.take(); x", None),
        ("let c = 0; let inc = || c += 1; inc.call(); inc.call(); c", 2),
        ("let f = |x| |y| x + y; f.call(1).call(2)", 3),
        ("let a = [5,3]; a.sort(|x, y| x < y); a", [3, 5]),
        ('fn a() { b() } fn b() { c() } fn c() { 1 + "a" - 2 } a()', "ErrorFunctionNotFound"),
        ("exit(#{a: 1})", {"a": 1}),
        ("fn f() { exit(3); } [1].map(|x| f()); 4", 3),
        ('import "x" as y; 1', "ErrorModuleNotFound"),
        ("foo::bar()", "ErrorModuleNotFound"),
        ("0x7fff_ffff_ffff_ffff + 1", "ErrorArithmetic"),
        ("let x = 5; x.foo.bar = 1", "ErrorDotExpr"),
        ("[1,2,3].filter(|x| x > 1).len", 2),
        ('#{a:1,b:2}.filter(|k| k == "a")', {"a": 1}),
        ("let m = #{a:1,b:2}; m.filter(|k, v| v > 1)", {"b": 2}),
        ("let m = #{a:1}; m.filter(|k| this == 1)", {"a": 1}),
        ('"a-b-c".split("-").map(|x| x.to_upper()).reduce(|a, b| a + b, "")', "ABC"),
        ("let x = 5; x == 5.0 && x in [5.0] && 5 in 0..=5", True),
        ("let a = [1,2,3]; a.retain(|x| x > 1); a", [2, 3]),
        ("let x = #{}; x.y.z()", "ErrorFunctionNotFound"),
        ("while true { return 5; }", 5),
        ("let i = 0; loop { i += 1; try { if i < 5 { continue; } break; } catch { } } i", 5),
        ('let s = "x"; let t = s; t += "y"; s + t', "xxy"),
        ('"\\u{41}"', "ErrorParsing/BadInput"),
        ('parse_json("{\\"a\\": [1, 2.5, null, true]}")', {"a": [1, 2.5, None, True]}),
        ('#{b: [1, "x"], a: ()}.to_json()', '{"a":null,"b":[1,"x"]}'),
        (
            "type_of(1.5) + type_of('a') + type_of(()) + type_of(0..1) + type_of(0..=1) + type_of(#{}) + type_of([]) + type_of(|| 1)",
            "f64char()rangerange=maparrayFn",
        ),
        ("5 / 2.0 + 7 % 3 + 2 ** 3", 11.5),
        ("let a = 5; a.to_float() / 2", 2.5),
        ("let x = 3; x.max(5) + min(2, 8) + max(1.5, 2)", 9.0),
        ("[1, 2.5].map(|x| x.type_of())", ["i64", "f64"]),
        ('is_def_fn("f", 1) && is_def_var("q")', False),
        ('fn f(a) {} let q = 1; is_def_fn("f", 1) && is_def_var("q")', True),
    ],
)
def test_meaning(source, expected):
    assert expected == evaluate(source)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("1", "a"),
        ("6", "c"),
        ('"x"', "b"),
        ("true", "b"),
        ("()", "b"),
        ("20", "r"),
        ("[1]", "d"),
        ("1.0", "d"),
        ("'x'", "d"),
    ],
)
def test_a_long_switch_is_a_table(subject, expected):
    source = """
        switch SUBJECT {
            1 | 2 | 3 => "a", "x" | true | () => "b", 6 => "c", 1 => "never", 7 => "e",
            10..30 => "r", _ => "d"
        }"""
    assert evaluate(source.replace("SUBJECT", subject)) == expected


def test_a_loop_variable_is_one_for_the_whole_loop():
    inner = "let fs = []; for k in 0..2 { for (i, j) in [5, 6] { fs.push(|| [i, j]); } } fs.map(|f| f.call())"
    assert evaluate(inner) == [[6, 1]] * 4
    let = "let fs = []; for k in 0..2 { for i in 0..2 { let n = k * 10 + i; fs.push(|| n); } } fs.map(|f| f.call())"
    assert evaluate(let) == [0, 1, 10, 11]


def test_the_host_s_variables_are_in_sight_of_the_top_level_and_its_closures_only():
    scope = {"limit": 3, "items": [1, 5]}
    assert evaluate("items.filter(|x| x > limit)", scope) == [5]
    assert evaluate("items = items.map(|x| x - 1); items", scope) == [0, 4]
    assert evaluate("limit += 1; let f = || limit; f.call()", scope) == 4
    assert evaluate("fn f() { limit } f()", scope) == "ErrorVariableNotFound"
    assert evaluate('[is_def_var("limit"), is_def_var("other")]', scope) == [True, False]


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("let a = 1;\nlet b = a.x.y;", (2, 11)),
        ("fn f(x) {\n  x + ()\n}\n\nf(1)", (2, 5)),
        ("let a = [1];\na.map(|x| {\n  x.boom()\n})", (3, 5)),
        ("[1].filter(|x| x.a > 1)", (1, 18)),
        ("let x = [1];\nx[\n  7]", (3, 3)),
        ("throw 1", (1, 1)),
        ("let s = 0; for w in [1, ()] { s += w.abs(); }", (1, 38)),
        ("1 +\n  (2 / 0)", (2, 6)),
    ],
)
def test_errors_are_placed(source, where):
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile(source).eval()
    assert where == caught.value.where


def test_arithmetic_of_operators_is_placed_for_people_but_not_for_scripts():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile("let a = 0;\n1 / a").eval()
    assert (caught.value.line, caught.value.column, caught.value.where) == (None, None, (2, 3))
    assert "line 2, column 3" in str(caught.value)
    assert evaluate("let r = 0; try { 1 / 0 } catch (e) { r = e; } r") == {
        "error": "ErrorArithmetic",
        "message": "Division by zero: 1 / 0",
    }


def test_long_scripts_with_deep_positions_keep_their_columns():
    source = "let a = 1; " * 80 + "a.nope"
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.compile(source).eval()
    assert caught.value.where == (1, 883)
    assert caught.value.snippet.splitlines()[0].endswith("a.nope")
