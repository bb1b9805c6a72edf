"""Generated scripts: nothing but `RhaiError`, within the budget, the host's data unchanged."""

from __future__ import annotations

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai._stdlib import NATIVES


NAMES = ["a", "b", "c", "job", "workers"]
FIELDS = ["load", "id", "tags", "geo", "lat", "x", "len", "is_empty", "tag"]
METHODS = [*sorted({name for name, _ in NATIVES} - {"exit"}), "f", "g", "nope", "call", "curry"]
BINARY = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "&&",
    "||",
    "??",
    "in",
    "!in",
    "..",
    "..=",
]
LITERALS = [
    "0",
    "1",
    "-1",
    "7",
    "64",
    "9223372036854775807",
    "-9223372036854775808",
    "0.5",
    "1e300",
    "-0.0",
    '"ab"',
    '""',
    "'c'",
    "true",
    "false",
    "()",
    "[]",
    "#{}",
    "[1, 2, 3]",
    '#{x: 1, "y z": [2]}',
    "0..3",
    "1..=2",
    "`t${1}u`",
    '"llama-70b"',
    "100000",
]


def expressions(depth):
    leaf = st.one_of(st.sampled_from(LITERALS), st.sampled_from(NAMES))
    if depth == 0:
        return leaf
    inner = expressions(depth - 1)
    calls = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        leaf,
        st.tuples(inner, st.sampled_from(BINARY), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from("-!+"), inner).map(lambda t: f"({t[0]}{t[1]})"),
        st.tuples(inner, st.sampled_from([".", "?."]), st.sampled_from(FIELDS)).map("".join),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, st.sampled_from(METHODS), calls).map(lambda t: f"{t[0]}.{t[1]}({t[2]})"),
        st.tuples(st.sampled_from(METHODS), calls).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(
            inner,
            st.sampled_from(
                ["map", "filter", "find", "sort", "reduce", "retain", "for_each", "all"]
            ),
            st.sampled_from(["|x| ", "|x, y| ", "|| ", "|x| { x.load = 1; x } + "]),
            inner,
        ).map(lambda t: f"{t[0]}.{t[1]}({t[2]}{t[3]})"),
        calls.map(lambda t: f"[{t}]"),
        st.tuples(inner, inner).map(lambda t: f"#{{p: {t[0]}, q: {t[1]}}}"),
        st.tuples(inner, inner, inner).map(
            lambda t: f"if {t[0]} == {t[1]} {{ {t[1]} }} else {{ {t[2]} }}"
        ),
        st.tuples(inner, inner, inner).map(
            lambda t: f'switch {t[0]} {{ 1 | "ab" => {t[1]}, 2..9 => 0, _ => {t[2]} }}'
        ),
        st.tuples(inner).map(lambda t: f"|x| x + {t[0]}"),
    )


PLACES = st.sampled_from(
    [
        "a",
        "b",
        "a.x",
        "a[0]",
        "workers[0]",
        "workers[1].load",
        "workers[0].tags",
        "workers[0].tags[0]",
        "job.user.tier",
        "job.x",
        "a[0].x",
        "b.tags[1]",
        "workers",
        "job",
    ]
)


def statements(depth):
    value = expressions(2)
    simple = st.one_of(
        value.map(lambda e: e + ";"),
        st.tuples(st.sampled_from(NAMES), value).map(lambda t: f"let {t[0]} = {t[1]};"),
        st.tuples(PLACES, st.sampled_from(["=", "+=", "-=", "*="]), value).map(
            lambda t: f"{t[0]} {t[1]} {t[2]};"
        ),
        st.tuples(
            PLACES,
            st.sampled_from(
                ["push", "append", "sort", "set", "remove", "insert", "pop", "clear", "f"]
            ),
            st.lists(value, max_size=2).map(", ".join),
        ).map(lambda t: f"{t[0]}.{t[1]}({t[2]});"),
        st.tuples(value).map(lambda t: f"throw {t[0]};"),
    )
    if depth == 0:
        return simple
    block = st.lists(statements(depth - 1), max_size=3).map(" ".join)
    return st.one_of(
        simple,
        st.tuples(value, block).map(lambda t: f"for x in {t[0]} {{ {t[1]} }}"),
        st.tuples(value, block).map(lambda t: f"while {t[0]} != 1 {{ {t[1]} break; }}"),
        block.map(lambda b: f"loop {{ {b} }}"),
        st.tuples(block, block).map(lambda t: f"try {{ {t[0]} }} catch (e) {{ {t[1]} }}"),
        st.tuples(value, block).map(
            lambda t: f"let c = |x| {{ let b = {t[0]}; {t[1]} b }}; c.call(1);"
        ),
        st.tuples(value, block).map(lambda t: f"if {t[0]} == 1 {{ {t[1]} }}"),
    )


FUNCTIONS = st.sampled_from(
    [
        "",
        "fn f() { this.x = 1; this }",
        "fn f(x) { this.push(x); x }",
        "fn g(n) { g(n + 1) }",
        "fn f(x) { x.load = 0; x } fn g(x) { f(x) }",
        "fn int.f() { this + 1 } fn f() { 0 }",
    ]
)
SCRIPTS = st.tuples(FUNCTIONS, st.lists(statements(2), min_size=1, max_size=6)).map(
    lambda t: t[0] + "\n" + "\n".join(t[1])
)
TOKENS = st.sampled_from(
    [
        "let",
        "fn",
        "if",
        "else",
        "for",
        "in",
        "switch",
        "|",
        "||",
        "=>",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "#{",
        "`",
        "${",
        '"',
        "'",
        "a",
        "b",
        "1",
        "0x",
        "1.",
        "..",
        "..=",
        "?",
        "?.",
        "?[",
        "::",
        ";",
        ",",
        "=",
        "+=",
        "==",
        "!",
        "-",
        "//",
        "/*",
        "*/",
        "\n",
        " ",
        "this",
        "try",
        "catch",
        "throw",
        "_",
        "__",
        "é",
        "\0",
        "#",
        '#"',
        "@",
        "\\",
        "!in",
    ]
)

LIMITS = rhai.Limits(operations=20_000, memory=4_000_000, string_size=50_000, array_size=5_000)


def host_data():
    return {
        "job": {"id": "j1", "user": {"tier": "gold"}, "x": [1, [2]]},
        "workers": [
            {"id": f"w{i}", "load": i / 3, "tags": ["a", "b"], "geo": {"lat": 1.5}, "x": {"y": [i]}}
            for i in range(3)
        ],
    }


def check(source):
    data = host_data()
    before = copy.deepcopy(data)
    error = None
    try:
        # That it ends at all is the limit of 20,000 steps; a test that hangs is ended for us.
        rhai.compile(source, limits=LIMITS).eval(data)
    except rhai.RhaiError as caught:
        error = caught
    assert data == before
    if error is not None:
        # A host function is the only way to ErrorSystem, and there is none here.
        assert error.kind.startswith("Error")
        assert error.kind != "ErrorSystem", (source, error.__cause__)
        assert error.kind in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCRIPTS)
def test_generated_scripts_stay_in_the_sandbox(source):
    check(source)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TOKENS, max_size=40).map("".join))
def test_token_soup_is_read_or_refused(source):
    check(source)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(source):
    check(source)
