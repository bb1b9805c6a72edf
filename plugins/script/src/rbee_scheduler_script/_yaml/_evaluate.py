"""What rules decide, said directly: the yardstick of the compiled policy.

Nothing here knows Rhai. The property tests run both over random rules, jobs and fleets.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

import attrs

from rbee_scheduler_script._yaml._emit import NOTHING_TO_EVICT, reason_of
from rbee_scheduler_script._yaml._glob import glob_matches
from rbee_scheduler_script._yaml._rules import (
    All,
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


__all__ = ["Scene", "evaluate", "holds"]

Map = Mapping[str, Any]

# Two numbers are the same within one rounding error, as in policies.
_EPSILON: Final = 2.220446049250313e-16


@attrs.frozen(kw_only=True)
class Scene:
    """What rules look at beside the job and the workers.

    Attributes:
        metrics: The fleet in numbers.
        turn: Number of the decision, for round-robin.
        chance: Draws for `random`.
        select: Evaluates the expression of a `select`: ``select(action, job, workers)``.
        evict: Finds whom to evict by a strategy.
        resolve: The model's reference for a short name.
    """

    metrics: Map = attrs.field(factory=dict)
    turn: int = 0
    chance: Random = attrs.field(factory=Random)
    select: Callable[[Select, Map, Sequence[Map]], Any] | None = None
    evict: Callable[[str], Map | None] = lambda _strategy: None
    resolve: Callable[[str], str] = str


def evaluate(rules: RuleSet, job: Map, workers: Sequence[Map], scene: Scene | None = None) -> Any:
    """Return what the first rule that applies answers: a worker, a decision map, or None.

    Args:
        rules: In the order in which they are asked.
        job: The job as policies see it.
        workers: The candidates as policies see them.
        scene: The rest.

    Example:
        >>> from rbee_scheduler_script._yaml import parse_yaml
        >>> rules = parse_yaml("rules: [{condition: true, action: {reject: {reason: 'no'}}}]")
        >>> evaluate(rules, {}, [])
        {'action': 'reject', 'reason': 'no'}
    """
    scene = scene or Scene()
    roots = {"job": job, "metrics": scene.metrics}
    for rule in rules.rules:
        if holds(rule.condition, roots):
            return _ACTIONS[type(rule.action)](rule.action, rule, job, workers, scene)
    return None


def holds(condition: Condition, roots: Mapping[str, Map]) -> bool:
    """Return whether a condition holds."""
    if isinstance(condition, Compare):
        value: Any = roots[condition.root]
        for name in condition.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return _QUESTIONS[condition.operator](value, condition.value)
    if isinstance(condition, All):
        return all(holds(part, roots) for part in condition.conditions)
    if isinstance(condition, Any_):
        return any(holds(part, roots) for part in condition.conditions)
    if isinstance(condition, Not):
        return not holds(condition.condition, roots)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b):
        return bool(a == b) or ((isinstance(a, float) or isinstance(b, float)) and _close(a, b))
    return type(a) is type(b) and bool(a == b)


def _close(a: float, b: float) -> bool:
    larger = 1.0 if a * b == 0 else max(abs(a), abs(b))
    return abs(a - b) / larger <= _EPSILON


def _ordered(compare: Callable[[Any, Any], bool], *, when_same: bool) -> Callable[[Any, Any], bool]:
    def ask(value: Any, other: Any) -> bool:
        both_numbers = _is_number(value) and _is_number(other)
        if not both_numbers and not (isinstance(value, str) and isinstance(other, str)):
            return False
        return when_same if _same(value, other) else compare(value, other)

    return ask


def _contains(value: Any, part: str) -> bool:
    return isinstance(value, str | list) and part in value


_QUESTIONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equals": _same,
    "not_equals": lambda value, other: not _same(value, other),
    "contains": _contains,
    "starts_with": lambda value, start: isinstance(value, str) and value.startswith(start),
    "ends_with": lambda value, end: isinstance(value, str) and value.endswith(end),
    "in": lambda value, others: any(_same(value, other) for other in others),
    "gt": _ordered(operator.gt, when_same=False),
    "gte": _ordered(operator.ge, when_same=True),
    "lt": _ordered(operator.lt, when_same=False),
    "lte": _ordered(operator.le, when_same=True),
    "exists": lambda value, there: (value is not None) is there,
    "matches_glob": lambda value, glob: isinstance(value, str) and glob_matches(value, glob),
}


def _selection(action: Any, _rule: Rule, job: Map, workers: Sequence[Map], scene: Scene) -> Any:
    if scene.select is None:
        raise ValueError("a rule selects by an expression; give Scene.select to evaluate it")
    return scene.select(action, job, workers)


def _dispatch(action: Any, _rule: Rule, job: Map, workers: Sequence[Map], scene: Scene) -> Any:
    among = list(workers)
    if action.model_match == "required":
        model = scene.resolve(job["model"])
        among = [worker for worker in among if model in worker["models"]]
    elif action.model_match == "preferred":
        among = [worker for worker in among if worker["model"] == job["model"]] or among
    if not among:
        return None
    if action.worker_selection == "random":
        return scene.chance.choice(among)
    if action.worker_selection == "round-robin":
        return among[scene.turn % len(among)]
    return _CHOICES[action.worker_selection](among)


_CHOICES: Final[Mapping[str, Callable[[list[Map]], Map]]] = {
    "cheapest": lambda among: min(among, key=lambda worker: worker["cost_per_token"]),
    "fastest": lambda among: max(among, key=lambda worker: worker["avg_tokens_per_sec"]),
    "first": lambda among: among[0],
    "first-available": lambda among: among[0],
    "least-loaded": lambda among: min(among, key=lambda worker: worker["load"]),
    "most-vram-free": lambda among: max(among, key=lambda worker: worker["vram_free_mb"]),
}


def _evict(action: Any, rule: Rule, _job: Map, _workers: Sequence[Map], scene: Scene) -> Any:
    worker_id = action.worker_id
    if not worker_id:
        victim = scene.evict(action.strategy)
        if victim is None:
            return {"action": "wait", "reason": NOTHING_TO_EVICT}
        worker_id = victim["id"]
    return {"action": "evict_worker", "worker_id": worker_id, "reason": reason_of(rule)}


def _wait(action: Any, rule: Rule, *_: Any) -> Any:
    return {"action": "wait", "reason": reason_of(rule), "retry_after_ms": action.duration_ms}


_ACTIONS: Final[Mapping[type, Callable[..., Any]]] = {
    Dispatch: _dispatch,
    Evict: _evict,
    RejectWith: lambda action, *_: {"action": "reject", "reason": action.reason},
    Select: _selection,
    UsePlatform: lambda *_: {"action": "delegate"},
    WaitFor: _wait,
}
