"""The original's own flow, so that a gateway can stand wherever a queen worker stands.

``POST /v1/inference`` takes a prompt and answers where its text comes; ``GET`` of that streams
``data:`` lines up to ``data: [DONE]``; ``POST /v1/cancel`` stops it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from rbee_scheduler import InvalidRequest, UnprocessableRequest
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._events import Kept, begin_events, follow
from rbee_scheduler_gateway._jobs._read import read_body, read_job
from rbee_scheduler_gateway._refusals import NotFound
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["queen_routes"]

DONE = b"data: [DONE]\n\n"


def queen_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of a queen worker."""
    yield Route("POST", "/v1/inference", _submit(gateway), inference=True)
    yield Route("GET", "/v1/inference/{job_id}/stream", _stream(gateway))
    yield Route("POST", "/v1/cancel", _cancel(gateway))


def _submit(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def submit(call: Call) -> None:
        data = read_body(call)
        if "model" not in data and "model_ref" not in data:
            data["model"] = _only_model(gateway)
        asked = read_job(call, data, gateway.jobs.new_id())
        call.request = asked.request
        job = await gateway.jobs.submit(asked.request, reference=asked.reference, retry=asked.retry)
        answer = {"job_id": job.id, "sse_url": f"/v1/inference/{job.id}/stream"}
        await call.answer(answer, 200, *gateway.extra_headers(call))

    return submit


def _only_model(gateway: Gateway) -> str:
    """Return the model that is meant by a request that names none, as those to a worker don't.

    Raises:
        UnprocessableRequest: There are several, or none.
    """
    workers = gateway.registry.snapshot().workers()
    # A worker's first model is the one it has loaded; its other names may be aliases of that.
    models = {worker.model or next(iter(worker.models), "") for worker in workers} - {""}
    if len(models) != 1:
        raise UnprocessableRequest(
            f"it names no model, and there are {len(models) or 'none'}",
            place="$.model",
            hint="name one of GET /v1/models",
        )
    return models.pop()


def _stream(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def stream(call: Call) -> None:
        job = gateway.jobs.find(call.params["job_id"], call.identity)
        job.ring.since(0)
        if await begin_events(call):
            await follow(call.exchange, job.ring, 0, clock=gateway.clock, render=_line)
            await call.exchange.write(DONE)
            await call.exchange.finish()

    return stream


def _line(event: Kept) -> bytes:
    """Return an event as a queen worker sends it: JSON with the text, the counts or the error."""
    data: dict[str, Any] = json.loads(event.data)
    if event.kind == "end":
        data = {"type": "metrics", "usage": data["outcome"]["usage"]}
    elif event.kind == "error" and "error" not in data:
        data = {"type": "error", "error": data}
    return (
        b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


def _cancel(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def cancel(call: Call) -> None:
        """Answer alike whether the job runs, has ended or was never there."""
        data = read_body(call)
        job_id = data.pop("job_id", None)
        if not isinstance(job_id, str):
            raise InvalidRequest("there is no job_id", place="$.job_id", hint="name the job")
        if data:
            raise InvalidRequest("unknown key", place=f"$.{next(iter(data))[:100]}")
        try:
            job = gateway.jobs.find(job_id, call.identity)
        except NotFound:
            await call.answer({"job_id": job_id, "cancelled": False})
            return
        running = job.status != "ended"
        job.cancel()
        await call.answer({"job_id": job_id, "cancelled": running})

    return cancel
