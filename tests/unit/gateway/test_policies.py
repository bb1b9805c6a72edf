"""Policies are saved, checked, tried and deployed while the service runs."""

from contextlib import asynccontextmanager

import anyio
import pytest

from rbee_scheduler import ConfigError, Deployment, PluginConfig, Plugins, Worker
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler.testing._memory import MemoryResponse, MemoryTransport, completion
from rbee_scheduler_gateway import Gateway, GatewayOptions


pytest.importorskip("rbee_scheduler_script")

FIRST = "fn schedule_job(job, pools, workers) { workers.first() }\n"
LAST = "fn schedule_job(job, pools, workers) { workers.last() }\n"
BROKEN = "fn schedule_job(job, pools, workers) { workers.frist( }\n"
WRONG = "fn schedule_job(job, pools, workers) { workers.filter(|w| w.gpu > 1).first() }\n"
YAML = "rules:\n  - name: all\n    condition: true\n    action: { select: 'workers.last()' }\n"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def live(tmp_path):
    """The file of the policy in force."""
    path = tmp_path / "live.rhai"
    path.write_text(FIRST)
    return path


@pytest.fixture
def site(memory, live):
    """Run a gateway whose policy is in a file (or as the options say)."""

    @asynccontextmanager
    async def run(options=None, *, gateway_options=None, plugins=None):
        async def reply(call):
            if call.method == "GET":
                status = 200 if call.url.endswith("/health") else 404
                plain = {"content-type": "text/plain"}
                return MemoryResponse([b"{}"], status=status, headers=plain)
            return MemoryResponse(completion(["a"]))

        workers = tuple(
            Worker(id=f"w{n}", url=f"http://127.0.0.1:{10_000 + n}", model="bee") for n in range(3)
        )
        listed = (PluginConfig(name="script", options=options or {"file": str(live)}),)
        clock, transport = VirtualClock(), MemoryTransport(reply)
        async with Gateway(
            Deployment(workers=workers, plugins=listed if plugins is None else plugins),
            gateway_options or GatewayOptions(),
            load_plugins=lambda deployment: Plugins(deployment.plugins),
            transport=transport,
            clock=clock,
        ) as gateway:
            yield memory.Site(gateway, transport, clock, [])

    return run


async def get(site, path):
    return await site.ask(path, method="GET")


async def decides(site):
    """The worker that the policy in force takes."""
    return (await site.ask("/v1/route", {"model": "bee", "prompt": "x"})).json()["worker_id"]


# ---- drafts --------------------------------------------------------------------------------


async def test_a_draft_is_saved_shown_replaced_and_deleted(site):
    async with site() as gateway:
        saved = await gateway.ask("/v1/policies/mine", {"source": LAST}, method="PUT",
                                  headers={"content-type": "application/json"})  # fmt: skip
        assert saved.status == 201
        again = await gateway.ask("/v1/policies/mine", FIRST.encode())
        assert again.status == 200
        shown = (await get(gateway, "/v1/policies/mine")).json()
        assert shown["draft"]["source"] == FIRST
        assert shown["draft"]["language"] == "rhai"
        assert shown["in_force"] is None
        names = [row["name"] for row in (await get(gateway, "/v1/policies")).json()["data"]]
        assert names == ["script", "mine"]
        deleted = await gateway.ask("/v1/policies/mine", method="DELETE")
        assert deleted.json() == {"name": "mine", "deleted": True}
        assert (await get(gateway, "/v1/policies/mine")).status == 404
        assert await decides(gateway) == "w0"


async def test_a_draft_is_its_owners_alone_and_outlives_the_service(site, state):
    async with site() as gateway:
        await gateway.ask("/v1/policies/mine", LAST.encode())
    (draft,) = (state / "rbee-scheduler" / "policies" / "drafts").iterdir()
    assert draft.stat().st_mode & 0o077 == 0
    async with site() as gateway:
        assert (await get(gateway, "/v1/policies/mine")).json()["draft"]["source"] == LAST


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("..", LAST, 400), (".hidden", LAST, 400), ("a%b", LAST, 400), ("x" * 65, LAST, 400),
        ("mine", "", 422), ("mine", " \n", 422), ("mine", b"\xff", 400),
        ("mine", "x" * 300_000, 422),
    ],
)  # fmt: skip
async def test_what_can_not_be_a_draft_is_refused(site, name, body, status):
    async with site() as gateway:
        data = body if isinstance(body, bytes) else body.encode()
        assert (await gateway.ask(f"/v1/policies/{name}", data)).status == status


