# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
"""The standard library, one table a type."""

from __future__ import annotations

import math

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai._stdlib import NATIVES


def evaluate(source):
    try:
        return rhai.compile(source).eval()
    except rhai.RhaiError as error:
        return f"{error.kind}: {error.message}"


def table(rows):
    return pytest.mark.parametrize(("source", "expected"), rows, ids=[row[0] for row in rows])


def changed(receiver, call):
    """The result of a call and what became of its receiver."""
    return f"let x = {receiver}; [x.{call}, x]"


@table(
    [
        ("[1, 2].len + [1].len()", 3),
        ("[[].is_empty, [1].is_empty()]", [True, False]),
        ("[1, 2.0, 'c', \"s\"].contains(2)", True),
        ('["a"].contains("b") || "a" in ["a"]', True),
        ("[1, 2, 3].get(-1)", 3),
        ("[1].get(5)", None),
        ("[1, 2, 3, 4].extract(1, 2)", [2, 3]),
        ("[1, 2, 3, 4].extract(-3)", [2, 3, 4]),
        ("[1, 2, 3, 4].extract(1..=2)", [2, 3]),
        ("[1, 2, 3, 4].extract(9..20)", []),
        ("[1, 2, 1].index_of(1, 1)", 2),
        ("[1, 2, 1].index_of(|x| x == 1, -1)", 2),
        ("[1, 2].index_of(7)", -1),
        ("[3, 1, 2].order()", [1, 2, 3]),
        ("[3, 1, 2].order_desc()", [3, 2, 1]),
        ('["b", "a"].order()', ["a", "b"]),
        ("[1, 2, 3].order_by(|a, b| a > b)", [3, 2, 1]),
        ("[1, 2, 3].order(|a, b| b - a)", [3, 2, 1]),
        ("let by = |k, a, b| (a - b) * k; [1, 2, 3].order_by(by.curry(-1))", [3, 2, 1]),
        ("fn down(a, b) { b - a } [1, 2, 3].order_by(down)", [3, 2, 1]),
        ("[2, 1].order_by(|a| a)", "ErrorFunctionNotFound: Function not found: anon$c1 (i64, i64)"),
        ("[1, 2, 3].order_by(|a, b| ())", [1, 2, 3]),
        ("[1, 2, 3].map(|x, i| x * i)", [0, 2, 6]),
        ("[1, 2].map(|| this + 1)", [2, 3]),
        ("[1, 2, 3].filter(|x, i| i > 0)", [2, 3]),
        ("[1, 2].filter(|x| x)", []),
        (
            "[[1, 2].some(|x| x > 1), [1].all(|x| x > 1), [].all(|x| false), [].some(|x| true)]",
            [True, False, True, False],
        ),
        ("[1, 2, 3].find(|x| x > 1, -1)", 3),
        ("[1, 2, 3].find_map(|x| if x > 1 { x * 10 })", 20),
        ("[1, 2].find_map(|x| ())", None),
        ("[1, 2, 3].reduce(|t, x, i| t + x * i, 0)", 8),
        ("[1, 2, 3].reduce(|t, x| t + x, || 10)", 16),
        ('[1, 2, 3].reduce_rev(|t, x, i| t + i, "")', "210"),
        ("[1, 2].zip([3, 4, 5], |a, b, i| a * b + i)", [3, 9]),
        (changed("[1]", "push([2])"), [None, [1, [2]]]),
        (changed("[1]", "append([2, 3])"), [None, [1, 2, 3]]),
        (changed("[1, 2]", "pop()"), [2, [1]]),
        (changed("[1, 2]", "shift()"), [1, [2]]),
        (changed("[1, 2]", "insert(-1, 9)"), [None, [1, 9, 2]]),
        (changed("[1, 2]", "insert(50, 9)"), [None, [1, 2, 9]]),
        (changed("[1, 2]", "remove(-1)"), [2, [1]]),
        (changed("[1, 2]", "remove(7)"), [None, [1, 2]]),
        (changed("[1, 2]", "set(1, 5)"), [None, [1, 5]]),
        (changed("[1, 2]", "reverse()"), [None, [2, 1]]),
        (changed("[1, 2]", "clear()"), [None, []]),
        (changed("[1, 2, 3]", "truncate(1)"), [None, [1]]),
        (changed("[1, 2, 3]", "truncate(-1)"), [None, []]),
        (changed("[1, 2, 3]", "chop(2)"), [None, [2, 3]]),
        (changed("[1]", "pad(3, 0)"), [None, [1, 0, 0]]),
        (changed("[1, 2, 3]", "split(1)"), [[2, 3], [1]]),
        (changed("[1, 2, 3]", "split(-1)"), [[3], [1, 2]]),
        (changed("[1, 2, 3, 4]", "drain(1, 2)"), [[2, 3], [1, 4]]),
        (changed("[1, 2, 3, 4]", "drain(1..3)"), [[2, 3], [1, 4]]),
        (changed("[1, 2, 3, 4]", "drain(|x| x > 2)"), [[3, 4], [1, 2]]),
        (changed("[1, 2, 3, 4]", "retain(1, 2)"), [[1, 4], [2, 3]]),
        (changed("[1, 2, 3, 4]", "retain(..2)"), [[3, 4], [1, 2]]),
        (changed("[1, 2, 3, 4]", "splice(1, 2, [9])"), [None, [1, 9, 4]]),
        (changed("[1, 2, 3, 4]", "splice(1..1, [8, 9])"), [None, [1, 8, 9, 2, 3, 4]]),
        (changed("[1, 1, 2, 1]", "dedup()"), [None, [1, 2, 1]]),
        (changed("[1, 2, 4, 5]", "dedup(|a, b| b == a + 1)"), [None, [1, 4]]),
        (changed("[3, 1]", "sort()"), [None, [1, 3]]),
        (changed("[1, 3]", "sort_desc()"), [None, [3, 1]]),
        (changed("[1, 3]", "sort_by(|a, b| b - a)"), [None, [3, 1]]),
        (changed("[1, 3]", "for_each(|i| ())"), [None, [1, 3]]),
        (
            '[1, "a"].order()',
            "ErrorFunctionNotFound: Function not found: elements of different types cannot be sorted",
        ),
        ("[1].push()", "ErrorFunctionNotFound: Function not found: push (array)"),
        ("[1].map(|a, b, c| 1)", "ErrorFunctionNotFound: Function not found: anon$c1 (i64, i64)"),
    ]
)
def test_arrays(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ('"héllo".len + "héllo".bytes + "a".len()', 12),
        (
            '["abc".contains("b"), "abc".contains(\'z\'), "abc".starts_with("ab"), "abc".ends_with("bc")]',
            [True, False, True, True],
        ),
        ('"hello".index_of("l", 3)', 3),
        ("\"hello\".index_of('z')", -1),
        ('"hello".sub_string(-3, 2) + "hello".sub_string(1..=2) + "hello".sub_string(3)', "llello"),
        ('"hello".sub_string(9)', ""),
        ('"a,b,c".split(",", 2)', ["a", "b,c"]),
        ('" a  b ".split()', ["a", "b"]),
        ('"abc".split("")', ["", "a", "b", "c", ""]),
        ('"abc".split(1)', ["a", "bc"]),
        ('"a,b,c".split_rev(",", 2)', ["c", "a,b"]),
        ('"Ab".to_upper() + "Ab".to_lower()', "ABab"),
        ("'a'.to_upper()", "A"),
        ('"abc".to_chars().len()', 3),
        ('let n = []; for c in "abc".chars(1) { n += c; } n', ["b", "c"]),
        ('let n = []; for c in "abcd".chars(1..3) { n += c; } n', ["b", "c"]),
        ('let n = 0; for c in "abc".chars { n += 1; } n', 3),
        ('"abc".get(-1)', "c"),
        ("max(\"a\", \"b\") + min('a', 'b')", "ba"),
        ('parse_int(" -42 ") + parse_int("ff", 16)', 213),
        (
            'parse_int("9223372036854775808")',
            "ErrorArithmetic: Error parsing integer number '9223372036854775808': number too large to fit in target type",
        ),
        (
            'parse_int("")',
            "ErrorArithmetic: Error parsing integer number '': cannot parse integer from empty string",
        ),
        (
            'parse_int("1_0")',
            "ErrorArithmetic: Error parsing integer number '1_0': invalid digit found in string",
        ),
        ('parse_float("1e3") + parse_float("inf")', math.inf),
        (changed('" a "', "trim()"), [None, "a"]),
        (changed('"aXbX"', 'replace("X", "yy")'), [None, "ayybyy"]),
        (changed('"aXbX"', "replace('X', 'z')"), [None, "azbz"]),
        (changed('"hello"', "remove('l')"), [None, "heo"]),
        (changed('"hello"', "crop(1, 3)"), [None, "ell"]),
        (changed('"hello"', "crop(-2)"), [None, "lo"]),
        (changed('"hello"', "crop(1..3)"), [None, "el"]),
        (changed('"hello"', "truncate(2)"), [None, "he"]),
        (changed('"a"', 'pad(4, "xy")'), [None, "axyx"]),
        (changed('"abc"', "pop()"), ["c", "ab"]),
        (changed('""', "pop()"), [None, ""]),
        (changed('"abc"', "pop(2)"), ["bc", "a"]),
        (changed('"a"', "append([1])"), [None, "a[1]"]),
        (changed('"abc"', "set(1, 'X')"), [None, "aXc"]),
        (changed('"abc"', "clear()"), [None, ""]),
        (changed('"abc"', "make_upper()"), [None, "ABC"]),
        (changed("'a'", "make_upper()"), [None, "A"]),
        ('"aXbX".replace("X", "y")', None),
        (
            '"a".reverse()',
            "ErrorFunctionNotFound: Function not found: reverse (&str | ImmutableString | String)",
        ),
    ]
)
def test_strings(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ("#{b: 1, a: 2}.keys()", ["a", "b"]),
        ("#{b: 1, a: 2}.values()", [2, 1]),
        ("#{a: 1}.len() + #{}.len()", 1),
        ('[#{}.is_empty(), #{a: 1}.contains("a"), "b" in #{a: 1}]', [True, True, False]),
        ('#{a: 1}.get("b")', None),
        ("#{len: 5}.len", 5),
        (changed("#{a: 1}", 'set("b", 2)'), [None, {"a": 1, "b": 2}]),
        (changed("#{a: 1}", 'remove("a")'), [1, {}]),
        (changed("#{a: 1}", 'remove("z")'), [None, {"a": 1}]),
        (changed("#{a: 1, b: 2}", "mixin(#{b: 3, c: 4})"), [None, {"a": 1, "b": 3, "c": 4}]),
        (changed("#{a: 1}", "fill_with(#{a: 3, c: 4})"), [None, {"a": 1, "c": 4}]),
        (changed("#{a: 1, b: 2}", "retain(|k, v| v > 1)"), [{"a": 1}, {"b": 2}]),
        (changed("#{a: 1, b: 2}", 'drain(|k| k == "a")'), [{"a": 1}, {"b": 2}]),
        (changed("#{a: 1}", "clear()"), [None, {}]),
        ("#{a: 1, b: 2}.filter(|k| this > 1)", {"b": 2}),
        ("#{a: 1, b: 2}.map(|k, v| k + v)", {"a": "a1", "b": "b2"}),
        (
            '#{b: [1, "x\\"y"], a: (), c: 1.0, d: true}.to_json()',
            '{"a":null,"b":[1,"x\\"y"],"c":1.0,"d":true}',
        ),
        ('parse_json("[1, 2.5, null, {\\"a\\": \\"b\\"}]")', [1, 2.5, None, {"a": "b"}]),
        ('parse_json("[99999999999999999999]")', [1e20]),
        ('parse_json("NaN")', "ErrorRuntime: JSON: NaN"),
        ("#{a: 1} + #{a: 2, b: 3}", {"a": 2, "b": 3}),
        ("#{f: |x| x + this.n, n: 1}.f(4)", 5),
        ("#{len: || 7}.len()", 7),
    ]
)
def test_maps(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ("(-5).abs() + abs(-5.5)", 10.5),
        ("[sign(-3), sign(0), sign(2.5)]", [-1, 0, 1]),
        ("[max(1, 2.5), min(3, 2), max(2, 2.0)]", [2.5, 2, 2.0]),
        ("[5.is_odd, 4.is_even(), 0.is_zero, 0.0.is_zero()]", [True, True, True, True]),
        (
            "[255.to_hex(), 8.to_octal(), 5.to_binary(), (-1).to_hex()]",
            ["ff", "10", "101", "f" * 16],
        ),
        (
            "[1.9.to_int(), (-1.9).to_int(), 'A'.to_int(), 3.to_float(), 2.to_int()]",
            [1, -1, 65, 3.0, 2],
        ),
        ("1e19.to_int()", "ErrorArithmetic: Integer overflow: to_int(10000000000000000000)"),
        (
            "[2.5.round(), (-2.5).round(), 1.5.floor, 1.2.ceiling(), 1.7.int, 1.25.fraction]",
            [3.0, -3.0, 1.0, 2.0, 1.0, 0.25],
        ),
        (
            "[4.0.sqrt(), exp(0.0), ln(1.0), log(100.0), log(8.0, 2.0), hypot(3.0, 4.0)]",
            [2.0, 1.0, 0.0, 2.0, 3.0, 5.0],
        ),
        (
            "[sin(0.0), cos(0.0), atan(1.0, 1.0), 180.0.to_radians(), PI().to_degrees()]",
            [0.0, 1.0, math.pi / 4, math.pi, 180.0],
        ),
        (
            "[(-1.0).sqrt().is_nan, ln(0.0), acos(2.0).is_nan(), sinh(-1e9), exp(1e9), atanh(1.0)]",
            [True, -math.inf, True, -math.inf, math.inf, math.inf],
        ),
        ("[(1.0/0.0).is_infinite, 1.0.is_finite, (1.0/0.0).floor()]", [True, True, math.inf]),
        (
            "[5.get_bit(0), 5[1], 5[-1], 0b1100.get_bits(2, 2), 0b1100[2..4], 0b1100.get_bits(2..=3)]",
            [True, False, False, 3, 3, 3],
        ),
        (changed("0", "set_bit(3, true)"), [None, 8]),
        (changed("0", "set_bits(1, 3, 7)"), [None, 14]),
        (changed("0", "set_bits(0..2, 3)"), [None, 3]),
        ("let x = 0; x[-1] = true; x", -(2**63)),
        (
            "5[64]",
            "ErrorBitFieldBounds: Bit-field index 64 out of bounds: only 64 bits in bit-field",
        ),
        ("let n = 0; for b in 7.bits(1, 4) { if b { n += 1; } } n", 2),
        ("let n = 0; for b in 7.bits { if b { n += 1; } } n", 3),
        ("let n = []; for i in range(10, 0, -4) { n += i; } n", [10, 6, 2]),
        ("let n = []; for i in range(0..5, 2) { n += i; } n", [0, 2, 4]),
        ("let n = []; for i in range(1.0, 0.0, -0.5) { n += i; } n", [1.0, 0.5]),
        ("let n = 0; for i in range(0, 5, -1) { n += 1; } n", 0),
        ("range(0, 5, 0)", "ErrorArithmetic: step value cannot be zero"),
        (
            "[(1..5).start, (1..=5).end, (1..1).is_empty, (1..=1).is_inclusive, (2..4).contains(3)]",
            [1, 5, True, True, True],
        ),
        ("E()", math.e),
    ]
)
def test_numbers(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ("[9223372036854775807 + 0, -5 / 2, -5 % 3, 5 % -3, 7.5 % 2]", [2**63 - 1, -2, -2, 2, 1.5]),
        ("9223372036854775807 + 1", "ErrorArithmetic: Addition overflow: 9223372036854775807 + 1"),
        (
            "let x = 9223372036854775807; x += 1",
            "ErrorArithmetic: Addition overflow: 9223372036854775807 + 1",
        ),
        (
            "let x = -9223372036854775808; x - 1",
            "ErrorArithmetic: Subtraction overflow: -9223372036854775808 - 1",
        ),
        ("3 ** 40", "ErrorArithmetic: Exponential overflow: 3 ** 40"),
        (
            "2 ** 9223372036854775807",
            "ErrorArithmetic: Exponential overflow: 2 ** 9223372036854775807",
        ),
        ("[(-1) ** 3, 0 ** 0, 2.0 ** 3, (-8.0) ** 3]", [-1, 1, 8.0, -512.0]),
        ("[1 << 63, 1 << 64, -8 >> 1, -8 >> 100, 1 << -1, 1 >> -3]", [-(2**63), 0, -4, -1, 0, 8]),
        ("[6 & 3, 6 | 3, 6 ^ 3, true ^ false, true & false]", [2, 7, 5, True, False]),
        ("1 & true", "ErrorFunctionNotFound: Function not found: & (i64, bool)"),
        ('-"a"', "ErrorFunctionNotFound: Function not found: - (&str | ImmutableString | String)"),
        ("let x = (); !x", "ErrorFunctionNotFound: Function not found: ! (())"),
        (
            '[1 == 1.0, \'5\' == "5", 1 == "1", [1] == [1.0], #{a: 1} == #{a: 1.0}, () == ()]',
            [True, True, False, True, True, True],
        ),
        (
            "[0.1 + 0.2 == 0.3, 0.1 + 0.2 > 0.3, 0.1 + 0.2 >= 0.3, 1e-17 > 0.0, 1e-15 > 0.0]",
            [True, False, True, False, True],
        ),
        ("let n = 0.0 / 0.0; [n == n, n != n, n < 1.0, n >= 1.0]", [False, False, False, False]),
        (
            "let a = 0.5; [a < 0.5, a <= 0.5, a > 0.4999999999999999, a < 0.5000000000000002]",
            [False, True, False, True],
        ),
        (
            '[1 < "a", 1 != "a", () < (), () <= (), true > false, "a" < "b", 1 < 1.5]',
            [False, True, False, False, True, True, True],
        ),
        (
            "let i = 1.0 / 0.0; let x = 1.5; [i > x, x < i, i >= x, i == i, i <= i, -i < i, i > 0.5, i != x]",
            [True, True, True, True, True, True, True, True],
        ),
        ("[1] < [2]", "ErrorFunctionNotFound: Function not found: < (array, array)"),
        ("|| 1 == || 1", True),
        ("let f = || 1; f == f", "ErrorFunctionNotFound: Function not found: == (Fn, Fn)"),
        ('"abcabc" - "b" + 1 + () + \'c\' + [1] + 2.0', "acac1c[1]2.0"),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("[1] + 2", "ErrorFunctionNotFound: Function not found: + (array, i64)"),
        ("1.5 + 2 * 2.0 - 1", 4.5),
        ("[1 / 2.0, 1.0 / 0, -1.0 / 0.0]", [0.5, math.inf, -math.inf]),
        (
            '[5 in 0..5, 4 in 0..5, 5 in 0..=5, "b" in "abc", \'x\' !in "abc"]',
            [False, True, True, True, True],
        ),
        ("1 in 5", "ErrorFunctionNotFound: Function not found: contains (i64, i64)"),
        ("let b = 1; if b { }", "ErrorMismatchDataType: Data type incorrect: i64 (expecting bool)"),
    ]
)
def test_operators(source, expected):
    got = evaluate(source)
    if isinstance(got, rhai.FnPtr):
        # `|| 1 == || 1` is one closure.
        got = True
    assert expected == got


