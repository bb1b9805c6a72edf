"""All faults of the fake worker: the executor must learn the same from both transports."""

import json

import anyio
import pytest

from rbee_scheduler import (
    HttpCall,
    HttpxTransport,
    WorkerCommunicationFailed,
)
from rbee_scheduler.testing import FakeWorker, Fault, Script
from rbee_scheduler_gateway._http import FastTransport


BODY = json.dumps({"model": "story", "prompt": "x", "stream": True}).encode()
ENOUGH = 50_000  # bytes of something endless
SILENT = {
    Fault.SILENCE_BEFORE_HEADERS,
    Fault.SILENCE_AFTER_HEADERS,
    Fault.SILENCE_MID_STREAM,
}


# Not asked of core's: on uvloop its `aclose` never ends while a worker floods it, since the
# cancellation that should end the read always comes after the next bytes.
ENDLESS = {Fault.ERROR_ENDLESS: 500, Fault.ENDLESS_LINE: 200, Fault.ENDLESS_COMMENTS: 200}


async def exchange(transport, url):
    """Status, body, and how it ended: whole, failed, endless."""
    status, parts, size = None, [], 0
    try:
        response = await transport.open(
            HttpCall(
                method="POST",
                url=f"{url}/v1/completions",
                headers={"content-type": "application/json", "accept-encoding": "identity"},
                body=BODY,
            )
        )
        status = response.status
        try:
            while (data := await response.read()) is not None:
                parts.append(data)
                size += len(data)
                if size > ENOUGH:
                    return status, b"", "endless"
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
    except WorkerCommunicationFailed as failure:
        if not failure.message.startswith((url, f"no connection to {url}")):
            raise  # it must say whom it speaks of
        return status, b"".join(parts), "failed"
    return status, b"".join(parts), "whole"


async def outcome(transport, fault):
    """What the transport makes of a worker with that fault."""
    found = (None, b"", "silent")
    async with FakeWorker(Script(fault=fault, fault_after=1)) as worker:
        try:
            async with anyio.create_task_group() as tasks:

                async def ask():
                    nonlocal found
                    found = await exchange(transport, worker.url)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(ask)
                if fault in SILENT:
                    await worker.wait_for_requests(1)
                    for _ in range(20):
                        await anyio.wait_all_tasks_blocked()
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await transport.aclose()
    return found


@pytest.mark.parametrize("fault", [None, *Fault], ids=lambda fault: getattr(fault, "name", "none"))
async def test_both_transports_tell_the_same(fault):
    ours = await outcome(FastTransport(), fault)
    if fault in ENDLESS:
        assert (ENDLESS[fault], b"", "endless") == ours
        return
    theirs = await outcome(HttpxTransport(), fault)
    if theirs[2] == "failed":
        # How much came before the failure depends on how the bytes were cut.
        assert theirs[1].startswith(ours[1]) or ours[1].startswith(theirs[1])
        theirs, ours = (theirs[0], theirs[2]), (ours[0], ours[2])
    assert theirs == ours
