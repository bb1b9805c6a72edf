"""Rules as a Rhai policy that people can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rbee_scheduler_script._yaml._emit_conditions import ConditionWriter
from rbee_scheduler_script._yaml._glob import GLOB_FUNCTION
from rbee_scheduler_script._yaml._literals import as_comment, as_literal, as_text
from rbee_scheduler_script._yaml._rules import (
    All,
    Always,
    Any_,
    Compare,
    Condition,
    Dispatch,
    Evict,
    Not,
    RejectWith,
    Rule,
    RuleSet,
    Select,
    UsePlatform,
    WaitFor,
)
from rbee_scheduler_script._yaml._tables import EVICTIONS, ROOTS, SELECTIONS


__all__ = ["NOTHING_TO_EVICT", "emit", "reason_of"]

NOTHING_TO_EVICT: Final = "there is nothing to evict"

_INDENT: Final = "    "
_IN_CTX: Final = {"job": "queue[0]"}


def reason_of(rule: Rule) -> str:
    """Return the reason that a rule's decision carries."""
    return f"rule {rule.name}"


def emit(rules: RuleSet) -> tuple[str, dict[int, int]]:
    """Return the policy, and for each of its lines the line of the YAML it comes from."""
    names = frozenset(name for rule in rules.rules for name in _names(rule))
    roots = {asked.root for rule in rules.rules for asked in _questions(rule.condition)}
    writer = _Writer(
        uses_metrics="metrics" in names,
        parameters=", ".join(root for root in ROOTS if root in roots),
    )
    writer.head(rules)
    writer.open(names)
    for rule in rules.rules:
        writer.rule(rule)
    writer.close(rules)
    return "\n".join([*writer.lines, ""]), writer.places


def _names(rule: Rule) -> Iterator[str]:
    """Yield which of `job`, `metrics`, `pools` and `workers` a rule asks for."""
    for asked in _questions(rule.condition):
        yield asked.root
    if isinstance(rule.action, Select):
        yield from rule.action.names
    elif isinstance(rule.action, Dispatch):
        yield "workers"
        if rule.action.model_match != "any":
            yield "job"


def _questions(condition: Condition) -> Iterator[Compare]:
    if isinstance(condition, Compare):
        yield condition
    elif isinstance(condition, Not):
        yield from _questions(condition.condition)
    elif isinstance(condition, All | Any_):
        for part in condition.conditions:
            yield from _questions(part)


class _Writer:
    """Gathers lines."""

    def __init__(self, *, uses_metrics: bool, parameters: str) -> None:
        self.lines: list[str] = []
        self.places: dict[int, int] = {}
        self._uses_metrics = uses_metrics
        self._conditions = ConditionWriter(parameters)

    def _add(self, text: str, line: int = 0, depth: int = 0) -> None:
        # A text in back-ticks, or an expression in several lines, keeps its own line breaks.
        for part in f"{_INDENT * depth}{text}".split("\n"):
            self.lines.append(part.rstrip() if not part.strip() else part)
            if line:
                self.places[len(self.lines)] = line

    def head(self, rules: RuleSet) -> None:
        """Write what the policy is."""
        title = as_comment(rules.name)
        if rules.version:
            title = f"{title or 'Rules'}, version {as_comment(rules.version)}"
        if title:
            self._add(f"// {title}")
        for text in rules.comments:
            self._add(f"// {as_comment(text)}")
        if self.lines:
            self._add("")

    def open(self, names: frozenset[str]) -> None:
        """Write the start of the function, for rules that ask for ``names``."""
        if not self._uses_metrics:
            self._add("fn schedule_job(job, pools, workers) {")
            return
        self._add("fn schedule(ctx) {")
        for name in ("job", "workers", "pools", "metrics"):
            if name in names:
                self._add(f"let {name} = ctx.{_IN_CTX.get(name, name)};", depth=1)
        self._add("")

    def rule(self, rule: Rule) -> None:
        """Write one rule."""
        priority = "" if rule.priority is None else f" (priority {rule.priority})"
        self._add(f"// {as_comment(rule.name)}{priority}", rule.line, 1)
        for text in rule.comments:
            self._add(f"// {as_comment(text)}", rule.line, 1)
        depth = 1
        if not isinstance(rule.condition, Always):
            self._add(f"if {self._conditions.write(rule.condition)} {{", rule.condition_line, 1)
            depth = 2
        for text in _ACTIONS[type(rule.action)](rule.action, rule):
            self._add(text, rule.action_line, depth)
        if depth > 1:
            self._add("}", rule.condition_line, 1)
        self._add("")

    def close(self, rules: RuleSet) -> None:
        """Write the end, and the functions that the conditions need."""
        if all(not isinstance(rule.condition, Always) for rule in rules.rules):
            self._add("// No rule applies: nobody.", depth=1)
            self._add("()", depth=1)
        else:
            self.lines.pop()
        self._add("}")
        parameters = self._conditions.parameters
        for number, source in enumerate(self._conditions.functions, 1):
            self._add("")
            self._add(f"fn holds_{number}({parameters}) {{")
            self._add(source, depth=1)
            self._add("}")
        if self._conditions.globs:
            self._add("")
            self._add(GLOB_FUNCTION.rstrip("\n"))


def _select(action: Any, _rule: Rule) -> list[str]:
    return [f"return {action.rhai};"]


def _dispatch(action: Any, _rule: Rule) -> list[str]:
    choose = SELECTIONS[action.worker_selection]
    if action.model_match == "required":
        return [f"return workers.with_model(job.model).{choose};"]
    if action.model_match == "preferred":
        return [
            "let loaded = workers.filter(|w| w.model == job.model);",
            "let among = if loaded.is_empty() { workers } else { loaded };",
            f"return among.{choose};",
        ]
    return [f"return workers.{choose};"]


def _use(_action: Any, _rule: Rule) -> list[str]:
    return ["return platform_schedule();"]


def _wait(action: Any, rule: Rule) -> list[str]:
    reason, pause = as_text(reason_of(rule)), as_literal(action.duration_ms)
    return [f'return #{{ action: "wait", reason: {reason}, retry_after_ms: {pause} }};']


def _reject(action: Any, _rule: Rule) -> list[str]:
    return [f"return reject({as_text(action.reason)});"]


def _evict(action: Any, rule: Rule) -> list[str]:
    reason = as_text(reason_of(rule))
    start = 'return #{ action: "evict_worker", worker_id:'
    if action.worker_id:
        return [f"{start} {as_text(action.worker_id)}, reason: {reason} }};"]
    return [
        f"let victim = {EVICTIONS[action.strategy]};",
        "if victim == () {",
        f'{_INDENT}return #{{ action: "wait", reason: {as_text(NOTHING_TO_EVICT)} }};',
        "}",
        f"{start} victim.id, reason: {reason} }};",
    ]


_ACTIONS: Final[dict[type, Callable[[Any, Rule], list[str]]]] = {
    Dispatch: _dispatch,
    Evict: _evict,
    RejectWith: _reject,
    Select: _select,
    UsePlatform: _use,
    WaitFor: _wait,
}
