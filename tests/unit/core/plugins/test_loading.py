"""From what a deployment lists to instances: every way in which that can go wrong is named."""

from textwrap import dedent

import attrs
import pytest

from rbee_scheduler import (
    ConfigError,
    PluginConfig,
    PluginError,
    Plugins,
    SchedulerError,
    Worker,
    hookimpl,
)


STRATEGY = """
    from rbee_scheduler import hookimpl

    class Last:
        @hookimpl
        def rbee_select_worker(self, candidates):
            return [candidates[-1].id]

    @hookimpl
    def rbee_register_strategies():
        return {"last": Last()}
    """

OPTIONS = """
    import attrs
    from rbee_scheduler import Scores, hookimpl

    @attrs.frozen(kw_only=True)
    class Options:
        min_gpus: int = attrs.field(default=1, validator=attrs.validators.ge(0))

    @attrs.frozen
    class Instance:
        options: Options

        @hookimpl
        def rbee_filter_workers(self, candidates):
            return {w.id: "too few" for w in candidates if w.gpus < self.options.min_gpus}

    @hookimpl
    def rbee_options():
        return Options

    @hookimpl
    def rbee_configure(options):
        return Instance(options)
    """


class Scorer:
    @hookimpl
    def rbee_score_workers(self, candidates):
        return {}


def plugin(**hooks):
    """Return a plugin object with these functions as hooks."""
    return type("Plugin", (), {name: staticmethod(hookimpl(f)) for name, f in hooks.items()})()


def scorer():
    return Scorer()


def failure(*sources):
    (row,) = Plugins(sources).rows
    assert row.status == "failed"
    return row.error


# ---- one broken plugin does not stop the rest ------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def (", "SyntaxError"),
    ],
)
def test_one_that_can_not_be_imported_is_a_row_and_the_rest_are_used(site, source, said):
    site.add("rbee-scheduler-a")
    site.add("rbee-scheduler-broken", source, version="9.9")
    site.add("rbee-scheduler-z")
    a, broken, z = site.plugins().rows
    assert (a.order, broken.order, z.order) == (1, 0, 2)
    assert (broken.status, broken.source) == ("failed", "rbee-scheduler-broken 9.9")
    assert broken.error.startswith("plugin 'broken' (rbee-scheduler-broken 9.9): its import failed")
    assert said in broken.error


def test_strict_stops_the_start_with_the_cause(site):
    site.add("rbee-scheduler-broken", "raise ValueError('at import')")
    with pytest.raises(PluginError, match=r"rbee-scheduler-broken 1\.0") as caught:
        site.plugins(strict=True)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("value", ["", "a b c", "rbee_scheduler_odd:nothing.there"])
def test_an_entry_point_to_nowhere_is_a_row(site, value):
    site.add("rbee-scheduler-odd", entry_points=f"[rbee_scheduler]\nodd = {value}\n")
    (row,) = site.plugins().rows
    assert (row.status, row.distribution) == ("failed", "rbee-scheduler-odd")


@pytest.mark.parametrize("hook", ["rbee_options", "rbee_configure", "rbee_register_strategies"])
def test_a_hook_of_the_start_that_raises_is_named(hook):
    def fails():
        raise KeyError("boom")

    assert failure(plugin(**{hook: fails})) == f"plugin 'Plugin' in {hook}: KeyError: 'boom'"


def test_an_object_whose_attributes_raise_is_a_row():
    class Nasty:
        def __dir__(self):
            raise RuntimeError("hands off")

    assert "RuntimeError: hands off" in failure(Nasty())


# ---- names -----------------------------------------------------------------------------------


def test_two_distributions_with_one_entry_point_name_are_both_named(site):
    site.add("rbee-scheduler-same", name="same")
    site.add("other-same", name="same", version="2.0")
    site.add("rbee-scheduler-zzz")
    same, other = site.plugins().rows
    assert (same.status, other.status) == ("failed", "active")
    assert (same.distribution, same.version) == ("other-same, rbee-scheduler-same", "2.0, 1.0")
    assert "claimed by other-same 2.0 and rbee-scheduler-same 1.0" in same.error


