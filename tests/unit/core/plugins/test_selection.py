"""Which of the plugins are used: RBEE_SCHEDULER_PLUGINS, only, block."""

import pytest

from rbee_scheduler import ConfigError, PluginConfig, Plugins, hookimpl


class Quiet:
    @hookimpl
    def rbee_on_event(self, event):
        """Say nothing."""


@pytest.fixture
def site(site):
    for name in "abc":
        site.add(f"rbee-scheduler-{name}")
    return site


def statuses(plugins):
    return {row.name: row.status for row in plugins.rows}


def test_without_a_list_all_installed_plugins_are_used(site):
    assert statuses(site.plugins()) == dict.fromkeys("abc", "active")


def test_with_a_list_the_others_show_as_unlisted(site):
    rows = site.plugins(["b"]).rows
    assert [(row.name, row.status, row.order) for row in rows] == [
        ("b", "active", 1),
        ("a", "unlisted", 0),
        ("c", "unlisted", 0),
    ]


@pytest.mark.parametrize(
    ("value", "active"), [("a,b", {"a", "b"}), (" a , ,c", {"a", "c"}), ("", set()), (",", set())]
)
def test_the_variable_loads_only_those(site, value, active):
    plugins = site.plugins(environ={"RBEE_SCHEDULER_PLUGINS": value})
    assert {name for name, status in statuses(plugins).items() if status == "active"} == active
    assert set(statuses(plugins).values()) <= {"active", "blocked"}


def test_an_unknown_name_in_the_variable_is_refused_with_its_place(site):
    with pytest.raises(ConfigError) as caught:
        site.plugins(environ={"RBEE_SCHEDULER_PLUGINS": "a,typo"})
    expected = "RBEE_SCHEDULER_PLUGINS: there is no plugin 'typo' (there are: a, b, c)"
    assert str(caught.value) == expected


def test_the_process_environment_is_the_default(site, monkeypatch):
    monkeypatch.setenv("RBEE_SCHEDULER_PLUGINS", "c")
    assert statuses(Plugins(installed=site.installed()))["c"] == "active"
    assert statuses(Plugins(installed=site.installed()))["a"] == "blocked"


def test_only_wins_over_the_variable(site):
    plugins = site.plugins(only=["b"], environ={"RBEE_SCHEDULER_PLUGINS": "a"})
    assert statuses(plugins) == {"a": "blocked", "b": "active", "c": "blocked"}


def test_the_variable_says_nothing_of_plugin_objects(site):
    environ = {"RBEE_SCHEDULER_PLUGINS": "a"}
    assert statuses(Plugins([Quiet()], environ=environ)) == {"Quiet": "active"}
    mixed = statuses(site.plugins([Quiet(), "a", "b"], environ=environ))
    assert mixed == {"Quiet": "active", "a": "active", "b": "blocked", "c": "unlisted"}


def test_only_nothing_is_nothing_at_all():
    assert statuses(Plugins([Quiet()], only=[])) == {"Quiet": "blocked"}


def test_blocked_plugins_are_left_out_unimported(site):
    site.add("rbee-scheduler-bomb", "raise SystemError")
    assert statuses(site.plugins(block=["bomb"], strict=True))["bomb"] == "blocked"


def test_an_unknown_name_to_block_is_refused(site):
    with pytest.raises(ConfigError, match="there is no plugin 'typo'"):
        site.plugins(block=["typo"])


INSTANCES = """
    from rbee_scheduler import hookimpl

    class Instance:
        @hookimpl
        def rbee_on_event(self, event):
            pass

    @hookimpl
    def rbee_configure(name):
        return Instance()
    """


@pytest.mark.parametrize(
    ("choice", "active"),
    [
        ({"block": ["many"]}, set()),
        ({"block": ["eu"]}, {"us"}),
        ({"only": ["many"]}, {"eu", "us"}),
        ({"only": ["us"]}, {"us"}),
    ],
)
def test_a_plugins_name_stands_for_all_its_instances(site, choice, active):
    site.add("rbee-scheduler-many", INSTANCES)
    listed = [PluginConfig(name=name, plugin="many") for name in ("eu", "us")]
    plugins = site.plugins(listed, **choice)
    assert {name for name, status in statuses(plugins).items() if status == "active"} == active


def test_what_is_blocked_need_not_be_installed(site):
    (row, *_) = site.plugins(["absent"], block=["absent"]).rows
    assert (row.status, row.source) == ("blocked", "")
