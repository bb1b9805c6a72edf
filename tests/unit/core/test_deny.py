"""`Deny`: a check's no ends the request with the error it names; so does that of a reserve."""

import pytest

from rbee_scheduler import (
    Allow,
    CapacityExceeded,
    Deny,
    InferenceRequest,
    QuotaExceeded,
    Scheduler,
    Worker,
    WorkerRegistry,
    hookimpl,
)
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion


class Charge:
    def __init__(self, log):
        self.log = log

    def settle(self, outcome):
        self.log.append("settled")

    def refund(self):
        self.log.append("refunded")


class Plugin:
    def __init__(self, *, check=None, reserve=None):
        self.log, self.check, self.reserve = [], check, reserve

    @hookimpl
    def rbee_check_quota(self):
        return self.check or Allow(Charge(self.log))

    @hookimpl
    async def rbee_reserve(self):
        self.log.append("reserve")
        return self.reserve

    @hookimpl
    def rbee_release(self):
        self.log.append("release")


class Sync(Plugin):
    @hookimpl
    def rbee_reserve(self):
        self.log.append("reserve")
        return self.reserve


async def outcome(*plugins, workers=2):
    """Run a request; return how it ended, and the scheduler."""
    registry = WorkerRegistry()
    for n in range(workers):
        registry.add(Worker(id=f"w{n}", url=f"http://w{n}", model="m", slots=1))

    async def answer(_):
        return MemoryResponse(completion(["a"]))

    scheduler = Scheduler(registry, list(plugins), transport=MemoryTransport(answer))
    request = InferenceRequest(job_id="j", model="m", prompt="Hi")
    async with scheduler.stream(request) as events:
        last = [event async for event in events][-1]
    return last, scheduler


def full(reason="full"):
    return CapacityExceeded(reason, retry_after=7.0)


async def test_a_check_that_denies_with_an_error_ends_the_request_with_it():
    first, second = Plugin(), Plugin(check=Deny("full", error=full()))
    last, scheduler = await outcome(first, second)
    assert (last.error.code, last.error.retry_after) == ("CAPACITY_EXCEEDED", 7.0)
    assert last.outcome.kind == "rejected"
    assert first.log == ["refunded"]
    assert scheduler.statistics().plugin_failures == {}


async def test_a_check_that_denies_without_one_is_a_spent_quota():
    last, _ = await outcome(Plugin(check=Deny("spent", retry_after=3.0)))
    assert isinstance(last.error, QuotaExceeded)
    assert (last.error.message, last.error.retry_after) == ("spent", 3.0)


@pytest.mark.parametrize("kind", [Plugin, Sync])
async def test_a_reserve_that_denies_ends_the_request_and_tries_no_other_worker(kind):
    first, second = Plugin(), kind(reserve=Deny("full", error=full()))
    last, scheduler = await outcome(first, second)
    assert last.error.code == "CAPACITY_EXCEEDED"
    assert last.outcome.attempts == 1
    assert first.log == ["reserve", "release", "refunded"]
    assert second.log == ["reserve", "refunded"]
    assert scheduler.transport.calls == []
    assert [worker.in_flight for worker in scheduler.registry.snapshot().workers()] == [0, 0]
    assert scheduler.statistics().plugin_failures == {}


def test_an_error_of_a_denial_is_one():
    with pytest.raises(TypeError, match="error"):
        Deny("no", error="QUOTA")
