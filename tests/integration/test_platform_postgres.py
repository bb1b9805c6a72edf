"""Two gateways on one PostgreSQL: one set of quotas, and jobs that outlive their gateway."""

from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import anyio
import pytest

from rbee_scheduler import InferenceRequest
from rbee_scheduler_platform import Quotas, Tenant
from rbee_scheduler_platform._errors import StoreUnavailable
from rbee_scheduler_platform._store._books import check_books
from rbee_scheduler_platform._store._open import open_store
from rbee_scheduler_platform._store._requests import job_record, packed
from rbee_scheduler_platform._store._seal import KEY_VARIABLE, new_key


TESTS = Path(__file__).parent.parent


def load(*place):
    path = TESTS.joinpath(*place)
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("psycopg", reason="psycopg (the extra 'postgres') is not installed")
    made = load("conformance", "store", "conftest.py").Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def memory():
    return load("unit", "gateway", "memory_exchange.py")


@pytest.fixture(scope="module")
def sites():
    return load("unit", "platform", "platform_site.py")


@pytest.fixture
def url(cluster, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, new_key())
    return cluster.fresh()


async def test_two_gateways_admit_together_what_one_would(memory, sites, url):
    go_on = anyio.Event()

    async def answer(_):
        await go_on.wait()
        return memory.whole(sites.answer_of())

    def site_of(name, **options):
        return sites.open_platform(
            memory, url, answer=answer, fields={"slots": 64},
            platform={"gateway_id": name}, **options,
        )  # fmt: skip

    tenant = Tenant(id="acme", quotas=Quotas(max_concurrent_jobs=20))
    tokens = await sites.make_store(url, tenant)
    async with site_of("g1", tokens=tokens) as one, site_of("g2", tokens=tokens) as two:
        statuses = []

        async def ask(site):
            statuses.append((await site.ask("acme")).status)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(ask, one)
                tasks.start_soon(ask, two)
            while len(statuses) < 180:  # noqa: ASYNC110 - threads work, and tell no event
                await anyio.sleep(0.01)
            go_on.set()
        assert statuses.count(429) == 180
        assert statuses.count(200) == 20
        await one.store.flush()
        await two.store.flush()
        assert await one.store.charges(state="open") == []
        assert await one.store.read(check_books) == []
        (usage,) = await one.store.usage()
        assert usage.requests == 20
        shown = (await one.get("acme", "/v1/usage")).json()
        assert shown["quotas"] == [{"name": "max_concurrent_jobs", "limit": 20, "holds": False}]


async def test_a_job_of_a_gateway_that_is_gone_goes_on_at_another(memory, sites, url):
    tokens = await sites.make_store(url, "acme")
    request = InferenceRequest(job_id="j1", model="bee", prompt="Hi", tenant_id="acme")
    reply = memory.stream(memory.piece("a", "stop"), memory.DONE)
    async with sites.open_platform(
        memory, url, tokens=tokens, answer=lambda _: reply, platform={"gateway_id": "g2"}
    ) as site:
        now = site.clock.now()
        async with open_store(url) as gone:
            await gone.recover("g1", now, lease=5.0)
            await gone.add_job(job_record(request, gateway="g1", now=now), packed(request))
        await site.clock.run_for(10.5)
        with anyio.fail_after(30):
            while (await site.store.job("j1")).state != "ended":  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
        kept = await site.store.job("j1")
        assert (kept.gateway, kept.outcome) == ("g2", "success")
        shown = (await site.get("acme", "/v1/jobs/j1")).json()
        assert (shown["status"], shown["outcome"]["kind"]) == ("ended", "success")


async def test_a_store_that_hangs_up_admits_nobody_until_it_is_back(memory, sites, cluster, url):
    async with sites.open_platform(memory, url, "acme", platform={"gateway_id": "g1"}) as site:
        assert (await site.ask("acme")).status == 200
        await site.store.flush()
        with cluster.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'rbee-scheduler'"
            )
        refused = await site.ask("acme")
        assert (refused.status, refused.error()["code"]) == (503, "STORE_UNAVAILABLE")
        await site.runtime.sign_of_life()
        assert (await site.ask("acme")).status == 200
        await site.runtime.sign_of_life()
        await site.store.flush()
        with suppress(StoreUnavailable):  # what reads is another connection
            await site.store.changes()
        assert await site.store.charges(state="open") == []