def test_what_is_listed_but_not_installed_stops_the_start_and_says_what_to_do(site):
    site.add("rbee-scheduler-there")
    with pytest.raises(ConfigError) as caught:
        site.plugins(["there", "absent"])
    assert str(caught.value) == (
        "the plugin 'absent' is not installed (pip install rbee-scheduler-absent, "
        "or take it out of the list; installed: there)"
    )


def test_a_name_that_is_listed_twice_stops_the_start(site):
    site.add("rbee-scheduler-a")
    with pytest.raises(ConfigError, match="'a' is listed twice"):
        site.plugins(["a", "a"])


def test_the_name_core_is_taken(site):
    site.add("rbee-scheduler-core")
    (row,) = site.plugins().rows
    assert "the name 'core' is the scheduler's own" in row.error


def test_equal_and_unhashable_objects_are_two_instances():
    @attrs.define  # equal by value, and therefore unhashable
    class Twin(Scorer):
        weight: int = 1

    assert Twin() == Twin()
    rows = Plugins([Twin(), Twin()]).rows
    assert [(row.name, row.order) for row in rows] == [("Twin", 1), ("Twin-2", 2)]


def test_one_object_listed_twice_would_count_twice_and_is_refused():
    one = Scorer()
    with pytest.raises(ConfigError, match="'Scorer' is listed twice"):
        Plugins([one, one])


def test_a_module_is_named_after_its_last_part(site):
    module = site.add("rbee-scheduler-mod")
    (row,) = Plugins([__import__(module)]).rows
    assert row.name == "rbee_scheduler_mod"


# ---- order -----------------------------------------------------------------------------------


def test_the_order_is_the_deployments_list(site):
    for name in "abc":
        site.add(f"rbee-scheduler-{name}")
    plugins = site.plugins(["b", "c", "a"])
    asked = [call.plugin for call in plugins.chain("best-score").filter_workers]
    assert asked == ["b", "c", "a"]
    assert [(row.name, row.order) for row in plugins.rows] == [("b", 1), ("c", 2), ("a", 3)]


def test_without_a_list_the_order_is_by_name(site):
    for name in "cab":
        site.add(f"rbee-scheduler-{name}")
    assert [row.name for row in site.plugins().rows] == ["a", "b", "c"]


def test_release_runs_in_reverse():
    hooks = {"rbee_reserve": lambda: None, "rbee_release": lambda: None}
    chain = Plugins([plugin(**hooks), plugin(**hooks)]).chain("best-score")
    assert [call.plugin for call in chain.reserve] == ["Plugin", "Plugin-2"]
    assert [call.plugin for call in chain.release] == ["Plugin-2", "Plugin"]


# ---- instances and options ---------------------------------------------------------------------


def test_several_named_instances_have_their_own_options_and_weights(site):
    site.add("rbee-scheduler-gpus", OPTIONS)
    plugins = site.plugins(
        [
            PluginConfig(name="small", plugin="gpus", options={"min_gpus": 2}),
            PluginConfig(name="large", plugin="gpus", options={"min_gpus": 8}, weight=3.0),
        ]
    )
    calls = plugins.chain("best-score").filter_workers
    assert [(call.plugin, call.weight) for call in calls] == [("small", 1.0), ("large", 3.0)]
    workers = [Worker(id="w", url="http://h", model="m", gpus=4)]
    answers = [call.function(None, workers, None) for call in calls]
    assert answers == [{}, {"w": "too few"}]
    rows = [(row.name, row.plugin, row.status) for row in plugins.rows]
    assert rows == [("small", "gpus", "active"), ("large", "gpus", "active")]


def test_an_instance_with_defaults_needs_no_options(site):
    site.add("rbee-scheduler-gpus", OPTIONS)
    assert site.plugins(["gpus"]).rows[0].status == "active"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_gpu": 1}, "$.plugins['x'].options.min_gpu: unknown key (did you mean 'min_gpus'?)"),
        ({"min_gpus": "two"}, "$.plugins['x'].options.min_gpus: 'two' is not an integer"),
        ({"min_gpus": -1}, "$.plugins['x'].options: 'min_gpus' must be >= 0: -1"),
    ],
)
def test_a_wrong_option_stops_the_start_with_its_path(site, options, said):
    site.add("rbee-scheduler-gpus", OPTIONS)
    with pytest.raises(ConfigError) as caught:
        site.plugins([PluginConfig(name="x", plugin="gpus", options=options)])
    assert str(caught.value).startswith(said)


