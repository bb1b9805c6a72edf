"""The platform behind the gateway's handler: who gets in, and what is left of it."""

import json

import anyio
import attrs
import pytest

from rbee_scheduler import Geo
from rbee_scheduler_platform import Quotas, ServiceTarget, Tenant
from rbee_scheduler_platform._errors import StoreUnavailable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.db"


async def test_a_tenants_token_is_served(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        answered = await site.ask("acme")
        await site.store.flush()
        assert answered.status == 200
        assert answered.answer_headers["x-rbee-strategy"] == "platform"
        (usage,) = await site.store.usage(tenant="acme")
        assert (usage.requests, usage.input_tokens, usage.output_tokens) == (1, 3, 7)
        assert await site.store.charges(state="open") == []
        assert site.runtime.charges == {}
        assert len(site.runtime.capacity.flights) == 0
        records = await site.audit()
        kinds = [(record["kind"], record["tenant"]) for record in records]
        assert kinds[-3:] == [("admission", "acme"), ("decision", "acme"), ("outcome", "acme")]
        assert {record["digest"] for record in records[-3:]} == {site.runtime.ledger.digest}
        assert records[-2]["worker"] in {"w0", "w1"}
        assert records[-1]["detail"]["output_tokens"] == 7


@pytest.mark.parametrize("token", ["", "s3cret", "rbee_0123456789abcdef_wrong"])
async def test_nobody_gets_in_without_a_token(memory, sites, path, token):
    async with sites.open_platform(memory, path, "acme") as site:
        answered = await site.ask("acme", token=token)
        assert (answered.status, answered.error()["code"]) == (401, "UNAUTHORIZED")
        assert site.site.asked == []


async def test_a_revoked_token_is_out(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        assert (await site.ask("acme")).status == 200
        await site.admin.revoke_token(site.tokens["acme"].split("_")[1])
        await site.refresh()
        assert (await site.ask("acme")).status == 401


async def test_a_disabled_tenant_is_out(memory, sites, path):
    async with sites.open_platform(memory, path, "acme", "bolt") as site:
        assert (await site.ask("acme")).status == 200
        await site.admin.change_tenant("acme", lambda old: attrs.evolve(old, enabled=False))
        await site.refresh()
        refused = await site.ask("acme")
        assert (refused.status, refused.error()["code"]) == (403, "FORBIDDEN")
        assert (await site.ask("bolt")).status == 200


async def test_an_operators_token_asks_for_no_inference(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        refused = await site.ask("operator")
        assert (refused.status, refused.error()["code"]) == (403, "FORBIDDEN")
        assert (await site.audit())[-1]["kind"] == "denial"


async def test_a_spent_quota_is_429_with_the_exact_moment(memory, sites, path):
    tenant = Tenant(id="acme", quotas=Quotas(requests_per_minute=2))
    async with sites.open_platform(memory, path, tenant) as site:
        first = await site.ask("acme")
        assert first.answer_headers["ratelimit-policy"] == '"requests_per_minute";q=2;w=60'
        assert first.answer_headers["ratelimit"] == '"requests_per_minute";r=1;t=30'
        assert first.answer_headers["x-ratelimit-remaining-requests"] == "1"
        assert (await site.ask("acme")).status == 200
        refused = await site.ask("acme")
        assert (refused.status, refused.error()["code"]) == (429, "QUOTA_EXCEEDED")
        assert refused.error()["retry_after"] == 30.0
        assert refused.answer_headers["retry-after"] == "30"
        assert refused.answer_headers["x-ratelimit-remaining-requests"] == "0"
        site.clock.advance(29.9)
        assert (await site.ask("acme")).status == 429
        site.clock.advance(0.1)
        assert (await site.ask("acme")).status == 200
        denials = [one for one in await site.audit() if one["kind"] == "denial"]
        assert [one["detail"]["quota"] for one in denials] == ["requests_per_minute"] * 2


async def test_a_request_that_never_fits_is_not_to_be_tried_again(memory, sites, path):
    tenant = Tenant(id="acme", quotas=Quotas(tokens_per_request=10))
    async with sites.open_platform(memory, path, tenant) as site:
        refused = await site.ask("acme")
        assert refused.status == 429
        assert refused.error()["retryable"] is False
        assert "retry-after" not in refused.answer_headers


async def test_real_usage_replaces_what_was_booked(memory, sites, path):
    tenant = Tenant(id="acme", quotas=Quotas(tokens_daily=100))
    async with sites.open_platform(memory, path, tenant) as site:
        answered = await site.ask("acme")  # 3 prompt tokens and 20 are booked, 10 used
        assert answered.status == 200
        await site.store.flush()
        shown = (await site.get("acme", "/v1/usage")).json()
        (quota,) = shown["quotas"]
        assert (quota["name"], quota["remaining"]) == ("tokens_daily", 90)
        assert shown["usage"][0]["output_tokens"] == 7


async def test_a_held_quota_lets_wait_and_run(memory, sites, path):
    quotas = Quotas(requests_per_minute=1, hold=("requests_per_minute",))
    async with sites.open_platform(memory, path, Tenant(id="acme", quotas=quotas)) as site:
        assert (await site.ask("acme")).status == 200
        answers = []

        async def ask():
            answers.append((await site.ask("acme")).status)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await site.clock.run_for(59)
            assert answers == []
            assert site.runtime.order.waiting("interactive", "acme") == 1
            await site.clock.run_for(1.5)
            await site.store.flush()
        assert answers == [200]


async def test_a_thousand_at_once_at_a_limit_of_100_admit_100(memory, sites, path):
    go_on = anyio.Event()

    async def answer(_):
        await go_on.wait()
        return memory.whole(sites.answer_of())

    tenant = Tenant(id="acme", quotas=Quotas(max_concurrent_jobs=100))
    async with sites.open_platform(
        memory, path, tenant, answer=answer, fields={"slots": 64}
    ) as site:
        await site.ask("acme", "/v1/usage", method="GET")  # the token is known from now on
        statuses = []

        async def ask():
            statuses.append((await site.ask("acme")).status)

        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(ask)
            while len(statuses) < 900:
                await anyio.lowlevel.checkpoint()
            assert set(statuses) == {429}
            assert site.runtime.book.jobs("acme") == 100
            go_on.set()
        assert statuses.count(200) == 100
        assert len(statuses) == 1000
        assert site.runtime.book.jobs("acme") == 0
        await site.store.flush()
        assert await site.store.charges(state="open") == []


async def test_residency_is_a_wall(memory, sites, path):
    eu = Tenant(id="eu", regions=("eu",))
    async with sites.open_platform(
        memory, path, eu, "any", fields={"geo": Geo(region="us")}
    ) as site:
        refused = await site.ask("eu")
        assert (refused.status, refused.error()["code"]) == (503, "NO_WORKERS_AVAILABLE")
        assert (await site.ask("any")).status == 200
        assert len(site.site.asked) == 1


async def test_residency_holds_for_the_next_try_too(memory, sites, path):
    replies = iter([memory.whole({}, 500), memory.whole(sites.answer_of())])
    eu = Tenant(id="eu", regions=("eu",))
    async with sites.open_platform(
        memory, path, eu, workers=4, answer=lambda _: next(replies)
    ) as site:
        registry = site.gateway.registry
        for worker in registry.snapshot().workers():
            region = "eu" if worker.id in {"w1", "w3"} else "us"
            registry.add(attrs.evolve(worker, geo=Geo(region=region)))
        answered = await site.ask("eu")
        assert answered.status == 200
        ports = [call.url.split(":")[2].split("/")[0] for call in site.site.asked]
        assert sorted(ports) == ["10001", "10003"]


async def test_a_deadline_that_has_passed_is_504(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        job = {"model": "bee", "prompt": "Hi", "deadline": site.clock.now() - 1}
        refused = await site.ask("acme", "/v1/jobs", job)
        assert (refused.status, refused.error()["code"]) == (504, "DEADLINE_EXCEEDED")


async def test_a_store_that_fails_admits_nobody_until_it_works_again(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        assert (await site.ask("acme")).status == 200
        site.runtime.ledger.failed(StoreUnavailable("the disk is full"))
        refused = await site.ask("acme")
        assert (refused.status, refused.error()["code"]) == (503, "STORE_UNAVAILABLE")
        assert refused.answer_headers["retry-after"] == "2"
        await site.runtime.sign_of_life()
        assert (await site.ask("acme")).status == 200


class FullDisk:
    """A database that takes nothing."""

    usable = True

    def transact(self, operations):
        raise StoreUnavailable("the disk is full")


async def test_a_charge_that_can_not_be_kept_reaches_no_worker(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        assert (await site.ask("acme")).status == 200
        await site.store.flush()
        writer = site.store._writer
        sound, writer._database = writer._database, FullDisk()
        try:
            refused = await site.ask("acme")
        finally:
            writer._database = sound
        assert (refused.status, refused.error()["code"]) == (503, "STORE_UNAVAILABLE")
        assert len(site.site.asked) == 1
        assert site.runtime.charges == {}
        assert len(site.runtime.capacity.flights) == 0
        await site.runtime.sign_of_life()
        await site.store.flush()
        assert await site.store.charges(state="open") == []


async def test_targets_are_counted(memory, sites, path):
    tenant = Tenant(id="acme", targets={"interactive": ServiceTarget(first_token_ms=1000)})
    async with sites.open_platform(memory, path, tenant) as site:
        await site.ask("acme")
        (shown,) = (await site.get("operator", "/v1/platform/sla")).json()["data"]
        assert (shown["tenant"], shown["first_token"]["met"]) == ("acme", 1)


async def test_tenants_see_their_own_and_operators_all(memory, sites, path):
    async with sites.open_platform(memory, path, "acme", "bolt") as site:
        await site.ask("acme")
        await site.store.flush()
        assert (await site.get("acme", "/v1/usage")).json()["tenant"] == "acme"
        assert (await site.get("bolt", "/v1/usage")).json()["usage"] == []
        for name in ("tenants", "fairness", "queue", "sla", "tenants/acme"):
            assert (await site.get("acme", f"/v1/platform/{name}")).status == 403
            assert (await site.get("operator", f"/v1/platform/{name}")).status == 200
        about = (await site.get("acme", "/v1/platform")).json()
        assert about["digest"] == site.runtime.ledger.digest
        assert about["healthy"] is True
        listed = (await site.get("operator", "/v1/platform/tenants")).json()["data"]
        assert [one["id"] for one in listed] == ["acme", "bolt"]
        assert (await site.get("operator", "/v1/platform/tenants/nobody")).status == 404
        assert (await site.get("operator", "/v1/usage?dais=3")).status == 400
        assert (await site.get("operator", "/v1/platform/tenants/acme?days=0")).status == 400


async def test_metrics_name_no_tenants_unless_allowed(memory, sites, path):
    target = ServiceTarget(first_token_ms=1000)
    tokens = await sites.make_store(path, Tenant(id="acme", targets={"interactive": target}))
    for named in (False, True):
        options = {"metrics_tenants": named}
        async with sites.open_platform(memory, path, tokens=tokens, platform=options) as site:
            await site.ask("acme")
            text = (await site.get("operator", "/metrics")).answer.decode()
            assert 'rbee_platform_admitted_total{priority="interactive"} 1.0' in text
            assert "rbee_platform_targets_total{" in text
            assert ("acme" in text) is named


async def test_no_word_of_a_prompt_is_kept(memory, sites, path, caplog):
    secret = "xylophone-marmalade"
    caplog.set_level("DEBUG")
    async with sites.open_platform(memory, path, "acme") as site:
        assert (await site.ask("acme", body=sites.chat(secret))).status == 200
        job = {"model": "bee", "prompt": secret, "max_tokens": 5}
        assert (await site.ask("acme", "/v1/jobs", job)).status == 202
        shown = [(await site.get("operator", path)).answer for path in ("/metrics", "/v1/jobs")]
        await site.store.flush()
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert len(kept) > 10_000
    assert secret.encode() not in kept
    assert secret not in caplog.text
    assert secret.encode() not in b"".join(shown)


async def test_who_decides_can_not_be_changed(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        refused = await site.ask("acme", headers={"x-rbee-strategy": "best-score"})
        assert (refused.status, refused.error()["code"]) == (403, "REJECTED")
        one = "/v1/policies/mine"
        deployed = await site.ask("operator", f"{one}/deploy", b"")
        assert (deployed.status, deployed.error()["code"]) == (403, "FORBIDDEN")


async def test_the_documentation_has_the_routes(memory, sites, path):
    async with sites.open_platform(memory, path, "acme") as site:
        document = json.loads((await site.get("operator", "/openapi.json")).answer)
        for name in ("/v1/usage", "/v1/platform", "/v1/platform/tenants/{tenant_id}"):
            assert document["paths"][name]["get"]["summary"] != "Brought by a plugin."
