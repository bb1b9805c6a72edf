"""Hot reload: by call and by file; what is refused; what jobs under way notice (nothing)."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager

import anyio
import pytest

from rbee_scheduler import PluginConfig, Scheduler, WorkerRegistry
from rbee_scheduler._plugins import Plugins
from rbee_scheduler._surroundings import Surroundings
from rbee_scheduler.testing import FakeWorker, Script
from rbee_scheduler_script import (
    DeployLocked,
    Policy,
    PolicyDeployer,
    PolicyRefused,
    RhaiScheduler,
    watch_policy,
)
from rbee_scheduler_script import _deployer as room
from rbee_scheduler_script._sample import sample_registry, sample_request


def choosing(worker_id):
    return f'fn schedule_job(job, pools, workers) {{ get_worker("{worker_id}") }}'


FIRST, SECOND = choosing("gpu-1"), choosing("gpu-2")
WRONG_ANSWER = "fn schedule_job(job, pools, workers) {\n    job.max_tokens\n}"
UNFINISHED = "fn schedule_job(job, pools, workers) {\n    workers.first("
YAML = """
rules:
  - name: Second
    condition: true
    action: { select: "workers.filter(id == 'gpu-2').first()" }
"""


def scheduler_of(source=FIRST, **options):
    return RhaiScheduler.from_source(source, sample_registry(), **options)


def chosen(scheduler):
    return scheduler.explain(sample_request(created_at=0.0, queued_at=0.0)).worker_id


class Told(logging.Handler):
    """Lets a test wait for a line of the log."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self._waiting = []

    def emit(self, record):
        self.lines.append(record.getMessage())
        for words, event in self._waiting:
            if words in self.lines[-1]:
                event.set()

    async def wait(self, words):
        event = anyio.Event()
        self._waiting.append((words, event))
        if any(words in line for line in self.lines):
            return
        with anyio.fail_after(30):
            await event.wait()


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, "rbee_scheduler.policy")
    handler = Told()
    logger = logging.getLogger("rbee_scheduler.policy")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


# ---- by call -------------------------------------------------------------------------------


async def test_a_call_changes_what_decides(told):
    scheduler = scheduler_of()
    assert chosen(scheduler) == "gpu-1"
    version = await scheduler.deployer.deploy(SECOND, author="ann")
    assert (version.number, version.author, version.state) == (2, "ann", "deployed")
    assert chosen(scheduler) == "gpu-2"
    assert scheduler.deployer.status().state == "deployed"
    assert scheduler.deployer.status().reloads == 1
    assert [line for line in told.lines if "decides now, by ann" in line]


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        (UNFINISHED, ":2:", ""),
        (WRONG_ANSWER, ":1:1", "dry run for a job of llama-3-8b: answered the number 100"),
        ("fn other() { 1 }", ":1:1", "decides"),
    ],
)
async def test_a_bad_version_is_refused_and_the_old_one_stays(source, place, words, told):
    scheduler = scheduler_of()
    with pytest.raises(PolicyRefused) as refused:
        await scheduler.deployer.deploy(source)
    assert chosen(scheduler) == "gpu-1"
    version = refused.value.version
    assert (version.state, version.number) == ("refused", 2)
    assert version.findings[0]["severity"] == "error"
    assert f"<policy>{place}" in refused.value.place
    assert words in str(refused.value)
    status = scheduler.deployer.status()
    assert (status.state, status.refused, status.version.number) == ("refused", version, 1)
    assert any(f"<policy>{place}" in line and "is refused" in line for line in told.lines)
    await scheduler.deployer.deploy(SECOND)
    assert scheduler.deployer.status().state == "deployed"


async def test_a_dry_run_leaves_no_trace():
    scheduler = scheduler_of()
    with pytest.raises(PolicyRefused):
        await scheduler.deployer.deploy(WRONG_ANSWER)
    status = scheduler.status()
    assert (status.runs, status.failures, status.last_error) == (0, 0, "")


async def test_yaml_is_taken_too():
    scheduler = scheduler_of()
    await scheduler.deployer.deploy(YAML, file="rules.yaml")
    assert chosen(scheduler) == "gpu-2"
    with pytest.raises(PolicyRefused) as refused:
        await scheduler.deployer.deploy("rules:\n  - name: x\n    nonsense: 1\n", file="r.yml")
    assert refused.value.place.startswith("r.yml:")
    assert chosen(scheduler) == "gpu-2"


