"""docs/configuration.md and docs/cli.md say what is, and the examples hold."""

import re
import shlex
import tomllib
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from rbee_scheduler import (
    InferenceRequest,
    LimitsConfig,
    LivenessConfig,
    PluginConfig,
    QueueConfig,
    RetryConfig,
    SchedulerConfig,
    TimeoutConfig,
    Worker,
    load_configuration,
    loads,
)
from rbee_scheduler._catalog import ModelInfo
from rbee_scheduler._config_keys import Keys
from rbee_scheduler._deployment import Document
from rbee_scheduler.cli import cli
from rbee_scheduler.cli._input import load_workers
from rbee_scheduler.cli._main import _COMMANDS
from rbee_scheduler.cli._toml import toml_value


ROOT = Path(__file__).parents[3]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = {
    "Top level": Document,
    "`[queue]`": QueueConfig,
    "`[retry]`": RetryConfig,
    "`[timeout]`": TimeoutConfig,
    "`[limits]`": LimitsConfig,
    "`[liveness]`": LivenessConfig,
    "`[[plugins]]`": PluginConfig,
    "`[[workers]]`": Worker,
    "`[[models]]`": ModelInfo,
}
# Fields that are the registry's own and are dropped when a file has them.
DERIVED = {"in_flight", "host", "port"}


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def documented(section):
    """Return key -> (type, default, meaning) of the tables under a heading."""
    text = CONFIGURATION.split(f"## {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert len({row[0] for row in rows}) == len(rows)
    return {key: rest for key, *rest in rows}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_documented_and_nothing_else(section):
    model = SECTIONS[section]
    fields = {field.name for field in attrs.fields(model)} - DERIVED
    if model is Document:  # its tables have sections of their own
        fields = {key.name for key in Keys() if "." not in key.name}
    assert fields == set(documented(section))


def test_every_table_has_a_section():
    tables = {field.name for field in attrs.fields(Document)} - set(documented("Top level"))
    assert tables == {re.sub(r"\W", "", section) for section in SECTIONS} - {"Toplevel"}
    assert {field.name for field in attrs.fields(SchedulerConfig)} < set(
        documented("Top level")
    ) | tables


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_is_the_one_in_force(section):
    for key, (kind, default, meaning) in documented(section).items():
        field = getattr(attrs.fields(SECTIONS[section]), key)
        assert meaning.strip() not in {"", "?"}
        assert kind in {"string", "integer", "number", "boolean", "table", "array of strings"}
        if default.startswith("`"):
            value = field.default
            if isinstance(value, attrs.Factory):
                value = value.factory()
            assert default == f"`{toml_value(value)}`", key


def test_the_examples_of_the_documentation_hold(tmp_path):
    blocks = re.findall(r"<!-- config -->\n```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        load_configuration(file, environ={})


def test_every_command_has_a_heading_and_an_example():
    for name in _COMMANDS:
        section = COMMAND_LINE.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert f"rbee-scheduler {name}" in section


def checked_examples():
    for code, block in re.findall(
        r"<!-- check ?(\d*) -->\n```console\n(.*?)```", COMMAND_LINE, re.DOTALL
    ):
        command, _, expected = block.partition("\n")
        yield pytest.param(command.removeprefix("$ "), int(code or 0), expected, id=command)


@pytest.mark.parametrize(("command", "code", "expected"), list(checked_examples()))
def test_the_examples_of_the_command_line_say_what_they_say(command, code, expected, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "simple")
    program, *args = shlex.split(command)
    result = CliRunner().invoke(cli, args)
    assert (program, result.exit_code, result.stdout) == ("rbee-scheduler", code, expected)


# ---- examples/ -------------------------------------------------------------------------------


def test_the_example_job_is_a_request():
    text = (ROOT / "examples" / "job.json").read_bytes()
    assert loads(text, InferenceRequest).model == "meta-llama/Llama-3-8b"


def test_the_example_fleet_is_one():
    workers = load_workers(str(ROOT / "examples" / "workers.json"))
    assert [worker.id for worker in workers] == ["gpu-1", "gpu-2", "10.0.0.9:8080"]


def test_the_example_configuration_sets_what_it_shows():
    file = ROOT / "examples" / "rbee-scheduler.toml"
    configuration = load_configuration(file, environ={})
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    assert configuration.deployment.scheduler.queue.capacity == data["queue"]["capacity"]
    assert [worker.id for worker in configuration.deployment.workers] == ["gpu-1", "10.0.0.8:8080"]
    registry = configuration.deployment.make_registry()
    assert registry.catalog.resolve("llama3") == "meta-llama/Llama-3-8b"