async def test_the_one_in_force_is_shown_and_not_deleted(site, live):
    async with site() as gateway:
        shown = (await get(gateway, "/v1/policies/script")).json()["in_force"]
        assert shown["state"] == "deployed"
        assert shown["version"]["source"] == FIRST
        assert shown["file"] == str(live)
        assert shown["status"]["state"] == "active"
        refused = await gateway.ask("/v1/policies/script", method="DELETE")
        assert (refused.status, refused.error()["code"]) == (409, "CONFLICT")


# ---- looking at one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "language", "codes"),
    [
        (LAST, "rhai", []), (WRONG, "rhai", ["unknown-field"]), (BROKEN, "rhai", ["syntax-error"]),
        (YAML, "yaml", []), ("rules: 7\n", "yaml", None),
    ],
)  # fmt: skip
async def test_a_check_says_what_is_wrong_and_where(site, source, language, codes):
    async with site() as gateway:
        await gateway.ask(f"/v1/policies/mine?language={language}", source.encode())
        checked = (await gateway.ask("/v1/policies/mine/check")).json()
        assert checked["ok"] is (codes == [])
        if codes is not None:
            assert [finding["code"] for finding in checked["findings"]] == codes
        for finding in checked["findings"]:
            assert finding["place"].startswith(f"mine.{language}")


async def test_a_test_decides_on_the_present_fleet_and_shows_each_step(site):
    async with site() as gateway:
        await gateway.ask("/v1/policies/mine", LAST.encode())
        tested = (await gateway.ask("/v1/policies/mine/test")).json()
        assert tested["decision"]["worker_id"] == "w2"
        helpers = [step["helper"] for step in tested["trace"] if step["helper"]]
        assert helpers == ["last"]
        assert tested["trace"][0]["place"].startswith("mine.rhai:1:")
        assert await decides(gateway) == "w0"


async def test_a_test_takes_a_job_and_a_fleet_of_its_own(site):
    async with site() as gateway:
        await gateway.ask("/v1/policies/mine", LAST.encode())
        body = {
            "job": {"model": "wasp", "prompt": "the secret"},
            "workers": [{"url": "http://10.0.0.1:80", "id": "a", "model": "wasp"}],
        }
        tested = await gateway.ask("/v1/policies/mine/test", body)
        assert tested.json()["decision"]["worker_id"] == "a"
        assert "the secret" not in tested.answer.decode()
        wrong = await gateway.ask("/v1/policies/mine/test", {"job": {"modl": "x"}})
        assert (wrong.status, wrong.error()["param"]) == (400, "$.job.modl")
        await gateway.ask("/v1/policies/mine", BROKEN.encode())
        unfit = await gateway.ask("/v1/policies/mine/test")
        assert (unfit.status, unfit.error()["code"]) == (422, "POLICY_REFUSED")


# ---- deploying -----------------------------------------------------------------------------


async def test_a_deployed_draft_decides_the_next_request_and_after_a_restart(site, live):
    async with site() as gateway:
        assert await decides(gateway) == "w0"
        await gateway.ask("/v1/policies/mine", LAST.encode())
        deployed = await gateway.ask("/v1/policies/mine/deploy", {"author": "ann"})
        assert deployed.status == 200
        assert deployed.json()["policy"] == "script"
        assert deployed.json()["version"]["author"] == "ann"
        assert deployed.json()["lasting"] is True
        assert await decides(gateway) == "w2"
        assert live.read_text() == LAST
        assert (await get(gateway, "/v1/policies/mine")).status == 404
    async with site() as gateway:
        assert await decides(gateway) == "w2"


async def test_a_bad_draft_is_refused_and_the_old_one_stays(site, live):
    async with site() as gateway:
        for source in (BROKEN, WRONG):
            await gateway.ask("/v1/policies/script", source.encode())
            refused = await gateway.ask("/v1/policies/script/deploy")
            assert (refused.status, refused.error()["code"]) == (422, "POLICY_REFUSED")
            assert refused.error()["findings"][0]["severity"] == "error"
        assert await decides(gateway) == "w0"
        assert live.read_text() == FIRST
        shown = (await get(gateway, "/v1/policies/script")).json()
        assert shown["in_force"]["state"] == "refused"


