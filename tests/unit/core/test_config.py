"""The configuration: layers, origins, places of errors, and the scheduler made of it."""

import sys
from pathlib import Path

import pytest

from rbee_scheduler import ConfigError, Deployment, PluginConfig, Worker, load_configuration
from rbee_scheduler._config import FILE_NAME, find_configuration, with_worker_ids
from rbee_scheduler._config_keys import Keys


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return an empty current folder; nothing of the machine's configuration is seen."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text, name=FILE_NAME):
    raw = text if isinstance(text, bytes) else text.encode()
    Path(name).write_bytes(raw)


def load(**options):
    return load_configuration(**{"environ": {}, **options})


def refusal(**options):
    with pytest.raises(ConfigError) as caught:
        load(**options)
    return str(caught.value)


# ---- layers ----------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold():
    configuration = load()
    assert configuration.deployment == Deployment()
    assert configuration.path is None
    assert set(configuration.origins.values()) == {"default"}


def test_an_option_wins_over_the_environment_and_that_over_the_file():
    write("seed = 1\n[queue]\ncapacity = 1\ntimeout = 1\n")
    configuration = load(
        environ={"RBEE_SCHEDULER_QUEUE__CAPACITY": "2", "RBEE_SCHEDULER_QUEUE__TIMEOUT": "2"},
        overrides=[("queue.capacity", "3", "--set queue.capacity")],
    )
    scheduler = configuration.deployment.scheduler
    assert (scheduler.seed, scheduler.queue.timeout, scheduler.queue.capacity) == (1, 2.0, 3)
    assert configuration.origins["seed"] == FILE_NAME
    assert configuration.origins["queue.timeout"] == "environment RBEE_SCHEDULER_QUEUE__TIMEOUT"
    assert configuration.origins["queue.capacity"] == "option --set queue.capacity"
    assert configuration.origins["retry.jitter"] == "default"


def test_the_later_option_wins():
    overrides = [("seed", "1", "--set seed"), ("seed", "2", "--set seed")]
    assert load(overrides=overrides).deployment.scheduler.seed == 2


def test_every_key_can_be_set_by_its_variable():
    for key in Keys():
        if isinstance(key.default, bool):
            text, value = str(not key.default).lower(), not key.default
        elif isinstance(key.default, str):
            text, value = ("trio", "trio") if key.name == "backend" else ("x", "x")
        else:  # 1 is in the range of all numbers
            text, value = "1", 1
        configuration = load(environ={key.variable: text})
        assert configuration.origins[key.name] == f"environment {key.variable}"
        found = configuration.deployment
        if key.name != "backend":
            found = found.scheduler
        for part in key.name.split("."):
            found = getattr(found, part)
        assert found == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [("simple", "simple"), ("10", "10"), ('"quoted"', "quoted"), ("true", "true"), ("", "")],
)
def test_a_string_is_taken_as_it_is(text, expected):
    configuration = load(environ={"RBEE_SCHEDULER_STRATEGY": text})
    assert configuration.deployment.scheduler.strategy == expected


def test_tables_keep_their_order_and_their_origin():
    write(
        '[[plugins]]\nname = "b"\nplugin = "x"\nweight = 2\n[[plugins]]\nname = "a"\n'
        'options = {limit = 3}\n[[models]]\nmodel_ref = "m"\naliases = ["short"]\n'
    )
    configuration = load()
    assert configuration.deployment.plugins == (
        PluginConfig(name="b", plugin="x", weight=2.0),
        PluginConfig(name="a", options={"limit": 3}),
    )
    assert configuration.origins["plugins"] == FILE_NAME
    assert configuration.origins["workers"] == "default"


def test_no_plugins_table_means_all_and_an_empty_array_none():
    assert load().deployment.plugins is None
    write("plugins = []")
    assert load().deployment.plugins == ()


# ---- where the file is -----------------------------------------------------------------------


