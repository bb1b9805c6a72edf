"""What the checks work with: the script, its types, and where findings are noted."""

from __future__ import annotations

import re

import attrs

from rbee_scheduler_script._check._findings import Finding, Severities, severity_of
from rbee_scheduler_script._check._infer import Types
from rbee_scheduler_script._check._vocabulary import Vocabulary
from rbee_scheduler_script.rhai import _tree as tree


__all__ = ["Notes"]

# What is underlined: the word, number, text or symbol at a place.
_TOKEN = re.compile(r"[A-Za-z_0-9]+|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^\sA-Za-z_0-9]{1,2}")


@attrs.define(kw_only=True)
class Notes:
    """One check of one script.

    Attributes:
        script: It.
        vocabulary: The words it may use.
        types: Of its expressions.
        severities: Severities by code, where they differ from the usual.
        found: What was noticed.
    """

    script: tree.Script
    vocabulary: Vocabulary
    types: Types
    severities: Severities | None
    found: list[Finding] = attrs.field(factory=list)
    _lines: list[str] = attrs.field(factory=list)

    def add(self, code: str, node: tree.Node, message: str, hint: str = "") -> None:
        """Note a finding at a node."""
        if not self._lines:
            self._lines = self.script.source.split("\n")
        severity = severity_of(code, self.severities)
        if severity == "off":
            return
        text = self._lines[node.line - 1] if node.line <= len(self._lines) else ""
        token = _TOKEN.match(text, node.column - 1)
        self.found.append(
            Finding(
                code=code,
                severity=severity,
                line=node.line,
                column=node.column,
                end_column=node.column + 1 if token is None else token.end() + 1,
                message=message,
                hint=hint,
            )
        )

    def place_of(self, name: str, node: tree.Node) -> tree.Node:
        """Return a node at a name that is declared at or behind ``node``."""
        if not self._lines:
            self._lines = self.script.source.split("\n")
        word = re.compile(rf"\b{re.escape(name)}\b")
        start = node.column - 1
        for number in range(node.line, min(node.line + 20, len(self._lines)) + 1):
            found = word.search(self._lines[number - 1], start)
            if found is not None:
                return tree.This(number, found.start() + 1)
            start = 0
        return node
