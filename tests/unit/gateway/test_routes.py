"""Paths and methods, and the headers of requests and answers, whatever the path."""

import json

import pytest

from rbee_scheduler import ConfigError, hookimpl
from rbee_scheduler_gateway import Route
from rbee_scheduler_gateway._routes import Routes


URL = "/v1/chat/completions"
ASK = {"model": "bee", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def ok(memory):
    return lambda _: memory.whole({"ok": 1}, x_request_id="r1", server="bee/1", retry_after="3")


async def nobody(call):
    raise AssertionError


def test_routes_are_found_by_method_and_path():
    get, post = Route("GET", "/a", nobody), Route("POST", "/a", nobody)
    one = Route("GET", "/a/{name}/c", nobody)
    rest = Route("GET", "/r/{name*}", nobody)
    routes = Routes([get, post, one, rest])
    assert routes.find("/a") == ({"GET": get, "POST": post}, {})
    assert routes.find("/a/b.c/c") == ({"GET": one}, {"name": "b.c"})
    assert routes.find("/r/meta/llama-3") == ({"GET": rest}, {"name": "meta/llama-3"})
    for path in ("/", "/a/", "/a/b", "/a/b/c/d", "/a//c", "/r/", "/A", "/a/b/c\n"):
        assert routes.find(path) == ({}, {}), path
    assert list(routes) == [get, post, one, rest]


def test_two_answers_to_one_question_are_refused():
    with pytest.raises(ConfigError, match="GET /a"):
        Routes([Route("GET", "/a", nobody), Route("GET", "/a", nobody)])


async def test_an_unknown_path_and_a_wrong_method(memory):
    async with memory.open_site(ok(memory)) as site:
        unknown = await site.ask("/v2/chat")
        wrong = await site.ask(URL, method="GET")
        head = await site.ask("/v1/models", method="HEAD")
    assert (unknown.status, unknown.error()["code"]) == (404, "NOT_FOUND")
    assert (wrong.status, wrong.error()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert wrong.answer_headers["allow"] == "POST"
    assert head.status == 200


async def test_headers_of_an_answer(memory):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK)
    headers = got.answer_headers
    assert headers["x-rbee-worker"] == "w0"
    assert headers["x-rbee-strategy"]
    assert headers["content-type"] == "application/json"
    assert (headers["x-request-id"], headers["retry-after"]) == ("r1", "3")
    assert "server" not in headers  # the worker's is not the gateway's


async def test_headers_to_a_worker(memory):
    sent = {"authorization": "Bearer mine", "cookie": "c", "x-forwarded-for": "1.2.3.4"}
    async with memory.open_site(ok(memory), labels={"api_key": "worker-key"}) as site:
        got = await site.ask(URL, ASK, headers=sent)
    (call,) = site.asked
    assert call.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "x-correlation-id": got.answer_headers["x-correlation-id"],
        "authorization": "Bearer worker-key",
    }


async def test_the_clients_token_is_not_for_workers(memory):
    async with memory.open_site(ok(memory)) as site:
        await site.ask(URL, ASK, headers={"authorization": "Bearer mine"})
    assert "authorization" not in site.asked[0].headers


async def test_a_correlation_id_is_accepted_sent_on_and_answered(memory):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={"x-correlation-id": "my id: 7"})
        missing = await site.ask("/nowhere", headers={"x-correlation-id": "my id: 8"})
    assert site.asked[0].headers["x-correlation-id"] == "my id: 7"
    assert got.answer_headers["x-correlation-id"] == "my id: 7"
    assert missing.answer_headers["x-correlation-id"] == "my id: 8"
    assert site.calls[0].correlation_id == "my id: 7"


@pytest.mark.parametrize("given", [None, "", "x" * 129, "tab\there", "\x85"])
async def test_otherwise_a_correlation_id_is_made(memory, given):
    headers = {} if given is None else {"x-correlation-id": given}
    async with memory.open_site(ok(memory)) as site:
        first = (await site.ask(URL, ASK, headers=headers)).answer_headers["x-correlation-id"]
        second = (await site.ask(URL, ASK, headers=headers)).answer_headers["x-correlation-id"]
    assert len(first) == 32
    assert first != second