def test_the_variable_then_the_current_folder_then_the_users_folder(folder):
    home = folder / "home"
    user = home / ".config" / "rbee-scheduler" / FILE_NAME
    user.parent.mkdir(parents=True)
    user.touch()
    environ = {"HOME": str(home)}
    assert find_configuration(environ) == user
    Path(FILE_NAME).touch()
    assert find_configuration(environ) == Path(FILE_NAME)
    assert find_configuration(environ, folder=home) == user
    environ["RBEE_SCHEDULER_CONFIG"] = "named.toml"
    assert find_configuration(environ) == Path("named.toml")


def test_xdg_config_home_is_honoured_when_absolute(folder):
    user = folder / "xdg" / "rbee-scheduler" / FILE_NAME
    user.parent.mkdir(parents=True)
    user.touch()
    assert find_configuration({"XDG_CONFIG_HOME": str(folder / "xdg")}) == user
    assert find_configuration({"XDG_CONFIG_HOME": "xdg"}) is None
    assert find_configuration({}) is None


def test_a_named_file_that_is_missing_is_an_error():
    text = "gone.toml: can't read the configuration: No such file or directory (check the path)"
    assert refusal(environ={"RBEE_SCHEDULER_CONFIG": "gone.toml"}) == text
    assert refusal(path="gone.toml") == text


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[queue]\ncapacty = 1", "$.queue.capacty: unknown key (did you mean 'capacity'?)"),
        ("quue = 1", "$.quue: unknown key (did you mean 'queue'?)"),
        ("[queue]\ncapacity = 'x'", "$.queue.capacity: 'x' is not an integer"),
        ("[queue]\ncapacity = 1.5", "$.queue.capacity: 1.5 is not an integer"),
        ("[queue]\ntimeout = nan", "$.queue.timeout: "),
        ("[queue]\ntimeout = -1", "$.queue.timeout: timeout is -1.0 (it must be "),
        ("queue = 3", "$.queue: 3 is not an object"),
        ("seed = 1979-05-27", "$.seed: datetime.date(1979, 5, 27) is not an integer"),
        ("backend = 'curio'", "$.backend: backend is 'curio' (it must be one of asyncio, trio)"),
        ("workers = 1", "$.workers: 1 is not an array"),
        ("workers = [1]", "$.workers[0]: 1 is not an object"),
        ("[[workers]]\nmodel = 'm'", "$.workers[0].id: missing key"),
        ("[[workers]]\nurl = 'http://h:1'\nmodl = ''", "$.workers[0].modl: unknown key"),
        (
            "[[workers]]\nurl = 'http://h:1'\ngeo = {latitude = 91}",
            "$.workers[0].geo.latitude: latitude is 91.0",
        ),
        ("[[plugins]]\nweight = 1", "$.plugins[0].name: missing key"),
        (
            "[[plugins]]\nname = 'a'\n[[plugins]]\nname = 'a'",
            "$.plugins[1].name: 'a' is there twice (give each [[plugins]] table a name of its own)",
        ),
        (
            "[[workers]]\nurl = 'http://h:1'\n[[workers]]\nurl = 'http://h:1/'",
            "$.workers[1].id: 'h:1' is there twice (give each [[workers]] table an id of its own)",
        ),
        (
            "[[models]]\nmodel_ref = 'a'\naliases = ['b']\n[[models]]\nmodel_ref = 'b'",
            "$.models: 'b' names both 'a' and 'b' (give each model of the catalog names",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(text, message):
    write(text)
    assert refusal().startswith(f"{FILE_NAME}: {message}")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[queue]\ncapacity = \n", "2:12: no TOML: "),
        ("a = 1\na = 2\n", "2:6: no TOML: "),
        ("a = '''\nxy", "2:3: no TOML: "),
        (b"ok = 1\nx = '\xff'\n", "2:6: not UTF-8 (save the file as UTF-8)"),
    ],
)
def test_a_syntax_error_has_line_and_column(text, place):
    write(text)
    assert refusal().startswith(f"{FILE_NAME}:{place}")


