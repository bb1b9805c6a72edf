"""YAML rules: read strictly, compiled to Rhai that people can read.

    text -> _document (nodes with places) -> _read (rules) -> _emit (Rhai)
                                                 -> _evaluate (what they mean, without Rhai)

`_tables` has the words; the reader, the JSON Schema and the docs take them from there.
"""

from __future__ import annotations

from rbee_scheduler_script._yaml._compiled import (
    CompiledPolicy,
    compile_rules,
    compile_yaml,
    parse_yaml,
)
from rbee_scheduler_script._yaml._evaluate import Scene, evaluate
from rbee_scheduler_script._yaml._problems import Problem, RulesError
from rbee_scheduler_script._yaml._rules import Rule, RuleSet
from rbee_scheduler_script._yaml._schema import json_schema


__all__ = [
    "CompiledPolicy", "Problem", "Rule", "RuleSet", "RulesError", "Scene", "compile_rules",
    "compile_yaml", "evaluate", "json_schema", "parse_yaml",
]  # fmt: skip
