"""What the gateway itself refuses, beside core's errors."""

from __future__ import annotations

from rbee_scheduler import SchedulerError


__all__ = ["Conflict", "EventsLost", "MethodNotAllowed", "NotFound", "ShuttingDown"]


class NotFound(SchedulerError):
    """Raised when there is no such path, job, worker or policy."""

    code = "NOT_FOUND"
    http_status = 404


class MethodNotAllowed(SchedulerError):
    """Raised when a path is there, but not for this method.

    Args:
        allowed: The methods it has.
    """

    code = "METHOD_NOT_ALLOWED"
    http_status = 405

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message, hint=f"it has: {allowed}")
        self.allowed = allowed


class Conflict(SchedulerError):
    """Raised when something is there already, or not in a state for this."""

    code = "CONFLICT"
    http_status = 409


class EventsLost(SchedulerError):
    """Raised when events are asked for that are no longer kept."""

    code = "EVENTS_LOST"
    http_status = 410


class ShuttingDown(SchedulerError):
    """Ends what still runs when the service stops."""

    code = "SHUTTING_DOWN"
    http_status = 503
    retryable = True
