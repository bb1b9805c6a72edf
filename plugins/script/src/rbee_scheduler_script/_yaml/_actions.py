"""Actions of rules, from YAML."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Table
from typing import Any, Final

import attrs

from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script._yaml._document import Mapping, Node, Scalar
from rbee_scheduler_script._yaml._keys import check_keys, kind_of, text_of
from rbee_scheduler_script._yaml._problems import Problems
from rbee_scheduler_script._yaml._rules import (
    Action,
    Dispatch,
    Evict,
    RejectWith,
    Select,
    UsePlatform,
    WaitFor,
)
from rbee_scheduler_script._yaml._select import BadExpression, read_select
from rbee_scheduler_script._yaml._tables import EVICTIONS, MODEL_MATCHES, SELECTIONS


__all__ = ["ACTIONS", "MAX_WAIT_MS", "ActionKind", "Key", "read_action"]

# A day; who waits longer has made a slip in the unit.
MAX_WAIT_MS: Final = 86_400_000


@attrs.frozen(kw_only=True)
class Key:
    """A key of an action.

    Attributes:
        about: What it says, for the docs.
        needed: Whether it must be there.
        words: The words it takes; empty: any text.
        number: Whether it takes a number of milliseconds instead.
    """

    about: str
    needed: bool = False
    words: tuple[str, ...] = ()
    number: bool = False


@attrs.frozen(kw_only=True)
class ActionKind:
    """One action.

    Attributes:
        about: What it does, for the docs.
        make: Makes it of what its keys say (or of its one value).
        keys: Its keys; none for one that takes a plain text.
        words: The words that text may be; empty: any.
        one_of: Keys of which exactly one must be there.
    """

    about: str
    make: Callable[..., Action]
    keys: Table[str, Key] = attrs.field(factory=dict)
    words: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


def _select(source: str) -> Action:
    rhai, names = read_select(source)
    return Select(source=source, rhai=rhai, names=names)


def _use(_name: str) -> Action:
    return UsePlatform()


ACTIONS: Final[Table[str, ActionKind]] = {
    "select": ActionKind(
        about="the worker that an expression over `workers`, `pools` and `job` gives",
        make=_select,
    ),
    "dispatch": ActionKind(
        about="a worker by the name of a way to choose",
        make=Dispatch,
        keys={
            "worker_selection": Key(
                about="how to choose", needed=True, words=tuple(sorted(SELECTIONS))
            ),
            "model_match": Key(
                about="among which candidates; `any` by default", words=tuple(MODEL_MATCHES)
            ),
        },
    ),
    "use": ActionKind(
        about="leaves the decision to the rest of the deployment",
        make=_use,
        words=("platform-scheduler",),
    ),
    "wait": ActionKind(
        about="lets the job wait, to be asked about again",
        make=WaitFor,
        keys={"duration_ms": Key(about="for how long", needed=True, number=True)},
    ),
    "reject": ActionKind(
        about="refuses the job",
        make=RejectWith,
        keys={"reason": Key(about="what the client is told", needed=True)},
    ),
    "evict": ActionKind(
        about="asks the pool manager to stop a worker; the job waits meanwhile",
        make=Evict,
        keys={
            "worker_id": Key(about="which worker"),
            "strategy": Key(about="how to find it", words=tuple(sorted(EVICTIONS))),
        },
        one_of=("worker_id", "strategy"),
    ),
}


def read_action(node: Node, problems: Problems) -> Action:
    """Return an action; what is wrong with it is noted."""
    if not isinstance(node, Mapping) or len(node.entries) != 1:
        what = kind_of(node) if not isinstance(node, Mapping) else f"{len(node.entries)} actions"
        problems.add(node.place, f"{what} where one action is wanted",
                     f"write one of {', '.join(ACTIONS)}")  # fmt: skip
        return UsePlatform()
    ((key, value),) = node.entries
    kind = ACTIONS.get(key.value)
    if kind is None:
        check_keys(node, dict.fromkeys(ACTIONS, False), "an action", problems)
        return UsePlatform()
    before = len(problems.found)
    given = _keys(kind, key.value, value, problems) if kind.keys else {}
    if not kind.keys:
        text = _word(value, f"`{key.value}`", kind.words, problems)
    if len(problems.found) > before:
        return UsePlatform()
    try:
        return kind.make(**given) if kind.keys else kind.make(text)
    except BadExpression as wrong:
        problems.add(_within(value, wrong.column), wrong.message, wrong.hint)
        return UsePlatform()


def _within(node: Node, column: int) -> tuple[int, int]:
    """Return the place of a character of a text; its start when it is written in several lines."""
    line, start = node.place
    if isinstance(node, Scalar) and node.style in ("", "'", '"'):
        return line, start + column + len(node.style)
    return line, start


def _keys(kind: ActionKind, name: str, node: Node, problems: Problems) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        example = next(iter(kind.keys))
        problems.add(node.place, f"{kind_of(node)} under `{name}`", f"write `{example}:` there")
        return {}
    needed = {key: description.needed for key, description in kind.keys.items()}
    check_keys(node, needed, f"`{name}`", problems)
    if kind.one_of and sum(node.get(key) is not None for key in kind.one_of) != 1:
        problems.add(node.place, f"`{name}` takes one of {', '.join(kind.one_of)}")
    out: dict[str, Any] = {}
    for key, description in kind.keys.items():
        value = node.get(key)
        if value is None:
            continue
        if description.number:
            out[key] = _milliseconds(value, key, problems)
        else:
            out[key] = _word(value, f"`{key}`", description.words, problems)
    return out


def _word(node: Node, what: str, words: tuple[str, ...], problems: Problems) -> str:
    text = text_of(node, what, problems, needed=True)
    if words and text and text not in words:
        near = nearest(text, words)
        hint = f"did you mean `{near}`?" if near else f"one of {', '.join(words)}"
        problems.add(node.place, f"{what} is no {text[:40]!r}", hint)
    return text


def _milliseconds(node: Node, key: str, problems: Problems) -> float:
    value = node.value if isinstance(node, Scalar) else None
    if type(value) in (int, float) and 0 <= value <= MAX_WAIT_MS:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    problems.add(node.place, f"`{key}` must be a number of milliseconds, 0 to {MAX_WAIT_MS}")
    return 0
