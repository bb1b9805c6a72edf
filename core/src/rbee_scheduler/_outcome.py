"""The outcome: how a request ended; reported exactly once."""

from __future__ import annotations

from typing import Literal

import attrs

from rbee_scheduler._errors import SchedulerError


__all__ = ["Outcome", "OutcomeKind", "Usage"]

OutcomeKind = Literal["success", "error", "cancelled", "timeout", "rejected"]


@attrs.frozen(kw_only=True, slots=False)
class Usage:
    """Tokens a worker counted; None where it did not say.

    A token is neither an event nor a word: only the worker knows the count.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


# Both without __slots__, which a frozen class sets with a call each; every request makes them.
@attrs.frozen(kw_only=True, slots=False)
class Outcome:
    """How one request ended.

    Attributes:
        job_id: The request.
        kind: ``"success"``, ``"error"``, ``"cancelled"``, ``"timeout"`` or ``"rejected"``.
        worker_id: The last worker that had it; empty when none did.
        error: What went wrong, for every kind but success.
        usage: Tokens, as the worker counted them.
        attempts: How many workers were tried.
        queued_ms: Time spent waiting for a worker, ms.
        first_token_ms: From admission to the first token, ms; None when there was none.
        total_ms: From admission to the end, ms.
        finish_reason: The worker's reason for ending: ``"stop"``, ``"length"``, ...
    """

    job_id: str
    kind: OutcomeKind
    worker_id: str = ""
    error: SchedulerError | None = None
    usage: Usage = attrs.field(factory=Usage)
    attempts: int = 0
    queued_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0
    finish_reason: str = ""
