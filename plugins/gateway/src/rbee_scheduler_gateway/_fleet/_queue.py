"""``GET /v1/queue``: how many wait for what, and where those who ask stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rbee_scheduler import InferenceRequest
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._identity import Identity
from rbee_scheduler_gateway._parameters import parameters, whole_number
from rbee_scheduler_gateway._positions import positions
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["queue_routes"]

SHOWN: Final = 100
MOST_SHOWN: Final = 1000


def queue_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the route of the queue."""

    async def queue(call: Call) -> None:
        asked = parameters(call, "limit")
        limit = whole_number("limit", asked.get("limit", str(SHOWN)), at_most=MOST_SHOWN)
        waiting = [one for scheduler in gateway.schedulers for one in scheduler.waiting()]
        places = positions(gateway.schedulers)
        lengths = Counter((one.model, one.task_type) for one in waiting)
        now = gateway.clock.now()
        mine = [one for one in waiting if _is_theirs(one, call.identity)]
        await call.answer(
            {
                "length": len(waiting),
                "models": [
                    {"model": model, "task_type": task, "length": length}
                    for (model, task), length in lengths.items()
                ],
                "jobs": [
                    {
                        "job_id": one.job_id,
                        "model": one.model,
                        "task_type": one.task_type,
                        "priority": one.priority,
                        "position": places[one.job_id],
                        "waiting_ms": one.wait_time_ms(now),
                    }
                    for one in mine[:limit]
                ],
            }
        )

    yield Route("GET", "/v1/queue", queue)


def _is_theirs(request: InferenceRequest, identity: Identity) -> bool:
    return identity.role == "operator" or request.tenant_id == identity.tenant_id
