"""Comments that silence findings: `// allow(code)` for a line, `// allow-file(code)` for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from rbee_scheduler_script._check._findings import CODES, Finding, Severities, severity_of
from rbee_scheduler_script._check._vocabulary import nearest
from rbee_scheduler_script.rhai import Comment


__all__ = ["allowed"]

_ALLOW: Final = re.compile(r"\ballow(?P<file>-file)?\((?P<codes>[^)]*)\)")


def allowed(
    findings: Iterable[Finding], comments: Sequence[Comment], severities: Severities | None
) -> list[Finding]:
    """Return the findings without those that a comment allows.

    A comment counts for its own line and, from a line of its own or not, for the next one.
    """
    everywhere: set[str] = set()
    by_line: dict[int, set[str]] = {}
    kept: list[Finding] = []
    for comment in comments:
        for found in _ALLOW.finditer(comment.text):
            codes = {code.strip() for code in found["codes"].split(",")}
            for code in sorted(codes - CODES.keys()):
                kept.extend(_unknown(code, comment, found.start(), severities))
            if found["file"]:
                everywhere |= codes
            else:
                # The last line of a block comment is the one in front of what it is about.
                last = comment.line + comment.text.count("\n")
                for line in (comment.line, last, last + 1):
                    by_line.setdefault(line, set()).update(codes)
    kept += [
        finding
        for finding in findings
        if finding.code not in everywhere | by_line.get(finding.line, set())
    ]
    return [finding for finding in kept if finding.code not in everywhere]


def _unknown(
    code: str, comment: Comment, start: int, severities: Severities | None
) -> Iterable[Finding]:
    severity = severity_of("unknown-allow", severities)
    if severity == "off":
        return
    near = nearest(code, CODES)
    lines = comment.text[:start].split("\n")
    column = len(lines[-1]) + (comment.column if len(lines) == 1 else 1)
    yield Finding(
        code="unknown-allow",
        severity=severity,
        line=comment.line + len(lines) - 1,
        column=column,
        end_column=column + len("allow"),
        message=f"`{code}` is no code of a finding",
        hint=f"did you mean `{near}`?" if near else "docs/checker.md lists them",
    )
