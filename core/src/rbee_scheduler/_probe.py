"""Probing: learn about workers of which only the URL is known.

Home labs have no agents that send heartbeats. So a worker is asked whatever a server of
its kind may know, everything at once and each with a time limit; what it does not have
(404) is as fine an answer as any. A dead worker is a finding, not an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import anyio

from rbee_scheduler._clock import Clock, SystemClock
from rbee_scheduler._errors import SchedulerError, WorkerCommunicationFailed, WorkerTimeout
from rbee_scheduler._findings import Findings, findings
from rbee_scheduler._probe_parse import Answer
from rbee_scheduler._transport import HttpCall, Transport
from rbee_scheduler._worker import Worker


__all__ = ["PATHS", "probe"]

PATHS = (
    "/health",
    "/v1/models",
    "/info",  # the queen protocol: the worker object
    "/metrics",
    "/slots",  # llama.cpp
    "/props",  # llama.cpp
    "/version",  # vLLM
    "/api/version",  # Ollama
)

# vLLM's metrics take 60 to 200 KiB, mostly histograms; its gauges come first.
LONGEST_BODY = 1024 * 1024


async def probe(
    worker: Worker,
    transport: Transport,
    *,
    clock: Clock | None = None,
    limit: float = 2.0,
    paths: Sequence[str] = PATHS,
) -> Findings:
    """Ask a worker what it is and how it is.

    Args:
        worker: The worker as it was configured; an URL is enough.
        transport: HTTP.
        clock: Source of time.
        limit: Seconds for each answer.
        paths: What to ask, all at once.

    Returns:
        What was found out. Nothing is raised: a worker that does not answer is found to
        be offline.

    Example::

        found = await probe(Worker(id="gpu-1", url="http://10.0.0.7:8080"), HttpxTransport())
        found.worker.implementation, found.worker.models  # ("llama-cpp", ("llama-3-8b",))
    """
    clock = clock or SystemClock()
    answers: dict[str, Answer] = {}

    async def ask(path: str) -> None:
        answers[path] = await _ask(worker, path, transport, clock, limit)

    async with anyio.create_task_group() as tasks:
        for path in paths:
            tasks.start_soon(ask, path)
    return findings(worker, (answers[path] for path in paths))


async def _ask(
    worker: Worker, path: str, transport: Transport, clock: Clock, limit: float
) -> Answer:
    headers = {
        "accept": "application/json, text/plain, */*",
        "accept-encoding": "identity",
        # A connection that is kept holds one of llama.cpp's few HTTP threads.
        "connection": "close",
    }
    if key := worker.labels.get("api_key"):
        headers["authorization"] = f"Bearer {key}"
    call = HttpCall(method="GET", url=worker.url + path, headers=headers, connect_timeout=limit)
    answer = Answer(path=path, error=f"no answer within {limit:g} s", timed_out=True)
    with clock.move_on_after(limit):
        try:
            answer = await _fetch(transport, call, path)
        except WorkerTimeout as failure:
            answer = Answer(path=path, error=failure.message, timed_out=True)
        except SchedulerError as failure:
            answer = Answer(path=path, error=failure.message.removeprefix(f"{call.url}: "))
    return answer


async def _fetch(transport: Transport, call: HttpCall, path: str) -> Answer:
    response = await transport.open(call)
    body = bytearray()
    error = ""
    try:
        while len(body) <= LONGEST_BODY and (chunk := await response.read()) is not None:
            body += chunk
        if len(body) > LONGEST_BODY:
            error = f"cut after {LONGEST_BODY} bytes"
    except WorkerCommunicationFailed as failure:
        error = failure.message
    finally:
        with anyio.CancelScope(shield=True), suppress(WorkerCommunicationFailed):
            await response.aclose()
    return Answer(
        path=path,
        status=response.status,
        server=response.headers.get("server", ""),
        body=bytes(body[:LONGEST_BODY]),
        error=error,
    )
