"""What reading rules comes down to: known keys, and values of the right kind."""

from __future__ import annotations

from collections.abc import Mapping as Table
from typing import Any

from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script._yaml._document import Mapping, Node, Scalar, Sequence
from rbee_scheduler_script._yaml._problems import Problems


__all__ = ["check_keys", "kind_of", "text_of"]


def kind_of(node: Node) -> str:
    """Return what the node is, for a message."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a map"
    if node.value is None:
        return "nothing"
    return {bool: "true or false", str: "a text"}.get(type(node.value), "a number")


def check_keys(
    node: Mapping,
    known: Table[str, Any],
    what: str,
    problems: Problems,
    hints: Table[str, str] | None = None,
) -> None:
    """Note keys that are unknown, or missing.

    Args:
        node: The map.
        known: Keys it may have, and whether they must be there.
        what: Of whom they are keys, for the message.
        problems: Takes what is wrong.
        hints: What to say of some unknown keys.
    """
    for key, _ in node.entries:
        if key.value not in known:
            near = nearest(key.value, known)
            hint = (hints or {}).get(key.value) or (
                f"did you mean `{near}`?" if near else f"the keys are {', '.join(known)}"
            )
            problems.add(key.place, f"unknown key `{key.value}` in {what}", hint)
    for name, needed in known.items():
        if needed and node.get(name) is None:
            problems.add(node.place, f"{what} without `{name}`")


def text_of(node: Node | None, what: str, problems: Problems, *, needed: bool = False) -> str:
    """Return a text; note it when it is none. What is absent is an empty text."""
    if node is None:
        return ""
    if isinstance(node, Scalar) and type(node.value) is str:
        if node.value.strip() or not needed:
            return node.value
        problems.add(node.place, f"{what} is empty")
        return ""
    hint = f'put it in quotes: "{node.text}"' if isinstance(node, Scalar) and node.text else ""
    problems.add(node.place, f"{what} must be a text, not {kind_of(node)}", hint)
    return ""