async def test_a_rollback_brings_the_older_version_back(site, live):
    async with site() as gateway:
        await gateway.ask("/v1/policies/script", LAST.encode())
        await gateway.ask("/v1/policies/script/deploy")
        back = await gateway.ask("/v1/policies/script/rollback", {"author": "bob"})
        assert back.status == 200
        assert await decides(gateway) == "w0"
        assert live.read_text() == FIRST
        versions = (await get(gateway, "/v1/policies/script")).json()["in_force"]["versions"]
        assert [one["state"] for one in versions] == ["superseded", "superseded", "deployed"]
        await gateway.ask("/v1/policies/script/rollback", {"version": "2"})
        assert await decides(gateway) == "w2"
        nothing = await gateway.ask("/v1/policies/script/rollback", {"version": "99"})
        assert nothing.status == 404


async def test_running_requests_are_not_touched_by_a_deployment(site):
    async with site() as gateway:
        job = (await gateway.ask("/v1/jobs", {"model": "bee", "prompt": "x"})).json()
        await gateway.ask("/v1/policies/script", LAST.encode())
        await gateway.ask("/v1/policies/script/deploy")
        shown = job
        while shown["status"] != "ended":
            await anyio.wait_all_tasks_blocked()
            shown = (await get(gateway, f"/v1/jobs/{job['job_id']}")).json()
        assert (shown["worker_id"], shown["outcome"]["kind"]) == ("w0", "success")


async def test_the_platforms_scheduler_is_immutable(site, monkeypatch):
    async with site() as gateway:
        await gateway.ask("/v1/policies/script", LAST.encode())
        monkeypatch.setattr(
            type(gateway.gateway), "options",
            property(lambda _: GatewayOptions(mode="platform")),
        )  # fmt: skip
        for way in ("deploy", "rollback"):
            refused = await gateway.ask(f"/v1/policies/script/{way}")
            assert (refused.status, refused.error()["code"]) == (403, "FORBIDDEN")


async def test_a_policy_without_a_file_is_deployed_until_the_end(site):
    async with site({"source": FIRST}) as gateway:
        await gateway.ask("/v1/policies/script", LAST.encode())
        deployed = await gateway.ask("/v1/policies/script/deploy")
        assert (deployed.status, deployed.json()["lasting"]) == (200, False)
        assert await decides(gateway) == "w2"
        assert (await get(gateway, "/v1/policies/script")).json()["in_force"]["file"] is None


async def test_what_can_not_be_written_decides_all_the_same(site, live, monkeypatch, caplog):
    def full(path, text):
        raise ConfigError("can't write it: the disk is full")

    monkeypatch.setattr("rbee_scheduler_script._live_file.replace_text", full)
    async with site() as gateway:
        await gateway.ask("/v1/policies/script", LAST.encode())
        deployed = await gateway.ask("/v1/policies/script/deploy")
        assert (deployed.status, deployed.json()["lasting"]) == (200, False)
        assert await decides(gateway) == "w2"
        assert live.read_text() == FIRST
    assert "will not outlive" in caplog.text


async def test_without_a_policy_in_force_there_is_nothing_to_deploy_to(site):
    async with site(plugins=()) as gateway:
        await gateway.ask("/v1/policies/mine", LAST.encode())
        refused = await gateway.ask("/v1/policies/mine/deploy")
        assert (refused.status, refused.error()["code"]) == (409, "CONFLICT")
        assert "[[plugins]]" in refused.error()["message"]


async def test_another_language_than_that_of_the_file_is_refused(site):
    async with site() as gateway:
        await gateway.ask("/v1/policies/mine?language=yaml", YAML.encode())
        assert (await gateway.ask("/v1/policies/mine/deploy")).status == 409


async def test_without_the_plugin_it_says_how_to_install_it(site, monkeypatch):
    monkeypatch.setattr("rbee_scheduler_gateway._policies._workshop.find_spec", lambda name: None)
    async with site(plugins=()) as gateway:
        missing = await get(gateway, "/v1/policies")
        assert missing.status == 404
        assert "pip install rbee-scheduler-script" in missing.error()["message"]
