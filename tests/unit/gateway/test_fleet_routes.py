"""What operators ask of the fleet and do with it; keys are never shown."""

import anyio
import pytest

from rbee_scheduler import PluginConfig, hookimpl
from rbee_scheduler.testing._memory import completion
from rbee_scheduler_gateway import Identity
from rbee_scheduler_gateway._shown import masked, shown_url


SECRET = "k-ey-0123456789abcdef"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def told(memory):
    return lambda call: memory.stream(*completion(["a"]))


async def get(site, path, **options):
    return await site.ask(path, method="GET", **options)


class Roles:
    @hookimpl
    def rbee_identify(self, token, client):
        return Identity(role=token, tenant_id="ann" if token == "tenant" else None)


# ---- heartbeats ----------------------------------------------------------------------------


def hive(clock, **fields):
    worker = {"id": "g-0", "url": "http://10.0.0.9:8080", "model": "wasp"}
    return {"hive_id": "paris", "timestamp": clock.now(), "workers": [worker], **fields}


async def test_a_hive_brings_its_workers(memory):
    async with memory.open_site(told(memory)) as site:
        answer = await site.ask("/v1/hive-heartbeat", hive(site.clock, region="eu"))
        assert answer.status == 200
        pool = answer.json()["pool"]
        assert (pool["id"], pool["region"], pool["worker_ids"]) == ("paris", "eu", ["g-0"])
        (shown,) = (await get(site, "/v1/pools")).json()["data"]
        assert shown == pool
        assert (await get(site, "/v1/workers/g-0")).json()["pool_id"] == "paris"


async def test_a_replayed_heartbeat_is_refused(memory):
    async with memory.open_site(told(memory)) as site:
        body = hive(site.clock)
        await site.ask("/v1/hive-heartbeat", body)
        again = await site.ask("/v1/hive-heartbeat", body)
        assert (again.status, again.error()["code"]) == (409, "HEARTBEAT_REFUSED")
        skewed = await site.ask("/v1/hive-heartbeat", hive(site.clock, timestamp=1))
        assert skewed.status == 409


async def test_a_worker_speaks_for_itself(memory):
    async with memory.open_site(told(memory)) as site:
        body = {
            "worker": {"id": "w9", "url": "http://10.0.0.9:8080", "model": "bee", "slots": 3},
            "timestamp": site.clock.now(),
        }
        answer = await site.ask("/v1/worker-heartbeat", body)
        assert answer.json()["worker"]["slots"] == 3
        body["worker"]["slts"] = 1
        wrong = await site.ask("/v1/worker-heartbeat", body)
        assert (wrong.status, wrong.error()["param"]) == (400, "body:$.worker.slts")


@pytest.mark.parametrize(
    ("role", "path", "method", "status"),
    [
        ("worker", "/v1/hive-heartbeat", "POST", 200),
        ("tenant", "/v1/hive-heartbeat", "POST", 403),
        ("worker", "/v1/workers", "GET", 403),
        ("tenant", "/v1/workers", "GET", 403),
        ("tenant", "/v1/config", "GET", 403),
        ("tenant", "/v1/policies", "GET", 403),
        ("tenant", "/v1/route", "POST", 403),
        ("tenant", "/v1/events", "GET", 403),
        ("tenant", "/v1/queue", "GET", 200),
        ("operator", "/v1/workers", "GET", 200),
    ],
)
async def test_routes_are_for_those_they_are_for(memory, role, path, method, status):
    async with memory.open_site(told(memory), plugins=[Roles()]) as site:
        body = hive(site.clock) if "heartbeat" in path else b""
        headers = {"authorization": f"Bearer {role}"}
        assert (await site.ask(path, body, method=method, headers=headers)).status == status


# ---- workers -------------------------------------------------------------------------------