@table(
    [
        ("to_string(1.0) + to_string(1e13) + to_string(-0.0)", "1.01e130.0"),
        (
            "[1e12, 123456.75, 1e-7, 1e-14, -2.5e20].map(|x| x.to_string())",
            ["1000000000000.0", "123456.75", "0.0000001", "1e-14", "-2.5e20"],
        ),
        ("[0.0/0.0, 1.0/0.0, -1.0/0.0].map(|x| `${x}`)", ["NaN", "inf", "-inf"]),
        ('to_debug("a\\"\\n")', '"a\\"\\n"'),
        (
            '`${[1, "x", \'c\', (), 1.0, 0..2, #{b: 1, "a c": [true]}]}${()}`',
            '[1, "x", c, (), 1.0, 0..2, #{"a c": [true], "b": 1}]',
        ),
        ('Fn("abs").to_string() + Fn("abs").name', "Fn(abs)abs"),
        ("type_of(blob()) + type_of(0..1) + type_of('c') + type_of(|| 1)", "blobrangecharFn"),
    ]
)
def test_text(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ('let b = blob(3, 1); b[1] = 300; b += "z".to_blob(); b.to_array()', [1, 44, 1, 122]),
        (
            "let b = blob(8); b.write_be(0, 8, 258); [b.parse_be_int(0, 8), b.parse_le_int(6..8)]",
            [258, 513],
        ),
        ("let b = blob(8); b.write_le(0..8, 1.5); b.parse_le_float(0, 8)", 1.5),
        ('let b = blob(4); b.write_ascii(1, 2, "abc"); b.as_string()', "\0ab\0"),
        (
            'let b = "héllo".to_blob(); [b.len, b.extract(0, 1).as_string(), 104 in b, b.get(99)]',
            [6, "h", True, 0],
        ),
        (
            'let b = "abcd".to_blob(); [b.drain(1, 2).as_string(), b.as_string(), b.pop(), b.shift(), b.len()]',
            ["bc", "ad", 100, 97, 0],
        ),
        (
            'let b = "abcd".to_blob(); b.splice(1, 2, "xyz".to_blob()); b.reverse(); b.pad(7, 33); b.as_string()',
            "dzyxa!!",
        ),
        ("let b = blob(2); let c = b; c[0] = 1; [b == c, b.to_array()]", [False, [0, 0]]),
        ("let s = 0; for x in blob(3, 2) { s += x; } s", 6),
    ]
)
def test_blobs(source, expected):
    assert expected == evaluate(source)