async def test_a_correlation_id_of_other_characters_reaches_the_worker(memory):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={"x-correlation-id": "é"})
    assert got.answer_headers["x-correlation-id"] == site.asked[0].headers["x-correlation-id"]


async def test_a_header_chooses_the_strategy_where_that_is_allowed(memory):
    headers = {"x-rbee-strategy": "nonsense"}
    async with memory.open_site(ok(memory), plugins=["strategies"]) as site:
        for name in ("least-in-flight", "power-of-two"):
            chosen = await site.ask(URL, ASK, headers={"x-rbee-strategy": name})
            assert (chosen.status, chosen.answer_headers["x-rbee-strategy"]) == (200, name)
    async with memory.open_site(ok(memory)) as site:
        unknown = await site.ask(URL, ASK, headers=headers)
    assert (unknown.status, unknown.error()["param"]) == (400, "$.strategy")
    async with memory.open_site(ok(memory), options={"strategy_header": False}) as site:
        refused = await site.ask(URL, ASK, headers=headers)
    assert (refused.status, refused.error()["code"]) == (403, "REJECTED")
    assert not site.asked


@pytest.mark.parametrize(
    ("header", "text"),
    [("x-deadline-ms", "soon"), ("x-priority", "urgent"), ("x-rbee-resume", "maybe")],
)
async def test_a_header_without_sense_is_a_400_that_names_it(memory, header, text):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, ASK, headers={header: text})
    error = got.error()
    assert (got.status, error["param"], error["type"]) == (400, header, "invalid_request_error")
    assert text in error["message"]
    assert not site.asked


async def test_an_error_of_ours_is_a_500_that_tells_nothing(memory, caplog):
    class Broken:
        @hookimpl(optionalhook=True)
        def rbee_register_routes(self, gateway):
            async def fail(call):
                raise RuntimeError("secret")

            return [Route("GET", "/fail", fail)]

    async with memory.open_site(ok(memory), plugins=[Broken()]) as site:
        got = await site.ask("/fail", method="GET", headers={"x-correlation-id": "c7"})
    assert (got.status, got.error()["code"]) == (500, "INTERNAL")
    assert "secret" not in got.answer.decode()
    (record,) = caplog.records
    assert isinstance(record.exc_info[1], RuntimeError)
    assert record.correlation_id == "c7"
    assert site.calls[0].error is record.exc_info[1]  # watchers see what it was


async def test_plugins_add_headers_and_one_that_fails_costs_nothing(memory, caplog):
    class Adds:
        @hookimpl(optionalhook=True)
        def rbee_answer_headers(self, request, identity, error):
            return {"x-model": request.model if request else "none", "x-error": str(bool(error))}

    class Fails:
        @hookimpl(optionalhook=True)
        def rbee_answer_headers(self):
            raise RuntimeError("no")

    async with memory.open_site(ok(memory), plugins=[Fails(), Adds()]) as site:
        got = await site.ask(URL, ASK)
        stream = await site.ask(URL, {**ASK, "stream": True})
        bad = await site.ask(URL, {**ASK, "model": "wasp"})
    assert got.answer_headers["x-model"] == "bee"
    assert got.answer_headers["x-error"] == "False"
    assert stream.answer_headers["x-model"] == "bee"
    assert (bad.answer_headers["x-model"], bad.answer_headers["x-error"]) == ("wasp", "True")
    assert "Fails" in caplog.text or "rbee_answer_headers" in caplog.text


async def test_what_is_wrong_has_the_shape_that_clients_look_for(memory):
    async with memory.open_site(ok(memory)) as site:
        got = await site.ask(URL, b"{")
    error = got.error()
    assert got.status == 400
    assert set(error) == {"message", "type", "code", "retryable"}
    assert json.dumps(error)
