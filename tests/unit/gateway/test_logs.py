"""Logs: a line for each event, everything needed to find a request, and nothing of a prompt."""

import io
import json
import logging

import pytest

from rbee_scheduler_gateway._logs import AccessLog, setup_logging


SECRET = "the treasure is under the oak"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def lines():
    """Log as JSON; return what was said."""
    stream = io.StringIO()
    undo = setup_logging("info", "json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    undo()


def chat(**more):
    return {"model": "bee", "messages": [{"role": "user", "content": SECRET}], **more}


URL = "/v1/chat/completions"


def answer(memory):
    return lambda _: memory.whole({"choices": [], "usage": {"completion_tokens": 1}})


async def test_a_call_is_one_line_with_what_finds_it_again(memory, lines):
    async with memory.open_site(answer(memory), workers=1, options={"access_log": "all"}) as site:
        site.gateway.watchers.on_call.append(AccessLog(site.gateway))
        await site.ask(URL, chat(), headers={"x-correlation-id": "abc"})
    (line,) = lines()
    assert line.pop("ts").endswith("Z")
    assert len(line.pop("job_id")) == 32
    assert line == {
        "level": "info",
        "logger": "rbee_scheduler.gateway.access",
        "message": f"POST {URL} 200",
        "correlation_id": "abc",
        "status": 200,
        "ms": 0.0,
        "client": "127.0.0.1",
        "worker": "w0",
        "model": "bee",
    }


@pytest.mark.parametrize(("wanted", "count"), [("all", 2), ("errors", 1), ("none", 0)])
async def test_which_calls_are_logged_is_chosen(memory, lines, wanted, count):
    async with memory.open_site(answer(memory), options={"access_log": wanted}) as site:
        site.gateway.watchers.on_call.append(AccessLog(site.gateway))
        await site.ask("/health", method="GET")
        await site.ask("/nowhere", method="GET")
    assert len(lines()) == count


async def test_no_word_of_a_prompt_is_logged_even_when_the_worker_repeats_it(memory, lines):
    def refuse(_):
        return memory.whole({"error": {"message": f"too long: {SECRET}"}}, status=400)

    async with memory.open_site(refuse, options={"access_log": "all"}) as site:
        site.gateway.watchers.on_call.append(AccessLog(site.gateway))
        await site.ask(URL, chat())
        await site.ask(URL, chat(model=None))
        await site.ask(URL, f'{{"model": "{SECRET}'.encode())
    said = lines()
    assert [line["status"] for line in said] == [400, 422, 400]
    assert said[0]["error"] == "the worker answered 400"
    assert SECRET not in json.dumps(said)


def test_a_traceback_is_part_of_its_line(lines):
    try:
        int("broken")
    except ValueError:
        logging.getLogger("rbee_scheduler.gateway").exception("it failed")
    (line,) = lines()
    assert line["message"] == "it failed"
    assert "ValueError: invalid literal" in line["traceback"]


def test_levels_are_ours_and_of_others_only_warnings_are_heard(lines):
    logging.getLogger("rbee_scheduler").debug("no")
    logging.getLogger("rbee_scheduler").info("yes")
    logging.getLogger("httpx").info("no")
    logging.getLogger("httpx").warning("yes")
    assert [line["message"] for line in lines()] == ["yes", "yes"]


def test_text_is_one_line_and_obeys_no_escape_sequence():
    stream = io.StringIO()
    undo = setup_logging("info", "text", stream=stream, process=3)
    logging.getLogger("rbee_scheduler").info("a\nb\x1b[2J", extra={"worker": "w\n1"})
    undo()
    (line,) = stream.getvalue().splitlines()
    assert line.endswith('info    a\\nb\\x1b[2J worker="w\\n1" process_number=3')


def test_what_is_no_terminal_gets_json():
    stream = io.StringIO()
    undo = setup_logging(stream=stream)
    logging.getLogger("rbee_scheduler").info("hello")
    undo()
    assert json.loads(stream.getvalue())["message"] == "hello"


def test_everything_is_set_back():
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.getLogger("rbee_scheduler").level)
    setup_logging("debug", "json", stream=io.StringIO())()
    assert (root.handlers, root.level, logging.getLogger("rbee_scheduler").level) == before
