"""Errors of the platform that core's tree has not.

::

    SchedulerError
    └── StoreError             STORE_FAILED        503  the store could not do it; base of:
        ├── StoreConflict      STORE_CONFLICT      409  it says otherwise: exists, ended, not yours
        └── StoreUnavailable   STORE_UNAVAILABLE   503  it can't be reached, or is busy or full
"""

from __future__ import annotations

from rbee_scheduler import SchedulerError


__all__ = ["StoreConflict", "StoreError", "StoreUnavailable", "refused"]


class StoreError(SchedulerError):
    """Raised when the store could not do what it was asked; nothing of it was done."""

    code = "STORE_FAILED"
    http_status = 503


class StoreConflict(StoreError):
    """Raised when the store says otherwise: a name is taken, a job has ended, or is another's."""

    code = "STORE_CONFLICT"
    http_status = 409


class StoreUnavailable(StoreError):
    """Raised when the store can't be reached, is locked for too long, or its disk is full."""

    code = "STORE_UNAVAILABLE"
    retryable = True


def refused(reason: str) -> StoreConflict:
    """Return an engine's refusal of a row as ours, with what is most likely behind it."""
    hints = {"foreign key": "its tenant is not in the store", "unique": "its id is taken"}
    hint = next((hint for words, hint in hints.items() if words in reason.lower()), "")
    return StoreConflict(f"the store refused: {reason}", hint=hint)
