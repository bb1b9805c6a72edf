"""A request in a store: what may be read by all, and what is sealed."""

from __future__ import annotations

import json
from typing import Any, Final

from rbee_scheduler import InferenceRequest, loads, unstructure
from rbee_scheduler_platform._errors import StoreError
from rbee_scheduler_platform._records import JobRecord


__all__ = ["job_record", "packed", "unpacked"]

# Names and numbers. A field that is not listed is sealed alone: free text (prompt, messages,
# stop), and where a user is.
_READABLE: Final = (
    "job_id", "model", "max_tokens", "temperature", "top_p", "top_k", "seed",
    "repetition_penalty", "task_type", "priority", "tenant_id", "session_id", "deadline",
    "deadline_ms", "created_at", "queued_at", "retry_count", "estimated_vram_bytes",
    "estimated_duration_ms", "resume", "strategy",
)  # fmt: skip


def job_record(
    request: InferenceRequest, *, gateway: str, now: float, retry: bool = False
) -> JobRecord:
    """Return the record of a job that is queued, without a word of its prompt.

    Args:
        request: The request; its tenant is set.
        gateway: Which gateway has it.
        now: Wall-clock ms.
        retry: Whether it may run again when the gateway died while it ran.

    Example:
        >>> request = InferenceRequest(job_id="j", model="m", prompt="secret", tenant_id="acme")
        >>> record = job_record(request, gateway="g", now=0)
        >>> record.tenant, record.request["model"], "secret" in str(record)
        ('acme', 'm', False)
    """
    fields: dict[str, Any] = {name: getattr(request, name) for name in _READABLE}
    return JobRecord(
        id=request.job_id,
        tenant=request.tenant_id or "",
        gateway=gateway,
        request={name: value for name, value in fields.items() if value is not None},
        prompt_sha256=request.prompt_hash,
        retry=retry,
        created_at=now,
    )


def packed(request: InferenceRequest) -> bytes:
    """Return the whole request as the payload that `Store.add_job` seals."""
    return json.dumps(unstructure(request), separators=(",", ":")).encode()


def unpacked(payload: bytes) -> InferenceRequest:
    """Return the request that `packed` made the payload of.

    Raises:
        StoreError: It is another version's, or was changed.
    """
    return loads(payload, InferenceRequest, source="payload", error=StoreError)
