"""Jobs run in the service whoever listens, and end with exactly one event."""

import json

import anyio
import pytest

from rbee_scheduler import Deny, hookimpl
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway import Identity
from rbee_scheduler_gateway._events import PING, PING_SECONDS


JOB = {"model": "bee", "prompt": "Once", "max_tokens": 5}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def parsed(exchange):
    """Each event as (id, type, data)."""
    found = []
    for block in exchange.answer.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if fields:
            found.append((int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])))
    return found


class Held:
    """A worker whose stream waits in its middle until the test lets it go on."""

    def __init__(self, memory, texts=("a", "b", "c"), at=2):
        self.memory = memory
        self.texts = texts
        self.at = at
        self.go = anyio.Event()
        self.began = anyio.Event()

    def __call__(self, call):
        async def wait():
            self.began.set()
            await self.go.wait()

        steps = list(completion(self.texts))
        return self.memory.stream(*steps[: self.at], wait, *steps[self.at :])


@pytest.fixture
def held(memory):
    return Held(memory)


def told(memory):
    return lambda call: memory.stream(*completion(["a", "b", "c"]))


async def read(site, url, **options):
    return await site.ask(url, method="GET", **options)


async def ended(site, job_id):
    """The job, once it has ended."""
    while True:
        job = (await read(site, f"/v1/jobs/{job_id}")).json()
        if job["status"] == "ended":
            return job
        await anyio.wait_all_tasks_blocked()


# ---- one job -------------------------------------------------------------------------------


async def test_a_job_is_taken_and_its_events_are_read_to_the_end(memory):
    async with memory.open_site(told(memory)) as site:
        taken = await site.ask("/v1/jobs", {**JOB, "job_id": "mine"})
        assert taken.status == 202
        job = taken.json()
        assert job["status"] == "running"
        assert job["queue_position"] is None
        assert len(job["job_id"]) == 32
        assert job["job_id"] != "mine"
        assert taken.answer_headers["location"] == f"/v1/jobs/{job['job_id']}"
        events = await read(site, job["events_url"])
        assert events.answer_headers["content-type"] == "text/event-stream; charset=utf-8"
        kinds = [(number, kind) for number, kind, _ in parsed(events)]
        assert kinds == list(
            enumerate(["queued", "started", "token", "token", "token", "end"], start=1)
        )
        assert "".join(data["text"] for _, kind, data in parsed(events) if kind == "token") == "abc"
        shown = (await read(site, f"/v1/jobs/{job['job_id']}")).json()
        assert shown["status"] == "ended"
        assert shown["reference"] == "mine"
        assert shown["outcome"]["kind"] == "success"
        assert shown["outcome"]["finish_reason"] == "stop"
        assert shown["error"] is None
        assert site.in_flight == 0


async def test_what_has_ended_and_was_read_needs_no_more_connections(memory):
    async with memory.open_site(told(memory)) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        last = parsed(await read(site, job["events_url"]))[-1][0]
        again = await read(site, job["events_url"], headers={"last-event-id": str(last)})
        assert (again.status, again.answer) == (204, b"")


async def test_a_job_runs_though_nobody_listens_and_readers_come_and_go(memory, held):
    async with memory.open_site(held) as site, anyio.create_task_group() as tasks:
        job = (await site.ask("/v1/jobs", JOB)).json()
        first = memory.MemoryExchange(job["events_url"], method="GET")
        scope = anyio.CancelScope()
        tasks.start_soon(_handle, site, first, scope)
        await held.began.wait()
        await anyio.wait_all_tasks_blocked()
        seen = parsed(first)
        scope.cancel()
        held.go.set()
        job = await ended(site, job["job_id"])
        assert job["outcome"]["kind"] == "success"
        rest = await read(site, job["events_url"], headers={"last-event-id": str(seen[-1][0])})
        numbers = [number for number, _, _ in seen + parsed(rest)]
        assert numbers == list(range(1, job["events"] + 1))


async def _handle(site, exchange, scope=None):
    with scope or anyio.CancelScope():
        await site.gateway.handle(exchange)


