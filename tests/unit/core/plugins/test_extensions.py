"""Hooks that packages bring: specified by one distribution, implemented by another."""

import sys
from importlib.metadata import entry_points

import pytest

from rbee_scheduler import Plugins
from rbee_scheduler._plugins._extensions import EXTENSIONS, extension_hooks


HOOKS = """
    from rbee_scheduler import hookspec

    rbee_unmarked = print

    @hookspec(firstresult=True)
    async def rbee_price(model, tenant):
        '''What does it cost?'''

    @hookspec
    def rbee_billed(bill):
        '''A bill was written.'''
    """

PRICES = """
    from rbee_scheduler import hookimpl

    @hookimpl
    async def rbee_price(tenant):
        return f"a gift for {tenant}"
    """


@pytest.fixture
def billing(site):
    """A site with a package that brings hooks."""
    extend(site, "rbee-scheduler-billing", HOOKS)
    return site


def extend(site, distribution, source):
    module = distribution.replace("-", "_")
    name = distribution.removeprefix("rbee-scheduler-")
    site.add(distribution, source, entry_points=f"[{EXTENSIONS}]\n{name} = {module}\n")
    extension_hooks.cache_clear()


@pytest.fixture(autouse=True)
def fresh():
    extension_hooks.cache_clear()
    yield
    extension_hooks.cache_clear()


def test_a_hook_of_a_package_is_implemented_like_cores_own(billing):
    billing.add("rbee-scheduler-prices", PRICES)
    plugins = billing.plugins(["prices"], strict=True)
    (call,) = plugins.calls("rbee_price")
    assert (call.plugin, call.source, call.hook) == (
        "prices", "rbee-scheduler-prices 1.0", "rbee_price",
    )  # fmt: skip
    assert call.is_async
    with pytest.raises(StopIteration) as answer:
        call.function("m", "me").send(None)  # all arguments, by position
    assert answer.value.value == "a gift for me"
    assert plugins.rows[0].hooks == ("rbee_price",)
    assert plugins.calls("rbee_billed") == ()


def test_they_are_called_in_the_order_of_the_list(billing):
    for name in ("b", "a"):
        billing.add(f"rbee-scheduler-{name}", PRICES)
    plugins = billing.plugins(["b", "a"], strict=True)
    assert [call.plugin for call in plugins.calls("rbee_price")] == ["b", "a"]


def test_calls_of_cores_own_hooks():
    assert [call.plugin for call in Plugins([]).calls("rbee_register_strategies")] == ["core"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@hookimpl\nasync def rbee_billed(bill): ...", "rbee_billed is async"),
        ("@hookimpl\ndef rbee_price(modle): ...", "has no argument 'modle' (it has: model, tenant"),
        ("@hookimpl\ndef rbee_prize(model): ...", "rbee_prize is no hook (did you mean rbee_price"),
        ("def rbee_price(model): ...", "rbee_price has no @hookimpl"),
        ("@hookimpl\ndef rbee_unmarked(): ...", "rbee_unmarked is no hook"),
    ],
    ids=["async", "argument", "misspelt", "forgotten", "no specification"],
)
def test_it_is_checked_when_it_is_loaded(billing, source, said):
    billing.add("rbee-scheduler-x", f"from rbee_scheduler import hookimpl\n{source}\n")
    (row,) = [row for row in billing.plugins(["x"]).rows if row.name == "x"]
    assert row.status == "failed"
    assert said in row.error


def test_a_plugin_may_show_the_specification_beside_its_hooks(billing):
    billing.add(
        "rbee-scheduler-x",
        "from rbee_scheduler import hookimpl\n"
        "from rbee_scheduler_billing import rbee_price\n"
        "@hookimpl\ndef rbee_billed(bill): ...\n",
    )
    plugins = billing.plugins(["x"], strict=True)
    assert plugins.rows[0].hooks == ("rbee_billed",)


@pytest.mark.parametrize("optional", [True, False])
def test_without_the_package_an_optional_hook_is_left_out(site, optional):
    source = PRICES.replace("@hookimpl", f"@hookimpl(optionalhook={optional})")
    site.add("rbee-scheduler-prices", source)
    (row, *_) = site.plugins(["prices"]).rows
    if optional:
        assert (row.status, row.hooks) == ("active", ())
    else:
        assert "rbee_price is no hook" in row.error


def test_a_package_that_breaks_is_logged_and_stops_nobody(billing, caplog):
    extend(billing, "rbee-scheduler-abroken", "raise ImportError('no driver')")
    billing.add("rbee-scheduler-prices", PRICES)
    plugins = billing.plugins(["prices"], strict=True)
    assert len(plugins.calls("rbee_price")) == 1
    assert "the hooks of rbee_scheduler_abroken can't be used: no driver" in caplog.text


def test_two_packages_with_one_hook_and_a_hook_that_is_cores(billing, caplog):
    extend(
        billing,
        "rbee-scheduler-other",
        "from rbee_scheduler import hookspec\n"
        "@hookspec\ndef rbee_price(other): ...\n"
        "@hookspec\ndef rbee_reserve(other): ...\n"
        "@hookspec\ndef price(other): ...\n",
    )
    billing.add("rbee-scheduler-prices", PRICES)
    billing.plugins(["prices"], strict=True)  # its argument is that of the first, by name
    assert "rbee_scheduler_billing specifies rbee_price" in caplog.text
    assert "that of rbee_scheduler_other is left out" in caplog.text
    assert "can't specify rbee_reserve" in caplog.text
    assert "can't specify price" in caplog.text
    assert "rbee_reserve" not in extension_hooks()


def test_nothing_is_imported_while_all_hooks_are_known(billing):
    billing.add("rbee-scheduler-plain")
    billing.plugins(["plain"], strict=True)
    assert "rbee_scheduler_billing" not in sys.modules
    assert [e.value for e in entry_points(group=EXTENSIONS) if e.name == "billing"]
