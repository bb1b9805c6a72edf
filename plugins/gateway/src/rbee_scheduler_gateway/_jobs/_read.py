"""What a body asks for: an InferenceRequest, parsed strictly, with what is ours to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from rbee_scheduler import InferenceRequest, InvalidRequest, loads, structure
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._identity import Forbidden
from rbee_scheduler_gateway._relay._asked import from_headers


__all__ = ["JobAsked", "read_body", "read_job"]

# The scheduler's own to say; a client that could would overtake those that wait.
_OURS: Final = {"queued_at": 0.0, "retry_count": 0}

LONGEST_REFERENCE: Final = 256


@attrs.frozen
class JobAsked:
    """What a client wants to run as a job.

    Attributes:
        request: The request.
        reference: The client's own name for it; empty: none.
        retry: Whether it may be run again when the service stopped in its middle.
    """

    request: InferenceRequest
    reference: str
    retry: bool


def read_body(call: Call) -> dict[str, Any]:
    """Return the body, a JSON object; keys given twice and NaN are refused.

    Raises:
        InvalidRequest: It is none.
    """
    return loads(call.exchange.body, dict[str, Any], source="body")


def read_job(call: Call, data: Mapping[str, Any], job_id: str) -> JobAsked:
    """Return what a body asks for.

    Args:
        call: Its headers (priority, deadline, ...) hold where the body says nothing.
        data: The body.
        job_id: The job's id.

    Raises:
        InvalidRequest: A key is unknown or ill-typed; the error has its JSON path.
        UnprocessableRequest: A value is out of range.
        Forbidden: It names another tenant.
    """
    fields = dict(data)
    reference = _reference(fields)
    retry = fields.pop("retry", False)
    if not isinstance(retry, bool):
        raise InvalidRequest("retry is neither true nor false", place="$.retry")
    given = from_headers(call.exchange.headers)
    request = structure({**given, **fields, "job_id": job_id}, InferenceRequest)
    tenant = call.identity.tenant_id
    if call.identity.role != "operator" or tenant is not None:
        if request.tenant_id not in {None, tenant}:
            raise Forbidden("a token speaks for its own tenant", place="$.tenant_id")
        request = request.changed(tenant_id=tenant)
    return JobAsked(request.changed(**_OURS), reference, retry)


def _reference(fields: dict[str, Any]) -> str:
    """Take the client's own name for the job out of ``fields``."""
    given = [key for key in ("job_id", "id") if key in fields]
    if not given:
        return ""
    name = fields.pop(given[0])
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_REFERENCE or len(given) > 1:
        raise InvalidRequest(
            "that is no name for a job",
            place=f"$.{given[-1]}",
            hint=f"give one text of 1 to {LONGEST_REFERENCE} characters, or none; the job gets "
            "an id of ours, and this is kept as its reference",
        )
    return name
