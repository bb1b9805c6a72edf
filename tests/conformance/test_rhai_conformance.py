"""577 scripts with the official engine's answers (rhaiscript/rhai 1.25 and 1.26).

Each class of agreement has its bar, and every case that differs is listed with its reason: one that
differs and is not listed fails, and so does one that is listed and agrees.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rbee_scheduler_script import rhai


CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("rhai_cases.jsonl").read_text("utf-8").splitlines()
]

NO_EVAL = "eval is absent: a script decides from its arguments only"
DIFFERENT_VALUES = {
    'let x = 5; eval("x * 2")': NO_EVAL,
    'eval("let y = 3;"); y': NO_EVAL,
    "sleep(0)": "sleep is absent: a policy never waits",
    "type_of(timestamp().elapsed)": "timestamp is absent: decisions must replay",
}
DIFFERENT_KINDS = {'eval("fn q() {1}")': NO_EVAL}
DIFFERENT_LINES = {'eval("fn q() {1}")': NO_EVAL}
DIFFERENT_COLUMNS = {
    **DIFFERENT_LINES,
    'let x = "hello"; x[0] = "J"; x': "placed at the index instead of the assignment",
}


def plain(value):
    """A result in the notation of the file."""
    if isinstance(value, rhai.Char):
        return {"$char": str(value)}
    if isinstance(value, rhai.Range):
        return {"$range": [value.start, value.end]}
    if type(value) is float and not math.isfinite(value):
        return {"$float": "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def exact(value):
    """Distinguishes 1, 1.0 and true, as Rhai does."""
    return json.dumps(value, sort_keys=True)


def run(case):
    program = None
    try:
        program = rhai.compile(case["script"])
        return program, plain(program.eval(case.get("scope"))), None
    except rhai.RhaiError as error:
        return program, None, error


VALUES = [case for case in CASES if "expected_error_kind" not in case]
ERRORS = [case for case in CASES if "expected_error_kind" in case]


def differing(cases, agrees):
    return {case["script"] for case in cases if not agrees(case, *run(case))}


def test_values_agree():
    def agrees(case, program, value, error):
        printed = case.get("expected_output")
        return (
            error is None
            and exact(case["expected_value"]) == exact(value)
            and (printed is None or printed == program.output)
        )

    wrong = differing(VALUES, agrees)
    assert set(DIFFERENT_VALUES) == wrong
    assert len(wrong) / len(VALUES) <= 0.01


def test_error_kinds_agree():
    wrong = differing(ERRORS, lambda c, p, v, e: e and e.kind == c["expected_error_kind"])
    assert set(DIFFERENT_KINDS) == wrong
    assert len(wrong) / len(ERRORS) <= 0.03


def test_error_lines_agree():
    wrong = differing(ERRORS, lambda c, p, v, e: e and e.line == c["error_detail"]["line"])
    assert set(DIFFERENT_LINES) == wrong
    assert len(wrong) / len(ERRORS) <= 0.05


def test_error_columns_agree():
    wrong = differing(ERRORS, lambda c, p, v, e: e and e.column == c["error_detail"]["col"])
    assert set(DIFFERENT_COLUMNS) == wrong


@pytest.mark.parametrize("case", ERRORS[::7], ids=lambda case: case["script"][:40])
def test_every_error_has_a_place_and_a_snippet(case):
    _, _, error = run(case)
    assert error.where is not None
    assert error.snippet.endswith("^")
