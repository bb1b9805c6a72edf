"""Reload: all of a new configuration or nothing, and nobody who is being served notices."""

import logging

import anyio
import pytest

from rbee_scheduler.testing import FakeWorker, Gate, Script, VirtualClock
from rbee_scheduler_gateway._service import Plan
from rbee_scheduler_gateway._service._changes import FileChanges


OLD, NEW = "a-token-of-many-letters", "another-token-of-letters"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("RBEE_SCHEDULER_PLUGINS", raising=False)
    return tmp_path / "rbee-scheduler.toml"


def configured(*workers, more=""):
    tables = [f'[[workers]]\nid = "w{n}"\nurl = "{w.url}"\n' for n, w in enumerate(workers)]
    return f"{more}\n" + "".join(tables)


def ids(service):
    return [worker.id for worker in service.gateway.registry.snapshot().workers()]


async def test_workers_come_and_go_with_the_file(running, file):
    async with FakeWorker() as one, FakeWorker(model="other") as two:
        file.write_text(configured(one))
        plan = Plan(config=str(file))
        async with running.open_service(deployment=plan.load()[0], load=plan.load) as service:
            file.write_text(configured(one, two))
            await service.service.reload()
            after = ids(service)
            models = (await service.client.get("/v1/models")).json()["data"]
            file.write_text(configured(two).replace("w0", "w1"))
            await service.service.reload()
            last = ids(service)
    assert after == ["w0", "w1"]
    assert sorted(model["id"] for model in models) == ["other", "story"]  # it was asked at once
    assert last == ["w1"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("strategy = ", "no TOML"),
        ('strategy = "none-such"', "there is no strategy 'none-such'"),
        ('[[plugins]]\nname = "gateway"\n[plugins.options]\nprot = 1', "did you mean 'port'"),
        ('[[plugins]]\nname = "none-such"', "none-such"),
    ],
)
async def test_a_wrong_configuration_changes_nothing_and_is_logged(
    running, file, caplog, text, place
):
    async with FakeWorker() as worker:
        file.write_text(configured(worker))
        plan = Plan(config=str(file))
        async with running.open_service(deployment=plan.load()[0], load=plan.load) as service:
            before = service.gateway.scheduler
            file.write_text(text)
            await service.service.reload()
            answer = await service.ask()
            assert service.gateway.scheduler is before
    assert answer.status_code == 200
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info for record in said] == [None]
    assert place in said[0].getMessage()