def test_an_option_that_the_class_itself_refuses_is_a_config_error(site):
    site.add(
        "rbee-scheduler-own",
        dedent(OPTIONS).replace("attrs.validators.ge(0)", "number(at_least=0)").replace(
            "import attrs\n", "import attrs\nfrom rbee_scheduler._validate import number\n", 1
        ),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"options\.min_gpus: min_gpus is -1"):
        site.plugins([PluginConfig(name="own", options={"min_gpus": -1})])


def test_options_for_a_plugin_that_takes_none_stop_the_start(site):
    site.add("rbee-scheduler-plain")
    with pytest.raises(ConfigError, match="takes no options, but got colour"):
        site.plugins([PluginConfig(name="plain", options={"colour": "red"})])


def test_options_must_be_an_attrs_class():
    assert "return an attrs class" in failure(plugin(rbee_options=lambda: dict))


def test_a_plugin_may_answer_none_to_all_of_the_start():
    hooks = {"rbee_options": lambda: None, "rbee_configure": lambda: None}
    (row,) = Plugins([plugin(**hooks, rbee_on_event=lambda: None)]).rows
    assert row.status == "active"


def test_a_plugin_without_instances_can_not_be_listed_twice(site):
    site.add("rbee-scheduler-plain")
    with pytest.raises(ConfigError, match="'plain' has no instances, but is listed twice"):
        site.plugins(
            [PluginConfig(name="a", plugin="plain"), PluginConfig(name="b", plugin="plain")]
        )


def test_hooks_that_the_instance_leaves_behind_are_refused():
    both = plugin(rbee_configure=scorer, rbee_on_event=lambda: None)
    assert "rbee_on_event would never be called" in failure(both)


def test_a_plugin_that_configures_a_class_is_told_so():
    assert "Scorer is a class" in failure(plugin(rbee_configure=lambda: Scorer))


def test_a_config_error_of_the_plugin_itself_stops_the_start():
    def configure():
        raise ConfigError("no such file", place="$.policy")

    with pytest.raises(ConfigError, match="no such file"):
        Plugins([plugin(rbee_configure=configure)])


# ---- strategies --------------------------------------------------------------------------------


def test_strategies_that_clash_stop_the_start_and_name_both_distributions(site):
    site.add("rbee-scheduler-one", STRATEGY)
    site.add("rbee-scheduler-two", STRATEGY, version="2.0")
    with pytest.raises(ConfigError) as caught:
        site.plugins()
    expected = (
        "the strategy 'last' comes from both rbee-scheduler-one 1.0 and rbee-scheduler-two 2.0"
    )
    assert expected in str(caught.value)


def test_blocking_one_of_two_that_clash_helps(site):
    site.add("rbee-scheduler-one", STRATEGY)
    site.add("rbee-scheduler-two", STRATEGY)
    assert "last" in site.plugins(block=["one"]).strategies


def test_cores_strategy_can_not_be_taken():
    with pytest.raises(ConfigError, match=r"'best-score' comes from both rbee-scheduler \d"):
        Plugins([plugin(rbee_register_strategies=lambda: {"best-score": Scorer()})])


@pytest.mark.parametrize("answer", [None, ["last"], {"": Scorer()}, {3: Scorer()}])
def test_strategies_must_be_a_mapping_of_names(answer):
    error = failure(plugin(rbee_register_strategies=lambda: answer))
    assert "return a mapping: name -> object with decision hooks" in error


def test_a_mistake_in_a_strategy_names_the_strategy():
    class Misspelt:
        @hookimpl
        def rbee_score_worker(self, candidates):
            return {}

    error = failure(plugin(rbee_register_strategies=lambda: {"fast": Misspelt()}))
    assert "strategy 'fast': rbee_score_worker is no hook" in error
    assert "did you mean rbee_score_workers?" in error


@pytest.mark.parametrize("hook", ["rbee_configure", "rbee_worker_event", "rbee_pool_command"])
def test_a_hook_that_a_strategy_is_never_asked_is_refused(hook):
    strategy = plugin(**{hook: lambda: None})
    error = failure(plugin(rbee_register_strategies=lambda: {"fast": strategy}))
    assert f"{hook} is never asked of a strategy" in error


