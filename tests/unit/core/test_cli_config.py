"""`config`, `doctor` and `completion`."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rbee_scheduler import load_configuration
from rbee_scheduler.cli import _doctor, cli


ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "examples" / "rbee-scheduler.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def run(*args, **options):
    return CliRunner().invoke(cli, args, **options)


def write(text):
    Path("rbee-scheduler.toml").write_text(text, encoding="utf-8")


# ---- config show -----------------------------------------------------------------------------


def test_show_prints_toml_that_means_the_same():
    write(EXAMPLE)
    shown = run("config", "show", "--origin", "--set", 'strategy=a"b\\λ').stdout
    before = load_configuration(environ={}, overrides=[("strategy", 'a"b\\λ', "--set strategy")])
    Path("again.toml").write_text(shown, encoding="utf-8")
    assert load_configuration("again.toml", environ={}).deployment == before.deployment


def test_show_says_where_each_value_comes_from():
    write("seed = 7\n[[plugins]]\nname = 'a'\n")
    result = run(
        "config", "show", "--origin", "--set", "retry.jitter=0",
        env={"RBEE_SCHEDULER_QUEUE__CAPACITY": "3"},
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0] == "# rbee-scheduler.toml"
    assert "seed = 7  # rbee-scheduler.toml" in lines
    assert "capacity = 3  # environment RBEE_SCHEDULER_QUEUE__CAPACITY" in lines
    assert "jitter = 0.0  # option --set retry.jitter" in lines
    assert 'backend = "asyncio"  # default' in lines
    assert "[[plugins]]  # rbee-scheduler.toml" in lines


def test_show_without_a_file_shows_the_defaults():
    lines = run("config", "show").stdout.splitlines()
    assert lines[0] == "# no file"
    assert lines[-1] == "# plugins: all that are installed"


def test_show_as_json():
    write('[[workers]]\nurl = "http://h:1"\nmodel = "m"\nlabels = {a = "b"}\n')
    values = json.loads(run("config", "show", "--json").stdout)["values"]
    assert values["workers"] == [
        {"id": "h:1", "url": "http://h:1", "model": "m", "labels": {"a": "b"}}
    ]
    answer = json.loads(run("config", "show", "--json", "--origin").stdout)
    assert answer["file"] == "rbee-scheduler.toml"
    assert answer["values"]["queue.capacity"] == {"value": -1, "origin": "default"}
    assert answer["values"]["workers"]["origin"] == "rbee-scheduler.toml"


def test_show_masks_secrets_unless_asked():
    write(
        '[[workers]]\nurl = "http://h:1"\nlabels = {api_key = "sk-1", rack = "b"}\n'
        '[[plugins]]\nname = "a"\noptions = {redis = [{password = "sk-2"}], max_token = 3}\n'
    )
    for args in ((), ("--json",), ("--origin",)):
        shown = run("config", "show", *args).stdout
        assert "sk-" not in shown
        assert "***" in shown
    assert "max_token = 3" in run("config", "show").stdout
    shown = run("config", "show", "--secrets").stdout
    assert '"sk-1"' in shown
    assert '"sk-2"' in shown


# ---- config check ----------------------------------------------------------------------------


def test_check_is_content_with_what_is_right():
    write("[queue]\ncapacity = 3\n")
    assert run("config", "check").stdout == "rbee-scheduler.toml: fine\n"
    assert json.loads(run("config", "check", "--json").stdout) == {
        "file": "rbee-scheduler.toml", "ok": True, "findings": [],
    }  # fmt: skip
    Path("rbee-scheduler.toml").unlink()
    assert run("config", "check").stdout == "no file; the defaults: fine\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[queue]\ncapacty = 3\n", "other.toml: $.queue.capacty: unknown key"),
        ("[queue\n", "other.toml:1:7: no TOML: "),
        ("strategy = 'nobody'\n", "there is no strategy 'nobody'"),
        ("fallback = 'nobody'\n", "there is no strategy 'nobody'"),
    ],
)
def test_check_exits_with_1_for_what_is_wrong(text, message):
    Path("other.toml").write_text(text)
    result = run("config", "check", "other.toml")
    assert (result.exit_code, result.stderr) == (1, "")
    assert message in result.stdout
    assert result.stdout.endswith("[CONFIG_INVALID]\n")
    answer = json.loads(run("config", "check", "other.toml", "--json").stdout)
    assert answer["ok"] is False
    assert answer["findings"][0]["code"] == "CONFIG_INVALID"


def test_check_finds_plugins_that_are_not_there():
    write("[[plugins]]\nname = 'nobody'\n")
    result = run("config", "check", env={"RBEE_SCHEDULER_PLUGINS": None})
    assert result.exit_code == 1
    assert "the plugin 'nobody' is not installed" in result.stdout


def test_check_names_every_broken_plugin(folder, monkeypatch):
    (folder / "cli_config_bad.py").write_text("raise ImportError('no gpu')")
    info = folder / "cli_config_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rbee-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rbee_scheduler]\nbad = cli_config_bad\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "cli_config_bad", raising=False)
    write("plugins = [{name = 'bad'}]\n")
    result = run("config", "check", env={"RBEE_SCHEDULER_PLUGINS": None})
    assert result.exit_code == 1
    assert result.stdout.startswith("$.plugins['bad']: plugin 'bad' (rbee-bad 1.0): ")
    assert "ImportError: no gpu" in result.stdout
    doctor = run("doctor", env={"RBEE_SCHEDULER_PLUGINS": None})
    assert doctor.exit_code == 1
    assert "leave it out with --block bad" in doctor.stdout


def test_check_of_a_file_that_is_not_there_exits_with_2():
    result = run("config", "check", "gone.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: gone.toml: can't read the configuration")


# ---- doctor ----------------------------------------------------------------------------------


def test_doctor_is_content_with_a_healthy_machine():
    result = run("doctor", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["healthy"]) == (0, True)
    checks = {check["name"]: check for check in answer["checks"]}
    assert checks["python"]["status"] == "ok"
    assert checks["strategy"]["detail"] == "best-score"
    assert checks["configuration"]["detail"] == "no file found; the defaults hold"


def test_doctor_says_what_to_install_and_calls_nobody_ill_for_it(monkeypatch):
    monkeypatch.setattr(_doctor, "_version", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 0
    assert "missing  trio" in result.stdout
    assert "pip install 'rbee-scheduler[demo]'" in result.stdout


@pytest.mark.parametrize(
    ("text", "name"),
    [("quue = 1", "configuration"), ("strategy = 'nobody'", "strategy")],
)
def test_doctor_finds_what_is_broken(text, name):
    write(text)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks[name]["status"] == "broken"


def test_doctor_names_a_plugin_that_is_listed_but_not_installed():
    write("[[plugins]]\nname = 'nobody'\n")
    result = run("doctor", env={"RBEE_SCHEDULER_PLUGINS": None})
    assert result.exit_code == 1
    assert "broken   plugins" in result.stdout


# ---- completion ------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_says_where_it_goes(shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"# {shell}: ")
    assert f"_RBEE_SCHEDULER_COMPLETE={shell}_complete" in result.stdout
    assert json.loads(run("completion", shell, "--json").stdout)["shell"] == shell


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rbee-scheduler pl", ["plain,plugins"]),
        ("rbee-scheduler plugins ", ["plain,check", "plain,list", "plain,new"]),
        ("rbee-scheduler --col", ["plain,--color"]),
        ("rbee-scheduler doctor --no", ["plain,--no-plugins"]),
    ],
)
def test_a_shell_gets_its_completions(words, expected):
    environ = {
        "_RBEE_SCHEDULER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    result = run(env=environ)
    assert (result.exit_code, sorted(result.stdout.split())) == (0, expected)
