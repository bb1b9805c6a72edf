"""Whatever it is given, the checker and the reader of rules answer, and never break."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from rbee_scheduler_script._check import CODES, check, findings_as_text
from rbee_scheduler_script._yaml import RulesError, compile_yaml, json_schema


ROOT = Path(__file__).parents[2]
SOURCES = [
    *(path.read_text(encoding="utf-8") for path in (ROOT / "examples" / "policies").glob("*.rhai")),
    *(
        json.loads(line)["script"]
        for line in (ROOT / "tests/conformance/rhai_cases.jsonl").read_text("utf-8").splitlines()
    ),
]
RULES = [path.read_text(encoding="utf-8") for path in (ROOT / "examples/rules").glob("*.yaml")]
BITS = [
    "",
    "()",
    "w",
    ".x",
    "job",
    "|w|",
    "{",
    "}",
    "=",
    "==",
    "if ",
    "fn f(a) { a }",
    "5",
    '"a"',
    "#",
]


@st.composite
def spoilt(draw, sources, bits):
    """Return one of the texts with a piece cut out and something else put in."""
    text = draw(st.sampled_from(sources))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 30)))
    return text[:start] + draw(st.sampled_from(bits) | st.text(max_size=5)) + text[end:]


def test_scripts_of_the_conformance_suite():
    for source in SOURCES:
        for finding in check(source):
            assert finding.code in CODES


@given(spoilt(SOURCES, BITS))
def test_spoilt_scripts(source):
    findings = check(source)
    lines = source.split("\n")
    for finding in findings:
        assert 1 <= finding.line <= len(lines) + 1
        assert finding.column < finding.end_column
    assert findings_as_text(findings, source).count("[") >= len(findings)


YAML_BITS = [
    "",
    "-",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "&a ",
    "*a",
    "!!str ",
    "# ",
    "\n",
    "  ",
    "|",
    ">",
]


@given(spoilt(RULES, YAML_BITS))
@example("\x00")
@example("\ufeffrules: []")
@example("a: !<!>")
@example("? [a]\n: b")
@example("- - - -")
@example('"\\U00110000"')
@example('"\\xZZ"')
def test_spoilt_rules(text):
    try:
        compiled = compile_yaml(text)
    except RulesError as error:
        for problem in error.problems:
            assert problem.line >= 1
            assert problem.column >= 1
    else:
        assert not [f for f in check(compiled.rhai_source) if f.code == "syntax-error"]


def test_the_schema_is_plain_data():
    assert json.loads(json.dumps(json_schema())) == json_schema()
