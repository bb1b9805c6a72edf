"""The plugin at its start: idle where nobody asked for it, strict where somebody did."""

import pytest

from rbee_scheduler import ConfigError, Deployment, PluginConfig, Plugins, Reject, hookimpl
from rbee_scheduler_gateway import Gateway, GatewayOptions
from rbee_scheduler_platform import Platform, PlatformOptions
from rbee_scheduler_platform._digest import code_digest, deployment_digest


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv("RBEE_SCHEDULER_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)


def listed(*configs):
    return Deployment(plugins=tuple(configs))


def of_platform(**options):
    return PluginConfig(name="platform", options={"store": "p.db", **options})


GATEWAY = PluginConfig(name="gateway", options={"mode": "platform"})


async def test_an_instance_that_nobody_configured_is_idle(tmp_path):
    plugins = Plugins()
    (row,) = [row for row in plugins.rows if row.name == "platform"]
    assert (row.status, row.strategies) == ("active", ())
    assert set(row.hooks) == {"rbee_configure", "rbee_options", "rbee_register_commands"}
    async with Gateway(Deployment()) as gateway:
        assert gateway.plugins.calls("rbee_identify") == ()
        assert gateway.routes.find("/v1/usage") == ({}, {})
    assert list(tmp_path.iterdir()) == []


def test_an_instance_with_a_store_decides():
    plugins = Plugins([of_platform()])
    assert plugins.strategies[0] == "platform"
    assert plugins.default_strategy == "platform"


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"stoer": "p.db"}, "did you mean"),
        ({"queue": {"urgent": 3}}, "urgent"),
        ({"queue": {"batch": 0}}, "batch"),
        ({"fill": 1.5}, "fill"),
        ({"fill": 0}, "fill"),
        ({"lease_seconds": 1}, "lease_seconds"),
        ({"synchronous": "OFF"}, "synchronous"),
        ({"audit_days": -1}, "audit_days"),
    ],
)
def test_a_wrong_option_stops_the_start(options, place):
    with pytest.raises(ConfigError, match=place):
        Plugins([of_platform(**options)])


def test_gateways_have_names_that_last():
    assert PlatformOptions(store="p.db").gateway == "main"
    assert PlatformOptions(store="p.db", gateway_id="g1").gateway == "g1"
    assert PlatformOptions(store="postgresql://db/x").gateway
    assert "s3cret" not in repr(PlatformOptions(store="postgresql://ann:s3cret@db/x"))


# ---- immutable -----------------------------------------------------------------------------


class Selector:
    __name__ = "mine"

    @hookimpl
    def rbee_select_worker(self):
        return Reject("no")


class Filter:
    __name__ = "mine"

    @hookimpl
    def rbee_filter_workers(self):
        return {}


class Identifier:
    __name__ = "mine"

    @hookimpl(optionalhook=True)
    def rbee_identify(self, token):
        return None


class Strategies:
    __name__ = "mine"

    @hookimpl
    def rbee_register_strategies(self):
        return {"mine": Selector()}


class Watcher:
    __name__ = "mine"

    @hookimpl
    def rbee_on_event(self, event):
        pass


def platform_plugins(*others):
    return lambda _: Plugins([Platform("platform", PlatformOptions(store="p.db")), *others])


def start(*others, **options):
    options = GatewayOptions(**({"mode": "platform"} | options))
    return Gateway(Deployment(), options, load_plugins=platform_plugins(*others))


@pytest.mark.parametrize("kind", [Selector, Filter, Identifier, Strategies])
async def test_no_other_plugin_has_a_say(kind):
    with pytest.raises(ConfigError, match=r"'mine'.* would have a say"):
        async with start(kind()):
            raise AssertionError


async def test_a_plugin_that_watches_is_no_harm():
    async with start(Watcher()) as gateway:
        assert gateway.scheduler.strategy == "platform"


SELECTS = "fn schedule_job(job, pools, workers) { workers.least_loaded() }"


async def test_a_script_that_selects_is_refused():
    script = PluginConfig(name="script", options={"source": SELECTS})
    deployment = listed(of_platform(), GATEWAY, script)
    with pytest.raises(ConfigError, match="the plugin 'script'"):
        async with Gateway(deployment):
            raise AssertionError


async def test_another_strategy_is_refused():
    deployment = Deployment.from_document(_document(strategy="best-score"))
    with pytest.raises(ConfigError, match="not the platform's"):
        async with Gateway(deployment):
            raise AssertionError


def _document(**fields):
    from rbee_scheduler._deployment import Document

    return Document(plugins=(of_platform(), GATEWAY), **fields)


async def test_processes_share_no_quotas():
    with pytest.raises(ConfigError, match="several processes"):
        async with start(processes=2):
            raise AssertionError


async def test_outside_platform_mode_others_may_take_part():
    async with start(Filter(), mode="lab") as gateway:
        assert gateway.scheduler.strategy == "platform"


async def test_a_reload_changes_workers_and_not_who_decides(tmp_path):
    first = Deployment.from_document(_document())
    wanted = [first]
    async with Gateway(first, load=lambda: (wanted[0], GatewayOptions(mode="platform"))) as gateway:
        before = gateway.plugins
        await gateway.reload()
        assert gateway.plugins is before
        assert gateway.scheduler.strategy == "platform"
        for changed in (
            Deployment(plugins=(of_platform(fill=0.5), GATEWAY)),
            Deployment.from_document(_document(strategy="best-score")),
            Deployment.from_document(_document(fallback="best-score")),
        ):
            wanted[0] = changed
            with pytest.raises(ConfigError, match="can't change while platform mode runs"):
                await gateway.reload()
        wanted[0] = first
        gateway._load = lambda: (first, GatewayOptions(mode="lab", tokens=("x" * 20,)))
        with pytest.raises(ConfigError, match="mode can't change"):
            await gateway.reload()


def test_the_digest_names_what_decides():
    assert code_digest() == code_digest()
    digests = {
        Plugins([of_platform()]).digest,
        Plugins([of_platform(fill=0.5)]).digest,
        Plugins([of_platform(), GATEWAY]).digest,
    }
    assert len(digests) == 3
    assert len({deployment_digest(one) for one in digests}) == 3


async def test_one_sqlite_store_has_one_service():
    async with start():
        with pytest.raises(ExceptionGroup) as refused:
            async with start():
                raise AssertionError
        assert refused.group_contains(
            ConfigError, match="another service uses this store", depth=None
        )
    async with start() as again:
        assert again.scheduler.strategy == "platform"