async def test_a_policy_that_was_set_aside_comes_back():
    scheduler = scheduler_of(WRONG_ANSWER, max_failures=2)
    for _ in range(2):
        chosen(scheduler)
    assert scheduler.status().state == "set-aside"
    await scheduler.deployer.deploy(SECOND)
    assert (scheduler.status().state, chosen(scheduler)) == ("active", "gpu-2")


async def test_the_platform_takes_no_policy():
    policy = Policy(FIRST)
    locked = PolicyDeployer(policy, locked=True)
    assert locked.status().state == "locked"
    registry = sample_registry()
    platform = Surroundings(mode="platform")
    by_mode = PolicyDeployer(policy, lambda: registry.snapshot(surroundings=platform))
    for deployer in (locked, by_mode):
        with pytest.raises(DeployLocked):
            await deployer.deploy(SECOND)
        with pytest.raises(DeployLocked):
            await deployer.rollback("1")
    assert policy.source == FIRST


async def test_rolling_back():
    scheduler = scheduler_of()
    await scheduler.deployer.deploy(SECOND)
    version = await scheduler.deployer.rollback(author="bob")
    assert (chosen(scheduler), version.number, version.author) == ("gpu-1", 3, "bob")
    await scheduler.deployer.rollback("2")
    assert chosen(scheduler) == "gpu-2"


