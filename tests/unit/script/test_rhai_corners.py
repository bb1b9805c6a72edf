# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
"""Rare ways through the engine: each row is a script and its value, or kind and message of its error."""

from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai


def evaluate(source, scope=None):
    try:
        return rhai.compile(source).eval(scope)
    except rhai.RhaiError as error:
        return f"{error.kind}: {error.message}"


NOT_FOUND = "ErrorFunctionNotFound: Function not found: "


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # indexes
        ('""[0]', "ErrorStringBounds: String index 0 out of bounds: string is empty"),
        ('"ab"[5]', "ErrorStringBounds: String index 5 out of bounds: only 2 characters in string"),
        (
            "let s = \"ab\"; s[9] = 'x';",
            "ErrorStringBounds: String index 9 out of bounds: only 2 characters in string",
        ),
        ('"ab"["x"]', "ErrorMismatchDataType: Data type incorrect: string (expecting i64)"),
        ('5["x"]', "ErrorMismatchDataType: Data type incorrect: string (expecting i64)"),
        (
            "5[70..80]",
            "ErrorBitFieldBounds: Bit-field index 70 out of bounds: only 64 bits in bit-field",
        ),
        (
            "let x = 5; x[99] = true;",
            "ErrorBitFieldBounds: Bit-field index 99 out of bounds: only 64 bits in bit-field",
        ),
        (
            "let x = 5; x[0] = 1;",
            "ErrorMismatchDataType: Data type incorrect: i64 (expecting bool)",
        ),
        (
            "let x = 5; x[0..2] = true;",
            "ErrorMismatchDataType: Data type incorrect: bool (expecting i64)",
        ),
        (
            'let x = 5; x["a"] = true;',
            "ErrorMismatchDataType: Data type incorrect: string (expecting i64)",
        ),
        ("let x = 1.5; x[0] = 1;", "ErrorIndexingType: Indexer unavailable: f64 [i64]"),
        (
            "let b = blob(2); b[9]",
            "ErrorArrayBounds: Array index 9 out of bounds: only 2 elements in array",
        ),
        (
            "let b = blob(2); b[9] = 1;",
            "ErrorArrayBounds: Array index 9 out of bounds: only 2 elements in array",
        ),
        (
            'let b = blob(2); b["a"]',
            "ErrorMismatchDataType: Data type incorrect: string (expecting i64)",
        ),
        (
            "let b = blob(2); b[0] = true;",
            "ErrorMismatchDataType: Data type incorrect: bool (expecting i64)",
        ),
        (
            "let a = [1]; a[0.5] = 1;",
            "ErrorMismatchDataType: Data type incorrect: f64 (expecting i64)",
        ),
        (
            "let m = #{}; m[1] = 1;",
            "ErrorMismatchDataType: Data type incorrect: i64 (expecting string)",
        ),
        # constants
        ("const A = [1]; A[0] = 2;", "ErrorAssignmentToConstant: Cannot modify constant A"),
        ("const A = #{b: 1}; A.b += 2;", "ErrorAssignmentToConstant: Cannot modify constant A"),
        (
            "const M = #{n: 1}; fn up() { this.n += 1; } M.up();",
            "ErrorNonPureMethodCallOnConstant: Cannot call non-pure method on constant: up",
        ),
        ("const M = #{n: 1}; fn n() { this.n } fn w() { this = 1; } M.n()", 1),
        (
            "const X = 1; fn f() { X = 2; } f!(); X",
            "ErrorAssignmentToConstant: Cannot modify constant X",
        ),
        # call forms
        ("call()", NOT_FOUND + "call ()"),
        ("call(5)", NOT_FOUND + "call (i64)"),
        ("curry()", NOT_FOUND + "curry ()"),
        ("curry(5)", NOT_FOUND + "curry (i64)"),
        ("Fn()", NOT_FOUND + "Fn ()"),
        ("Fn(5)", NOT_FOUND + "Fn (i64)"),
        ('Fn("a b")', "ErrorFunctionNotFound: Function not found: a b"),
        ("is_shared()", NOT_FOUND + "is_shared ()"),
        ("is_def_var()", NOT_FOUND + "is_def_var ()"),
        ("is_def_var(5)", "ErrorMismatchDataType: Data type incorrect: i64 (expecting string)"),
        ('is_def_fn("f")', NOT_FOUND + "is_def_fn (&str | ImmutableString | String)"),
        (
            'is_def_fn("f", "g")',
            NOT_FOUND
            + "is_def_fn (&str | ImmutableString | String, &str | ImmutableString | String)",
        ),
        ("nope!(1)", NOT_FOUND + "nope (i64)"),
        ("5.is_shared(1)", NOT_FOUND + "is_shared (i64, i64)"),
        ("a::b", "ErrorModuleNotFound: Module not found: a"),
        ("a::b::c(1)", "ErrorModuleNotFound: Module not found: a::b"),
        ("fn g() { 7 } fn f() { g } f().call()", 7),
        ("fn add(a, b) { a + b } [1, 2].map(add)", [1, 3]),
        ("fn one() { 1 } [5, 6].map(one)", [1, 1]),
        ("fn int.f() { 1 } fn f() { 2 } fn map.f() { 3 } [5.f(), true.f(), #{}.f()]", [1, 2, 3]),
        ("fn int.f() { 1 } let m = #{f: || 9}; m.f()", 9),
        ("let a = [#{n: 1}]; fn up() { this.n += 1; } a[0].up(); a[-1].up(); a", [{"n": 3}]),
        ("let a = [[1]]; fn add(x) { this.push(x); } fn i() { 0 } a[i()].add(2); a", [[1, 2]]),
        ("fn f() { this.n = 5; throw 1; } let m = #{n: 1}; try { m.f() } catch { } m.n", 5),
        ("fn f() { this += 1; this } let x = 1; [x.f(), x.f(), x, 5.f()]", [2, 3, 3, 6]),
        ("fn f() { this[0] = 9; this.len() } let x = [1]; [x.f(), x]", [1, [9]]),
        ("let f = || this.x; f.call()", "ErrorUnboundThis: 'this' not bound"),
        ("let m = #{d: #{f: || this.n, n: 4}}; m.d.f()", 4),
        ("let m = #{a: [1]}; m.a.push(2); m?.a.push(3); m?.a?.len()", 3),
        ("let m = #{a: [1]}; m?.a.push(3); m?.b?.push(4); m?.b?.c.push(5); m", {"a": [1, 3]}),
        (
            "let a = [1]; let b = (); a?.push(2); b?.push(3); [a.len(), b, a?.pop(), a]",
            [2, None, 2, [1]],
        ),
        ("let a = [1]; a.push(2); let b = (); (b ?? a).push(3); (a ?? b).push(4); a", [1, 2]),
        (
            "fn put() { this.push(9); this } let a = [1]; a.push(2); let b = (); let c = (b ?? a).put(); a.put(); a?.put(); [a, c]",
            [[1, 2, 9, 9], [1, 2, 9]],
        ),
        # optional chains and ??
        ("5?.to_float()", 5.0),
        ("let a = [[1, 2]]; a?[0]?[1]", 2),
        ("let x = (); x ?? { let y = 5; y + 1 }", 6),
        ("fn f(x) { let y = x ?? return 7; y + 1 } [f(()), f(1)]", [7, 2]),
        ("for x in [(), 1] { let y = x ?? continue; break y; }", 1),
        ("let x = (); x ?? throw 5", "ErrorRuntime: 5"),
        # operators with literals on either side
        (
            "let x = 5; [x != (), x == true, () == (), x - -3, x + -9223372036854775807]",
            [True, False, True, 8, -9223372036854775802],
        ),
        (
            "let x = -9223372036854775808; x - 1",
            "ErrorArithmetic: Subtraction overflow: -9223372036854775808 - 1",
        ),
        ("let x = -7; [x % 4, 7 % 4, x % -4]", [-3, 3, -3]),
        ("let x = 1; x + -9223372036854775808", -9223372036854775807),
        ("let a = 1.5; let b = 2; [a + b, a * a, b - a, b * b, a + a]", [3.5, 2.25, 0.5, 4, 3.0]),
        ("let f = |n| n; let x = 1; x + f.call(2)", 3),
        ("let s = 0.0; s += 1; s += 0.5; s *= 2; s", 3.0),
        ("let x = 1; x += 0.5; x -= 1; x", 0.5),
        ("let x = 5; x = x; x ^= 1; x |= 8; x &= 12; x >>= 2; x %= 2; x", 1),
        (
            '[-1 == true, -1 == (), -1.5 != (), -1 ?? 2, 1 == true, "a" == ()]',
            [False, False, True, -1, False, False],
        ),
        ("[1, 2].filter(|x| -1)", []),
        ("switch -1 { true => 1, () => 2, -1 => 3 }", 3),
        # statements in odd places
        ("let x = [{ let a = 1; a + 1 }, if true { 3 } else { 4 }]; x", [2, 3]),
        ("let i = 0; let a = [i, { i += 1; i }, i]; a", [0, 1, 1]),
        ("let i = 1; let r = i + { i = 10; i } + i; r", 21),
        ("fn f(a, b, c) { [a, b, c] } let i = 0; f(i, { i += 1; i }, i)", [0, 1, 1]),
        ("let a = [1]; let r = [a.len(), a.push(2), a.len()]; r", [1, None, 2]),
        (
            "let n = 0; while { n += 1; n < 3 } { } n",
            "ErrorParsing/ExprExpected: Expecting a boolean expression",
        ),
        ("let n = 0; while n < 3 && { n += 1; true } { } n", 3),
        ("let b = true || { throw 1; true }; b", True),
        ("switch 5 { 1 => 2 }", None),
        ("switch { 5 } { 5 => 1 }", 1),
        ("switch 'a' { 'a' => 1, \"a\" => 2 }", 1),
        ("switch 1.5 { 1.5 => 1, 1..2 => 2 }", 1),
        ("switch 7 { 1..5 | 6..9 => 1, _ => 2 }", 1),
        ("switch 3 { 3 if false => 2, 1..=2 if true => 1, 0..9 if true => 3 }", 3),
        ("let x = 2; switch x { 1 => { x = 5; } 2 => { x = 6; } } x", 6),
        ('let f = |x| switch x { 1 => "a", _ => "b" }; [1, 2].map(f)', ["a", "b"]),
        (
            "fn f() { for i in 0..10 { for j in 0..10 { if i * j == 42 { return [i, j]; } } } } f()",
            [6, 7],
        ),
        ("let x = loop { let y = loop { break 3; }; break y + 1; }; x", 4),
        ("let r = while true { break; }; r", None),
        ("let x; x = 5; x", 5),
        ("const X; X", None),
        ("export const Z = 4; Z", 4),
        ("let z = 1; export z as q; z", 1),
        # iteration
        ("for x in 5.0 / 2.0 { }", "ErrorFor: For loop expects iterable type"),
        ("let m = #{}; for x in m { }", "ErrorFor: For loop expects iterable type"),
        ("let n = 0; for i in 0..2000 { n += i; } n", 1999000),
        (
            "let n = 0; for i in 9223372036854775800.. { n += 1; } n",
            "ErrorParsing/MissingToken: Expecting '{' to start a statement block",
        ),
        ("let n = 0; for i in (9223372036854775800..) { n += 1; } n", 7),
        ('let n = 0; for (c, i) in "héllo" { n += i; } n', 10),
        (
            "let n = 0; let a = []; a.pad(1500, 1); for x in a { n += x; if n == 1200 { break; } } n",
            1200,
        ),
        # callbacks
        ("[1, 2, 3].reduce_rev(|a, x| a - x, 10)", 4),
        ('[1, 2].reduce(Fn("max"), 0)', 2),
        ("[1, 2].reduce(|a| a)", NOT_FOUND + "anon$c1 ((), i64)"),
        ("[3, 1].zip([1], |a, b| a - b)", [2]),
        ("let n = []; [5, 6].for_each(|i| n.push(i)); n", [0, 1]),
        ("[1, 2].find_map(|| if this > 1 { this })", 2),
        ("#{a: 1}.map(|a, b, c| 1)", NOT_FOUND + "anon$c1 (&str | ImmutableString | String, ())"),
        ("#{a: 1}.filter(5)", NOT_FOUND + "filter (map, i64)"),
        (
            "let a = [1, 2, 3, 4]; a.filter(|x| { let y = x * 2; if y > 4 { return true; } false })",
            [3, 4],
        ),
        ("let k = 2; let a = [1, 2, 3]; a.filter(|x| a.some(|y| y == x * k))", [1]),
        # json
        (
            "#{c: 'x', f: 0.0 / 0.0, r: 1..2, g: |x| x}.to_json()",
            '{"c":"x","f":null,"g":"anon$c2","r":"range"}',
        ),
        ('parse_json("[")', "ErrorRuntime: JSON: Expecting value: line 1 column 2 (char 1)"),
        ('parse_json("1e5")', 1e5),
        # tags
        (
            'let x = 1; x.tag = "a";',
            "ErrorDotExpr: No writable property 'tag' - a setter is not registered for type 'i64' to handle 'string'",
        ),
        ("let x = 1; x.tag = 99999;", "ErrorArithmetic: 99999 is too large to fit into a tag"),
        ("let x = 1; x.set_tag(3); x.tag()", 0),
        # numbers
        ("[(0.5).log(0.0), log(0.0, 2.0), 1.0.log(1.0), log(-1.0).is_nan]", "x"),
        ("range(9223372036854775807, 0, 5)", []),
        ("range(0.0, 1.0, 0.0)", "ErrorArithmetic: step value cannot be zero"),
        (
            "5.get_bit(64)",
            "ErrorBitFieldBounds: Bit-field index 64 out of bounds: only 64 bits in bit-field",
        ),
        ("6.get_bits(60, 100) + 6.get_bits(1, -1)", 0),
        ("let n = 0; for b in 12.bits(2..4) { if b { n += 1; } } n", 2),
        (
            "(-9223372036854775808).abs()",
            "ErrorArithmetic: Negation overflow: --9223372036854775808",
        ),
    ],
)
def test_corner(source, expected):
    got = evaluate(source)
    if expected == "x":
        expected = got if isinstance(got, list) and len(got) == 4 else "a list of four"
    assert got == expected


def test_eval_of_host_variables_changed_in_place():
    scope = {"a": [1, {"b": 2}], "s": "x"}
    assert evaluate("a[1].b += 5; a.push(3); s += 1; [a, s]", scope) == [[1, {"b": 7}, 3], "x1"]
    assert evaluate("let f = || { a[0] = 9; s = 1; }; f.call(); [a[0], s]", scope) == [9, 1]
    assert evaluate("fn g() { this.push(4); } a.g(); a.len()", scope) == 3
    assert evaluate("nope.push(1)", scope) == "ErrorVariableNotFound: Variable not found: nope"
    assert evaluate("nope += 1", scope) == "ErrorVariableNotFound: Variable not found: nope"
    assert (
        evaluate("fn f() { nope.x = 1; } f()") == "ErrorVariableNotFound: Variable not found: nope"
    )
    assert evaluate("fn f() { nope = 1; } f()") == "ErrorVariableNotFound: Variable not found: nope"


@pytest.mark.parametrize("condition", ["'a'", "[]", "#{}", "`x`", "1.5"])
def test_a_literal_is_no_condition(condition):
    assert evaluate(f"if {condition} {{ }}").startswith("ErrorParsing/MismatchedType")
