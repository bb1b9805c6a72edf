"""Rules as data: what a file of YAML rules says, in either dialect.

RuleSet
  Rule        name, condition, action
    Condition   Always Compare All Any Not
    Action      Select Dispatch UsePlatform WaitFor RejectWith Evict
"""

from __future__ import annotations

from typing import Any

import attrs


__all__ = [
    "Action", "All", "Always", "Any_", "Compare", "Condition", "Dispatch", "Evict", "Not",
    "RejectWith", "Rule", "RuleSet", "Select", "UsePlatform", "WaitFor",
]  # fmt: skip


@attrs.frozen(kw_only=True)
class Always:
    """Holds for every job."""


@attrs.frozen(kw_only=True)
class Compare:
    """One question about one field.

    Attributes:
        root: ``"job"`` or ``"metrics"``.
        path: Names of the fields, from the root.
        kind: Type of the field.
        operator: A word of `OPERATORS`.
        value: What it is compared with.
        line: Where it is written.
    """

    root: str
    path: tuple[str, ...]
    kind: str
    operator: str
    value: Any
    line: int = 0


@attrs.frozen(kw_only=True)
class All:
    """Holds when every one holds."""

    conditions: tuple[Condition, ...]


@attrs.frozen(kw_only=True)
class Any_:  # noqa: N801 - `Any` is taken
    """Holds when at least one holds."""

    conditions: tuple[Condition, ...]


@attrs.frozen(kw_only=True)
class Not:
    """Holds when the other does not."""

    condition: Condition


Condition = Always | Compare | All | Any_ | Not


@attrs.frozen(kw_only=True)
class Select:
    """Choose by an expression.

    Attributes:
        source: As written.
        rhai: The same with bare fields as closures, and texts in double quotes.
        names: Which of `job`, `metrics`, `pools` and `workers` it uses.
    """

    source: str
    rhai: str
    names: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Dispatch:
    """Choose by name: words of `SELECTIONS` and `MODEL_MATCHES`."""

    worker_selection: str
    model_match: str = "any"


@attrs.frozen(kw_only=True)
class UsePlatform:
    """Leave the decision to the rest of the deployment."""


@attrs.frozen(kw_only=True)
class WaitFor:
    """Let the job wait."""

    duration_ms: float


@attrs.frozen(kw_only=True)
class RejectWith:
    """Refuse the job."""

    reason: str


@attrs.frozen(kw_only=True)
class Evict:
    """Ask for a worker to be evicted: the one named, or the one a word of `EVICTIONS` finds."""

    worker_id: str = ""
    strategy: str = ""


Action = Select | Dispatch | UsePlatform | WaitFor | RejectWith | Evict


@attrs.frozen(kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: For people.
        condition: When it applies.
        action: What it does then.
        priority: Higher ones are asked first; equals in the order written.
        line: Line of the rule in the file.
        condition_line: Line of its condition.
        action_line: Line of its action.
        comments: What the author wrote about it.
    """

    name: str
    condition: Condition
    action: Action
    priority: int | None = None
    line: int = 0
    condition_line: int = 0
    action_line: int = 0
    comments: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RuleSet:
    """All rules, in the order in which they are asked; the first that applies decides.

    Attributes:
        rules: They.
        name: Of the policy; may be empty.
        version: Of the policy; may be empty.
        comments: What the author wrote above the first rule.
    """

    rules: tuple[Rule, ...]
    name: str = ""
    version: str = ""
    comments: tuple[str, ...] = ()
