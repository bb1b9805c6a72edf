"""What a restart keeps: queued jobs, the books, quotas that were spent."""

import anyio
import pytest

from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._records import JobRecord
from rbee_scheduler_platform._store._open import open_store


JOB = {"model": "bee", "prompt": "Once upon a time", "max_tokens": 5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.db"


def busy(memory):
    """A worker that never answers."""

    async def answer(_):
        await anyio.sleep_forever()

    return answer


def tokens_of(memory):
    return lambda _: memory.stream(memory.piece("a"), memory.piece("b", "stop"), memory.DONE)


async def test_queued_jobs_go_on_and_running_ones_have_failed(memory, sites, path):
    one = {"workers": 1, "fields": {"slots": 1}}
    async with sites.open_platform(memory, path, "acme", answer=busy(memory), **one) as site:
        tokens = site.tokens
        first = (await site.ask("acme", "/v1/jobs", JOB)).json()
        second = (await site.ask("acme", "/v1/jobs", JOB)).json()
        assert (first["status"], second["status"]) == ("running", "queued")
    async with sites.open_platform(
        memory, path, tokens=tokens, answer=tokens_of(memory), **one
    ) as site:
        await done(site, second["job_id"])
        lost = (await site.get("acme", f"/v1/jobs/{first['job_id']}")).json()
        assert (lost["status"], lost["error"]["code"]) == ("ended", "GATEWAY_LOST")
        kept = await site.store.job(second["job_id"])
        assert (kept.state, kept.outcome) == ("ended", "success")
        assert await site.store.charges(state="open") == []
        (usage,) = await site.store.usage()
        assert usage.requests == 2  # what had begun is paid for


async def done(site, job_id):
    """Return once a job has ended, and what it left is durable."""
    while (await site.get("acme", f"/v1/jobs/{job_id}")).json()["status"] != "ended":
        await anyio.lowlevel.checkpoint()
    while site.runtime.charges:
        await anyio.lowlevel.checkpoint()
    await site.store.flush()
    while (await site.store.job(job_id)).state != "ended":
        await site.store.flush()


async def test_a_running_job_that_may_run_again_does(memory, sites, path):
    job = JOB | {"retry": True}
    async with sites.open_platform(memory, path, "acme", answer=busy(memory)) as site:
        tokens = site.tokens
        made = (await site.ask("acme", "/v1/jobs", job)).json()
        assert made["status"] == "running"
        await site.store.flush()
    async with sites.open_platform(memory, path, tokens=tokens, answer=tokens_of(memory)) as site:
        await done(site, made["job_id"])
        kept = await site.store.job(made["job_id"])
        assert (kept.outcome, kept.attempts) == ("success", 2)


async def test_a_job_that_was_admitted_is_refused_by_no_quota(memory, sites, path):
    one = {"workers": 1, "fields": {"slots": 1}}
    tenant = Tenant(id="acme", quotas=Quotas(requests_per_minute=2))
    async with sites.open_platform(memory, path, tenant, answer=busy(memory), **one) as site:
        tokens = site.tokens
        for _ in range(2):
            waiting = (await site.ask("acme", "/v1/jobs", JOB)).json()
        assert (await site.ask("acme", "/v1/jobs", JOB)).status == 429
    async with sites.open_platform(
        memory, path, tokens=tokens, answer=tokens_of(memory), **one
    ) as site:
        await done(site, waiting["job_id"])
        assert (await site.store.job(waiting["job_id"])).outcome == "success"


async def test_spent_quotas_stay_spent(memory, sites, path):
    quotas = Quotas(requests_per_minute=2, tokens_daily=60, output_tokens_per_minute=100)
    async with sites.open_platform(memory, path, Tenant(id="acme", quotas=quotas)) as site:
        tokens = site.tokens
        for _ in range(2):
            assert (await site.ask("acme")).status == 200
        before = site.runtime.book.rate_limits(site.runtime.directory.view.tenants["acme"])
    async with sites.open_platform(memory, path, tokens=tokens) as site:
        after = site.runtime.book.rate_limits(site.runtime.directory.view.tenants["acme"])
        assert after == before
        refused = await site.ask("acme")
        assert (refused.status, refused.answer_headers["retry-after"]) == (429, "30")


async def test_what_streamed_is_paid_for_when_the_process_is_lost(memory, sites, path):
    came, copy = anyio.Event(), path.with_name("copy.db")

    async def wait():
        came.set()
        await anyio.sleep_forever()

    def answer(_):
        return memory.stream(*[memory.chunk("word") for _ in range(4)], wait)

    async with sites.open_platform(memory, path, "acme", answer=answer) as site:
        site.gateway.tasks.start_soon(
            site.ask, "acme", "/v1/chat/completions", sites.chat(stream=True)
        )
        await came.wait()
        await site.runtime.sign_of_life()
        await site.store.flush()
        await anyio.to_thread.run_sync(as_after_a_crash, path, copy)
    async with sites.open_platform(memory, copy, tokens=site.tokens) as site:
        (charge,) = await site.store.charges(state="settled")
        assert charge.used.output_tokens == 4
        (usage,) = await site.store.usage()
        assert (usage.requests, usage.output_tokens) == (1, 4)


def as_after_a_crash(path, copy):
    """Copy the store as it is on the disk now, with what stands in its WAL."""
    for end in ("", "-wal"):
        file = path.with_name(path.name + end)
        copy.with_name(copy.name + end).write_bytes(file.read_bytes())
    copy.chmod(0o600)


async def test_a_payload_that_another_key_sealed_ends_its_job(memory, sites, path):
    tokens = await sites.make_store(path, "acme")
    async with open_store(path, key_file=path.with_name("other.key")) as store:
        await store.add_job(JobRecord(id="j1", tenant="acme", gateway="main"), b"{}")
    async with sites.open_platform(memory, path, tokens=tokens) as site:
        shown = (await site.get("acme", "/v1/jobs/j1")).json()
        assert (shown["status"], shown["error"]["code"]) == ("ended", "PAYLOAD_LOST")
        other = await site.get("operator", "/v1/jobs/j2")
        assert other.status == 404


async def test_somebody_elses_job_is_nobodys_business(memory, sites, path):
    async with sites.open_platform(memory, path, "acme", "bolt", answer=tokens_of(memory)) as site:
        made = (await site.ask("acme", "/v1/jobs", JOB)).json()
        assert (await site.get("bolt", f"/v1/jobs/{made['job_id']}")).status == 404
