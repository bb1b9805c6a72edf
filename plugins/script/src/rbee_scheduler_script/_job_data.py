"""Jobs as scripts see them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from rbee_scheduler import InferenceRequest
from rbee_scheduler_script._plain import plain, plain_map
from rbee_scheduler_script._worker_data import place


__all__ = ["COSTLY_FIELDS", "job_map"]


def _messages(request: InferenceRequest) -> list[dict[str, Any]]:
    return [plain_map(message) for message in request.messages]


# Fields whose cost grows with the prompt: hashing 4 MiB takes 3 ms. A script gets them when its
# source names them.
COSTLY_FIELDS: Final[Mapping[str, Callable[[InferenceRequest], Any]]] = {
    "messages": _messages,
    "prompt_hash": lambda request: request.prompt_hash,
}


def job_map(request: InferenceRequest, now: float, costly: Collection[str] = ()) -> dict[str, Any]:
    """Return ``request`` as a map, under the names that policies use.

    What is optional and absent is unit; `user` is always a map, and `user.geo` unit when nobody
    knows where the user is, so that ``distance(job.user.geo, w.geo)`` works for every job.

    Args:
        request: The request.
        now: Wall-clock ms, for how long it has waited.
        costly: Which of `COSTLY_FIELDS` the script reads.
    """
    user = request.user
    job = {
        "id": request.job_id,
        "job_id": request.job_id,
        "model": request.model,
        "model_ref": request.model,
        "prompt": request.prompt,
        "max_tokens": plain(request.max_tokens),
        "temperature": plain(request.temperature),
        "top_p": plain(request.top_p),
        "top_k": plain(request.top_k),
        "type": request.task_type,
        "task_type": request.task_type,
        "priority": request.priority,
        "tenant_id": request.tenant_id,
        "session_id": request.session_id,
        "seed": plain(request.seed),
        "stop": list(request.stop),
        "repetition_penalty": plain(request.repetition_penalty),
        "deadline": plain(request.deadline_at(request.created_at or now)),
        "deadline_ms": plain(request.deadline_ms),
        "user": {"geo": None if user is None else place(user.geo)},
        "created_at": plain(request.created_at),
        "queued_at": plain(request.queued_at),
        "wait_time_ms": request.wait_time_ms(now),
        "retry_count": plain(request.retry_count),
        "estimated_vram_bytes": plain(request.estimated_vram_bytes),
        "estimated_duration_ms": plain(request.estimated_duration_ms),
        "resume": request.resume,
    }
    for name in costly:
        job[name] = COSTLY_FIELDS[name](request)
    return job
