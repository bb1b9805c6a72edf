"""What each route takes and answers: one row per route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from rbee_scheduler_gateway._openapi._examples import EXAMPLES
from rbee_scheduler_gateway._openapi._schemas import ref


__all__ = ["OPERATIONS", "Operation"]

EVENTS: Final = "text/event-stream"
TEXT: Final = "text/plain"
JSON: Final = "application/json"

# What a request for inference can come to, beside an answer.
_INFERENCE: Final = (413, 422, 429, 499, 502, 504)


@attrs.frozen
class Operation:
    """What a route takes and answers.

    Attributes:
        about: What it does, in a sentence.
        tag: What it belongs to.
        status: Of a good answer.
        answer: Name of the answer's shape; empty: it has no JSON body.
        kind: Content type of the answer.
        body: Name of the request body's shape; empty: it takes none.
        needs_body: Whether the body may be left out.
        query: Parameters of the query, by name, with their schemas.
        errors: Statuses of refusals, beside those that every route has.
        also: Further good answers: status and shape.
        headers: Whether the headers of inference (priority, deadline, ...) hold.
        passes_on: Whether the answer is a worker's own: JSON, events, or why it refuses.
    """

    about: str
    tag: str
    status: int = 200
    answer: str = ""
    kind: str = JSON
    body: str = ""
    needs_body: bool = True
    query: Mapping[str, Any] = attrs.field(factory=dict)
    errors: tuple[int, ...] = ()
    also: tuple[tuple[int, str], ...] = ()
    headers: bool = False
    passes_on: bool = False


def _openai(about: str) -> Operation:
    return Operation(
        about,
        "OpenAI",
        answer="OpenAiAnswer",
        body="OpenAiRequest",
        errors=(*_INFERENCE, 404),
        headers=True,
        passes_on=True,
    )


_PAGE: Final = {"type": "integer", "minimum": 1, "maximum": 1000}
_WORKER_STATUS: Final = {
    "enum": ["online", "offline", "starting", "ready", "busy", "stopped", "failed"]
}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_ONE: Final = "/v1/policies/{name}"
_SAVE: Final = Operation(
    "Save a draft of a policy.",
    "Policies",
    answer="Policy",
    body="PolicyDraft",
    query={"language": {"enum": ["rhai", "yaml"]}},
    errors=(404, 422),
    also=((201, "Policy"),),
)
_CANCEL_JOB: Final = Operation(
    "Cancel a job; one that has ended stays as it is.",
    "Jobs",
    answer="Job",
    errors=(404,),
    also=((202, "Job"),),
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/chat/completions"): _openai("Complete a chat."),
    ("POST", "/v1/completions"): _openai("Complete a text."),
    ("POST", "/v1/embeddings"): _openai("Embed texts."),
    ("POST", "/v1/responses"): _openai("Make a response, where the worker has them."),
    ("GET", "/v1/models"): Operation("List what is served.", "OpenAI", answer="Models"),
    ("GET", "/v1/models/{model}"): Operation(
        "Say who serves a model.", "OpenAI", answer="Model", errors=(404,)
    ),
    ("POST", "/v1/jobs"): Operation(
        "Take a job.", "Jobs", 202, "JobTaken", body="JobRequest", errors=_INFERENCE, headers=True
    ),
    ("GET", "/v1/jobs"): Operation(
        "List one's own jobs, the oldest first.",
        "Jobs",
        answer="Jobs",
        query={
            "limit": _PAGE,
            "after": {"type": "string"},
            "status": {"enum": ["queued", "running", "ended"]},
        },
        errors=(404,),
    ),
    ("GET", "/v1/jobs/{job_id}"): Operation(
        "Say how a job is.", "Jobs", answer="Job", errors=(404,)
    ),
    ("GET", "/v1/jobs/{job_id}/events"): Operation(
        "Stream a job's events; Last-Event-ID, or after, resumes. 204: there are no more.",
        "Jobs",
        kind=EVENTS,
        query={"after": _NUMBER},
        errors=(404, 410),
        also=((204, ""),),
    ),
    ("DELETE", "/v1/jobs/{job_id}"): _CANCEL_JOB,
    ("POST", "/v1/jobs/{job_id}/cancel"): _CANCEL_JOB,
    ("POST", "/v1/inference"): Operation(
        "Take a prompt, as a queen worker does.",
        "Queen",
        answer="InferenceTaken",
        body="Inference",
        errors=_INFERENCE,
        headers=True,
    ),
    ("GET", "/v1/inference/{job_id}/stream"): Operation(
        "Stream what was generated, as a queen worker does.",
        "Queen",
        kind=EVENTS,
        errors=(404, 410),
    ),
    ("POST", "/v1/cancel"): Operation(
        "Cancel a job, whether or not it is there.", "Queen", answer="Cancelled", body="Cancel"
    ),
    ("POST", "/v1/hive-heartbeat"): Operation(
        "Say how a hive is.",
        "Fleet",
        answer="PoolTaken",
        body="HiveHeartbeat",
        errors=(409, 422),
    ),
    ("POST", "/v1/worker-heartbeat"): Operation(
        "Say how a worker is.",
        "Fleet",
        answer="WorkerTaken",
        body="WorkerHeartbeat",
        errors=(409, 422),
    ),
    ("GET", "/v1/workers"): Operation(
        "List the workers.",
        "Fleet",
        answer="Workers",
        query={"model": {"type": "string"}, "status": _WORKER_STATUS},
    ),
    ("POST", "/v1/workers"): Operation(
        "Add a worker by its URL.",
        "Fleet",
        201,
        "WorkerAdded",
        body="NewWorker",
        errors=(409, 422),
    ),
    ("GET", "/v1/workers/{worker_id}"): Operation(
        "Show a worker.", "Fleet", answer="Worker", errors=(404,)
    ),
    ("DELETE", "/v1/workers/{worker_id}"): Operation(
        "Forget a worker; what it runs goes on.", "Fleet", answer="Deleted", errors=(404,)
    ),
    ("POST", "/v1/workers/{worker_id}/drain"): Operation(
        "Give a worker no new requests.", "Fleet", answer="Worker", errors=(404,)
    ),
    ("POST", "/v1/workers/{worker_id}/undrain"): Operation(
        "Give a worker requests again.", "Fleet", answer="Worker", errors=(404,)
    ),
    ("GET", "/v1/pools"): Operation("List the pools.", "Fleet", answer="Pools"),
    ("GET", "/v1/queue"): Operation(
        "Say how many wait, and where one's own jobs stand.",
        "Fleet",
        answer="Queue",
        query={"limit": {**_PAGE, "minimum": 0}},
    ),
    ("POST", "/v1/route"): Operation(
        "Say where a request would go, and why; nothing is sent.",
        "Fleet",
        answer="Explanation",
        body="Question",
        errors=(413, 422),
    ),
    ("GET", "/v1/plugins"): Operation("List the plugins.", "Operations", answer="Plugins"),
    ("GET", "/v1/config"): Operation(
        "Show the configuration in force, without secrets.", "Operations", answer="Config"
    ),
    ("GET", "/v1/events"): Operation(
        "Stream what happens: requests, workers, statistics.", "Operations", kind=EVENTS
    ),
    ("GET", "/v1/policies"): Operation(
        "List the policies.", "Policies", answer="Policies", errors=(404,)
    ),
    ("GET", _ONE): Operation("Show a policy.", "Policies", answer="Policy", errors=(404,)),
    ("PUT", _ONE): _SAVE,
    ("POST", _ONE): _SAVE,
    ("DELETE", _ONE): Operation("Delete a draft.", "Policies", answer="Deleted", errors=(404, 409)),
    ("POST", f"{_ONE}/check"): Operation(
        "Check a draft.", "Policies", answer="PolicyChecked", errors=(404,)
    ),
    ("POST", f"{_ONE}/test"): Operation(
        "Try a draft on a job.",
        "Policies",
        answer="PolicyTested",
        body="PolicyTest",
        needs_body=False,
        errors=(404, 422),
    ),
    ("POST", f"{_ONE}/deploy"): Operation(
        "Let a draft decide from the next request on.",
        "Policies",
        answer="PolicyDeployed",
        body="PolicyDeploy",
        needs_body=False,
        errors=(404, 409, 422),
    ),
    ("POST", f"{_ONE}/rollback"): Operation(
        "Let an older version decide again.",
        "Policies",
        answer="PolicyDeployed",
        body="PolicyRollback",
        needs_body=False,
        errors=(404, 409, 422),
    ),
    ("GET", "/openapi.json"): Operation("This description.", "Operations", answer="Document"),
    ("GET", "/health"): Operation("Say whether the service lives.", "Operations", answer="Health"),
    ("GET", "/ready"): Operation(
        "Say whether it can serve.", "Operations", answer="Ready", also=((503, "Ready"),)
    ),
    ("GET", "/version"): Operation("Say what runs.", "Operations", answer="Version"),
    ("GET", "/metrics"): Operation("Show the metrics.", "Operations", kind=TEXT),
}


def content(name: str, kind: str) -> dict[str, Any]:
    """Return the ``content`` of an answer or a body."""
    name = name or ("Event" if kind == EVENTS else "")
    described: dict[str, Any] = {"schema": ref(name) if name else {"type": "string"}}
    if name in EXAMPLES:
        described["example"] = EXAMPLES[name]
    return {kind: described}
