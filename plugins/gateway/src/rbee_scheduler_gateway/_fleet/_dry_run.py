"""``POST /v1/route``: where a request would go, and why; nothing is held, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from rbee_scheduler import InferenceRequest
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._inference import task_of
from rbee_scheduler_gateway._jobs._read import read_body, read_job
from rbee_scheduler_gateway._relay import SURFACES, filter_for, read_asked
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["dry_run_routes"]

DRY_RUN: Final = "dry-run"

_OWN: Final = frozenset(field.name for field in attrs.fields(InferenceRequest)) | {
    "id", "model_ref", "retry", "type",
}  # fmt: skip


def dry_run_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the route of dry runs."""

    async def route(call: Call) -> None:
        request, only = _request(gateway, call)
        explanation = gateway.scheduler.explain(request, filter_workers=only)
        await call.answer(explanation.to_dict())

    yield Route("POST", "/v1/route", route, access="operator")


def _request(gateway: Gateway, call: Call) -> tuple[InferenceRequest, Callable[..., Any] | None]:
    """Return what a body asks about, and the filter that it needs.

    The body is an InferenceRequest, or one of the OpenAI API.
    """
    data = read_body(call)
    if not _is_openai(data):
        asked = read_job(call, data, str(data.get("job_id") or data.get("id") or DRY_RUN))
        return asked.request, None
    by_content = {surface.content: surface for surface in reversed(SURFACES)}
    surface = next(by_content[key] for key in by_content if data.get(key))
    wanted = read_asked(call, surface, gateway.rng, task=task_of(gateway, surface))
    return wanted.request, filter_for(wanted, gateway.registry)


def _is_openai(data: Mapping[str, Any]) -> bool:
    """Return whether a body is one of the OpenAI API: it has keys that a request has not."""
    foreign = bool(data.keys() - _OWN) or isinstance(data.get("user"), str)
    marked = "input" in data or "messages" in data or "stream" in data
    return foreign and marked and any(data.get(surface.content) for surface in SURFACES)
