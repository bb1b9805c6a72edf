"""Who may ask, from where, and what a web page may make an owner's browser do."""

import pytest

from rbee_scheduler import ConfigError, hookimpl
from rbee_scheduler_gateway import GatewayOptions, Identity, Route
from rbee_scheduler_gateway._gatekeeper import Gatekeeper, is_loopback


TOKEN, WORKER = "operator-0123456789", "worker-0123456789ab"
URL = "/v1/chat/completions"
ASK = {"model": "bee", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def ok(memory):
    return lambda _: memory.whole({"ok": 1})


# ---- no tokens: everybody here is the owner, but not every page they look at ---------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]", "[::1]:8080", "127.1.2.3"],
)
async def test_this_machine_needs_no_token(memory, host):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={"host": host})
    assert got.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "127.evil.example", "127.0.0.1.evil.example:80",
        "localhost.evil.example", "192.168.0.7", "[2001:db8::1]:80", "0.0.0.0", "127.0.0.1:80:80",
    ],
)  # fmt: skip
async def test_a_name_that_was_pointed_here_is_refused(memory, host):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={"host": host})
    assert (got.status, got.error()["code"]) == (403, "FORBIDDEN")
    assert got.error()["type"] == "permission_error"
    assert not site.asked


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
async def test_pages_of_other_origins_are_refused(memory, origin):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={"origin": origin})
        assert (got.status, got.error()["code"]) == (403, "FORBIDDEN")
        assert "access-control-allow-origin" not in got.answer_headers
        assert not site.asked
        own = await site.ask(URL, ASK, headers={"origin": "http://127.0.0.1:8080"})
        assert own.status == 200


async def test_the_configured_name_is_ours(memory):
    options = {"host": "bee.lan", "tokens": (TOKEN,)}
    async with memory.open_site(ok(memory), options=options) as site:
        headers = {"host": "bee.lan:8080", "authorization": f"Bearer {TOKEN}"}
        assert (await site.ask(URL, ASK, headers=headers)).status == 200


# ---- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        None, "", "Bearer", "Bearer wrong-0123456789ab", f"Basic {TOKEN}", f"Bearer {TOKEN}x",
        TOKEN, "Bearer \udcff",
    ],
)  # fmt: skip
async def test_without_a_known_token_it_is_401(memory, sent):
    headers = {} if sent is None else {"authorization": sent}
    async with memory.open_site(ok(memory), options={"tokens": (TOKEN,)}) as site:
        got = await site.ask(URL, ASK, headers=headers)
    error = got.error()
    assert (got.status, error["code"], error["type"]) == (
        401,
        "UNAUTHORIZED",
        "authentication_error",
    )
    assert got.answer_headers["www-authenticate"] == "Bearer"
    assert got.answer_headers["x-correlation-id"]
    assert not site.asked
    assert TOKEN not in got.answer.decode()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_a_token_host_and_origin_do_not_matter(memory, scheme):
    headers = {
        "authorization": f"{scheme} {TOKEN}",
        "host": "gateway.example",
        "origin": "https://app.example",
    }
    async with memory.open_site(ok(memory), options={"tokens": (TOKEN,)}) as site:
        assert (await site.ask(URL, ASK, headers=headers)).status == 200


async def test_a_workers_token_is_for_heartbeats_only(memory):
    options = {"tokens": (TOKEN,), "worker_tokens": (WORKER,)}
    async with memory.open_site(ok(memory), options=options) as site:
        got = await site.ask(URL, ASK, headers={"authorization": f"Bearer {WORKER}"})
    assert (got.status, got.error()["code"]) == (403, "FORBIDDEN")
    assert not site.asked


@pytest.mark.parametrize(
    ("access", "roles"),
    [
        ("open", {"operator", "tenant", "worker"}),
        ("tenant", {"operator", "tenant"}),
        ("worker", {"operator", "worker"}),
        ("operator", {"operator"}),
    ],
)
def test_who_may_use_what(access, roles):
    found = {role for role in ("operator", "tenant", "worker") if Identity(role=role).may(access)}
    assert found == roles


class Tenants:
    """A plugin that knows tenants."""

    def __init__(self):
        self.asked = []

    @hookimpl(optionalhook=True)
    async def rbee_identify(self, token, client):
        self.asked.append((token, client))
        return Identity(role="tenant", tenant_id=token[1:]) if token.startswith("t") else None


