"""Every error of rbee-scheduler, in one tree.

::

    SchedulerError                 INTERNAL                     500  base of all
    ├── InvalidRequest             INVALID_REQUEST              400  the request itself is wrong
    │   ├── PromptTooLarge         PROMPT_TOO_LARGE             413  longer than allowed
    │   └── UnprocessableRequest   UNPROCESSABLE_REQUEST        422  a value is out of range
    ├── ConfigError                CONFIG_INVALID               500  configuration or options
    ├── HeartbeatRefused           HEARTBEAT_REFUSED            409  stale, replayed, or skewed
    ├── NoWorkersAvailable         NO_WORKERS_AVAILABLE         503  no worker can serve the model
    ├── CapacityExceeded           CAPACITY_EXCEEDED            429  workers exist, all are full
    ├── QuotaExceeded              QUOTA_EXCEEDED               429  a quota check denied
    ├── Rejected                   REJECTED                     403  a policy said no
    ├── DeadlineExceeded           DEADLINE_EXCEEDED            504  too late to be of use
    ├── Cancelled                  CANCELLED                    499  the caller went away
    ├── WorkerCommunicationFailed  WORKER_COMMUNICATION_FAILED  502  HTTP failed before an answer
    │   ├── StreamConnectionFailed STREAM_CONNECTION_FAILED     502  the event stream did not open
    │   ├── StreamReadError        STREAM_READ_ERROR            502  the event stream broke
    │   └── WorkerTimeout          WORKER_TIMEOUT               504  a time limit ran out
    ├── WorkerError                WORKER_ERROR                 502  the worker answered an error
    ├── ParseError                 PARSE_ERROR                  502  its answer made no sense
    └── PluginError                PLUGIN_ERROR                 500  a plugin failed; it is named
        └── PolicyError            POLICY_ERROR                 500  a script or rule set failed
            └── PolicyTimeout      POLICY_TIMEOUT               500  it ran out of time

429 means capacity exists but is contended, or a quota is spent; 503 that no worker
can serve the request; 504 that it would be too late; 400, 413 and 422 that the
request itself is at fault.
"""

from __future__ import annotations

from typing import Any, ClassVar


__all__ = [
    "Cancelled",
    "CapacityExceeded",
    "ConfigError",
    "DeadlineExceeded",
    "HeartbeatRefused",
    "InvalidRequest",
    "NoWorkersAvailable",
    "ParseError",
    "PluginError",
    "PolicyError",
    "PolicyTimeout",
    "PromptTooLarge",
    "QuotaExceeded",
    "Rejected",
    "SchedulerError",
    "StreamConnectionFailed",
    "StreamReadError",
    "UnprocessableRequest",
    "WorkerCommunicationFailed",
    "WorkerError",
    "WorkerTimeout",
]


class SchedulerError(Exception):
    """Base of every error that rbee-scheduler raises on purpose.

    Args:
        message: What happened, in one sentence.
        hint: What to do about it.
        place: Where: a JSON path (``$.workers[2].url``) or ``file:line:column``.
        retry_after: Seconds after which another try makes sense, where known.
        worker_id: The worker concerned, where there is one.

    Attributes:
        code: Stable upper-case name; safe to compare and to show to clients.
        http_status: The status a gateway answers with.
        retryable: Whether the same request may succeed later or elsewhere. A property of
            the class, but of `WorkerError` one of the worker's status.

    Example:
        >>> error = NoWorkersAvailable("no worker serves 'm'", hint="add one")
        >>> error.code, error.http_status, str(error)
        ('NO_WORKERS_AVAILABLE', 503, "no worker serves 'm' (add one)")
    """

    code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        place: str = "",
        retry_after: float | None = None,
        worker_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        self.retry_after = retry_after
        self.worker_id = worker_id

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, without what is unknown."""
        known = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "place": self.place,
            "retry_after": self.retry_after,
            "worker_id": self.worker_id,
            "retryable": self.retryable,
        }
        return {key: value for key, value in known.items() if value not in ("", None)}


class InvalidRequest(SchedulerError):
    """Raised when a request can't be understood: not JSON, an unknown or ill-typed key."""

    code = "INVALID_REQUEST"
    http_status = 400


class PromptTooLarge(InvalidRequest):
    """Raised when a prompt is longer than the deployment allows."""

    code = "PROMPT_TOO_LARGE"
    http_status = 413


class UnprocessableRequest(InvalidRequest):
    """Raised when a well-formed request holds a value out of range (``temperature`` < 0)."""

    code = "UNPROCESSABLE_REQUEST"
    http_status = 422


class ConfigError(SchedulerError):
    """Raised when a configuration file, variable, option or worker list is wrong."""

    code = "CONFIG_INVALID"


