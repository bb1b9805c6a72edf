"""docs/checker.md and docs/yaml.md say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rbee_scheduler_script._check import CODES, check
from rbee_scheduler_script._format import format_source
from rbee_scheduler_script._yaml import compile_yaml, parse_yaml
from rbee_scheduler_script._yaml._actions import ACTIONS
from rbee_scheduler_script._yaml._select import read_select
from rbee_scheduler_script._yaml._tables import (
    COMBINERS,
    EVICTIONS,
    MODEL_MATCHES,
    OPERATORS,
    SELECTIONS,
    field_paths,
)


DOCS = Path(__file__).parents[3] / "docs"
CHECKER = (DOCS / "checker.md").read_text(encoding="utf-8")
YAML = (DOCS / "yaml.md").read_text(encoding="utf-8")
HEAD = "fn schedule_job(job, pools, workers) {"

ROWS = [
    [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in (CHECKER + YAML).split("\n")
    if line.startswith("| `")
]


def code(cell):
    return (
        cell[1:-1] if cell.startswith("`") and cell.endswith("`") and cell.count("`") == 2 else ""
    )


def test_the_codes():
    listed = [(code(row[0]), row[1]) for row in ROWS if row[1] in ("error", "warning")]
    assert [(name, said.severity) for name, said in CODES.items()] == listed


EXAMPLES = {code(row[0]): code(row[1]) for row in ROWS if code(row[0]) in CODES and code(row[1])}


@pytest.mark.parametrize("name", CODES)
def test_the_example_of_each_code(name):
    body = EXAMPLES[name]
    source = body if "fn " in body else f"{HEAD}\n{body}\n}}\n"
    assert [finding.code for finding in check(source)] == [name]


@pytest.mark.parametrize("block", re.findall(r"```rhai\n(.*?)```", CHECKER, re.DOTALL))
def test_the_scripts(block):
    assert check(block) == []
    assert format_source(block) == block


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", YAML, re.DOTALL))
def test_the_rules(block):
    assert check(compile_yaml(block).rhai_source) == []


def test_the_words():
    for word in (*OPERATORS, *COMBINERS, *SELECTIONS, *MODEL_MATCHES, *EVICTIONS):
        assert f"`{word}`" in YAML
    for word in ACTIONS:
        assert f"`{word}: " in YAML
    for root in ("job", "metrics"):
        for path in field_paths(root):
            # A list of maps can't be asked about; neither can it be in the table.
            assert f"`{path}`" in YAML, path


def test_the_operators_say_the_same():
    for row in ROWS:
        if code(row[0]) in OPERATORS and len(row) == 3:
            assert row[2]


SELECTED = [
    (code(row[0]), code(row[1]) or code(row[0])) for row in ROWS if row[0].startswith("`workers.")
]


@pytest.mark.parametrize(("written", "meant"), [row for row in SELECTED if row[0]])
def test_the_expressions(written, meant):
    assert read_select(written)[0] == meant


def test_a_rule_in_the_docs_is_read_as_it_says():
    blocks = re.findall(r"```yaml\n(.*?)```", YAML, re.DOTALL)
    assert [len(parse_yaml(block).rules) for block in blocks] == [3, 2, 1]
