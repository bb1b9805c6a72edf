"""The tracing build: it answers what the ordinary one answers, and tells what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai._traced import compile_traced


CASES = Path(__file__).parents[2] / "conformance" / "rhai_cases.jsonl"
GENEROUS = rhai.Limits(time_ms=10_000)


class Notes:
    def __init__(self):
        self.entered = []
        self.tests = []

    def enter(self, node):
        self.entered.append((node.line, node.column))

    def test(self, node, value):
        self.tests.append((node.line, value))


def outcome(make):
    try:
        program = make()
        value = program.eval()
    except rhai.RhaiError as error:
        return (error.kind, error.line)
    return (repr(value), program.output)


def scripts():
    lines = CASES.read_text(encoding="utf-8").splitlines()
    return [case["script"] for case in map(json.loads, lines)]


def test_the_conformance_scripts_come_out_the_same():
    different = [
        script
        for script in scripts()
        if outcome(lambda s=script: rhai.compile(s, limits=GENEROUS))
        != outcome(lambda s=script: compile_traced(s, Notes(), limits=GENEROUS))
    ]
    assert different == []


def test_it_tells_statements_and_conditions_in_order():
    notes = Notes()
    source = "let x = 1;\nif x > 1 && true {\n  2\n} else {\n  3\n}"
    assert compile_traced(source, notes).eval() == 3
    assert notes.entered == [(1, 1), (2, 1), (5, 3)]
    assert notes.tests == [(2, False), (2, False)]


def test_an_error_keeps_its_place():
    with pytest.raises(rhai.RhaiError) as failed:
        compile_traced("let a = 1;\nif a == 1 {\n   nope\n}", Notes()).eval()
    assert (failed.value.line, failed.value.column) == (3, 4)


def test_a_traced_run_is_charged_no_more():
    source = "let n = 0; while n < 50 { n += 1; } n"
    limits = rhai.Limits(operations=700)
    assert rhai.compile(source, limits=limits).eval() == 50
    assert compile_traced(source, Notes(), limits=limits).eval() == 50