class HeartbeatRefused(SchedulerError):
    """Raised when a heartbeat is a replay, out of order, or from a clock far off."""

    code = "HEARTBEAT_REFUSED"
    http_status = 409


class NoWorkersAvailable(SchedulerError):
    """Raised when no worker can serve the model, now or by waiting for a slot."""

    code = "NO_WORKERS_AVAILABLE"
    http_status = 503
    retryable = True


class CapacityExceeded(SchedulerError):
    """Raised when every worker is full and the queue is too, or may not be used."""

    code = "CAPACITY_EXCEEDED"
    http_status = 429
    retryable = True


class QuotaExceeded(SchedulerError):
    """Raised when a quota check denied the request, or failed (checks fail closed)."""

    code = "QUOTA_EXCEEDED"
    http_status = 429
    retryable = True


class Rejected(SchedulerError):
    """Raised when a policy refused the request on purpose; the message is its reason."""

    code = "REJECTED"
    http_status = 403


class DeadlineExceeded(SchedulerError):
    """Raised when the request's deadline has passed, or would before an answer."""

    code = "DEADLINE_EXCEEDED"
    http_status = 504


class Cancelled(SchedulerError):
    """Ends a request whose caller went away or withdrew it."""

    code = "CANCELLED"
    http_status = 499


class WorkerCommunicationFailed(SchedulerError):
    """Raised when HTTP with a worker failed: refused, reset, closed, unreachable."""

    code = "WORKER_COMMUNICATION_FAILED"
    http_status = 502
    retryable = True


class StreamConnectionFailed(WorkerCommunicationFailed):
    """Raised when a worker took a job but its event stream could not be opened."""

    code = "STREAM_CONNECTION_FAILED"


class StreamReadError(WorkerCommunicationFailed):
    """Raised when a worker's event stream broke, ended early or grew without bounds."""

    code = "STREAM_READ_ERROR"


class WorkerTimeout(WorkerCommunicationFailed):
    """Raised when a worker kept silent longer than a time limit allows."""

    code = "WORKER_TIMEOUT"
    http_status = 504


class WorkerError(SchedulerError):
    """Raised when a worker answered with an error.

    Args:
        message: The worker's own message, shortened.
        status: Its HTTP status; 200 for an error inside a stream.
        body: The first bytes of its answer, for the log.
    """

    code = "WORKER_ERROR"
    http_status = 502

    def __init__(self, message: str, *, status: int = 0, body: bytes = b"", **place: Any) -> None:
        super().__init__(message, **place)
        self.status = status
        self.body = body
        self.retryable = self.at_fault

    @property
    def at_fault(self) -> bool:
        """Whether the worker is at fault, so that another one may succeed.

        408, 425, 429 and 5xx say something about the worker's state; any other 4xx is
        about the request, and would be the same everywhere. So is 501: llama.cpp answers it
        to embeddings, and a client that asks for them must not have workers left alone.
        """
        about_request = 400 <= self.status < 500 or self.status == 501  # noqa: PLR2004 - HTTP's own
        return self.status in {408, 425, 429} or not about_request

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, with the worker's status where it has one."""
        return super().to_dict() | ({"status": self.status} if self.status else {})


class ParseError(SchedulerError):
    """Raised when a worker's answer could not be parsed."""

    code = "PARSE_ERROR"
    http_status = 502
    retryable = True


class PluginError(SchedulerError):
    """Raised when a plugin can't be loaded or failed in a hook.

    Args:
        message: What went wrong.
        plugin: Instance name of the plugin.
        distribution: Its distribution and version, ``name 1.2``.
        hook: The hook it failed in.
    """

    code = "PLUGIN_ERROR"

    def __init__(
        self,
        message: str,
        *,
        plugin: str = "",
        distribution: str = "",
        hook: str = "",
        **place: Any,
    ) -> None:
        super().__init__(message, **place)
        self.plugin = plugin
        self.distribution = distribution
        self.hook = hook

    def __str__(self) -> str:
        source = f"plugin {self.plugin!r}" if self.plugin else ""
        if self.distribution:
            source = f"{source} ({self.distribution})"
        if self.hook:
            source = f"{source} in {self.hook}"
        text = super().__str__()
        return f"{source}: {text}" if source else text

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, with what is known of the plugin."""
        named = {"plugin": self.plugin, "distribution": self.distribution, "hook": self.hook}
        return super().to_dict() | {key: value for key, value in named.items() if value}


class PolicyError(PluginError):
    """Raised when a policy (a script or a rule set) failed or answered nonsense."""

    code = "POLICY_ERROR"


class PolicyTimeout(PolicyError):
    """Raised when a policy used more time or work than it may."""

    code = "POLICY_TIMEOUT"
