"""The contract kit: a sound plugin passes, and each check catches the plugin it is for."""

import os
import subprocess
import sys
from functools import cache
from textwrap import dedent

import anyio
import attrs
import pytest
import sniffio

from rbee_scheduler import (
    Allow,
    ConfigError,
    Deny,
    PluginConfig,
    Reject,
    Scores,
    Soft,
    Wait,
    hookimpl,
)
from rbee_scheduler.testing import ContractViolation, PluginContract, check_plugin
from rbee_scheduler.testing import _contract as kit


@pytest.fixture(autouse=True, scope="module")
def one_crowd():
    """Share the 10,000 candidates among these tests: registering them takes 0.2 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kit, "_crowd", cache(kit._crowd))
        yield


CHECKS = [check.__name__.replace("_", " ") for check in kit.CHECKS]


def failed(plugin):
    """Return check -> detail of those that the plugin fails."""
    findings = check_plugin(plugin)
    assert [finding.check for finding in findings] == CHECKS
    return {finding.check: finding.detail for finding in findings if not finding.ok}


# ---- sound plugins -----------------------------------------------------------------------------


class Sound:
    """Implements nearly everything, and well."""

    @hookimpl
    async def rbee_check_quota(self, request):
        await anyio.lowlevel.checkpoint()
        return Deny("too long") if request.max_tokens > 5000 else Allow()

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return Soft({w.id: "no GPU" for w in candidates if not w.gpus})

    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)

    @hookimpl
    def rbee_select_worker(self, candidates, snapshot):
        first = snapshot.turn % len(candidates)
        return [w.id for w in [*candidates[first:], *candidates[:first]]]

    @hookimpl
    def rbee_order_queue(self, jobs):
        return [job.id for job in jobs]

    @hookimpl
    def rbee_order_lane(self):
        return Lane()

    @hookimpl
    async def rbee_reserve(self):
        await anyio.lowlevel.checkpoint()

    @hookimpl
    def rbee_release(self):
        """Nothing to give back."""


class NoLease:
    """Its lease service is not there, which is no violation: the next candidate is tried."""

    @hookimpl
    async def rbee_reserve(self):
        raise ConnectionError("no lease service here")


class Choosy:
    """Drops all workers that have no GPU: in a fleet without any, nobody is left."""

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {w.id: "no GPU" for w in candidates if not w.gpus}


class Answers:
    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def rbee_select_worker(self):
        return self.answer


@pytest.mark.parametrize(
    "plugin",
    [Sound(), NoLease(), Choosy(), Answers(Wait("later")), Answers(Reject("never")), "simple"],
    ids=["sound", "no lease", "choosy", "waits", "rejects", "simple"],
)
def test_a_sound_plugin_passes(plugin):
    assert failed(plugin) == {}


def test_an_instance_with_its_options_can_be_checked():
    assert failed(PluginConfig(name="mine", plugin="simple")) == {}


def test_the_environment_does_not_block_what_is_checked(monkeypatch):
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "")
    assert failed("simple") == {}


# ---- a violation of each clause ------------------------------------------------------------------


class Empty:
    """Implements no hook."""


class Moody:
    """Decides by how often it was asked."""

    def __init__(self):
        self.asked = 0

    @hookimpl
    def rbee_select_worker(self, request, candidates):
        if request.session_id and request.max_tokens > 4000:  # the live check has no such request
            self.asked += 1
        return [candidates[self.asked % len(candidates)].id]


class Scribbler:
    """Writes on the workers it is shown."""

    @hookimpl
    def rbee_score_workers(self, candidates):
        for worker in candidates:
            worker.labels["seen"] = "yes"
        return {}


class Overbooker:
    """Likes busy workers best."""

    @hookimpl
    def rbee_select_worker(self, request, candidates, snapshot):
        busy = [w for w in snapshot.with_model(request.model) if w.status == "busy"]
        return [w.id for w in busy or candidates]


class Stubborn:
    """Takes the first free worker, whatever the filters of others say."""

    @hookimpl
    def rbee_select_worker(self, request, snapshot):
        return [snapshot.free(request.model)[0].id]


class Presumptuous:
    """Takes for granted that there is a worker."""

    @hookimpl
    def rbee_check_quota(self, snapshot):
        return Allow() if snapshot.workers()[0] else None


class Eager:
    """Takes for granted that somebody waits."""

    @hookimpl
    def rbee_order_queue(self, jobs):
        return [jobs[0].id]


class Lane(dict):
    """An order of a lane: as jobs came."""

    def add(self, request):
        self[request.job_id] = request

    def remove(self, request):
        del self[request.job_id]


class Forgetful:
    """Keeps an order that names jobs which have left."""

    @hookimpl
    def rbee_order_lane(self):
        lane = Lane()
        lane.remove = lambda request: None
        return lane


class Twice:
    """Keeps an order that names a job again."""

    @hookimpl
    def rbee_order_lane(self):
        lane = Lane()
        return type("Twice", (), {
            "add": lane.add, "remove": lane.remove, "__iter__": lambda _: iter([*lane, *lane]),
        })()  # fmt: skip


class Clumsy:
    """Keeps an order that fails when a job is withdrawn."""

    @hookimpl
    def rbee_order_lane(self):
        return type("Clumsy", (list,), {"add": list.append})()


class Late:
    """Waits, and finds that there is nobody."""

    @hookimpl
    async def rbee_check_quota(self, snapshot):
        await anyio.lowlevel.checkpoint()
        return Allow() if snapshot.workers()[0] else None


class Recursive:
    """Runs out of stack in a large fleet."""

    @hookimpl
    def rbee_score_workers(self, candidates):
        def best(left):
            return max(left[0].load, best(left[1:])) if left[1:] else left[0].load

        return {w.id: best(candidates[:2000]) for w in candidates[:1]}


class Asyncio:
    """Waits in a way that only asyncio knows."""

    @hookimpl
    async def rbee_reserve(self):
        if sniffio.current_async_library() != "asyncio":
            raise RuntimeError("no running event loop")


class AsyncioChooser:
    """Decides otherwise on trio."""

    @hookimpl
    def rbee_select_worker(self, candidates):
        try:
            on_trio = sniffio.current_async_library() == "trio"
        except sniffio.AsyncLibraryNotFoundError:
            on_trio = False
        return [candidates[-1 if on_trio else 0].id]


@pytest.mark.parametrize(
    ("plugin", "check", "detail"),
    [
        (Empty, "loads and registers", "the plugin implements no hook"),
        (Moody, "decides the same twice", "strategy best-score: "),
        (Scribbler, "leaves its arguments alone", "strategy best-score changed what it was shown"),
        (Overbooker, "names only candidates", "which is no candidate"),
        (Stubborn, "respects hard filters", "banned by a filter: plugin 'Stubborn'"),
        (Presumptuous, "survives an empty fleet", "in rbee_check_quota: IndexError"),
        (Eager, "survives an empty fleet", "in rbee_order_queue: IndexError"),
        (Late, "survives an empty fleet", "in rbee_check_quota: IndexError"),
        (Forgetful, "keeps lanes in order", "names job-2, which do not wait"),
        (Twice, "keeps lanes in order", "names a job twice: job-0, job-0"),
        (Clumsy, "keeps lanes in order", "in rbee_order_lane: "),
        (Recursive, "survives ten thousand candidates", "RecursionError"),
        (Asyncio, "runs on both backends", "no running event loop"),
        (AsyncioChooser, "runs on both backends", "backends disagree"),
    ],
)
def test_a_violation_fails_its_own_check_alone(plugin, check, detail):
    violations = failed(plugin())
    assert list(violations) == [check]
    assert detail in violations[check]


def test_every_check_has_its_violation():
    (mark,) = test_a_violation_fails_its_own_check_alone.pytestmark
    assert set(CHECKS) == {check for _, check, _ in mark.args[1]}


# ---- a plugin that does not load -----------------------------------------------------------------


class Misspelt:
    @hookimpl
    def rbee_filter_worker(self, candidates):
        return {}


def test_a_plugin_that_does_not_load_fails_every_check_with_the_reason():
    violations = failed(Misspelt())
    assert list(violations) == CHECKS
    for detail in violations.values():
        assert "PluginError: plugin 'Misspelt' in rbee_filter_worker" in detail


def test_a_plugin_that_is_not_installed_is_a_finding():
    assert "the plugin 'absent' is not installed" in failed("absent")["loads and registers"]


def test_whatever_a_check_raises_is_a_finding():
    class Nasty:
        @hookimpl
        def rbee_configure(self):
            raise ConfigError("no such file")

    assert failed(Nasty())["decides the same twice"] == "ConfigError: no such file"


def test_without_trio_the_backends_are_asyncio_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "trio", None)
    assert kit._backends() == ("asyncio",)
    assert failed(Asyncio()) == {}


def test_a_refusal_is_an_answer_that_backends_agree_on():
    class NoMore:
        @hookimpl
        def rbee_check_quota(self):
            return Deny("no more")

    assert failed(NoMore()) == {}


# ---- under pytest ------------------------------------------------------------------------------


class TestSound(PluginContract):
    plugin = Sound()


class TestSimple(PluginContract):
    plugin = "simple"

    def test_more_may_be_added(self):
        assert self.plugin == "simple"


def test_overriding_a_clause_is_refused():
    with pytest.raises(TypeError, match="overrides test_decides_the_same_twice"):

        class Cheating(PluginContract):
            def test_decides_the_same_twice(self):
                """Pass."""


def test_overriding_a_clause_from_a_base_class_is_refused():
    class Mixin:
        test_loads_and_registers = None

    with pytest.raises(TypeError, match="Cheating overrides test_loads_and_registers"):

        class Cheating(Mixin, PluginContract):
            plugin = "simple"


def test_a_contract_without_a_plugin_says_what_to_set():
    class Forgotten(PluginContract):
        pass

    with pytest.raises(TypeError, match=r"set Forgotten\.plugin to the plugin's name"):
        Forgotten().test_loads_and_registers()


def test_a_violation_is_an_assertion_that_pytest_shows():
    class Bad(PluginContract):
        plugin = Empty()

    with pytest.raises(ContractViolation, match="the plugin implements no hook"):
        Bad().test_loads_and_registers()
    assert issubclass(ContractViolation, AssertionError)


def test_pytest_collects_one_test_per_clause(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        dedent("""
        from rbee_scheduler.testing import PluginContract

        class Empty:
            pass

        class TestBad(PluginContract):
            plugin = Empty()
        """)
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # half of the time
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout
    assert f"1 failed, {len(CHECKS) - 1} passed" in run.stdout
    assert "ContractViolation: the plugin implements no hook" in run.stdout


def test_findings_are_plain_records():
    finding = check_plugin("simple")[0]
    assert attrs.asdict(finding) == {"check": CHECKS[0], "ok": True, "detail": ""}