async def test_requests_under_way_go_on_and_new_ones_meet_the_new_configuration(running, file):
    gate, answers = Gate(after=2), []
    async with (
        FakeWorker(Script(gate=gate), slots=8) as worker,
        FakeWorker() as other,
    ):
        file.write_text(configured(worker))
        plan = Plan(config=str(file))
        async with (
            running.open_service(deployment=plan.load()[0], load=plan.load) as service,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(5):
                tasks.start_soon(service.stream, answers)
            await gate.wait_for(5)
            # Under another name: what still runs on w0 counts for it, whatever its address.
            new = configured(other, more='strategy = "round-robin"').replace("w0", "w1")
            file.write_text(new)
            await service.service.reload()
            answer = await service.ask()
            assert service.gateway.active == 5
            gate.release()
    assert [running.content(text) for text in answers] == [Script().text] * 5
    assert answer.headers["x-rbee-strategy"] == "round-robin"
    assert sum(request.path.endswith("completions") for request in other.requests) == 1


async def test_a_generation_lives_until_its_last_request_has_ended(running, file):
    gate, answers = Gate(after=1), []
    async with FakeWorker(Script(gate=gate)) as worker:
        file.write_text(configured(worker))
        plan = Plan(config=str(file))
        async with (
            running.open_service(deployment=plan.load()[0], load=plan.load) as service,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(service.stream, answers)
            await gate.wait_for(1)
            for _ in range(3):
                await service.service.reload()
            living = service.gateway._generations._living
            assert [one.calls for one in living if one.calls] == [1]
            gate.release()
            while len(living) > 1:
                await anyio.wait_all_tasks_blocked()
            assert living == [service.gateway._generation]


async def test_a_change_of_the_file_is_seen_within_a_second(running, file):
    clock = VirtualClock()
    async with FakeWorker() as one, FakeWorker() as two:
        file.write_text(configured(one))
        plan = Plan(config=str(file))
        deployment, options = plan.load()
        files = FileChanges(plan.files(options))
        async with running.open_service(
            deployment=deployment, load=plan.load, files=files, clock=clock
        ) as service:
            await clock.run_for(0.9)
            file.write_text(configured(one, two))
            assert ids(service) == ["w0"]
            await clock.run_for(0.2)
            assert ids(service) == ["w0", "w1"]


async def test_what_the_command_line_said_still_wins_after_a_reload(running, file):
    async with FakeWorker() as worker, FakeWorker() as other:
        file.write_text(configured(other))
        plan = Plan(
            config=str(file),
            urls=(worker.url,),
            overrides=(("strategy", "round-robin", "--strategy"),),
            options={"drain_seconds": 7.0},
        )
        deployment, _ = plan.load()
        async with running.open_service(deployment=deployment, load=plan.load) as service:
            file.write_text(configured(other, more='strategy = "random"'))
            await service.service.reload()
            assert service.gateway.scheduler.strategy == "round-robin"
            assert service.gateway.options.drain_seconds == 7.0
            assert ids(service) == [worker.url.removeprefix("http://")]


async def test_tokens_can_be_changed_without_a_restart(running, file, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# of the team\n{OLD}\n\n")
    plan = Plan(config=str(file), token_file=str(tokens))
    file.write_text("")
    deployment, options = plan.load()
    assert options.tokens == (OLD,)
    async with running.open_service(
        deployment=deployment, load=plan.load, tokens=options.tokens
    ) as service:
        tokens.write_text(NEW)
        await service.service.reload()
        status = {}
        for token in (OLD, NEW):
            headers = {"authorization": f"Bearer {token}"}
            status[token] = (await service.client.get("/v1/models", headers=headers)).status_code
    assert status == {OLD: 401, NEW: 200}


async def test_what_needs_a_restart_is_named(running, file, caplog):
    file.write_text("")
    plan = Plan(config=str(file))
    deployment, _ = plan.load()
    async with running.open_service(deployment=deployment, load=plan.load) as service:
        file.write_text('[[plugins]]\nname = "gateway"\n[plugins.options]\nport = 9\n')
        await service.service.reload()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["not before the next start: port"]


async def test_a_gateway_without_a_configuration_says_so(running, caplog):
    async with FakeWorker() as worker, running.open_service(worker) as service:
        await service.service.reload()
    assert "made without a configuration" in caplog.text


def test_files_that_come_change_and_go_are_changes(tmp_path):
    file = tmp_path / "f"
    changes = FileChanges([file])
    seen = [changes.seen()]
    for text in ("a", "bb", None):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        seen += [changes.seen(), changes.seen()]
    assert seen == [False, True, False, True, False, True, False]


def test_a_file_that_is_put_in_the_place_of_another_is_a_change(tmp_path):
    file, other = tmp_path / "f", tmp_path / "g"
    file.write_text("a")
    other.write_text("b")
    changes = FileChanges([file])
    other.replace(file)
    assert changes.seen()


async def test_nobody_notices_reloads_under_load(running, file):
    statuses = []
    async with FakeWorker(slots=8) as worker:
        file.write_text(configured(worker))
        plan = Plan(config=str(file))

        async def ask_again_and_again():
            statuses.extend([(await service.ask()).status_code for _ in range(20)])

        async with running.open_service(deployment=plan.load()[0], load=plan.load) as service:
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(ask_again_and_again)
                for number in range(5):
                    file.write_text(configured(worker, more=f"seed = {number}"))
                    await service.service.reload()
            assert service.gateway.deployment.scheduler.seed == 4
    assert statuses == [200] * 160


async def test_a_plugin_that_breaks_in_a_reload_is_logged_with_its_traceback(running, caplog):
    def load():
        raise ZeroDivisionError("a bug")

    async with FakeWorker() as worker, running.open_service(worker, load=load) as service:
        await service.service.reload()
        answer = await service.ask()
    assert answer.status_code == 200
    assert "ZeroDivisionError: a bug" in caplog.text