@table(
    [
        ("let f = |a, b| a - b; f.curry(10).call(3)", 7),
        (
            'fn g(x) { x * 2 } [Fn("g").call(4), g.call(5), call(g, 6), [1].map(g), [7].map(Fn("g"))]',
            [8, 10, 12, [2], [14]],
        ),
        ('[Fn("len").call("abc"), Fn("push").call([1], 2)]', [3, None]),
        ('Fn("nope").call(1)', "ErrorFunctionNotFound: Function not found: nope (i64)"),
        ('Fn("+")', "ErrorParsing/Reserved: '+' is a reserved symbol"),
        ('Fn("let")', "ErrorParsing/Reserved: 'let' is a reserved keyword"),
        (
            "let x = 1; let f = || x; [is_shared(x), is_shared(f), x.is_shared()]",
            [True, False, True],
        ),
        ("let x = 5; x.tag = 3; let y = x.tag; x = 6; [y, x.tag, (1).tag]", [3, 0, 0]),
        ("let m = #{}; m.tag = 3; m", {"tag": 3}),
        ("let x = [1]; [x.take(), x]", [[1], None]),
        ('(|| 1).is_anonymous && !Fn("f").is_anonymous()', True),
        ('fn f(a) {} fn f(a, b) {} get_fn_metadata_list("f").len()', 2),
        (
            "sleep(1)",
            "ErrorFunctionNotFound: Function not found: sleep: not available here (scripts decide from their arguments only)",
        ),
        (
            'eval("1")',
            "ErrorFunctionNotFound: Function not found: eval: not available here (scripts decide from their arguments only)",
        ),
        (
            'import "x" as y;',
            "ErrorModuleNotFound: Module not found: x (import is not available here)",
        ),
    ]
)
def test_functions_as_values_and_the_rest(source, expected):
    assert expected == evaluate(source)