async def test_a_plugin_says_who_asks_and_the_configured_tokens_are_asked_last(memory):
    tenants = Tenants()
    options = {"mode": "platform", "tokens": (TOKEN,)}
    async with memory.open_site(ok(memory), plugins=[tenants], options=options) as site:
        for token, status in (("t7", 200), (TOKEN, 200), ("unknown", 401), ("", 401)):
            headers = {"authorization": f"Bearer {token}"}
            assert (await site.ask(URL, ASK, headers=headers, client="10.0.0.9")).status == status
    assert tenants.asked == [(token, "10.0.0.9") for token in ("t7", TOKEN, "unknown")]
    assert [call.identity.tenant_id for call in site.calls[:2]] == ["7", None]
    assert site.calls[0].request.tenant_id == "7"


# ---- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"mode": "lab"}, "$.tokens"),
        ({"mode": "platform"}, "$.mode"),
        ({"host": "0.0.0.0"}, "$.host"),
        ({"host": ""}, "$.host"),
        ({"host": "127.example.org"}, "$.host"),
    ],
)
def test_unguarded_configurations_are_refused(options, place):
    with pytest.raises(ConfigError) as wrong:
        Gatekeeper(GatewayOptions(**options), [])
    assert wrong.value.place == place
    assert wrong.value.hint


@pytest.mark.parametrize(
    "options",
    [{}, {"host": "::1"}, {"host": "unix:/run/rbee"}, {"host": "0.0.0.0", "tokens": (TOKEN,)},
     {"mode": "lab", "tokens": (TOKEN,)}],
)  # fmt: skip
def test_guarded_ones_are_fine(options):
    Gatekeeper(GatewayOptions(**options), [])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True),
     ("unix:/x", True), ("127.evil.example", False), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("", False), ("localhost.example", False)],
)  # fmt: skip
def test_what_only_this_machine_can_reach(host, expected):
    assert is_loopback(host) is expected


# ---- CORS ------------------------------------------------------------------------------------

PAGE = "https://app.example"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST"}


async def test_cors_is_off_unless_configured(memory):
    async with memory.open_site(ok(memory), options={"tokens": (TOKEN,)}) as site:
        preflight = await site.ask(URL, method="OPTIONS", headers=PREFLIGHT)
        got = await site.ask(URL, ASK, headers={"origin": PAGE, "authorization": f"Bearer {TOKEN}"})
    assert preflight.status == 405
    for answer in (preflight, got):
        assert not [name for name in answer.answer_headers if name.startswith("access-control")]


@pytest.mark.parametrize("allowed", [(PAGE,), ("*",)])
async def test_an_allowed_page(memory, allowed):
    options = {"cors_origins": allowed, "tokens": (TOKEN,)}
    async with memory.open_site(ok(memory), options=options) as site:
        preflight = await site.ask(URL, method="OPTIONS", headers=PREFLIGHT)
        got = await site.ask(URL, ASK, headers={"origin": PAGE, "authorization": f"Bearer {TOKEN}"})
        denied = await site.ask(URL, ASK, headers={"origin": PAGE})
    assert (preflight.status, preflight.answer) == (204, b"")
    assert preflight.answer_headers["access-control-allow-methods"] == "POST"
    sendable = preflight.answer_headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "x-deadline-ms", "x-session-id"} <= set(sendable)
    for answer in (preflight, got, denied):  # a page may read why it was refused
        assert answer.answer_headers["access-control-allow-origin"] == PAGE
        assert answer.answer_headers["vary"] == "origin"
    readable = got.answer_headers["access-control-expose-headers"]
    assert {"x-rbee-worker", "x-rbee-strategy", "x-correlation-id"} <= set(readable.split(", "))
    assert denied.status == 401


async def test_other_pages_are_told_nothing(memory):
    options = {"cors_origins": (PAGE,), "tokens": (TOKEN,)}
    async with memory.open_site(ok(memory), options=options) as site:
        headers = PREFLIGHT | {"origin": "https://evil.example"}
        preflight = await site.ask(URL, method="OPTIONS", headers=headers)
    assert preflight.status == 405
    assert "access-control-allow-origin" not in preflight.answer_headers


def test_a_route_is_for_tenants_unless_it_says_otherwise():
    assert Route("GET", "/", print).access == "tenant"