async def test_without_a_place_for_versions_they_are_kept_in_memory(told, tmp_path, monkeypatch):
    (tmp_path / "state").write_text("a file, and no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    scheduler = scheduler_of()
    await scheduler.deployer.deploy(SECOND)
    assert chosen(scheduler) == "gpu-2"
    assert [one.number for one in scheduler.deployer.versions.all()] == [1, 2]
    assert any("versions are kept in memory" in line for line in told.lines)


async def test_no_decision_waits_for_a_review(monkeypatch):
    scheduler = scheduler_of()
    asked, go_on = anyio.Event(), anyio.Event()
    real = room.review

    def slow(*args, **options):
        anyio.from_thread.run_sync(asked.set)
        anyio.from_thread.run(go_on.wait)
        return real(*args, **options)

    monkeypatch.setattr(room, "review", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scheduler.deployer.deploy, SECOND)
        await asked.wait()
        assert chosen(scheduler) == "gpu-1"
        go_on.set()
    assert chosen(scheduler) == "gpu-2"


async def test_deployments_that_overlap_come_one_after_the_other():
    scheduler = scheduler_of()
    async with anyio.create_task_group() as tasks:
        for source in (SECOND, FIRST, SECOND):
            tasks.start_soon(scheduler.deployer.deploy, source)
    status = scheduler.deployer.status()
    assert status.version.source == scheduler.policy.source
    assert scheduler.deployer.versions.current() == status.version


async def test_a_cancelled_deployment_is_whole_or_nothing(monkeypatch):
    scheduler = scheduler_of()
    with anyio.CancelScope() as scope:
        monkeypatch.setattr(scheduler.policy, "adopt", _cancelling(scope, scheduler.policy.adopt))
        await scheduler.deployer.deploy(SECOND)
    assert scheduler.policy.source == SECOND
    assert scheduler.deployer.versions.current().source == SECOND


def _cancelling(scope, function):
    def call(*args):
        scope.cancel()
        return function(*args)

    return call


# ---- by file -------------------------------------------------------------------------------


@asynccontextmanager
async def watched(path, **options):
    async with RhaiScheduler.from_file(path, sample_registry(), watch=True, **options) as scheduler:
        yield scheduler


async def test_a_file_that_is_saved_decides_from_then_on(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    async with watched(path) as scheduler:
        assert chosen(scheduler) == "gpu-1"
        path.write_text(SECOND)
        await told.wait("version 2")
        assert chosen(scheduler) == "gpu-2"
        # As editors do it: another file takes its place.
        other = tmp_path / ".p.rhai.swp"
        other.write_text(FIRST)
        other.replace(path)
        await told.wait("version 3")
        assert chosen(scheduler) == "gpu-1"
    assert [one.state for one in scheduler.deployer.versions.all()] == [
        "superseded", "superseded", "deployed",
    ]  # fmt: skip


async def test_a_bad_file_is_told_and_a_good_one_taken(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    async with watched(path) as scheduler:
        path.write_text(UNFINISHED)
        await told.wait(f"{path}:2:")
        assert (chosen(scheduler), scheduler.deployer.status().state) == ("gpu-1", "refused")
        path.unlink()
        await told.wait("can't be read")
        path.write_text(SECOND)
        await told.wait("decides now")
        assert chosen(scheduler) == "gpu-2"


async def test_polling_sees_changes_as_well(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    scheduler = RhaiScheduler.from_file(path, sample_registry())
    async with watch_policy(scheduler.deployer, polling=True):
        path.write_text(SECOND)
        await told.wait("version 2")
    assert chosen(scheduler) == "gpu-2"


async def test_a_change_between_reading_and_watching_is_seen(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    scheduler = RhaiScheduler.from_file(path, sample_registry(), watch=True)
    path.write_text(SECOND)
    async with scheduler:
        await told.wait("version 2")
        assert chosen(scheduler) == "gpu-2"


async def test_a_file_that_says_nothing_new_undoes_no_call(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    scheduler = RhaiScheduler.from_file(path, sample_registry(), watch=True)
    await scheduler.deployer.deploy(SECOND)
    async with scheduler:
        assert await scheduler.deployer.reload() is None
        path.write_text(FIRST + "// again\n")
        await told.wait("version 3")
    assert chosen(scheduler) == "gpu-1"


async def test_a_policy_that_was_set_aside_is_woken_by_its_own_file(tmp_path):
    path = tmp_path / "p.rhai"
    path.write_text(choosing("gpu-3"))  # which serves another model
    scheduler = RhaiScheduler.from_file(path, sample_registry(), max_failures=1)
    _ = scheduler.deployer
    chosen(scheduler)
    assert scheduler.status().state == "set-aside"
    assert await scheduler.deployer.reload() is not None
    assert scheduler.status().state == "active"


async def test_where_the_system_does_not_tell_of_changes_it_is_looked_for_them(
    tmp_path, told, monkeypatch
):
    import watchfiles

    real = watchfiles.awatch

    def short_of_watches(*paths, force_polling, **options):
        if not force_polling:
            raise OSError(28, "OS file watch limit reached")
        return real(*paths, force_polling=True, **options)

    async def awatch(*paths, **options):
        async for changes in short_of_watches(*paths, **options):
            yield changes

    monkeypatch.setattr(watchfiles, "awatch", awatch)
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    async with watched(path) as scheduler:
        await told.wait("file watch limit reached")
        path.write_text(SECOND)
        await told.wait("version 2")
        assert chosen(scheduler) == "gpu-2"


async def test_a_failure_of_our_own_is_logged_and_the_watch_goes_on(tmp_path, told, monkeypatch):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    async with watched(path) as scheduler:
        with monkeypatch.context() as patch:
            patch.setattr(room, "review", lambda *_, **__: 1 / 0)
            path.write_text(SECOND)
            await told.wait("a reload failed")
        path.write_text(SECOND + "\n")
        await told.wait("version 2")
        assert chosen(scheduler) == "gpu-2"


async def test_the_block_ends_with_its_own_exception(tmp_path):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    with pytest.raises(LookupError):
        async with watched(path):
            raise LookupError
    with anyio.move_on_after(30) as scope:
        async with watched(path):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancel_called


async def test_an_instance_of_the_plugin_watches_its_file(tmp_path, told):
    path = tmp_path / "p.rhai"
    path.write_text(FIRST)
    listed = PluginConfig(name="mine", plugin="script", options={"file": str(path)})
    async with Scheduler(sample_registry(), Plugins([listed], strict=True)) as scheduler:
        assert chosen(scheduler) == "gpu-1"
        path.write_text(SECOND)
        await told.wait("policy mine: version 2")
        assert chosen(scheduler) == "gpu-2"


async def test_a_job_under_way_stays_where_it_is():
    async with FakeWorker(Script(tokens=("a", "b"))) as one, FakeWorker(Script()) as two:
        registry = WorkerRegistry()
        registry.add_url(one.url, id="one", model="m")
        registry.add_url(two.url, id="two", model="m")
        async with RhaiScheduler.from_source(choosing("one"), registry) as scheduler:
            request = sample_request(model="m", created_at=0.0, queued_at=0.0)
            async with scheduler.stream(request) as events:
                async for event in events:
                    if event.type == "started":
                        await scheduler.deployer.deploy(choosing("two"))
                    if event.type == "end":
                        assert event.outcome.worker_id == "one"
            assert scheduler.explain(request).worker_id == "two"