async def test_several_readers_see_the_same(memory, held):
    async with memory.open_site(held) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        readers = [memory.MemoryExchange(job["events_url"], method="GET") for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(_handle, site, reader)
            await held.began.wait()
            held.go.set()
        assert readers[0].answer == readers[1].answer == readers[2].answer
        assert parsed(readers[0])[-1][1] == "end"


async def test_silence_is_filled_with_pings(memory, held):
    async with memory.open_site(held) as site, anyio.create_task_group() as tasks:
        job = (await site.ask("/v1/jobs", JOB)).json()
        reader = memory.MemoryExchange(job["events_url"], method="GET")
        tasks.start_soon(_handle, site, reader)
        await held.began.wait()
        await site.clock.run_for(2 * PING_SECONDS + 1)
        assert reader.answer.count(PING) == 2
        held.go.set()
        await reader.over.wait()
        assert parsed(reader)[-1][1] == "end"


# ---- waiting, cancelling -------------------------------------------------------------------


async def test_one_that_waits_says_where(memory, held):
    async with memory.open_site(held, workers=1, fields={"slots": 1}) as site:
        first = (await site.ask("/v1/jobs", JOB)).json()
        second = (await site.ask("/v1/jobs", JOB)).json()
        third = (await site.ask("/v1/jobs", JOB)).json()
        assert [job["queue_position"] for job in (first, second, third)] == [None, 1, 2]
        assert third["status"] == "queued"
        await site.ask(f"/v1/jobs/{second['job_id']}/cancel")
        assert (await ended(site, second["job_id"]))["error"]["code"] == "CANCELLED"
        moved = (await read(site, f"/v1/jobs/{third['job_id']}")).json()
        assert moved["queue_position"] == 1
        listed = (await read(site, "/v1/jobs")).json()["data"]
        assert [job["queue_position"] for job in listed] == [None, None, 1]
        held.go.set()
        assert (await ended(site, third["job_id"]))["outcome"]["kind"] == "success"


@pytest.mark.parametrize("way", ["delete", "post"])
async def test_cancelling_is_idempotent(memory, held, way):
    async with memory.open_site(held) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        await held.began.wait()
        url = f"/v1/jobs/{job['job_id']}"
        path, method = (url, "DELETE") if way == "delete" else (f"{url}/cancel", "POST")
        assert (await site.ask(path, method=method)).status == 202
        assert (await ended(site, job["job_id"]))["outcome"]["kind"] == "cancelled"
        again = await site.ask(path, method=method)
        assert again.status == 200
        assert again.json()["outcome"]["kind"] == "cancelled"
        kinds = [kind for _, kind, _ in parsed(await read(site, job["events_url"]))]
        assert kinds == ["queued", "started", "token", "token", "error"]
        assert site.in_flight == 0


async def test_who_leaves_before_the_answer_leaves_no_job(memory):
    stuck = anyio.Event()

    class Slow:
        @hookimpl
        async def rbee_check_quota(self, request, snapshot):
            stuck.set()
            await anyio.sleep_forever()

    async with memory.open_site(told(memory), plugins=[Slow()]) as site:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.ask, "/v1/jobs", JOB)
            await stuck.wait()
            tasks.cancel_scope.cancel()
        jobs = (await read(site, "/v1/jobs")).json()["data"]
        for job in jobs:
            assert (await ended(site, job["job_id"]))["error"]["code"] == "CANCELLED"


# ---- refusals ------------------------------------------------------------------------------


async def test_what_is_refused_at_once_is_no_job(memory):
    class Broke:
        @hookimpl
        def rbee_check_quota(self, request, snapshot):
            return Deny("the day is spent", retry_after=30)

    async with memory.open_site(told(memory), plugins=[Broke()]) as site:
        refused = await site.ask("/v1/jobs", JOB)
        assert refused.status == 429
        assert refused.error()["code"] == "QUOTA_EXCEEDED"
        assert refused.answer_headers["retry-after"] == "30"
        assert (await read(site, "/v1/jobs")).json()["data"] == []


