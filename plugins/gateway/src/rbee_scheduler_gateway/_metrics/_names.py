"""Every metric of the gateway: its name, labels and buckets; nothing else spells them out.

Those that start with ``gen_ai`` are of the OpenTelemetry conventions for generative AI
(github.com/open-telemetry/semantic-conventions-genai at c9e48b1d1, status "Development": the
names may change, and then they change here), written as Prometheus writes OpenTelemetry's:
dots are underscores, and the unit is the name's end. Buckets are the conventions' own.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs


__all__ = [
    "BUILD", "CONNECTIONS", "DECISIONS", "HEARTBEATS", "JOBS", "METRICS", "OTHER", "OUTCOMES",
    "PLUGIN_CALLS", "PLUGIN_FAILURES", "PROVIDER", "QUEUE", "QUEUE_WAIT", "RELOADS", "REQUESTS",
    "REQUEST_SECONDS", "RETRIES", "RUNNING", "START", "TIME_PER_TOKEN", "TIME_TO_FIRST", "TOKENS",
    "WORKERS", "WORKER_ENDED", "WORKER_FAILURES", "WORKER_RUNNING", "WORKER_TOKENS", "Metric",
]  # fmt: skip

# The label's value of all that have none of their own.
OTHER: Final = "other"

# Who is asked, by the conventions; the workers' makers are not known to a gateway.
PROVIDER: Final = "rbee-scheduler"

_FIRST: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_EACH: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_DURATION: Final = tuple(round(0.01 * 2**n, 2) for n in range(14))  # to 81.92
_TOKENS: Final = tuple(4.0**n for n in range(14))  # to 67,108,864
_WAIT: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@attrs.frozen(eq=False)
class Metric:
    """One metric.

    Attributes:
        name: Its name; that of a counter without ``_total``.
        kind: What it is.
        about: What it says.
        labels: Names of its labels.
        buckets: Upper bounds, of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_MODEL: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

REQUEST_SECONDS: Final = Metric(
    "gen_ai_server_request_duration_seconds", "histogram",
    "Time from a request's admission to its end.",
    (*_MODEL, "error_type"), _DURATION,
)  # fmt: skip
TIME_TO_FIRST: Final = Metric(
    "gen_ai_server_time_to_first_token_seconds", "histogram",
    "Time from a streamed request's admission to its first token.",
    _MODEL, _FIRST,
)  # fmt: skip
TIME_PER_TOKEN: Final = Metric(
    "gen_ai_server_time_per_output_token_seconds", "histogram",
    "Time per token after the first one, of streamed requests that succeeded.",
    _MODEL, _EACH,
)  # fmt: skip
TOKENS: Final = Metric(
    "gen_ai_client_token_usage", "histogram",
    "Tokens of a request, as its worker counted them.",
    (*_MODEL, "gen_ai_token_type"), _TOKENS,
)  # fmt: skip

REQUESTS: Final = Metric(
    "rbee_http_requests", "counter",
    "HTTP requests by route and class of status; left: the client left before an answer.",
    ("route", "status"),
)  # fmt: skip
OUTCOMES: Final = Metric(
    "rbee_outcomes", "counter",
    "Requests for inference by how they ended, jobs included; code is empty for a success.",
    ("kind", "code"),
)  # fmt: skip
RETRIES: Final = Metric("rbee_retries", "counter", "Tries after a request's first one.")
DECISIONS: Final = Metric("rbee_decisions", "counter", "Decisions made, dry runs included.")
RUNNING: Final = Metric(
    "rbee_requests_active", "gauge", "Requests for inference that wait or run now."
)
QUEUE: Final = Metric(
    "rbee_queue_depth", "gauge", "Requests that wait for a worker, by model.", ("model",)
)
QUEUE_WAIT: Final = Metric(
    "rbee_queue_wait_seconds", "histogram",
    "Time that a request waited for a worker; those that did not wait count as 0.",
    (), _WAIT,
)  # fmt: skip
WORKERS: Final = Metric(
    "rbee_workers", "gauge",
    "Workers by status; offline: not heard of in time, whatever the status was.",
    ("status",),
)  # fmt: skip
WORKER_RUNNING: Final = Metric(
    "rbee_worker_in_flight", "gauge", "Requests of ours that a worker runs now.", ("worker",)
)
WORKER_ENDED: Final = Metric(
    "rbee_worker_requests", "counter", "Requests by the worker that had them last.", ("worker",)
)
WORKER_TOKENS: Final = Metric(
    "rbee_worker_output_tokens", "counter",
    "Tokens that a worker generated; events of the stream, where it does not count them.",
    ("worker",),
)  # fmt: skip
WORKER_FAILURES: Final = Metric(
    "rbee_worker_failures", "counter",
    "Tries that a worker failed, those that another worker made good included.",
    ("worker",),
)  # fmt: skip
HEARTBEATS: Final = Metric(
    "rbee_heartbeats", "counter",
    "Heartbeats that came here, by who sent them and what became of them.",
    ("source", "result"),
)  # fmt: skip
PLUGIN_FAILURES: Final = Metric(
    "rbee_plugin_failures", "counter", "Failures of plugins, by hook.", ("plugin", "hook")
)
PLUGIN_CALLS: Final = Metric(
    "rbee_plugin_call_seconds", "summary",
    "Time in the hooks of plugins; there only with metrics_plugin_time.",
    ("plugin", "hook"),
)  # fmt: skip
CONNECTIONS: Final = Metric(
    "rbee_connections", "gauge", "Connections of clients, idle ones included."
)
JOBS: Final = Metric("rbee_jobs", "gauge", "Jobs that are kept, by status.", ("status",))
RELOADS: Final = Metric(
    "rbee_config_reloads", "counter", "Reloads of the configuration, by result.", ("result",)
)
START: Final = Metric(
    "rbee_start_time_seconds", "gauge", "When the gateway started, seconds since 1970."
)
BUILD: Final = Metric(
    "rbee_build_info", "gauge", "Always 1; what runs is in the labels.",
    ("version", "core_version", "python_version"),
)  # fmt: skip

METRICS: Final = (
    REQUEST_SECONDS, TIME_TO_FIRST, TIME_PER_TOKEN, TOKENS, REQUESTS, OUTCOMES, RETRIES,
    DECISIONS, RUNNING, QUEUE, QUEUE_WAIT, WORKERS, WORKER_RUNNING, WORKER_ENDED, WORKER_TOKENS,
    WORKER_FAILURES, HEARTBEATS, PLUGIN_FAILURES, PLUGIN_CALLS, CONNECTIONS, JOBS, RELOADS, START,
    BUILD,
)  # fmt: skip