async def test_workers_are_listed_by_model_and_status(memory):
    async with memory.open_site(told(memory)) as site:
        site.gateway.registry.add_url("http://127.0.0.1:10009", id="w9", model="wasp")
        site.gateway.registry.drain("w1")

        async def ids(query):
            return [row["id"] for row in (await get(site, f"/v1/workers{query}")).json()["data"]]

        assert await ids("") == ["w0", "w1", "w9"]
        assert await ids("?model=bee") == ["w0", "w1"]
        assert await ids("?status=stopped") == ["w1"]
        assert await ids("?model=bee&status=ready") == ["w0"]
        assert await ids("?status=online") == ["w0", "w1", "w9"]
        assert await ids("?status=offline") == []
        assert (await get(site, "/v1/workers?status=fine")).status == 400
        assert (await get(site, "/v1/workers?modl=bee")).error()["param"] == "?modl"


async def test_a_workers_key_is_never_shown(memory):
    async with memory.open_site(told(memory), labels={"api_key": SECRET, "rack": "7"}) as site:
        for path in ("/v1/workers", "/v1/workers/w0", "/v1/config", "/v1/plugins"):
            answer = await get(site, path)
            assert answer.status == 200
            assert SECRET not in answer.answer.decode()
        assert (await get(site, "/v1/workers/w0")).json()["labels"] == {
            "api_key": "***", "rack": "7",
        }  # fmt: skip
        drained = await site.ask("/v1/workers/w0/drain")
        assert SECRET not in drained.answer.decode()


async def test_a_worker_is_added_probed_and_removed(memory):
    async with memory.open_site(told(memory)) as site:
        body = {"url": "http://127.0.0.1:10009/llama", "labels": {"api_key": SECRET}}
        added = await site.ask("/v1/workers", body)
        assert added.status == 201
        assert added.json()["reachable"] is True
        assert SECRET not in added.answer.decode()
        worker_id = added.json()["worker"]["id"]
        assert worker_id == "127.0.0.1:10009/llama"
        asked = {call.url for call in site.transport.calls if "10009" in call.url}
        assert "http://127.0.0.1:10009/llama/v1/models" in asked
        again = await site.ask("/v1/workers", body)
        assert (again.status, again.error()["code"]) == (409, "CONFLICT")
        url = f"/v1/workers/{worker_id}"  # an id with a slash in it
        assert (await get(site, url)).json()["id"] == worker_id
        assert (await site.ask(f"{url}/drain")).json()["status"] == "stopped"
        assert (await site.ask(url, method="DELETE")).json() == {
            "id": worker_id, "deleted": True,
        }  # fmt: skip
        for method in ("GET", "DELETE"):
            assert (await site.ask(url, method=method)).status == 404


@pytest.mark.parametrize(
    ("body", "place"), [({}, "$.url"), ({"url": "nowhere"}, "$.url"), ({"url": 7}, "$.url")]
)
async def test_a_worker_needs_an_url(memory, body, place):
    async with memory.open_site(told(memory)) as site:
        refused = await site.ask("/v1/workers", body)
        assert refused.status in {400, 422}
        assert refused.error()["param"] == place


async def test_a_drained_worker_gets_no_requests_until_it_is_undrained(memory):
    async with memory.open_site(told(memory), workers=2) as site:
        assert (await site.ask("/v1/workers/w0/drain")).json()["status"] == "stopped"
        for _ in range(4):
            await site.ask("/v1/completions", {"model": "bee", "prompt": "x", "stream": True})
        assert {call.url for call in site.asked} == {"http://127.0.0.1:10001/v1/completions"}
        assert (await site.ask("/v1/workers/w0/undrain")).json()["status"] == "ready"
        assert (await site.ask("/v1/workers/nobody/drain")).status == 404


# ---- the queue -----------------------------------------------------------------------------


