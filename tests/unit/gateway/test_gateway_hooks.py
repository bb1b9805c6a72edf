"""Each hook of the gateway: who is asked when, and what becomes of a plugin that fails."""

from contextlib import asynccontextmanager
from itertools import count

import anyio
import pytest
from prometheus_client.core import GaugeMetricFamily

from rbee_scheduler import ConfigError, Deployment, PluginError, Plugins, QuotaExceeded, hookimpl
from rbee_scheduler_gateway import Forbidden, Gateway, GatewayOptions, Identity, Route, Unauthorized
from rbee_scheduler_gateway._metrics._names import PLUGIN_FAILURES


TOKEN = "operator-0123456789"
URL = "/v1/chat/completions"
ASK = {"model": "bee", "messages": [{"role": "user", "content": "Hi"}]}
BEARER = {"authorization": "Bearer t-1"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def ok(memory):
    return lambda _: memory.whole({"ok": 1})


def plugin(name="P", **hooks):
    """An object with hooks; each asks for what its function does."""
    methods = {hook: staticmethod(hookimpl(function)) for hook, function in hooks.items()}
    return type(name, (), methods)()


def raises(problem):
    def hook():
        raise problem

    return hook


def counted(site, hook):
    """How often implementations of a hook failed, as the metrics say."""
    rows = dict(site.gateway.metrics.rows())[PLUGIN_FAILURES]
    return sum(row.value for row in rows if row.labels[1] == hook)


# ---- rbee_identify ---------------------------------------------------------------------------


async def test_hook_rbee_identify_asks_in_order_and_waits_for_async(memory):
    asked = []

    async def first(token, client):
        await anyio.lowlevel.checkpoint()
        asked.append(("first", token, client))
        return Identity(role="tenant", tenant_id="one") if token == "t-1" else None

    def second(token):
        asked.append(("second", token))
        return Identity(role="tenant", tenant_id="two")

    plugins = [plugin("A", rbee_identify=first), plugin("B", rbee_identify=second)]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        await site.ask(URL, ASK, headers=BEARER, client="10.0.0.9")
        await site.ask(URL, ASK, headers={"authorization": "Bearer t-2"})
    assert asked == [
        ("first", "t-1", "10.0.0.9"), ("first", "t-2", "127.0.0.1"), ("second", "t-2"),
    ]  # fmt: skip
    assert [call.identity.tenant_id for call in site.calls] == ["one", "two"]


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (Unauthorized("it has expired"), 401, "UNAUTHORIZED"),
        (Forbidden("not yours"), 403, "FORBIDDEN"),
        (QuotaExceeded("too many failures", retry_after=3.0), 429, "QUOTA_EXCEEDED"),
    ],
)
async def test_what_rbee_identify_says_on_purpose_is_the_answer(memory, problem, status, code):
    plugins = [plugin(rbee_identify=raises(problem))]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        got = await site.ask(URL, ASK, headers=BEARER)
        assert (got.status, got.error()["code"]) == (status, code)
        assert counted(site, "rbee_identify") == 0


@pytest.mark.parametrize("broken", [raises(OSError("secret")), lambda: "operator"])
async def test_an_rbee_identify_that_fails_lets_nobody_in(memory, caplog, broken):
    def everybody():
        return Identity()

    plugins = [
        plugin("Broken", rbee_identify=broken),
        plugin("Kind", rbee_identify=everybody),
    ]
    async with memory.open_site(ok(memory), plugins=plugins, options={"tokens": (TOKEN,)}) as site:
        got = await site.ask(URL, ASK, headers={"authorization": f"Bearer {TOKEN}"})
        health = await site.ask("/health", method="GET")
        assert counted(site, "rbee_identify") == 1
    assert (got.status, got.error()["code"], health.status) == (500, "INTERNAL", 200)
    assert "secret" not in got.answer.decode()
    assert not site.asked
    assert "plugin 'Broken'" in caplog.text


# ---- rbee_register_routes --------------------------------------------------------------------


def hello(path="/v1/hello", **options):
    async def answer(call):
        """Say hello."""
        await call.answer({"hello": call.params.get("name", "")})

    return Route("GET", path, answer, **options)


async def test_hook_rbee_register_routes_is_asked_with_the_gateway(memory):
    given = []

    def routes(gateway):
        given.append(gateway)
        return [hello("/v1/hello/{name}", access="open")]

    options = {"tokens": (TOKEN,)}
    plugins = [plugin(rbee_register_routes=routes)]
    async with memory.open_site(ok(memory), plugins=plugins, options=options) as site:
        got = await site.ask("/v1/hello/bee", method="GET")
    assert got.json() == {"hello": "bee"}
    assert given == [site.gateway]


