"""A policy as it was written, Rhai or YAML, and the Rhai that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from rbee_scheduler_script._policy import read_policy


__all__ = ["PolicyText", "policy_text", "read_policy_text"]

YAML_SUFFIXES: Final = (".yaml", ".yml")


@attrs.frozen(kw_only=True)
class PolicyText:
    """A policy as it was written, and the Rhai that runs.

    Attributes:
        file: Name of the file; its suffix says the language.
        text: As it was written.
        source: The Rhai that runs: the same, or what the YAML was compiled to.
        lines: Line of `source` -> line of `text`, where they differ.
    """

    file: str
    text: str
    source: str
    lines: Mapping[int, int] = attrs.field(factory=dict)

    @property
    def is_yaml(self) -> bool:
        """Whether it was written as YAML rules."""
        return is_yaml(self.file)

    def place(self, line: int, column: int) -> str:
        """Return ``file:line:column`` of a place in `source`, as the author knows it."""
        if not self.is_yaml:
            return f"{self.file}:{line}:{column}"
        # Generated code: the rule it comes from begins on the last known line before.
        known = [one for one in self.lines if one <= line]
        return f"{self.file}:{self.lines[max(known)] if known else 1}:1"


def is_yaml(file: str) -> bool:
    """Whether the name of a file says that it holds YAML rules."""
    return file.lower().endswith(YAML_SUFFIXES)


def policy_text(text: str, file: str) -> PolicyText:
    """Return a policy with the Rhai that runs.

    Raises:
        PolicyError: The YAML makes no sense, at ``file:line:column``.
    """
    if not is_yaml(file):
        return PolicyText(file=file, text=text, source=text)
    # ruamel.yaml takes 30 ms to import; most policies are Rhai.
    from rbee_scheduler_script._yaml import compile_yaml

    compiled = compile_yaml(text, file=file)
    return PolicyText(file=file, text=text, source=compiled.rhai_source, lines=compiled.rule_lines)


def read_policy_text(path: str | Path) -> PolicyText:
    """Return the policy in a file.

    Raises:
        PolicyError: It can't be read, or the YAML makes no sense.
    """
    return policy_text(read_policy(path), str(path))
