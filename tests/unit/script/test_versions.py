"""The list of versions: what it keeps, in which file, for whom; going back."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler.testing import VirtualClock
from rbee_scheduler_script import Version, VersionStore
from rbee_scheduler_script._version import digest_of
from rbee_scheduler_script._versions import state_folder


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path, clock):
    path = None if request.param == "memory" else tmp_path / "deep" / "versions.json"
    return VersionStore(path, clock=clock)


def states(store):
    return [(one.number, one.state) for one in store.all()]


def test_a_new_version_supersedes_the_one_before(store, clock):
    first = store.add("one", state="deployed", author="ann", file="p.rhai")
    clock.advance(60)
    second = store.add("two", state="deployed")
    assert states(store) == [(1, "superseded"), (2, "deployed")]
    assert store.current() == second
    assert second.time - first.time == 60_000
    assert (first.digest, first.author, first.file) == (digest_of("one"), "ann", "p.rhai")
    assert first.when == "2023-11-14 22:13:20"


def test_a_refused_version_supersedes_nothing(store):
    store.add("one", state="deployed")
    findings = [{"severity": "error", "code": "X", "place": "p:1:1", "message": "m", "hint": ""}]
    refused = store.add("two", state="refused", findings=findings)
    assert states(store) == [(1, "deployed"), (2, "refused")]
    assert store.all()[1].findings == refused.findings == tuple(findings)
    assert store.current().number == 1


def test_the_same_text_again_is_the_same_version(store):
    first = store.add("one", state="deployed", author="ann")
    assert store.add("one", state="deployed", author="watcher") == first
    refused = store.add("two", state="refused")
    assert store.add("two", state="refused") == refused
    # A refused one in between changes nothing about what is deployed.
    assert store.add("one", state="deployed") == first
    assert len(store.all()) == 2


def test_what_to_go_back_to(store):
    with pytest.raises(ConfigError, match="no version to go back to"):
        store.before()
    for text in ("one", "two", "three"):
        store.add(text, state="deployed")
    assert store.before().source == "two"
    store.add("two", state="deployed")
    # From the older text back to what was there before it came again.
    assert store.before().source == "three"


def test_finding_one(store):
    store.add("one", state="deployed")
    two = store.add("two", state="deployed")
    assert store.find("2") == store.find(two.digest[:8]) == two
    for which in ("3", "zz", ""):
        with pytest.raises(ConfigError, match="no version"):
            store.find(which)


def test_the_number_of_versions_is_bounded_but_the_deployed_one_stays(tmp_path):
    store = VersionStore(tmp_path / "v.json", keep=3)
    store.add("good", state="deployed")
    for number in range(10):
        store.add(f"bad {number}", state="refused")
    assert [one.number for one in store.all()] == [1, 10, 11]
    assert store.current().source == "good"


def test_the_file_is_for_its_owner_alone(tmp_path):
    store = VersionStore(tmp_path / "state" / "v.json")
    store.add("one", state="deployed")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert [path for path in store.path.parent.iterdir() if path.suffix == ".part"] == []


def test_several_processes_lose_nothing(tmp_path):
    path = tmp_path / "v.json"
    code = (
        "import sys; from pathlib import Path; from rbee_scheduler_script import VersionStore\n"
        "store = VersionStore(Path(sys.argv[1]), keep=1000)\n"
        "for n in range(20): store.add(f'{sys.argv[2]} {n}', state='refused')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    found = VersionStore(path).all()
    assert [one.number for one in found] == list(range(1, 41))
    assert len({one.source for one in found}) == 40


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2, "versions": []}', '{"format": 1, "versions": [{}]}', '"x"'],
)
def test_a_file_that_is_something_else(tmp_path, text):
    path = tmp_path / "v.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no list of versions") as refused:
        VersionStore(path).all()
    assert refused.value.place == str(path)


def test_a_key_of_tomorrow_is_no_obstacle(tmp_path):
    store = VersionStore(tmp_path / "v.json")
    store.add("one", state="deployed")
    document = json.loads(store.path.read_text())
    document["versions"][0]["signature"] = "x"
    store.path.write_text(json.dumps(document))
    assert store.current().source == "one"


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"):
        VersionStore(tmp_path / "file" / "v.json").add("one", state="deployed")


def test_where_versions_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_folder() == tmp_path / ".local" / "state" / "rbee-scheduler" / "policies"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "state" / "rbee-scheduler" / "policies"
    assert state_folder() == folder
    a, b = (VersionStore.of_file(tmp_path / name / "p.rhai") for name in "ab")
    assert a.path.parent == b.path.parent == folder
    assert a.path != b.path
    assert a.path.name.startswith("p.rhai-")


def test_a_version_as_data():
    version = VersionStore().add("one", state="deployed")
    assert isinstance(version, Version)
    assert "source" not in version.to_dict()
    assert version.to_dict(source=True)["source"] == "one"
    assert version.name == f"version 1 ({digest_of('one')[:12]})"