@pytest.mark.parametrize(
    "broken",
    [
        raises(RuntimeError("no bees")),
        lambda: None,
        lambda: [hello(), "GET /"],
        lambda: [Route("get", "/v1/x", print)],
        lambda: [Route("GET", "v1/x", print)],
        lambda: [Route("GET", "/v1/{X}", print)],
        lambda: [Route("GET", "/v1/x", print, "everybody")],
        lambda: [Route("GET", "/v1/x", None)],
    ],
    ids=map(str, count()),
)
async def test_an_rbee_register_routes_that_fails_is_left_out(memory, caplog, broken):
    plugins = [
        plugin("Broken", rbee_register_routes=broken),
        plugin("Sound", rbee_register_routes=lambda: [hello("/v1/sound")]),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        assert (await site.ask("/v1/sound", method="GET")).status == 200
        assert (await site.ask("/v1/hello", method="GET")).status == 404
        assert (await site.ask(URL, ASK)).status == 200
        assert counted(site, "rbee_register_routes") == 1
    assert "plugin 'Broken'" in caplog.text


@pytest.mark.parametrize("path", ["/v1/models", "/v1/hello"])
async def test_two_owners_of_one_route_are_named(memory, path):
    plugins = [
        plugin("One", rbee_register_routes=lambda: [hello()]),
        plugin("Two", rbee_register_routes=lambda: [hello(path)]),
    ]
    owner = "rbee-scheduler-gateway" if path == "/v1/models" else "the plugin 'One'"
    with pytest.raises(ConfigError, match=f"GET {path} is answered by both {owner}.*'Two'"):
        async with memory.open_site(ok(memory), plugins=plugins):
            pass


async def test_rbee_register_routes_may_refuse_the_deployment(memory):
    plugins = [plugin(rbee_register_routes=raises(ConfigError("not in this mode")))]
    with pytest.raises(ConfigError, match="not in this mode"):
        async with memory.open_site(ok(memory), plugins=plugins):
            pass


# ---- rbee_answer_headers ---------------------------------------------------------------------


async def test_hook_rbee_answer_headers_sees_request_identity_and_error(memory):
    def headers(request, identity, error):
        return {
            "X-Model": request.model if request else "none",
            "x-role": identity.role,
            "x-code": error.code if error else "",
        }

    async with memory.open_site(ok(memory), plugins=[plugin(rbee_answer_headers=headers)]) as site:
        good = (await site.ask(URL, ASK)).answer_headers
        bad = (await site.ask(URL, {**ASK, "model": "wasp"})).answer_headers
    assert (good["x-model"], good["x-role"], good["x-code"]) == ("bee", "operator", "")
    assert (bad["x-model"], bad["x-code"]) == ("wasp", "NO_WORKERS_AVAILABLE")


async def test_the_first_rbee_answer_headers_has_a_name_that_two_add(memory):
    plugins = [
        plugin("A", rbee_answer_headers=lambda: {"x-who": "a", "x-a": "1"}),
        plugin("B", rbee_answer_headers=lambda: {"X-Who": "b", "x-b": "2"}),
        plugin("C", rbee_answer_headers=lambda: None),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        got = (await site.ask(URL, ASK)).answer_headers
    assert (got["x-who"], got["x-a"], got["x-b"]) == ("a", "1", "2")


@pytest.mark.parametrize(
    "broken",
    [
        raises(RuntimeError("no")),
        lambda: {"x-bad": "a\r\nset-cookie: b"},
        lambda: {"x-bad": "a\x00"},
        lambda: {"x-bad": "\N{SNOWMAN}"},
        lambda: {"x-bad": 7},
        lambda: {"x bad": "1"},
        lambda: {"": "1"},
        lambda: {"Content-Length": "7"},
        lambda: {"transfer-encoding": "chunked"},
        lambda: {"X-Rbee-Worker": "mine"},
        lambda: {"access-control-allow-origin": "*"},
        lambda: ["x-bad"],
    ],
    ids=map(str, count()),
)
@pytest.mark.parametrize("model", ["bee", "wasp"])
async def test_an_rbee_answer_headers_that_fails_costs_no_answer(memory, caplog, broken, model):
    plugins = [
        plugin("Broken", rbee_answer_headers=broken),
        plugin("Sound", rbee_answer_headers=lambda: {"x-sound": "1"}),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        got = await site.ask(URL, {**ASK, "model": model})
        assert got.status == (200 if model == "bee" else 503)
        assert got.answer_headers["x-sound"] == "1"
        assert not {"x-bad", "set-cookie"} & set(got.answer_headers)
        assert counted(site, "rbee_answer_headers") == 1
    assert "plugin 'Broken'" in caplog.text


# ---- rbee_job_journal ------------------------------------------------------------------------


class Journal:
    """A journal that has nothing."""

    def __init__(self, problem=None):
        self.problem = problem

    async def unfinished(self):
        if self.problem:
            raise self.problem
        return []


async def test_hook_rbee_job_journal_takes_the_first_answer(memory):
    one, two = Journal(), Journal()
    plugins = [
        plugin("None", rbee_job_journal=lambda: None),
        plugin("One", rbee_job_journal=lambda: one),
        plugin("Two", rbee_job_journal=lambda: two),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        assert site.gateway.jobs.journal is one


@pytest.mark.parametrize(
    "broken",
    [raises(OSError("no disk")), lambda: Journal(OSError("no disk"))],
    ids=["hook", "unfinished"],
)
async def test_without_its_journal_the_service_does_not_start(memory, broken):
    plugins = [plugin("Broken", rbee_job_journal=broken)]
    with pytest.raises(ExceptionGroup) as wrong:
        async with memory.open_site(ok(memory), plugins=plugins):
            pass
    assert wrong.group_contains(PluginError, match="no disk")


# ---- rbee_collect_metrics --------------------------------------------------------------------


class Bees:
    def collect(self):
        yield GaugeMetricFamily("bees", "How many bees there are.", value=3)


async def test_hook_rbee_collect_metrics_shows_collectors_and_does_without_a_broken_one(
    memory, caplog
):
    plugins = [
        plugin("Broken", rbee_collect_metrics=raises(RuntimeError("no"))),
        plugin("Sound", rbee_collect_metrics=lambda: [Bees()]),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        text = (await site.ask("/metrics", method="GET")).answer.decode()
        assert counted(site, "rbee_collect_metrics") == 1
    assert "\nbees 3.0\n" in text
    assert "plugin 'Broken'" in caplog.text


# ---- rbee_policy_deployer --------------------------------------------------------------------


async def test_hook_rbee_policy_deployer_is_given_the_workers_and_may_fail(memory, tmp_path):
    pytest.importorskip("rbee_scheduler_script")
    from rbee_scheduler_gateway._policies._drafts import Drafts
    from rbee_scheduler_gateway._policies._workshop import Workshop

    deployer = object()
    given = []

    def deploys(registry):
        given.append(registry)
        return deployer

    plugins = [
        plugin("Broken", rbee_policy_deployer=raises(RuntimeError("no"))),
        plugin("None", rbee_policy_deployer=lambda: None),
        plugin("Sound", rbee_policy_deployer=deploys),
    ]
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        found = Workshop(site.gateway, Drafts(tmp_path)).deployers()
        assert found == {"Sound": deployer}
        assert given == [site.gateway.registry]
        assert counted(site, "rbee_policy_deployer") == 1


# ---- rbee_gateway_lifespan -------------------------------------------------------------------


async def test_hook_rbee_gateway_lifespan_lasts_as_long_and_may_fail(memory, caplog):
    told = []

    def lives(name, *, enter=None, leave=None):
        @asynccontextmanager
        async def lifespan(gateway):
            if enter:
                raise enter
            told.append((name, "entered", gateway.active))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                yield
                tasks.cancel_scope.cancel()
            told.append((name, "left"))
            if leave:
                raise leave

        return plugin(name, rbee_gateway_lifespan=lifespan)

    plugins = [
        lives("a"), plugin("None", rbee_gateway_lifespan=lambda: None),
        lives("b", leave=OSError("no disk")), lives("c", enter=RuntimeError("no net")),
        plugin("Odd", rbee_gateway_lifespan=lambda: 7), lives("d"),
    ]  # fmt: skip
    async with memory.open_site(ok(memory), plugins=plugins) as site:
        assert [name for name, *_ in told] == ["a", "b", "d"]
        assert (await site.ask(URL, ASK)).status == 200
        assert counted(site, "rbee_gateway_lifespan") == 2
    assert told[3:] == [("d", "left"), ("b", "left"), ("a", "left")]
    for words in ("no disk", "no net", "plugin 'Odd'"):
        assert words in caplog.text


async def test_rbee_gateway_lifespan_may_stop_the_start(memory):
    plugins = [plugin(rbee_gateway_lifespan=raises(ConfigError("no key file")))]
    with pytest.raises(ExceptionGroup) as wrong:
        async with memory.open_site(ok(memory), plugins=plugins):
            pass
    assert wrong.group_contains(ConfigError, match="no key file")


async def test_a_gateway_that_is_cancelled_ends_with_its_companions():
    @asynccontextmanager
    async def lifespan(gateway):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            yield
            tasks.cancel_scope.cancel()

    async def serve(*, task_status):
        async with Gateway(
            Deployment(plugins=()),
            GatewayOptions(),
            load_plugins=lambda _: Plugins([plugin(rbee_gateway_lifespan=lifespan)]),
        ):
            task_status.started()
            await anyio.sleep_forever()

    # Without the cancellation, the plugin's task group made the event loop spin for ever.
    async with anyio.create_task_group() as tasks:
        await tasks.start(serve)
        tasks.cancel_scope.cancel()