def test_a_byte_order_mark_is_fine():
    write(b"\xef\xbb\xbfseed = 4\n")
    assert load().deployment.scheduler.seed == 4


def test_everything_wrong_is_told_at_once():
    write("quue = 1\n[retry]\njiter = 1\n")
    with pytest.raises(ConfigError) as caught:
        load()
    assert len(caught.value.__notes__) == 1


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"RBEE_SCHEDULER_QUEUE__CAPACTY": "1"},
            "RBEE_SCHEDULER_QUEUE__CAPACTY: unknown environment variable (did you mean RBEE_",
        ),
        (
            {"RBEE_SCHEDULER_XYZZY": "1"},
            "RBEE_SCHEDULER_XYZZY: unknown environment variable ('rbee-scheduler config show'",
        ),
        (
            {"RBEE_SCHEDULER_QUEUE__CAPACITY": "ten"},
            "RBEE_SCHEDULER_QUEUE__CAPACITY: 'ten' is not an integer",
        ),
        (
            {"RBEE_SCHEDULER_QUEUE__CAPACITY": "1\nseed = 2"},
            r"RBEE_SCHEDULER_QUEUE__CAPACITY: '1\nseed = 2' is not an integer",
        ),
        (
            {"RBEE_SCHEDULER_RETRY__JITTER": "2"},
            "RBEE_SCHEDULER_RETRY__JITTER: jitter is 2.0 (it must be ",
        ),
    ],
)
def test_a_wrong_variable_is_named(environ, message):
    assert refusal(environ=environ).startswith(message)


def test_variables_of_others_are_left_alone():
    environ = {"RBEE_SCHEDULER_PLUGINS": "a", "RBEE_OTHER": "1", "rbee_scheduler_seed": "x"}
    assert load(environ=environ).deployment == Deployment()


def test_a_wrong_option_is_named():
    message = refusal(overrides=[("queue.capcity", "1", "--set queue.capcity")])
    assert message == (
        "--set queue.capcity: unknown key 'queue.capcity' (did you mean queue.capacity?)"
    )


# ---- what is made of it ----------------------------------------------------------------------


def test_a_deployment_becomes_a_scheduler():
    write(
        'strategy = "best-score"\nplugins = []\n[liveness]\nmissed = 7\n'
        '[[workers]]\nurl = "http://127.0.0.1:8081/"\nmodel = "m"\n'
        '[[models]]\nmodel_ref = "m"\naliases = ["short"]\n'
    )
    scheduler = load().deployment.make_scheduler()
    assert scheduler.strategy == "best-score"
    assert scheduler.config.liveness.missed == 7
    assert scheduler.registry.catalog.resolve("short") == "m"
    assert [worker.id for worker in scheduler.registry.snapshot().free("m")] == ["127.0.0.1:8081"]


def test_a_registry_of_the_callers_own_is_used_as_it_is():
    deployment = Deployment(plugins=(), workers=(Worker(id="w", url="http://h:1", model="m"),))
    registry = Deployment().make_registry()
    assert deployment.make_scheduler(registry=registry).registry is registry
    assert len(registry) == 0


def test_no_plugins_blocks_them_all(folder, monkeypatch):
    (folder / "fake_plugin_of_config.py").touch()
    info = folder / "fake_config-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-config\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rbee_scheduler]\nfake = fake_plugin_of_config\n")
    monkeypatch.syspath_prepend(str(folder))
    rows = Deployment().load_plugins(no_plugins=True).rows
    assert {row.status for row in rows} == {"blocked"}
    assert "fake" in {row.name for row in rows}
    sys.modules.pop("fake_plugin_of_config", None)


def test_ids_are_filled_in_only_where_they_can_be():
    assert with_worker_ids([{"url": "http://h:1/"}, {"url": 3}, 4, {"id": "x", "url": "u"}]) == [
        {"id": "h:1", "url": "http://h:1/"},
        {"url": 3},
        4,
        {"id": "x", "url": "u"},
    ]
    assert with_worker_ids("no list") == "no list"
