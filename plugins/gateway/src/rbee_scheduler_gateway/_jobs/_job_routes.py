"""``/v1/jobs``: requests that run in the service, and whose events can be read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final

from rbee_scheduler import InvalidRequest
from rbee_scheduler_gateway._call import Call
from rbee_scheduler_gateway._events import begin_events, follow
from rbee_scheduler_gateway._jobs._queen import queen_routes
from rbee_scheduler_gateway._jobs._read import read_body, read_job
from rbee_scheduler_gateway._parameters import parameters, whole_number
from rbee_scheduler_gateway._positions import positions
from rbee_scheduler_gateway._routes import Route


if TYPE_CHECKING:
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["job_routes"]

STATUSES: Final = ("queued", "running", "ended")
PAGE: Final = 100
LONGEST_PAGE: Final = 1000


def job_routes(gateway: Gateway) -> Iterator[Route]:
    """Yield the routes of jobs."""
    yield Route("POST", "/v1/jobs", _submit(gateway), inference=True)
    yield Route("GET", "/v1/jobs", _list(gateway))
    yield Route("GET", "/v1/jobs/{job_id}", _show(gateway))
    yield Route("GET", "/v1/jobs/{job_id}/events", _events(gateway))
    yield Route("DELETE", "/v1/jobs/{job_id}", _cancel(gateway))
    yield Route("POST", "/v1/jobs/{job_id}/cancel", _cancel(gateway))
    yield from queen_routes(gateway)


def _submit(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def submit(call: Call) -> None:
        asked = read_job(call, read_body(call), gateway.jobs.new_id())
        call.request = asked.request
        job = await gateway.jobs.submit(asked.request, reference=asked.reference, retry=asked.retry)
        url = f"/v1/jobs/{job.id}/events"
        data = {
            "job_id": job.id,
            "status": job.status,
            "queue_position": job.position if job.status == "queued" else None,
            "events_url": url,
        }
        headers = gateway.extra_headers(call)
        await call.answer(data, 202, (b"location", f"/v1/jobs/{job.id}".encode()), *headers)

    return submit


def _list(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def list_jobs(call: Call) -> None:
        """Answer a page of the jobs, the oldest first."""
        asked = parameters(call, "limit", "after", "status")
        limit = whole_number(
            "limit", asked.get("limit", str(PAGE)), at_least=1, at_most=LONGEST_PAGE
        )
        status = asked.get("status")
        if status is not None and status not in STATUSES:
            raise InvalidRequest(
                f"{status[:40]!r} is no status",
                place="?status",
                hint=f"it is one of {', '.join(STATUSES)}",
            )
        jobs = [job for job in gateway.jobs if job.is_seen_by(call.identity)]
        if "after" in asked:
            last = gateway.jobs.find(asked["after"], call.identity)
            jobs = jobs[jobs.index(last) + 1 :]
        jobs = [job for job in jobs if status in {None, job.status}]
        page, rest = jobs[:limit], jobs[limit:]
        places = positions(gateway.schedulers)
        await call.answer(
            {
                "object": "list",
                "data": [job.to_dict(places.get(job.id)) for job in page],
                "next": page[-1].id if rest else None,
            }
        )

    return list_jobs


def _show(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def show(call: Call) -> None:
        job_id = call.params["job_id"]
        found = dict(await gateway.jobs.remembered(job_id, call.identity))
        if found.get("status") == "queued":
            found["queue_position"] = positions(gateway.schedulers).get(job_id)
        await call.answer(found)

    return show


def _events(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def events(call: Call) -> None:
        job = gateway.jobs.find(call.params["job_id"], call.identity)
        ring, after = job.ring, _after(call)
        if after > ring.last:
            raise InvalidRequest(
                f"there is no event {after} yet",
                place="last-event-id",
                hint=f"the latest one is {ring.last}",
            )
        ring.since(after)  # while there is still a status to say that they are lost
        if ring.closed and after == ring.last:
            # The answer that lets a browser's EventSource connect no more (HTML, 9.2.3).
            await call.respond(204, b"")
            return
        if await begin_events(call):
            await follow(call.exchange, ring, after, clock=gateway.clock)
            await call.exchange.finish()

    return events


def _after(call: Call) -> int:
    """Return the number of the last event that the client has."""
    asked = parameters(call, "after").get("after")
    if asked is not None:
        return whole_number("after", asked)
    header = call.exchange.headers.get("last-event-id", "")
    return whole_number("last-event-id", header) if header else 0


def _cancel(gateway: Gateway) -> Callable[[Call], Awaitable[None]]:
    async def cancel(call: Call) -> None:
        job = gateway.jobs.find(call.params["job_id"], call.identity)
        job.cancel()
        # Its stream ends when its task runs next; who asks again sees it ended.
        await call.answer(job.to_dict(), 200 if job.status == "ended" else 202)

    return cancel