def test_the_default_is_the_first_strategy_of_the_first_plugin_that_has_one(site):
    site.add("rbee-scheduler-filter")
    site.add("rbee-scheduler-last", STRATEGY)
    plugins = site.plugins(["filter", "last"])
    assert plugins.default_strategy == "last"
    assert plugins.strategies == ("last", "best-score")
    assert site.plugins(["filter"]).default_strategy == "best-score"


def test_an_unknown_strategy_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"no strategy 'x' \(there are: best-score\)"):
        Plugins([]).chain("x")


# ---- commands ----------------------------------------------------------------------------------


def command_plugin(*names):
    import click

    def register(cli):
        for name in names:
            cli.add_command(click.Command(name))

    return plugin(rbee_register_commands=register)


def cli():
    import click

    return click.Group("cli", commands={"run": click.Command("run")})


def test_commands_are_added():
    group = cli()
    Plugins([command_plugin("a"), command_plugin("b")]).register_commands(group)
    assert sorted(group.commands) == ["a", "b", "run"]


def test_commands_that_clash_name_both(site):
    source = """
        import click
        from rbee_scheduler import hookimpl

        @hookimpl
        def rbee_register_commands(cli):
            cli.add_command(click.Command("fleet"))
        """
    site.add("rbee-scheduler-one", source)
    site.add("rbee-scheduler-two", source, version="2.0")
    with pytest.raises(
        ConfigError, match=r"from both rbee-scheduler-one 1\.0 and rbee-scheduler-two 2\.0"
    ):
        site.plugins().register_commands(cli())


def test_cores_command_can_not_be_taken():
    with pytest.raises(ConfigError, match="'run' comes from both rbee-scheduler and"):
        Plugins([command_plugin("run")]).register_commands(cli())


def test_one_plugin_with_two_instances_is_asked_for_commands_once(site):
    site.add(
        "rbee-scheduler-cmd",
        dedent(OPTIONS)
        + dedent("""
        import click

        @hookimpl
        def rbee_register_commands(cli):
            cli.add_command(click.Command("fleet"))
        """),
    )
    listed = [PluginConfig(name=name, plugin="cmd") for name in "ab"]
    group = cli()
    site.plugins(listed).register_commands(group)
    assert "fleet" in group.commands


def broken_commands(cli):
    raise LookupError("no commands today")


def test_a_plugin_whose_commands_fail_is_logged_and_the_others_are_there(caplog):
    group = cli()
    broken = plugin(rbee_register_commands=broken_commands)
    Plugins([broken, command_plugin("a")]).register_commands(group)
    assert "a" in group.commands
    (record,) = caplog.records
    expected = "plugin 'Plugin' in rbee_register_commands: LookupError: no commands today"
    assert record.getMessage() == expected


def test_strict_stops_at_commands_that_fail():
    plugins = Plugins([plugin(rbee_register_commands=broken_commands)], strict=True)
    with pytest.raises(PluginError, match="no commands today"):
        plugins.register_commands(cli())


# ---- the digest --------------------------------------------------------------------------------


def test_the_digest_is_the_same_for_the_same_set_and_another_for_any_change(site):
    site.add("rbee-scheduler-gpus", OPTIONS)
    site.add("rbee-scheduler-plain")

    def digest(*configs):
        return site.plugins(configs).digest

    one = PluginConfig(name="one", plugin="gpus", options={"min_gpus": 1})
    variants = [
        digest(one),
        digest(attrs.evolve(one, options={"min_gpus": 2})),
        digest(attrs.evolve(one, weight=2.0)),
        digest(attrs.evolve(one, on_error="reject")),
        digest(attrs.evolve(one, name="two")),
        digest(one, PluginConfig(name="plain")),
        digest(PluginConfig(name="plain"), one),
        digest(),
    ]
    assert digest(one) == variants[0]
    assert len(set(variants)) == len(variants)
    assert all(len(d) == 64 for d in variants)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": " "}, "$.name"),
        ({"name": "a", "weight": -1.0}, "$.weight"),
        ({"name": "a", "weight": float("nan")}, "$.weight"),
    ],
)
def test_a_table_out_of_range_is_refused(fields, place):
    with pytest.raises(SchedulerError) as caught:
        PluginConfig(**fields)
    assert caught.value.place == place
