"""Findings, and the table of all codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs


__all__ = ["CODES", "Finding", "Severities", "Severity", "severity_of"]

Severity = Literal["error", "warning", "off"]
Severities = Mapping[str, Severity]


@attrs.frozen(slots=True, kw_only=True)
class Finding:
    """One thing noticed about a policy.

    Attributes:
        code: Stable name, a key of `CODES`.
        severity: ``"error"`` or ``"warning"``.
        line: From 1.
        column: From 1.
        end_column: Behind the last character concerned, in the same line.
        message: What is wrong, and why it matters.
        hint: What to do; may be empty.
    """

    code: str
    severity: str
    line: int
    column: int
    end_column: int
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return attrs.asdict(self)


@attrs.frozen(slots=True)
class Code:
    """A kind of finding.

    Attributes:
        severity: Unless the deployment says otherwise.
        about: What it catches, for the docs.
    """

    severity: Severity
    about: str


# Errors are what fails, or never does what it says, whenever it runs; they keep a policy from being
# deployed. Warnings may be meant.
CODES: Final[Mapping[str, Code]] = {
    "syntax-error": Code("error", "The script can't be read."),
    "no-entry-point": Code("error", "No function that decides is there."),
    "unknown-field": Code("error", "A field that its map never has; in Rhai it is just `()`."),
    "unknown-function": Code(
        "error", "Neither a helper, a standard function nor one of the script."
    ),
    "wrong-arity": Code("error", "A function is called with a number of arguments it never takes."),
    "unknown-variable": Code("error", "A name that nothing declares; running into it fails."),
    "type-mismatch": Code("warning", "A comparison of values that are never of the same type."),
    "impossible-value": Code("warning", "A field is compared with a word it never is."),
    "unreachable-code": Code(
        "warning", "It stands behind a `return`, `throw`, `break` or the like."
    ),
    "repeated-condition": Code("warning", "An `else if` asks what was asked before."),
    "duplicate-case": Code("warning", "A `switch` has the same case twice."),
    "constant-condition": Code("warning", "A condition that always comes out the same."),
    "no-answer": Code("warning", "A way through the policy ends without an answer."),
    "no-effect": Code("warning", "An expression whose value nobody takes, such as `a == b;`."),
    "unused-variable": Code("warning", "A variable or constant that nothing reads."),
    "unused-function": Code("warning", "A function that nothing calls."),
    "unused-parameter": Code("warning", "A parameter that its function never reads."),
    "unknown-allow": Code("warning", "An `allow(...)` comment names no code."),
}


def severity_of(code: str, severities: Severities | None) -> Severity:
    """Return the severity of a code in a deployment."""
    return (severities or {}).get(code, CODES[code].severity)
