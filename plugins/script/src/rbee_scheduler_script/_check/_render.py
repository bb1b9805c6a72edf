"""Findings for people, with the line and a caret, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rbee_scheduler_script._check._findings import Finding


__all__ = ["findings_as_json", "findings_as_text"]

# A minified script is one line of 64 KiB.
_WIDTH = 60


def findings_as_text(findings: Sequence[Finding], source: str, file: str = "<policy>") -> str:
    """Return findings for people: the place, what is wrong, the line with a caret, what to do.

    Args:
        findings: They.
        source: The script they are about.
        file: Its name.
    """
    lines = source.split("\n")
    return "\n".join(_shown(finding, lines, file) for finding in findings)


def _shown(finding: Finding, lines: Sequence[str], file: str) -> str:
    head = (
        f"{file}:{finding.line}:{finding.column}: {finding.severity}[{finding.code}]: "
        f"{finding.message}"
    )
    if finding.line > len(lines):
        return f"{head}\n  = {finding.hint}\n" if finding.hint else f"{head}\n"
    start = max(0, finding.column - 1 - _WIDTH)
    text = lines[finding.line - 1][start : finding.column + _WIDTH]
    # Tabs stay tabs, so that the caret stands below its character.
    blank = "".join("\t" if char == "\t" else " " for char in text[: finding.column - 1 - start])
    length = max(1, min(finding.end_column - finding.column, len(text) - len(blank)))
    margin = " " * len(str(finding.line))
    caret = f"{blank}{'^' * length}"
    hint = f" {finding.hint}" if finding.hint else ""
    return f"{head}\n {finding.line} | {text}\n {margin} | {caret}{hint}\n"


def findings_as_json(findings: Sequence[Finding], file: str = "<policy>") -> str:
    """Return findings as a JSON array of objects, stable in order."""
    return json.dumps([{"file": file, **finding.to_dict()} for finding in findings], indent=2)