DOCUMENTED = """
    E/0 PI/0 blob/0 debug/0 exit/0 print/0 is_anonymous/1 name/1 to_debug/1 debug/1 exit/1 print/1 set_tag/2 tag/1 take/1
    to_string/1 all/2 append/2 chop/2 clear/1 contains/2 dedup/1 dedup/2 drain/2 drain/3 extract/2 extract/3 filter/2
    find/2 find/3 find_map/2 find_map/3 for_each/2 get/2 index_of/2 index_of/3 insert/3 is_empty/1 len/1 map/2 order/1
    order/2 order_by/2 order_desc/1 pad/3 pop/1 push/2 reduce/2 reduce/3 reduce_rev/2 reduce_rev/3 remove/2 retain/2
    retain/3 reverse/1 set/3 shift/1 some/2 sort/1 sort/2 sort_by/2 sort_desc/1 splice/3 splice/4 split/2 truncate/2
    zip/3 as_string/1 parse_be_float/2 parse_be_float/3 parse_be_int/2 parse_be_int/3 parse_le_float/2 parse_le_float/3
    parse_le_int/2 parse_le_int/3 to_array/1 write_ascii/3 write_ascii/4 write_be/3 write_be/4 write_le/3 write_le/4
    write_utf8/3 write_utf8/4 make_lower/1 make_upper/1 max/2 min/2 to_lower/1 to_upper/1 abs/1 acos/1 acosh/1 asin/1
    asinh/1 atan/1 atan/2 atanh/1 ceiling/1 cos/1 cosh/1 exp/1 floor/1 fraction/1 hypot/2 int/1 is_finite/1
    is_infinite/1 is_nan/1 is_zero/1 ln/1 log/1 log/2 range/3 round/1 sign/1 sin/1 sinh/1 sqrt/1 tan/1 tanh/1
    to_degrees/1 to_int/1 to_radians/1 bits/1 bits/2 bits/3 blob/1 blob/2 get_bit/2 get_bits/2 get_bits/3 is_even/1
    is_odd/1 range/2 set_bit/3 set_bits/3 set_bits/4 to_binary/1 to_hex/1 to_octal/1 to_float/1 drain/2 fill_with/2
    keys/1 mixin/2 to_json/1 values/1 end/1 is_exclusive/1 is_inclusive/1 start/1 bytes/1 chars/1 chars/2 chars/3
    crop/2 crop/3 ends_with/2 get_fn_metadata_list/0 get_fn_metadata_list/1 get_fn_metadata_list/2 parse_float/1
    parse_int/1 parse_int/2 parse_json/1 pop/2 replace/3 split/1 split/3 split_rev/2 split_rev/3 starts_with/2
    sub_string/2 sub_string/3 to_blob/1 to_chars/1 trim/1
"""


def test_every_documented_function_exists():
    wanted = {(n, int(a)) for n, a in (word.split("/") for word in DOCUMENTED.split())}
    assert set() == wanted - set(NATIVES)