async def test_a_model_that_nobody_serves_is_refused_at_once(memory):
    async with memory.open_site(told(memory)) as site:
        refused = await site.ask("/v1/jobs", {**JOB, "model": "wasp"})
        assert (refused.status, refused.error()["code"]) == (503, "NO_WORKERS_AVAILABLE")


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"{", 400, "body:1:2"),
        (b"[]", 400, "body:$"),
        ({"model": "bee", "promt": "x"}, 400, "$.promt"),
        ({"model": "bee", "prompt": "x", "top_p": 7}, 422, "$.top_p"),
        ({"model": "bee"}, 422, "$.prompt"),
        ({"model": "bee", "prompt": "x", "job_id": 7}, 400, "$.job_id"),
        ({"model": "bee", "prompt": "x", "job_id": "a", "id": "b"}, 400, "$.id"),
        ({"model": "bee", "prompt": "x", "retry": "yes"}, 400, "$.retry"),
        (b'{"model": "bee", "model": "bee", "prompt": "x"}', 400, "body"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_place(memory, body, status, place):
    async with memory.open_site(told(memory)) as site:
        refused = await site.ask("/v1/jobs", body)
        assert refused.status == status
        assert refused.error()["param"] == place


async def test_headers_hold_where_the_body_says_nothing(memory, held):
    async with memory.open_site(held) as site:
        headers = {"x-priority": "batch", "x-session-id": "s"}
        one = (await site.ask("/v1/jobs", JOB, headers=headers)).json()
        other = (
            await site.ask("/v1/jobs", {**JOB, "priority": "interactive"}, headers=headers)
        ).json()
        shown = [(await read(site, f"/v1/jobs/{j['job_id']}")).json() for j in (one, other)]
        assert [job["priority"] for job in shown] == ["batch", "interactive"]
        held.go.set()


async def test_no_client_says_since_when_it_waits(memory, held):
    async with memory.open_site(held, workers=1, fields={"slots": 1}) as site:
        await site.ask("/v1/jobs", JOB)
        await site.ask("/v1/jobs", {**JOB, "queued_at": 1.0, "retry_count": 9})
        (waiting,) = site.gateway.scheduler.waiting()
        assert waiting.queued_at == site.clock.now()
        assert waiting.retry_count == 0
        held.go.set()


async def test_there_are_no_more_jobs_than_may_be(memory):
    options = {"max_jobs": 2, "job_keep_seconds": 60}
    async with memory.open_site(told(memory), options=options) as site:
        for _ in range(2):
            job = (await site.ask("/v1/jobs", JOB)).json()
            await ended(site, job["job_id"])
        full = await site.ask("/v1/jobs", JOB)
        assert (full.status, full.error()["code"]) == (429, "CAPACITY_EXCEEDED")
        assert full.answer_headers["retry-after"] == "60"
        await site.clock.run_for(60)
        assert (await read(site, "/v1/jobs")).json()["data"] == []
        assert (await site.ask("/v1/jobs", JOB)).status == 202
        assert (await read(site, f"/v1/jobs/{job['job_id']}")).error()["code"] == "NOT_FOUND"


# ---- a bounded buffer ----------------------------------------------------------------------


async def test_events_that_are_no_longer_kept_are_said_to_be_lost(memory):
    texts = [str(number) for number in range(30)]
    options = {"job_buffer_events": 16}
    async with memory.open_site(
        lambda call: memory.stream(*completion(texts)), options=options
    ) as site:
        job = (await site.ask("/v1/jobs", {**JOB, "max_tokens": 50})).json()
        events = (await ended(site, job["job_id"]))["events"]
        lost = await read(site, job["events_url"])
        assert (lost.status, lost.error()["code"]) == (410, "EVENTS_LOST")
        rest = await read(site, f"{job['events_url']}?after={events - 16}")
        assert [number for number, _, _ in parsed(rest)] == list(range(events - 15, events + 1))
        early = await read(site, f"{job['events_url']}?after={events - 17}")
        assert early.status == 410


async def test_a_reader_that_is_overtaken_is_told_and_let_go(memory):
    go = anyio.Event()
    texts = [str(number) for number in range(40)]
    held = Held(memory, texts, at=3)

    async def slow(exchange):
        await go.wait()

    async with memory.open_site(held, options={"job_buffer_events": 16}) as site:
        job = (await site.ask("/v1/jobs", {**JOB, "max_tokens": 50})).json()
        reader = memory.MemoryExchange(job["events_url"], method="GET", on_write=slow)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_handle, site, reader)
            await held.began.wait()
            await anyio.wait_all_tasks_blocked()
            held.go.set()
            await ended(site, job["job_id"])
            go.set()
        number, kind, data = parsed(reader)[-1]
        assert (number, kind, data["code"]) == (0, "error", "EVENTS_LOST")
        assert reader.ended


