"""The shapes that bodies have, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rbee_scheduler import (
    Explanation,
    HiveHeartbeat,
    InferenceRequest,
    PluginInfo,
    Pool,
    Usage,
    Worker,
    WorkerHeartbeat,
)
from rbee_scheduler_gateway._openapi._derive import Schema, incoming, outgoing


__all__ = ["ref", "schemas"]

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "number"}
_WHOLE: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_ANY: Final[Schema] = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a shape."""
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _some(optional: Mapping[str, Schema] | None = None, /, **needed: Schema) -> Schema:
    """Return an object with fields that are always there, and some that may be."""
    schema: Schema = {"type": "object", "properties": {**needed, **(optional or {})}}
    if needed:
        schema["required"] = list(needed)
    return schema


def _exactly(optional: Mapping[str, Schema] | None = None, /, **needed: Schema) -> Schema:
    return {**_some(optional, **needed), "additionalProperties": False}


def _list_of(name: str, **more: Schema) -> Schema:
    data = {"type": "array", "items": ref(name)}
    return _some(object={"const": "list"}, data=data, **more)


def _worker_in() -> Schema:
    schema = incoming(Worker)
    schema["required"] = ["url"]
    return schema


def _worker_out() -> Schema:
    schema = outgoing(Worker)
    schema["properties"] |= {"usable": _FLAG, "free": _FLAG}
    return schema


def _pool_out() -> Schema:
    schema = outgoing(Pool)
    schema["properties"]["heartbeat_age_ms"] = _or_null(_NUMBER)
    return schema


def _job_in() -> Schema:
    schema = incoming(InferenceRequest)
    schema["properties"]["retry"] = {
        **_FLAG,
        "description": "Whether it may be run again when the service stopped in its middle.",
    }
    schema["required"] = ["model"]
    schema["properties"]["job_id"]["description"] = "The client's own name, kept as reference."
    return schema


def _inference_in() -> Schema:
    schema = _job_in()
    schema["required"] = ["prompt"]
    return schema


def schemas() -> dict[str, Schema]:
    """Return all shapes, by name."""
    error = _some(
        {
            "param": _TEXT,
            "retryable": _FLAG,
            "worker_id": _TEXT,
            "retry_after": _NUMBER,
            "findings": {"type": "array", "items": ref("Finding")},
        },
        message=_TEXT,
        type=_TEXT,
        code=_TEXT,
    )
    # Of a job of long ago the journal knows no more than how it ended.
    outcome = _some(
        {
            "worker_id": _or_null(_TEXT),
            "finish_reason": _or_null(_TEXT),
            "usage": ref("Usage"),
            "attempts": _WHOLE,
            "queued_ms": _NUMBER,
            "first_token_ms": _or_null(_NUMBER),
            "total_ms": _NUMBER,
        },
        kind={"enum": ["success", "error", "cancelled", "timeout", "rejected"]},
    )
    return {
        "Problem": _some(error=error),
        "Usage": outgoing(Usage),
        "Outcome": outcome,
        "JobRequest": _job_in(),
        "JobTaken": _some(
            job_id=_TEXT,
            status={"enum": ["queued", "running", "ended"]},
            queue_position=_or_null(_WHOLE),
            events_url=_TEXT,
        ),
        "Job": _some(
            {
                "reference": _or_null(_TEXT),
                "model": _TEXT,
                "priority": _TEXT,
                "created_at": _NUMBER,
                "queue_position": _or_null(_WHOLE),
                "worker_id": _or_null(_TEXT),
                "attempts": _WHOLE,
                "events": _WHOLE,
                "events_url": _TEXT,
                "outcome": _or_null(ref("Outcome")),
                "usage": _or_null(ref("Usage")),
                "error": _or_null(_ANY),
            },
            job_id=_TEXT,
            status=_TEXT,
        ),
        "Jobs": _list_of("Job", next=_or_null(_TEXT)),
        "Inference": _inference_in(),
        "InferenceTaken": _some(job_id=_TEXT, sse_url=_TEXT),
        "Cancel": _exactly(job_id=_TEXT),
        "Cancelled": _some(job_id=_TEXT, cancelled=_FLAG),
        "HiveHeartbeat": incoming(HiveHeartbeat),
        "WorkerHeartbeat": incoming(WorkerHeartbeat),
        "PoolTaken": _some(pool=ref("Pool")),
        "WorkerTaken": _some(worker=ref("Worker")),
        "WorkerAdded": _some(worker=ref("Worker"), reachable=_FLAG, reason=_TEXT),
        "NewWorker": _worker_in(),
        "Worker": _worker_out(),
        "Workers": _list_of("Worker"),
        "Deleted": _some({"id": _TEXT, "name": _TEXT}, deleted=_FLAG),
        "Pool": _pool_out(),
        "Pools": _list_of("Pool"),
        "Queue": _some(
            length=_WHOLE,
            models={"type": "array", "items": _some(model=_TEXT, task_type=_TEXT, length=_WHOLE)},
            jobs={"type": "array", "items": _some(job_id=_TEXT, model=_TEXT, position=_WHOLE)},
        ),
        "Question": {"anyOf": [ref("JobRequest"), ref("OpenAiRequest")]},
        "Explanation": _explanation(),
        "PluginInfo": outgoing(PluginInfo),
        "Plugins": _list_of(
            "PluginInfo", digest=_TEXT, strategy=_TEXT, strategies={"type": "array", "items": _TEXT}
        ),
        "Config": _some(scheduler=_ANY, gateway=_ANY),
        "Health": _some(status={"const": "ok"}),
        "Ready": _some({"reasons": {"type": "array", "items": _TEXT}}, status=_TEXT),
        "Version": _some(name=_TEXT, version=_TEXT, core=_TEXT, mode=_TEXT, process=_WHOLE),
        "Document": _some(openapi=_TEXT, info=_ANY, paths=_ANY, components=_ANY),
        **_policy_schemas(),
        **_openai_schemas(),
        "Anything": {},
        "Event": {
            **_some({"id": _TEXT, "event": _TEXT, "retry": _WHOLE}, data=_TEXT),
            "description": "One event of the stream; its data is JSON, or [DONE].",
        },
    }


