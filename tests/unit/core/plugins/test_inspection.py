"""What stock pluggy lets pass until it hurts, refused when the plugin is loaded."""

from functools import cached_property, partial, wraps
from types import ModuleType

import pytest

from rbee_scheduler import PluginError, Plugins, hookimpl
from rbee_scheduler._plugins._inspect import HOOKS, hook_functions


def refusal(plugin):
    with pytest.raises(PluginError) as caught:
        hook_functions(plugin)
    assert caught.value.hint or "is no function" in str(caught.value)
    return str(caught.value)


def plugin(function, name=None):
    return type("Plugin", (), {name or function.__name__: staticmethod(hookimpl(function))})()


def test_hooks_are_those_of_the_specification_in_its_order():
    assert HOOKS[:3] == ("rbee_options", "rbee_configure", "rbee_register_strategies")
    assert HOOKS[-1] == "rbee_on_event"
    assert len(HOOKS) == 17


# ---- shapes that work ------------------------------------------------------------------------


class Base:
    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {"inherited": "yes"}


class Shapes(Base):
    @staticmethod
    @hookimpl
    def rbee_score_workers(candidates):
        return {"static": 1.0}

    @classmethod
    @hookimpl
    def rbee_select_worker(cls, candidates):
        return [cls.__name__]

    @hookimpl(specname="rbee_order_queue")
    def oldest_first(self, jobs):
        return ["renamed"]


def test_methods_static_class_inherited_and_renamed_are_found():
    hooks = hook_functions(Shapes())
    assert {name: hook([]) for name, hook in hooks.items()} == {
        "rbee_filter_workers": {"inherited": "yes"},
        "rbee_score_workers": {"static": 1.0},
        "rbee_select_worker": ["Shapes"],
        "rbee_order_queue": ["renamed"],
    }


def test_a_module_is_a_plugin():
    module = ModuleType("policy")
    module.rbee_on_event = hookimpl(lambda event: None)
    assert list(hook_functions(module)) == ["rbee_on_event"]


def test_a_wrapped_function_keeps_its_mark_and_its_arguments():
    def twice(function):
        @wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @hookimpl
    def rbee_filter_workers(candidates):
        return {"called": str(candidates)}

    module = ModuleType("policy")
    module.rbee_filter_workers = twice(rbee_filter_workers)
    (call,) = Plugins([module]).chain("best-score").filter_workers
    assert call.function("request", "candidates", "snapshot") == {"called": "candidates"}


def test_an_optional_hook_of_a_later_version_is_left_out():
    class Early:
        @hookimpl(optionalhook=True)
        def rbee_of_the_future(self, moon):
            """Not known yet."""

        @hookimpl(optionalhook=True)
        def rbee_on_event(self):
            """Known."""

    assert list(hook_functions(Early())) == ["rbee_on_event"]


# ---- arguments ---------------------------------------------------------------------------------

GIVEN = ("request", "candidates", "scores", "snapshot")


@pytest.mark.parametrize(
    ("function", "received"),
    [
        (lambda: (), ()),
        (lambda candidates: (candidates,), ("candidates",)),
        (lambda scores, request: (scores, request), ("scores", "request")),
        (
            lambda request, candidates, scores, snapshot: (request, snapshot),
            ("request", "snapshot"),
        ),
        (lambda candidates, /, snapshot: (candidates, snapshot), ("candidates", "snapshot")),
        (lambda candidates, snapshot=None: (candidates, snapshot), ("candidates", "snapshot")),
        (lambda request, own=7: (request, own), ("request", 7)),
        (lambda own=7, request=None, scores=None: (own, request, scores), (7, "request", "scores")),
        (
            lambda request, candidates, scores, snapshot, later=0: (snapshot, later),
            ("snapshot", 0),
        ),
    ],
)
def test_a_hook_gets_the_arguments_it_names(function, received):
    (call,) = Plugins([plugin(function, "rbee_select_worker")]).chain("best-score").select_worker
    assert received == call.function(*GIVEN)


def test_keyword_only_parameters_are_refused():
    def rbee_filter_workers(*, candidates): ...

    assert "parameter 'candidates' is keyword-only" in refusal(plugin(rbee_filter_workers))


def test_unknown_arguments_are_refused_with_those_there_are():
    def rbee_filter_workers(workers): ...

    said = refusal(plugin(rbee_filter_workers))
    assert "has no argument 'workers' (it has: request, candidates, snapshot)" in said


def test_a_hook_without_arguments_says_so():
    def rbee_options(name): ...

    assert "has no argument 'name' (it has: none)" in refusal(plugin(rbee_options))


def test_an_unknown_positional_only_parameter_is_refused_with_or_without_a_default():
    def rbee_filter_workers(own=1, /, candidates=()): ...

    assert "has no argument 'own'" in refusal(plugin(rbee_filter_workers))


