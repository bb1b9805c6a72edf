"""`compile_yaml`: rules in, a Rhai policy out."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from rbee_scheduler_script import rhai
from rbee_scheduler_script._yaml._document import read_document
from rbee_scheduler_script._yaml._emit import emit
from rbee_scheduler_script._yaml._problems import Problem, Problems, RulesError, Stop
from rbee_scheduler_script._yaml._read import read_rules
from rbee_scheduler_script._yaml._rules import RuleSet


__all__ = ["CompiledPolicy", "compile_rules", "compile_yaml", "parse_yaml"]


@attrs.frozen(kw_only=True)
class CompiledPolicy:
    """A policy made of YAML rules.

    Attributes:
        rhai_source: The policy: `schedule_job(job, pools, workers)`, or `schedule(ctx)` when a rule
            asks about metrics, which only `ctx` has.
        rule_lines: Line of the policy -> line of the YAML that it comes from.
        rules: What the file says, in the order in which the rules are asked.
        name: Of the policy; may be empty.
        version: Of the policy; may be empty.
    """

    rhai_source: str
    rule_lines: Mapping[int, int]
    rules: RuleSet
    name: str = ""
    version: str = ""


def parse_yaml(text: str, *, file: str = "<rules>") -> RuleSet:
    """Read rules, in either dialect.

    Args:
        text: The YAML.
        file: Name of the file, for places in errors.

    Raises:
        RulesError: Something is wrong; it tells everything that is.
    """
    problems = Problems()
    try:
        rules = read_rules(read_document(text, problems), problems)
    except Stop:
        raise RulesError(problems.found, file) from None
    if problems.found:
        raise RulesError(problems.found, file)
    return rules


def compile_yaml(text: str, *, file: str = "<rules>") -> CompiledPolicy:
    """Compile rules to Rhai.

    Args:
        text: The YAML.
        file: Name of the file, for places in errors.

    Raises:
        RulesError: Something is wrong; it tells everything that is.

    Example:
        >>> print(compile_yaml("rules: [{name: All, condition: true, action: {use: "
        ...                    "platform-scheduler}}]").rhai_source, end="")
        fn schedule_job(job, pools, workers) {
            // All
            return platform_schedule();
        }
    """
    return compile_rules(parse_yaml(text, file=file), file=file)


def compile_rules(rules: RuleSet, *, file: str = "<rules>") -> CompiledPolicy:
    """Compile rules that are read already.

    Raises:
        RulesError: The policy would be larger or deeper than a policy may be.
    """
    source, lines = emit(rules)
    try:
        rhai.parse(source)
    except rhai.RhaiError as error:
        line = lines.get(error.where[0], 1) if error.where else 1
        problem = Problem(line=line, column=1, message=f"too much for one policy: {error.message}",
                          hint="split it")  # fmt: skip
        raise RulesError([problem], file) from None
    return CompiledPolicy(
        rhai_source=source,
        rule_lines=lines,
        rules=rules,
        name=rules.name,
        version=rules.version,
    )