@pytest.mark.parametrize(
    ("query", "header"), [("?after=99", ""), ("?after=-1", ""), ("", "x"), ("?afer=1", "")]
)
async def test_a_wrong_position_is_refused(memory, query, header):
    async with memory.open_site(told(memory)) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        headers = {"last-event-id": header} if header else {}
        refused = await read(site, job["events_url"] + query, headers=headers)
        assert (refused.status, refused.error()["code"]) == (400, "INVALID_REQUEST")


# ---- lists and owners ----------------------------------------------------------------------


async def test_lists_come_in_pages(memory):
    async with memory.open_site(told(memory)) as site:
        ids = []
        for _ in range(5):
            ids.append((await site.ask("/v1/jobs", JOB)).json()["job_id"])
            await ended(site, ids[-1])
        first = (await read(site, "/v1/jobs?limit=2")).json()
        second = (await read(site, f"/v1/jobs?limit=3&after={first['next']}")).json()
        assert [job["job_id"] for job in first["data"] + second["data"]] == ids
        assert second["next"] is None
        assert (await read(site, "/v1/jobs?status=running")).json()["data"] == []
        for wrong in ("limit=0", "limit=x", "status=done", "lmit=1", "limit=1&limit=2"):
            assert (await read(site, f"/v1/jobs?{wrong}")).status == 400


class Tenants:
    @hookimpl
    def rbee_identify(self, token, client):
        return (
            Identity(role="operator") if token == "op" else Identity(role="tenant", tenant_id=token)
        )


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def test_tenants_see_their_own_jobs_and_no_others(memory, held):
    async with memory.open_site(held, plugins=[Tenants()]) as site:
        job = (await site.ask("/v1/jobs", JOB, headers=bearer("ann"))).json()
        url = f"/v1/jobs/{job['job_id']}"
        for path, method in (
            (url, "GET"), (f"{url}/events", "GET"), (url, "DELETE"), (f"{url}/cancel", "POST"),
            (f"/v1/inference/{job['job_id']}/stream", "GET"),
        ):  # fmt: skip
            other = await site.ask(path, method=method, headers=bearer("bob"))
            assert (other.status, other.error()["code"]) == (404, "NOT_FOUND")
        none = await site.ask("/v1/cancel", {"job_id": job["job_id"]}, headers=bearer("bob"))
        assert none.json()["cancelled"] is False
        assert (await read(site, "/v1/jobs", headers=bearer("bob"))).json()["data"] == []
        for who in ("ann", "op"):
            (mine,) = (await read(site, "/v1/jobs", headers=bearer(who))).json()["data"]
            assert mine["job_id"] == job["job_id"]
        assert (await read(site, url, headers=bearer("ann"))).json()["status"] == "running"
        held.go.set()


async def test_a_tenant_speaks_for_itself_alone(memory):
    async with memory.open_site(told(memory), plugins=[Tenants()]) as site:
        refused = await site.ask("/v1/jobs", {**JOB, "tenant_id": "bob"}, headers=bearer("ann"))
        assert (refused.status, refused.error()["code"]) == (403, "FORBIDDEN")


# ---- the service's life --------------------------------------------------------------------


async def test_a_stop_ends_jobs_with_one_event_that_says_so(memory, held):
    async with memory.open_site(held) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        reader = memory.MemoryExchange(job["events_url"], method="GET")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_handle, site, reader)
            await held.began.wait()
            await anyio.wait_all_tasks_blocked()
            site.gateway.end_all()
        kinds = [kind for _, kind, _ in parsed(reader)]
        assert kinds == ["queued", "started", "token", "token", "error"]
        assert parsed(reader)[-1][2]["error"]["code"] == "SHUTTING_DOWN"


async def test_leaving_the_gateway_ends_jobs_too(memory, held):
    async with memory.open_site(held) as site:
        job = (await site.ask("/v1/jobs", JOB)).json()
        await held.began.wait()
        (kept,) = site.gateway.jobs
    assert kept.ring.closed
    assert kept.error.code == "SHUTTING_DOWN"
    assert kept.id == job["job_id"]


async def test_a_failure_inside_is_told_and_takes_nothing_down(memory):
    def broken(call):
        raise RuntimeError("a bug")

    async with memory.open_site(broken) as site:
        answer = await site.ask("/v1/jobs", JOB)
        job = await ended(site, answer.json()["job_id"])
        assert job["error"]["code"] == "INTERNAL"
        assert "a bug" not in json.dumps(job)
        assert (await read(site, "/v1/jobs")).status == 200
