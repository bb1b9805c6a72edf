"""`check`: everything that can be said about a policy without running it."""

from __future__ import annotations

from rbee_scheduler_script import rhai
from rbee_scheduler_script._check._allow import allowed
from rbee_scheduler_script._check._check_flow import check_flow
from rbee_scheduler_script._check._check_names import check_names
from rbee_scheduler_script._check._check_unused import check_unused
from rbee_scheduler_script._check._check_values import check_values
from rbee_scheduler_script._check._findings import CODES, Finding, Severities, severity_of
from rbee_scheduler_script._check._infer import Types
from rbee_scheduler_script._check._notes import Notes
from rbee_scheduler_script._check._vocabulary import Vocabulary, nearest, standard_vocabulary


__all__ = ["check"]


def check(
    source: str,
    *,
    vocabulary: Vocabulary | None = None,
    severities: Severities | None = None,
    limits: rhai.Limits | None = None,
) -> list[Finding]:
    """Return what is to be said about a policy, by place.

    Args:
        source: The script.
        vocabulary: The words it may use; this plugin's helpers and fields by default.
        severities: Severities by code, where they differ from the usual; ``"off"`` silences.
        limits: Limits on the size of the script.

    Raises:
        ValueError: ``severities`` names an unknown code.

    Example:
        >>> (finding,) = check("fn schedule_job(job, pools, workers) {"
        ...                    " workers.filter(|w| w.gpu > 1).first() }")
        >>> finding.code, finding.hint
        ('unknown-field', 'did you mean `gpus`?')
    """
    for code in severities or {}:
        if code not in CODES:
            near = nearest(code, CODES)
            raise ValueError(f"{code!r} is no code{f', did you mean {near!r}?' if near else ''}")
    try:
        script = rhai.parse(source, limits, comments=True)
    except rhai.RhaiError as error:
        return _unreadable(error, severities)
    words = vocabulary or standard_vocabulary()
    notes = Notes(
        script=script, vocabulary=words, types=Types(script, words), severities=severities
    )
    for look in (check_names, check_values, check_flow, check_unused):
        look(notes)
    found = allowed(notes.found, script.comments, severities)
    return sorted(found, key=lambda finding: (finding.line, finding.column, finding.code))


def _unreadable(error: rhai.RhaiError, severities: Severities | None) -> list[Finding]:
    severity = severity_of("syntax-error", severities)
    line, column = error.where or (1, 1)
    if severity == "off":
        return []
    return [
        Finding(
            code="syntax-error",
            severity=severity,
            line=line,
            column=column,
            end_column=column + 1,
            message=error.message or error.kind,
        )
    ]
