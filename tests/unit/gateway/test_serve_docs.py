"""docs/serve.md says what is: every key with its default, every option, every example."""

import re
from pathlib import Path

import attrs
import pytest

from rbee_scheduler import load_configuration
from rbee_scheduler.cli._toml import toml_value
from rbee_scheduler_gateway import GatewayOptions
from rbee_scheduler_gateway._cli._serve import serve
from rbee_scheduler_gateway._options import options_of
from rbee_scheduler_gateway._service import LIVE_OPTIONS


PAGE = (Path(__file__).parents[3] / "docs" / "serve.md").read_text(encoding="utf-8")
KEYS = {
    key: (star, kind, default)
    for key, star, kind, default in re.findall(
        r"^\| `(\w+)`( \*)? \| (.*?) \| (.*?) \| .* \|$", PAGE, re.MULTILINE
    )
}


def test_every_key_is_documented_and_nothing_else():
    assert set(KEYS) == {field.name for field in attrs.fields(GatewayOptions)}


@pytest.mark.parametrize("field", attrs.fields(GatewayOptions), ids=lambda field: field.name)
def test_every_default_is_the_one_in_force(field):
    _, kind, default = KEYS[field.name]
    expected = "none" if field.default is None else f"`{toml_value(field.default)}`"
    assert default == expected
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}
    assert field.default is None or kind.startswith(kinds[type(field.default)])


def test_the_star_says_what_a_reload_follows():
    assert {key for key, (star, *_) in KEYS.items() if star} == LIVE_OPTIONS


def test_every_option_of_the_command_is_there():
    for option in serve.params:
        assert any(name in PAGE for name in option.opts), option.name


def test_the_example_holds(tmp_path):
    (block,) = re.findall(r"<!-- config -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "rbee-scheduler.toml"
    file.write_text(block, encoding="utf-8")
    deployment = load_configuration(file, environ={}).deployment
    options = options_of(deployment)
    assert (options.mode, options.host, len(options.tokens)) == ("lab", "0.0.0.0", 1)
    assert "least-in-flight" in deployment.load_plugins(strict=True).strategies


def test_the_unit_gives_a_drain_the_time_it_takes():
    (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", PAGE)
    assert float(seconds) > GatewayOptions().drain_seconds + 5
