"""`plugins`: the list, the check, and the template's files."""

import json
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler import ConfigError, __version__
from rbee_scheduler.cli import cli
from rbee_scheduler.cli._template import plugin_name, render_plugin


GOOD = """
    from rbee_scheduler import Scores, hookimpl

    class Strategy:
        @hookimpl
        def rbee_score_workers(self, candidates):
            return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)

    @hookimpl
    def rbee_register_strategies():
        return {"good": Strategy()}
"""
NAMES_STRANGERS = """
    from rbee_scheduler import hookimpl

    @hookimpl
    def rbee_select_worker(candidates):
        return ["nobody"]
"""


@pytest.fixture(autouse=True)
def install(tmp_path, monkeypatch):
    """Return a function that installs a plugin; nothing else is there to be seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    site = tmp_path / "site"
    site.mkdir()
    names = []

    def install(name, source, version="1.0"):
        module = f"cli_plugins_{name}"
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: rbee-{name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[rbee_scheduler]\n{name} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))
        names.append(name)
        monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", ",".join(names))

    return install


def plugins(*args, **options):
    return CliRunner().invoke(cli, ["plugins", *args], **options)


def rows(*args):
    listed = json.loads(plugins("--json", *args).stdout)
    return {row["name"]: row for row in listed if row["distribution"].startswith("rbee-")
            and not row["distribution"].startswith("rbee-scheduler")}  # fmt: skip


# ---- list ------------------------------------------------------------------------------------


def test_the_list_shows_what_there_is_and_what_failed(install):
    install("good", GOOD)
    install("bad", "raise ImportError('no \\x1b[2J gpu')")
    good, bad = rows()["good"], rows()["bad"]
    assert (good["status"], good["version"], good["strategies"]) == ("active", "1.0", ["good"])
    assert (good["order"], good["hooks"]) == (1, ["rbee_register_strategies"])
    assert bad["status"] == "failed"
    result = plugins()
    assert result.exit_code == 0
    assert "1      good" in result.stdout
    assert "\nbad: plugin 'bad' (rbee-bad 1.0): " in result.stdout
    assert "ImportError: no \\x1b[2J gpu" in result.stdout
    assert plugins("list").stdout == result.stdout


def test_strict_stops_at_a_broken_plugin(install):
    install("bad", "raise ImportError('no gpu')")
    for args in (["--strict", "plugins"], ["plugins", "--strict"], ["plugins", "list", "--strict"]):
        result = CliRunner().invoke(cli, args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: plugin 'bad' (rbee-bad 1.0): ")
        assert "ImportError: no gpu" in result.stderr
        assert result.stderr.endswith("[PLUGIN_ERROR]\n")


def test_block_no_plugins_and_the_variable_leave_some_out(install, monkeypatch):
    install("good", GOOD)
    install("more", "")
    assert {name: row["status"] for name, row in rows("--block", "good").items()} == {
        "good": "blocked", "more": "active",
    }  # fmt: skip
    assert {row["status"] for row in rows("--no-plugins").values()} == {"blocked"}
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "more")
    assert rows()["good"]["status"] == "blocked"
    result = plugins("--block", "nobody")
    assert result.exit_code == 2
    assert "there is no plugin 'nobody'" in result.stderr


def test_named_instances_show_their_plugin(install):
    install("good", "")
    Path("rbee-scheduler.toml").write_text('[[plugins]]\nname = "gold"\nplugin = "good"\n')
    result = plugins(env={"RBEE_SCHEDULER_PLUGINS": None})
    assert "gold (good)" in result.stdout


def test_requirements_pin_what_is_in_use(install):
    install("good", GOOD, version="2.3")
    install("more", "")
    first, *others = plugins("--requirements", "--block", "more").stdout.splitlines()
    assert first.startswith("rbee-scheduler==")
    assert others == ["rbee-good==2.3"]
    assert json.loads(plugins("list", "--requirements", "--json").stdout)[1:] == [
        "rbee-good==2.3",
        "rbee-more==1.0",
    ]


def test_without_plugins_the_list_says_so(monkeypatch):
    monkeypatch.setattr("rbee_scheduler._plugins._manager.installed_plugins", list)
    assert plugins().stdout == "no plugins are installed\n"


# ---- check -----------------------------------------------------------------------------------


def test_check_runs_the_contract(install):
    install("good", GOOD)
    result = plugins("check", "good")
    assert result.exit_code == 0
    assert all(line.startswith("ok  ") for line in result.stdout.splitlines())
    assert json.loads(plugins("check", "good", "--json").stdout)["ok"] is True


def test_check_exits_with_1_when_a_check_fails(install):
    install("stranger", NAMES_STRANGERS)
    result = plugins("check", "stranger")
    assert result.exit_code == 1
    assert "FAIL  names only candidates" in result.stdout


def test_check_takes_an_instance_with_its_options(install):
    install("good", GOOD)
    Path("rbee-scheduler.toml").write_text(
        '[[plugins]]\nname = "gold"\nplugin = "good"\noptions = {x = 1}\n'
    )
    result = plugins("check", "gold", env={"RBEE_SCHEDULER_PLUGINS": None})
    assert result.exit_code == 1
    assert "takes no options" in result.stdout


def test_check_needs_a_plugin_that_is_there(install):
    result = plugins("check", "nobody")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no plugin 'nobody' (there are: ")


def test_check_says_what_to_install_for_it(install, monkeypatch):
    install("good", GOOD)
    monkeypatch.delattr("rbee_scheduler.testing.check_plugin", raising=False)
    monkeypatch.setitem(sys.modules, "rbee_scheduler.testing._contract", None)
    result = plugins("check", "good")
    assert result.exit_code == 2
    assert "pip install 'rbee-scheduler[testing]'" in result.stderr


# ---- new -------------------------------------------------------------------------------------


def test_new_writes_a_package(tmp_path):
    result = plugins("new", "Least_Busy", "--description", 'Say "hi"  \n there', "--author", "Ann")
    assert (result.exit_code, result.stderr[:5]) == (0, "next:")
    folder = tmp_path / "rbee-scheduler-least-busy"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "src/rbee_scheduler_least_busy/__init__.py",
        "src/rbee_scheduler_least_busy/_strategy.py",
        "src/rbee_scheduler_least_busy/py.typed",
        "tests/test_contract.py",
        "tests/test_strategy.py",
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "rbee-scheduler-least-busy"
    assert project["description"] == 'Say "hi" there'
    assert project["authors"] == [{"name": "Ann"}]
    assert project["dependencies"] == ["rbee-scheduler>=0.1,<0.2"]
    assert project["entry-points"] == {
        "rbee_scheduler": {"least-busy": "rbee_scheduler_least_busy"}
    }


def test_new_overwrites_nothing(tmp_path):
    (tmp_path / "here").mkdir()
    assert plugins("new", "x", "--dir", "here", "-q").exit_code == 0
    before = (tmp_path / "here" / "README.md").read_bytes()
    result = plugins("new", "y", "--dir", "here")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: here: it exists, and nothing is overwritten")
    assert (tmp_path / "here" / "README.md").read_bytes() == before
    (tmp_path / "file").touch()
    assert plugins("new", "y", "--dir", "file").exit_code == 2
    assert plugins("new", "y", "--dir", "file/below").exit_code == 2


def test_new_under_json_lists_the_files():
    answer = json.loads(plugins("new", "x", "--json").stdout)
    assert (answer["name"], answer["folder"]) == ("x", "rbee-scheduler-x")
    assert "pyproject.toml" in answer["files"]


@pytest.mark.parametrize("text", ["", "9", "é", "a/b", "-a", "a--b!", "core", "rbee-scheduler-"])
def test_a_name_that_can_be_no_package_is_refused(text):
    with pytest.raises(ConfigError, match="can't be a plugin's name"):
        plugin_name(text)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"description": "@@name@@ \\ \" ' \x7f λ", "author": 'A "B" \\'},
        {"author": "Ann"},
    ],
)
def test_what_is_rendered_is_whole(options):
    rendered = render_plugin("polka-dot-2", **options)
    for path, text in rendered.items():
        assert "@@" not in path
        assert "@@" not in text.replace("@@name@@" if "description" in options else "-", "")
        if path.endswith(".py"):
            compile(text, path, "exec")
    project = tomllib.loads(rendered["pyproject.toml"])["project"]
    assert project["description"] == options.get("description") or "description" not in options


def test_the_template_pins_this_version_of_core():
    series = __version__.rpartition(".")[0]
    assert f'["rbee-scheduler>={series},<' in render_plugin("x")["pyproject.toml"]