def _explanation() -> Schema:
    schema = outgoing(Explanation)
    # A score that is no number is null in JSON.
    worker = schema["properties"]["workers"]["items"]["properties"]
    for name in ("weight", "weighted"):
        part = worker["contributions"]["items"]["properties"]
        part[name] = _or_null(_NUMBER)
    return schema


def _policy_schemas() -> dict[str, Schema]:
    version = _some(
        {"source": _TEXT},
        number=_WHOLE,
        digest=_TEXT,
        time=_NUMBER,
        author=_TEXT,
        file=_TEXT,
        state={"enum": ["deployed", "superseded", "refused"]},
        findings={"type": "array", "items": ref("Finding")},
    )
    in_force = _some(
        language=_TEXT,
        file=_or_null(_TEXT),
        state={"enum": ["deployed", "refused", "locked"]},
        reloads=_WHOLE,
        version=ref("PolicyVersion"),
        versions={"type": "array", "items": ref("PolicyVersion")},
        refused=_or_null(ref("PolicyVersion")),
        status=_ANY,
    )
    draft = _some({"source": _TEXT}, language=_TEXT, digest=_TEXT)
    return {
        "Finding": _some(severity=_TEXT, code=_TEXT, place=_TEXT, message=_TEXT, hint=_TEXT),
        "PolicyVersion": version,
        "Policy": _some(name=_TEXT, in_force=_or_null(in_force), draft=_or_null(draft)),
        "Policies": _list_of("Policy"),
        "PolicyDraft": _exactly({"language": {"enum": ["rhai", "yaml"]}}, source=_TEXT),
        "PolicyChecked": _some(ok=_FLAG, findings={"type": "array", "items": ref("Finding")}),
        "PolicyTest": _exactly(
            {"job": _ANY, "workers": {"type": "array", "items": ref("NewWorker")}}
        ),
        "PolicyTested": _some(decision=ref("Explanation"), trace={"type": "array", "items": _ANY}),
        "PolicyDeploy": _exactly({"target": _TEXT, "author": _TEXT}),
        "PolicyRollback": _exactly({"version": _TEXT, "author": _TEXT}),
        "PolicyDeployed": _some(policy=_TEXT, version=ref("PolicyVersion"), lasting=_FLAG),
    }


def _openai_schemas() -> dict[str, Schema]:
    """Bodies that go through as they are: only what the scheduler reads is said."""
    model = _some(id=_TEXT, object={"const": "model"}, workers={"type": "array", "items": _TEXT})
    return {
        "OpenAiRequest": _some({"stream": _or_null(_FLAG)}, model=_TEXT),
        "OpenAiAnswer": {"description": "What the worker answered."},
        "Model": model,
        "Models": _list_of("Model"),
    }
