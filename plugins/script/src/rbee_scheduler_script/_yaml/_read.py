"""From a document to rules: strict, with the place of everything that is wrong."""

from __future__ import annotations

from typing import Final

from rbee_scheduler_script._yaml._actions import read_action
from rbee_scheduler_script._yaml._conditions import read_condition
from rbee_scheduler_script._yaml._document import Document, Mapping, Node, Scalar, Sequence
from rbee_scheduler_script._yaml._keys import check_keys, kind_of, text_of
from rbee_scheduler_script._yaml._problems import Problems
from rbee_scheduler_script._yaml._rules import Always, Rule, RuleSet, UsePlatform


__all__ = ["HEAD_KEYS", "RULE_KEYS", "read_rules"]

MAX_RULES: Final = 500

# Keys of a rule, and whether they must be there.
RULE_KEYS: Final = {"name": False, "condition": True, "action": True, "priority": False}
HEAD_KEYS: Final = {"name": False, "version": False, "rules": True}

_PRIORITY: Final = range(-(2**31), 2**31)


def read_rules(document: Document, problems: Problems) -> RuleSet:
    """Return the rules of a document, in the order in which they are asked.

    Args:
        document: The file.
        problems: Takes what is wrong; the rules are only good when there is nothing.

    Raises:
        Stop: It holds no rules at all.
    """
    root = document.root
    if not isinstance(root, Mapping):
        raise problems.stop(root.place, f"{kind_of(root)} instead of rules", "start with `rules:`")
    ranked = root.get("scheduler") is not None
    head: Node = root
    if ranked:
        check_keys(root, {"scheduler": True}, "a file with `scheduler`", problems)
        head = root.get("scheduler") or root
    if not isinstance(head, Mapping):
        raise problems.stop(head.place, f"{kind_of(head)} under `scheduler`", "put `rules:` there")
    check_keys(head, HEAD_KEYS, "the file" if head is root else "`scheduler`", problems)
    listed = head.get("rules")
    nodes = listed.items if isinstance(listed, Sequence) else ()
    if listed is not None and not nodes:
        problems.add(listed.place, "`rules` must be a list with at least one rule")
    if len(nodes) > MAX_RULES:
        raise problems.stop(nodes[MAX_RULES].place, f"more than {MAX_RULES} rules")
    above, comments = _comments(document, [node.place[0] for node in nodes])
    rules = [
        rule
        for at, node in enumerate(nodes)
        if (rule := _rule(node, at, comments[at], problems, ranked=ranked)) is not None
    ]
    _check_names(rules, problems)
    if ranked:
        rules.sort(key=lambda rule: -(rule.priority or 0))
    return RuleSet(
        rules=tuple(rules),
        name=text_of(head.get("name"), "the name", problems),
        version=_version(head.get("version"), problems),
        comments=above,
    )


def _version(node: Node | None, problems: Problems) -> str:
    # `version: 1.0` is a number in YAML, and what people write.
    if isinstance(node, Scalar) and type(node.value) in (int, float):
        return node.text
    return text_of(node, "the version", problems)


def _rule(
    node: Node, at: int, comments: tuple[str, ...], problems: Problems, *, ranked: bool
) -> Rule | None:
    if not isinstance(node, Mapping):
        problems.add(node.place, f"{kind_of(node)} instead of a rule",
                     "write `- name: ...` and, below it, `condition:` and `action:`")  # fmt: skip
        return None
    known = dict(RULE_KEYS)
    if not ranked:
        del known["priority"]
    hints = {"priority": "rules under `rules:` go from top to bottom; priorities are for the form "
             "with `scheduler:`"}  # fmt: skip
    check_keys(node, known, "a rule", problems, {} if ranked else hints)
    condition, action = node.get("condition"), node.get("action")
    return Rule(
        name=text_of(node.get("name"), "the name", problems) or f"rule {at + 1}",
        condition=Always() if condition is None else read_condition(condition, problems),
        action=UsePlatform() if action is None else read_action(action, problems),
        priority=_priority(node.get("priority"), problems) if ranked else None,
        line=node.place[0],
        condition_line=(condition or node).place[0],
        action_line=(action or node).place[0],
        comments=comments,
    )


def _priority(node: Node | None, problems: Problems) -> int:
    if node is None:
        return 0
    if isinstance(node, Scalar) and type(node.value) is int and node.value in _PRIORITY:
        return node.value
    problems.add(node.place, "a priority must be a whole number")
    return 0


def _check_names(rules: list[Rule], problems: Problems) -> None:
    seen: dict[str, int] = {}
    for rule in rules:
        if rule.name in seen:
            problems.add(
                (rule.line, 1), f"the name {rule.name!r} is there twice, first in line "
                f"{seen[rule.name]}", "names tell rules apart in traces; give each its own",
            )  # fmt: skip
        seen.setdefault(rule.name, rule.line)


def _comments(
    document: Document, starts: list[int]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the comments above all rules, and those of each rule.

    A comment on lines of its own right above a rule is that rule's.
    """
    # The first line that counts as a rule's, up to the next rule's.
    firsts: list[int] = []
    for start in starts:
        first = start
        while first - 1 in document.alone:
            first -= 1
        firsts.append(first)
    above: list[str] = []
    owned: list[list[str]] = [[] for _ in starts]
    for line, text in sorted(document.comments.items()):
        at = sum(first <= line for first in firsts) - 1
        if text:
            (owned[at] if at >= 0 else above).append(text)
    return tuple(above), [tuple(lines) for lines in owned]
