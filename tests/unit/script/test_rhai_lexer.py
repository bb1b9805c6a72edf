# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai._lexer import Lexer
from rbee_scheduler_script.rhai._limits import Limits


def tokens(source):
    return [(t.kind, t.value) for t in Lexer(source, Limits()).tokens()[:-1]]


def places(source):
    return [(t.line, t.column) for t in Lexer(source, Limits()).tokens()]


def message(source):
    last = Lexer(source, Limits()).tokens()[-2]
    assert last.kind == "error"
    return last.value.message


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0xFF", 255),
        ("0XaB", 171),
        ("0b1010_1010", 170),
        ("0o17", 15),
        ("1_000", 1000),
        ("0xFFFF_FFFF_FFFF_FFFF", -1),
        ("9223372036854775807", 2**63 - 1),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("1E-2", 0.01),
        ("1_0.5", 10.5),
        ("99999999999999999999", 1e20),
        ("1" + "0" * 400, float("inf")),
    ],
)
def test_numbers(source, value):
    assert [type(value)] == [type(v) for _, v in tokens(source)]
    assert [value] == [v for _, v in tokens(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1.abs", ["1", ".", "abs"]),
        ("1..3", ["1", "..", "3"]),
        ("1.x", ["1", ".", "x"]),
        ("1._a", ["1", ".", "_a"]),
        ("1. ", ["1.0"]),
        ("1.)", ["1.0", ")"]),
        ("1.", ["1", "."]),
        ("1e", ["1", "e"]),
        ("a!in b", ["a", "!in", "b"]),
        ("!inner", ["!", "inner"]),
        ("a?.b?[1]", ["a", "?.", "b", "?[", "1", "]"]),
        ("#{a:1}", ["#{", "a", ":", "1", "}"]),
        ("a<<=b**=c", ["a", "<<=", "b", "**=", "c"]),
        ("..=", ["..="]),
        ("a::b", ["a", "::", "b"]),
    ],
)
def test_what_belongs_together(source, expected):
    assert expected == [str(v) for _, v in tokens(source)]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r'"a\tb\n\\\"\x41\u00e9\U0001F600"', 'a\tb\n\\"Aé😀'),
        ('"say ""hi"""', 'say "hi"'),
        ('"a\\\n   b"', "a  b"),
        ('"a\\\nb"', "ab"),
        ("`a\nb`", "a\nb"),
        ("`\na`", "a"),
        ("`a``b`", "a`b"),
        (r"`\n \${x}`", r"\n ${x}"),
        ("`$a`", "$a"),
        ('#"a"b"#', 'a"b'),
        ('##"a"#b"##', 'a"#b'),
        ('#"\n\\n"#', "\n\\n"),
        ('""', ""),
    ],
)
def test_strings(source, text):
    assert [("string", text)] == tokens(source)


@pytest.mark.parametrize(
    ("source", "char"), [("'a'", "a"), (r"'\''", "'"), (r"'\x41'", "A"), ("'é'", "é")]
)
def test_chars(source, char):
    assert [("char", char)] == tokens(source)
    assert type(tokens(source)[0][1]) is rhai.Char


def test_interpolation_holds_its_tokens():
    ((kind, parts),) = tokens("`a${ {1} + `${2}` }b`")
    assert kind == "interpolation"
    assert [parts[0], parts[2]] == ["a", "b"]
    assert [t.value for t in parts[1][:4]] == ["{", 1, "}", "+"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('"abc', "Open string is not terminated"),
        ('"a\nb"', "Open string is not terminated"),
        ("`abc", "Open string is not terminated"),
        ("`a${1", "Open string is not terminated"),
        ('#"a"', "Open string is not terminated"),
        ("''", "Invalid character: ''"),
        ("'ab'", "Invalid character: 'ab'"),
        (r'"\q"', r"Invalid escape sequence: '\q'"),
        (r'"\x4"', r"""Invalid escape sequence: '\x4"'"""),
        (r'"\uD800"', r"Invalid escape sequence: '\uD800'"),
        ("0x", "Invalid number: ''"),
        ("0b" + "1" * 65, f"Invalid number: '{'1' * 65}'"),
        ("__", "Variable name is not proper: '__'"),
        ("_1", "Variable name is not proper: '_1'"),
        ("变", "Unexpected '变'"),
        ("\\", "Unexpected '\\'"),
        (
            "a := 1",
            "':=' is not a valid assignment operator. This is not Go or Pascal! Should it be simply '='?",
        ),
    ],
)
def test_faults(source, text):
    assert text == message(source)


def test_comments_are_skipped_or_kept():
    source = "1 // one\n/* a /* b */ c */ 2 /// doc\n3 /* to the end"
    assert [v for _, v in tokens(source)] == [1, 2, 3]
    kept = rhai.parse(source.replace("1 ", "1; ").replace("2 ", "2; "), comments=True).comments
    assert [(c.line, c.column) for c in kept] == [(1, 4), (2, 1), (2, 22), (3, 3)]
    assert kept[1].text == "/* a /* b */ c */"


def test_places_survive_everything_with_line_ends():
    source = 'a\n  `x\ny` b /*\n*/ c "p\\\nq" d\n#"\n"# e'
    assert places(source) == [
        (1, 1),
        (2, 3),
        (3, 4),
        (4, 4),
        (4, 6),
        (5, 4),
        (6, 1),
        (7, 4),
        (7, 5),
    ]
