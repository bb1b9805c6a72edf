"""The checker: what Rhai lets pass silently, found before it runs.

_shapes, _answers      what maps hold, what helpers answer: tables
_vocabulary            these, the helper catalogue and the standard library: the words
_infer                 the type of every expression
_check_*               one subject each; they note findings
_allow, _render        comments that silence; findings as text and JSON
"""

from __future__ import annotations

from rbee_scheduler_script._check._checker import check
from rbee_scheduler_script._check._findings import CODES, Finding, Severities, Severity
from rbee_scheduler_script._check._render import findings_as_json, findings_as_text
from rbee_scheduler_script._check._vocabulary import Function, Vocabulary, standard_vocabulary


__all__ = [
    "CODES", "Finding", "Function", "Severities", "Severity", "Vocabulary", "check",
    "findings_as_json", "findings_as_text", "standard_vocabulary",
]  # fmt: skip
