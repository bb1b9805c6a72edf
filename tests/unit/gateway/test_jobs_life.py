"""Jobs beyond one run of the service or of its configuration: the journal, a reload."""

import anyio
import pytest

from rbee_scheduler import Deployment, InferenceRequest, Plugins, Worker, hookimpl
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway import GatewayOptions


JOB = {"model": "bee", "prompt": "Once"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Journal:
    def __init__(self, left=()):
        self.notes = []
        self.left = left
        self.known = {}
        self.broken = set()

    async def _note(self, kind, *facts):
        await anyio.lowlevel.checkpoint()
        self.notes.append((kind, *facts))
        if kind in self.broken:
            raise OSError("the disk is full")

    async def admitted(self, request, *, retry):
        await self._note("admitted", request.job_id, retry)

    async def started(self, job_id, worker_id):
        await self._note("started", job_id, worker_id)

    async def ended(self, job_id, outcome):
        await self._note("ended", job_id, outcome.kind)

    async def unfinished(self):
        return self.left

    async def find(self, job_id):
        return self.known.get(job_id)


class Keeps:
    def __init__(self, journal):
        self.journal = journal

    @hookimpl
    def rbee_job_journal(self):
        return self.journal


def told(memory):
    return lambda call: memory.stream(*completion(["a", "b"]))


def waits(memory, go, began):
    async def wait():
        began.set()
        await go.wait()

    first, *rest = completion(["a", "b"])
    return lambda call: memory.stream(first, wait, *rest)


async def ended(site, job_id):
    while True:
        job = (await site.ask(f"/v1/jobs/{job_id}", method="GET")).json()
        if job["status"] == "ended":
            await anyio.wait_all_tasks_blocked()
            return job
        await anyio.wait_all_tasks_blocked()


async def test_the_journal_is_told_of_every_step(memory):
    journal = Journal()
    async with memory.open_site(told(memory), workers=1, plugins=[Keeps(journal)]) as site:
        job_id = (await site.ask("/v1/jobs", {**JOB, "retry": True})).json()["job_id"]
        await ended(site, job_id)
    assert journal.notes == [
        ("admitted", job_id, True), ("started", job_id, "w0"), ("ended", job_id, "success"),
    ]  # fmt: skip


async def test_a_job_that_can_not_be_written_down_is_not_taken(memory):
    journal = Journal()
    journal.broken = {"admitted"}
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        assert (await site.ask("/v1/jobs", JOB)).status == 500
        assert (await site.ask("/v1/jobs", method="GET")).json()["data"] == []
        assert site.asked == []


async def test_a_journal_that_breaks_later_stops_no_job(memory):
    journal = Journal()
    journal.broken = {"started", "ended"}
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        job_id = (await site.ask("/v1/jobs", JOB)).json()["job_id"]
        assert (await ended(site, job_id))["outcome"]["kind"] == "success"


async def test_what_is_refused_at_once_is_ended_in_the_journal(memory):
    journal = Journal()
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        assert (await site.ask("/v1/jobs", {**JOB, "model": "wasp"})).status == 503
    assert [note[0] for note in journal.notes] == ["admitted", "ended"]


async def test_what_a_stop_cuts_stays_in_the_journal(memory):
    go, began = anyio.Event(), anyio.Event()
    journal = Journal()
    answer = waits(memory, go, began)
    async with memory.open_site(answer, plugins=[Keeps(journal)]) as site:
        await site.ask("/v1/jobs", JOB)
        await began.wait()
        (job,) = site.gateway.jobs
    assert job.error.code == "SHUTTING_DOWN"
    assert [note[0] for note in journal.notes] == ["admitted", "started"]


async def test_what_was_left_goes_on_at_the_next_start(memory):
    left = InferenceRequest(job_id="f" * 32, model="bee", prompt="Once", tenant_id="ann")
    journal = Journal([left])
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        job = await ended(site, left.job_id)
        assert job["outcome"]["kind"] == "success"
        events = await site.ask(f"/v1/jobs/{left.job_id}/events", method="GET")
        assert events.answer.count(b"event: end") == 1
    assert [note[0] for note in journal.notes] == ["started", "ended"]


async def test_a_job_of_long_ago_is_found_in_the_journal(memory):
    journal = Journal()
    journal.known["old"] = {"job_id": "old", "status": "ended", "tenant_id": "ann"}
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        found = await site.ask("/v1/jobs/old", method="GET")
        assert found.json()["tenant_id"] == "ann"
        assert (await site.ask("/v1/jobs/older", method="GET")).status == 404


async def test_a_reload_touches_no_running_job_nor_its_readers(memory):
    go, began = anyio.Event(), anyio.Event()
    async with memory.open_site(waits(memory, go, began)) as site:
        worker = Worker(id="w0", url="http://127.0.0.1:10000", model="bee")
        site.gateway._load = lambda: (Deployment(workers=(worker,)), GatewayOptions())
        site.gateway._load_plugins = lambda _: Plugins([])
        job = (await site.ask("/v1/jobs", JOB)).json()
        reader = memory.MemoryExchange(job["events_url"], method="GET")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.gateway.handle, reader)
            await began.wait()
            old = site.gateway.scheduler
            await site.gateway.reload()
            assert site.gateway.scheduler is not old
            assert old in site.gateway.schedulers
            go.set()
        assert (await ended(site, job["job_id"]))["outcome"]["kind"] == "success"
        assert reader.answer.count(b"event: end") == 1
        await site.clock.run_for(5)
        assert site.gateway.schedulers == (site.gateway.scheduler,)


async def test_a_reader_that_stays_keeps_no_old_configuration_alive(memory):
    async with memory.open_site(told(memory)) as site:
        site.gateway._load = lambda: (Deployment(), GatewayOptions())
        site.gateway._load_plugins = lambda _: Plugins([])
        listener = memory.MemoryExchange("/v1/events", method="GET")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.gateway.handle, listener)
            await anyio.wait_all_tasks_blocked()
            await site.gateway.reload()
            await site.clock.run_for(2)
            assert site.gateway.schedulers == (site.gateway.scheduler,)
            tasks.cancel_scope.cancel()


async def test_who_leaves_while_a_job_is_written_down_leaves_none_for_the_next_start(memory):
    journal = Journal()
    writing = anyio.Event()
    real = journal.admitted

    async def slow(request, *, retry):
        await real(request, retry=retry)
        writing.set()
        await anyio.sleep_forever()

    journal.admitted = slow
    async with memory.open_site(told(memory), plugins=[Keeps(journal)]) as site:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.ask, "/v1/jobs", JOB)
            await writing.wait()
            tasks.cancel_scope.cancel()
        assert [note[0] for note in journal.notes] == ["admitted", "ended"]
        assert journal.notes[-1][2] == "cancelled"
        assert len(site.gateway.jobs) == 0