async def test_the_queue_shows_lengths_to_all_and_jobs_to_their_owners(memory):
    go = anyio.Event()

    class Tenants:
        @hookimpl
        def rbee_identify(self, token, client):
            role = "operator" if token == "op" else "tenant"
            return Identity(role=role, tenant_id=None if token == "op" else token)

    fields = {"slots": 1}
    async with memory.open_site(
        lambda call: memory.stream(go.wait, *completion(["a"])),
        workers=1, fields=fields, plugins=[Tenants()],
    ) as site:  # fmt: skip
        ids = []
        for who in ("ann", "bob", "ann"):
            headers = {"authorization": f"Bearer {who}"}
            job = {"model": "bee", "prompt": "x"}
            ids.append((await site.ask("/v1/jobs", job, headers=headers)).json()["job_id"])
        for who, expected in (("ann", [(ids[2], 2)]), ("bob", [(ids[1], 1)]),
                              ("op", [(ids[1], 1), (ids[2], 2)])):  # fmt: skip
            queue = (
                await get(site, "/v1/queue", headers={"authorization": f"Bearer {who}"})
            ).json()
            assert queue["length"] == 2
            assert queue["models"] == [{"model": "bee", "task_type": "text-gen", "length": 2}]
            assert [(job["job_id"], job["position"]) for job in queue["jobs"]] == expected
        go.set()


# ---- dry runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"job_id": "j", "model": "bee", "prompt": "x"},
        {"model": "bee", "messages": [{"role": "user", "content": "Hi"}], "stream": True},
        {"model": "bee", "prompt": "x", "stream": False, "n": 2},
        {"model": "bee", "input": "x", "encoding_format": "float"},
    ],
)
async def test_a_dry_run_says_where_and_why_and_holds_nothing(memory, body):
    async with memory.open_site(told(memory)) as site:
        answer = await site.ask("/v1/route", body)
        assert answer.status == 200
        explained = answer.json()
        assert (explained["action"], explained["worker_id"]) == ("dispatch", "w0")
        assert [worker["worker_id"] for worker in explained["workers"]] == ["w0", "w1"]
        assert site.in_flight == 0
        assert site.asked == []
        assert site.gateway.scheduler.statistics().active == 0


async def test_a_dry_run_of_nonsense_names_the_place(memory):
    async with memory.open_site(told(memory)) as site:
        wrong = await site.ask("/v1/route", {"model": "bee", "prompt": "x", "tempratur": 1})
        assert (wrong.status, wrong.error()["param"]) == (400, "$.tempratur")
        nobody = await site.ask("/v1/route", {"model": "wasp", "prompt": "x"})
        assert (nobody.status, nobody.json()["action"]) == (200, "reject")


# ---- what is in force ----------------------------------------------------------------------


async def test_plugins_and_configuration_are_shown_without_secrets(memory):
    tokens = (SECRET,)
    async with memory.open_site(told(memory), options={"tokens": tokens}) as site:
        headers = {"authorization": f"Bearer {SECRET}"}
        plugins = (await get(site, "/v1/plugins", headers=headers)).json()
        assert plugins["digest"] == site.gateway.plugins.digest
        assert plugins["strategy"] == "best-score"
        answer = await get(site, "/v1/config", headers=headers)
        config = answer.json()
        assert config["gateway"]["tokens"] == ["***"]
        assert config["gateway"]["max_jobs"] == 1000
        assert config["scheduler"]["queue"]["capacity"] == -1
        assert [worker["id"] for worker in config["workers"]] == ["w0", "w1"]
        assert SECRET not in answer.answer.decode()


def test_secrets_are_masked_wherever_they_stand():
    config = PluginConfig(name="x", options={"db": {"password": "p"}, "max_tokens": 5})
    assert masked(dict(config.options)) == {"db": {"password": "***"}, "max_tokens": 5}
    assert masked({"worker_tokens": ["a", "b"], "api_key": ""}) == {
        "worker_tokens": ["***", "***"], "api_key": "",
    }  # fmt: skip
    assert masked(["http://ann:pw@h:1/x"]) == ["http://***@h:1/x"]
    assert shown_url("http://[::1") == "http://[::1"
    assert masked({"quota_tokens_daily": 5, "estimated_tokens_per_sec": {"default": 1.0}}) == {
        "quota_tokens_daily": 5, "estimated_tokens_per_sec": {"default": 1.0},
    }  # fmt: skip
