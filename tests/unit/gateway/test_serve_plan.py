"""The plan of `serve`: what the command line, the environment and the file make together."""

import pytest

from rbee_scheduler import ConfigError
from rbee_scheduler_gateway._service import Plan


FIRST, SECOND, THIRD = (f"token-number-{n}-of-three" for n in (1, 2, 3))


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("RBEE_SCHEDULER_PLUGINS", raising=False)
    monkeypatch.delenv("RBEE_SCHEDULER_STRATEGY", raising=False)
    path = tmp_path / "rbee-scheduler.toml"
    path.write_text("")
    return path


def gateway_table(**options):
    lines = [f"{name} = {value!r}" for name, value in options.items()]
    return '[[plugins]]\nname = "gateway"\n[plugins.options]\n' + "\n".join(lines)


def test_who_says_nothing_gets_least_in_flight(file):
    deployment, _ = Plan(config=str(file)).load()
    assert deployment.scheduler.strategy == "least-in-flight"


@pytest.mark.parametrize(
    ("text", "plan", "strategy"),
    [
        ('strategy = "random"', {}, "random"),
        ('strategy = ""', {}, ""),
        ('[[plugins]]\nname = "simple"', {}, ""),
        ("", {"no_plugins": True}, ""),
        ("", {"block": ("strategies",)}, ""),
        ("", {"overrides": (("strategy", "random", "--strategy"),)}, "random"),
    ],
)
def test_who_chooses_a_strategy_or_plugins_gets_those(file, text, plan, strategy):
    file.write_text(text)
    deployment, _ = Plan(config=str(file), **plan).load()
    assert deployment.scheduler.strategy == strategy


def test_an_allow_list_of_plugins_is_a_choice_too(file, monkeypatch):
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "simple")
    assert Plan(config=str(file)).load()[0].scheduler.strategy == ""


def test_flags_win_over_the_file(file):
    file.write_text(gateway_table(port=1, drain_seconds=2.0))
    _, options = Plan(config=str(file), options={"port": 3}).load()
    assert (options.port, options.drain_seconds) == (3, 2.0)


def test_tokens_of_all_sources_are_taken(file, tmp_path):
    (tmp_path / "tokens").write_text(f"# for CI\n  {THIRD}  \n\n")
    file.write_text(gateway_table(tokens=[FIRST]))
    plan = Plan(config=str(file), tokens=(SECOND,), token_file=str(tmp_path / "tokens"))
    assert plan.load()[1].tokens == (FIRST, SECOND, THIRD)
    assert SECOND not in repr(plan)


def test_workers_of_the_command_line_stand_alone(file):
    file.write_text('[[workers]]\nurl = "http://127.0.0.1:1"')
    plan = Plan(config=str(file), urls=("127.0.0.1:2", "http://127.0.0.1:2/"), api_key="k")
    deployment, _ = plan.load()
    assert [worker.url for worker in deployment.workers] == ["http://127.0.0.1:2"]
    assert deployment.workers[0].labels == {"api_key": "k"}


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ({"options": {"port": -1}}, "--port"),
        ({"options": {"drain_seconds": -0.5}}, "--drain-seconds"),
        ({"tokens": ("short",)}, "--token or RBEE_GATEWAY_TOKEN"),
        ({"token_file": "/nowhere/tokens"}, "/nowhere/tokens"),
    ],
)
def test_a_wrong_value_is_named_by_where_it_was_said(file, plan, place):
    with pytest.raises(ConfigError) as caught:
        Plan(config=str(file), **plan).load()
    assert caught.value.place == place


def test_another_process_gets_the_same_plan(file):
    plan = Plan(
        config=str(file),
        overrides=(("queue.capacity", "3", "--set queue.capacity"),),
        block=("simple",),
        urls=("http://127.0.0.1:1",),
        tokens=(FIRST,),
        options={"port": 0, "access_log": "all"},
        as_json=True,
    )
    assert Plan.from_json(plan.to_json()) == plan
    assert FIRST not in repr(plan)


def test_all_files_that_were_read_are_known(file):
    plan = Plan(config=str(file), options={"tls_cert": "c.pem", "tls_key": "k.pem"})
    _, options = plan.load()
    assert [path.name for path in plan.files(options)] == [file.name, "c.pem", "k.pem"]