@pytest.mark.parametrize(
    "function", [lambda *args: None, lambda **kwargs: None], ids=["args", "kwargs"]
)
def test_collecting_parameters_are_refused(function):
    assert "name the arguments it wants" in refusal(plugin(function, "rbee_filter_workers"))


def test_a_method_without_self_is_refused():
    class NoSelf:
        @hookimpl
        def rbee_filter_workers(candidates):  # noqa: N805 - the mistake
            return {}

    assert "rbee_filter_workers has no self" in refusal(NoSelf())


# ---- what the function is --------------------------------------------------------------------


def test_a_class_instead_of_an_instance():
    assert "Base is a class (give an instance of it, or a module)" in refusal(Base)


def test_a_misspelt_hook_is_named_with_the_nearest_one():
    def rbee_filter_wokers(candidates): ...

    said = refusal(plugin(rbee_filter_wokers))
    assert "rbee_filter_wokers is no hook (did you mean rbee_filter_workers?)" in said


def test_a_name_like_no_hook_gets_the_list_of_them():
    def entirely_different(): ...

    assert "hooks are: rbee_options, rbee_configure" in refusal(plugin(entirely_different))


def test_async_def_on_a_plain_hook():
    async def rbee_select_worker(candidates): ...

    said = refusal(plugin(rbee_select_worker))
    assert "rbee_select_worker is async" in said
    assert "only rbee_check_quota, rbee_pool_command, rbee_release, rbee_reserve may wait" in said


@pytest.mark.parametrize(
    "hook", ["rbee_check_quota", "rbee_reserve", "rbee_release", "rbee_pool_command"]
)
def test_async_def_on_a_life_cycle_hook_is_fine(hook):
    async def function(): ...

    (call,) = getattr(Plugins([plugin(function, hook)]).chain("best-score"), hook[5:])
    assert call.is_async


def test_a_generator_would_never_run_and_is_refused():
    def rbee_reserve(worker):
        yield

    async def rbee_release(worker):
        yield

    assert "rbee_reserve is a generator" in refusal(plugin(rbee_reserve))
    assert "rbee_release is a generator" in refusal(plugin(rbee_release))


def test_hookimpl_forgotten():
    class Forgotten:
        def rbee_filter_workers(self, candidates):
            return {}

    assert "rbee_filter_workers has no @hookimpl (mark it, or rename it)" in refusal(Forgotten())


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper"])
def test_wrappers_are_refused(option):
    class Wrapper:
        @hookimpl(**{option: True})
        def rbee_filter_workers(self, candidates):
            yield

    assert "rbee_filter_workers is a hook wrapper" in refusal(Wrapper())


@pytest.mark.parametrize("option", ["tryfirst", "trylast"])
def test_a_place_in_the_order_is_the_deployments_to_give(option):
    class Pushy:
        @hookimpl(**{option: True})
        def rbee_filter_workers(self, candidates):
            return {}

    assert "asks for a place in the order" in refusal(Pushy())


def test_two_functions_for_one_hook_are_refused():
    class Double(Base):
        @hookimpl(specname="rbee_filter_workers")
        def another(self, candidates):
            return {}

    assert "two functions implement rbee_filter_workers" in refusal(Double())


# ---- what is not touched ---------------------------------------------------------------------


class Touchy(Base):
    """An object that must be looked at without running any of its code."""

    @property
    def connection(self):
        pytest.fail("a property was read")

    @cached_property
    def model(self):
        pytest.fail("a cached property was read")

    def __getattr__(self, name):
        pytest.fail(f"{name} was asked for")


def test_properties_of_a_plugin_are_not_touched():
    assert list(hook_functions(Touchy())) == ["rbee_filter_workers"]


def test_names_that_a_module_imports_lazily_are_not_imported():
    module = ModuleType("lazy")
    module.__dir__ = lambda: ["heavy"]
    module.__getattr__ = lambda name: pytest.fail(f"{name} was imported")
    assert hook_functions(module) == {}


def test_a_hook_that_a_module_imports_lazily_is_found():
    @hookimpl
    def rbee_on_event(event): ...

    module = ModuleType("lazy")
    module.__dir__ = lambda: ["rbee_on_event"]
    module.__getattr__ = {"rbee_on_event": rbee_on_event}.__getitem__
    assert hook_functions(module) == {"rbee_on_event": rbee_on_event}


@pytest.mark.parametrize(
    "value",
    [property(lambda self: None), partial(print), staticmethod(hookimpl(partial(print))), 3, None],
    ids=["property", "partial", "static partial", "int", "None"],
)
def test_a_hook_that_is_no_function_is_refused(value):
    odd = type("Odd", (), {"rbee_filter_workers": value})()
    assert "rbee_filter_workers is no function but a" in refusal(odd)


def test_an_instance_attribute_that_is_a_marked_function_is_a_hook():
    one = Base()
    one.rbee_filter_workers = hookimpl(lambda candidates: {"mine": "yes"})
    assert hook_functions(one)["rbee_filter_workers"]([]) == {"mine": "yes"}
