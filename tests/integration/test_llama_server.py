"""Real llama.cpp servers: they tell the story to the letter, and they always end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import anyio
import httpx
import pytest
from anyio import from_thread

from rbee_scheduler.demo import (
    STORY_TEXT,
    STORY_TOKENS,
    DemoError,
    DemoExtraMissing,
    LlamaServer,
    ServerStartFailed,
    _llama,
    _server,
    blocking_llama_server,
    blocking_llama_servers,
    llama_server,
    llama_servers,
    story_after,
)


PROMPT = "Tell me a story!"
ENDLESS = 32_000

PROTOCOLS = {
    "/v1/completions": {"prompt": PROMPT},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
}


def text_of(answer):
    choice = answer["choices"][0]
    part = choice.get("message") or choice.get("delta") or choice
    return part.get("content") or part.get("text") or ""


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def spawned(monkeypatch):
    """Every server that is started, also those that never became ready."""
    servers = []

    class Recorded(LlamaServer):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            servers.append(self)

    monkeypatch.setattr(_llama, "LlamaServer", Recorded)
    return servers


# What it answers


@pytest.mark.parametrize("path", PROTOCOLS)
async def test_answers_the_exact_story(llama_cluster, path):
    async with httpx.AsyncClient(base_url=llama_cluster[0].url) as client:
        answer = (await client.post(path, json={**PROTOCOLS[path], "max_tokens": 200})).json()
    assert text_of(answer) == STORY_TEXT
    assert answer["usage"]["completion_tokens"] == STORY_TOKENS
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("path", PROTOCOLS)
async def test_streams_the_exact_story(llama_cluster, path):
    body = {**PROTOCOLS[path], "stream": True, "stream_options": {"include_usage": True}}
    async with (
        httpx.AsyncClient(base_url=llama_cluster[0].url) as client,
        client.stream("POST", path, json=body, headers={"Connection": "close"}) as response,
    ):
        data = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    assert data.pop() == "[DONE]"
    events = [json.loads(event) for event in data]
    texts = [text_of(event) for event in events if event["choices"]]
    assert "".join(texts) == STORY_TEXT
    assert events[-1]["usage"]["completion_tokens"] == STORY_TOKENS


async def test_a_token_is_not_an_event(llama_cluster):
    """The bee is two tokens and one event: half a UTF-8 sequence can't be sent."""
    body = {"prompt": PROMPT, "stream": True}
    async with (
        httpx.AsyncClient(base_url=llama_cluster[0].url) as client,
        client.stream("POST", "/v1/completions", json=body) as response,
    ):
        lines = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    texts = [text for line in lines if (text := text_of(json.loads(line[6:])))]
    assert texts[-2:] == [" twice", " 🐝"]
    assert len(texts) < STORY_TOKENS


@pytest.mark.parametrize("temperature", [0, 0.7, 2])
async def test_is_exact_at_any_temperature(llama_cluster, temperature):
    async with httpx.AsyncClient(base_url=llama_cluster[0].url) as client:
        body = {"prompt": PROMPT, "temperature": temperature, "seed": 7}
        answer = (await client.post("/v1/completions", json=body)).json()
    assert text_of(answer) == STORY_TEXT


@pytest.mark.parametrize("prompt", ["", "Hello", "Hello ", "17", "a\n", "“Story”", "Is it? No."])
async def test_any_ordinary_prompt_leads_to_the_story(llama_cluster, prompt):
    async with httpx.AsyncClient(base_url=llama_cluster[0].url) as client:
        answer = (await client.post("/v1/completions", json={"prompt": prompt})).json()
    assert text_of(answer) == STORY_TEXT == story_after(prompt)


async def test_goes_on_after_every_token(llama_cluster):
    """A request that failed over after n tokens gets the rest, to the letter."""
    async with httpx.AsyncClient(base_url=llama_cluster[0].url) as client:
        for tokens in range(1, STORY_TOKENS - 2):
            body = {"prompt": PROMPT, "max_tokens": tokens}
            start = text_of((await client.post("/v1/completions", json=body)).json())
            body = {"prompt": PROMPT + start, "max_tokens": STORY_TOKENS - tokens}
            answer = (await client.post("/v1/completions", json=body)).json()
            assert text_of(answer) == STORY_TEXT.removeprefix(start)
            assert text_of(answer) == story_after(PROMPT + start)
            assert answer["usage"]["completion_tokens"] == STORY_TOKENS - tokens


async def test_each_server_of_the_cluster_is_its_own(llama_cluster):
    assert len({server.url for server in llama_cluster}) == 3
    assert len({server.pid for server in llama_cluster} | {os.getpid()}) == 4
    for server in llama_cluster:
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/health")).json() == {"status": "ok"}
            assert (await client.get("/v1/models")).json()["data"][0]["id"] == "tiny-bee"
            assert len((await client.get("/slots")).json()) == 2
            assert (await client.get("/props")).json()["total_slots"] == 2
            assert "llamacpp:requests_processing" in (await client.get("/metrics")).text
        assert server.returncode is None
        assert str(server.pid) in repr(server)


async def test_options_reach_the_server(story_model):
    async with (
        llama_server(story_model, alias="bee", slots=1, context=64, api_key="key") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        assert (await client.get("/v1/models")).status_code == 401
        client.headers["Authorization"] = "Bearer key"
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "bee"
        slots = (await client.get("/slots")).json()
        answer = await client.post("/v1/completions", json={"prompt": PROMPT * 40})
    assert len(slots) == 1
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "exceed_context_size_error"


async def test_health_answers_while_requests_queue(llama_server_factory, endless_model):
    """Streams that wait for a slot hold an HTTP thread each; there must be spare ones."""
    server = llama_server_factory(endless_model, slots=1, context=ENDLESS)
    body = {"prompt": PROMPT, "max_tokens": ENDLESS, "stream": True}
    async with httpx.AsyncClient(base_url=server.url) as client, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(lambda: client.post("/v1/completions", json=body))
        deferred = "0"
        while deferred == "0":  # each turn is a request: it can't spin without the server
            metrics = (await client.get("/metrics")).text
            deferred = metrics.split("\nllamacpp:requests_deferred ")[1].split("\n")[0]
        assert (await client.get("/health")).status_code == 200
        group.cancel_scope.cancel()


# How it ends


async def test_a_client_sees_sigkill(llama_server_factory, endless_model):
    server = llama_server_factory(endless_model, slots=1, context=ENDLESS)
    body = {"prompt": PROMPT, "max_tokens": ENDLESS, "stream": True}
    seen = []

    async def read_and_kill(client):
        async with client.stream("POST", "/v1/completions", json=body) as response:
            async for line in response.aiter_lines():
                seen.append(line)
                server.kill()

    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await read_and_kill(client)
        assert await server.exited() == -signal.SIGKILL == server.returncode
        with pytest.raises(httpx.TransportError):
            await client.get("/health")
    assert 0 < len(seen) < ENDLESS
    server.kill()  # both may be called again, and touch nobody
    server.stop()


async def test_another_server_finishes_a_story_cut_by_sigkill(
    llama_server_factory, slow_story_model, llama_cluster
):
    told = []

    async def read_and_kill(server):
        body = {"prompt": PROMPT, "stream": True}
        async with (
            httpx.AsyncClient(base_url=server.url) as client,
            client.stream("POST", "/v1/completions", json=body) as response,
        ):
            async for line in response.aiter_lines():
                if line and not line.endswith("[DONE]"):
                    told.append(text_of(json.loads(line.removeprefix("data: "))))
                server.kill()

    for _ in range(5):  # a starved reader may find the whole story told before its kill
        told.clear()
        try:
            await read_and_kill(llama_server_factory(slow_story_model))
        except httpx.RemoteProtocolError:
            break
    start = "".join(told)
    assert 0 < len(start) < len(STORY_TEXT)
    async with httpx.AsyncClient(base_url=llama_cluster[1].url) as client:
        answer = await client.post("/v1/completions", json={"prompt": PROMPT + start})
    assert start + text_of(answer.json()) == STORY_TEXT


async def test_stop_ends_it_properly(llama_server_factory):
    server = llama_server_factory()
    with pytest.raises(TimeoutError, match="still runs"):
        server.wait(0)
    server.stop()
    assert await server.exited() == 0 == server.wait()
    assert is_gone(server.pid)


def test_stop_cuts_running_streams(llama_server_factory, endless_model):
    server = llama_server_factory(endless_model, slots=1, context=ENDLESS)
    body = {"prompt": PROMPT, "max_tokens": ENDLESS, "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        server.stop()
        assert server.wait(10) == 0
        with pytest.raises(httpx.TransportError):
            list(lines)


async def test_waiting_for_its_end_may_be_cancelled(llama_server_factory):
    server = llama_server_factory()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await server.exited()
    assert scope.cancelled_caught
    assert server.returncode is None


async def test_leaving_the_context_ends_all(story_model):
    async with llama_servers(story_model, 2) as servers:
        pids = [server.pid for server in servers]
        assert not any(is_gone(pid) for pid in pids)
    assert all(is_gone(pid) for pid in pids)
    assert [server.returncode for server in servers] == [0, 0]
    assert servers[0].log() == ""
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(servers[0].url)


async def test_an_error_in_the_body_ends_it(story_model):
    with pytest.raises(LookupError):
        async with llama_server(story_model) as server:
            raise LookupError
    assert is_gone(server.pid)


async def test_cancelling_the_body_ends_it(story_model):
    with anyio.CancelScope() as scope:
        async with llama_server(story_model) as server:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert is_gone(server.pid)


async def test_a_server_killed_in_the_body_is_no_error(story_model):
    async with llama_server(story_model) as server:
        server.kill()
    assert server.returncode == -signal.SIGKILL


async def test_a_server_that_ignores_the_request_to_stop_is_killed(story_model, monkeypatch):
    monkeypatch.setattr(_server, "_GOODBYE_S", 0)
    async with llama_server(story_model) as server:
        os.kill(server.pid, signal.SIGSTOP)
    assert server.returncode == -signal.SIGKILL


async def test_cancelling_the_start_ends_all(story_model, spawned):
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with llama_servers(story_model, 2):
            pytest.fail("a cancelled start must not get this far")
    assert [server.returncode for server in spawned] == [-signal.SIGKILL] * 2
    assert all(is_gone(server.pid) for server in spawned)


async def test_cancelling_while_it_loads_ends_it(story_model, spawned, monkeypatch):
    loading, wait_ready = anyio.Event(), LlamaServer.wait_ready

    def wait_and_tell(server):
        from_thread.run_sync(loading.set)
        wait_ready(server)

    async def start():
        async with llama_server(story_model):
            await anyio.sleep_forever()

    monkeypatch.setattr(LlamaServer, "wait_ready", wait_and_tell)
    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await loading.wait()
        group.cancel_scope.cancel()
    (server,) = spawned
    assert is_gone(server.pid)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open (Linux)")
def test_no_orphan_when_the_parent_is_killed(story_model):
    program = (
        "import pathlib, sys\n"
        "from rbee_scheduler.demo import blocking_llama_server\n"
        "with blocking_llama_server(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(story_model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        server = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            parent.wait()
            ended, _, _ = select.select([server], [], [], 30)
        finally:
            os.close(server)
    assert ended == [server]


def test_no_orphan_when_the_parent_ends_while_it_loads(story_model):
    """Then both pipes are closed by the time it is ready; it must not trip over that."""
    command = [sys.executable, "-m", "rbee_scheduler.demo._serve", "--slots=1", "--context=64"]
    command += ["--alias=a", "--threads=1", str(story_model)]
    unread, report = os.pipe()
    os.close(unread)
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=report,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
    finally:
        os.close(report)
    assert (ended.returncode, ended.stderr) == (0, b"")


# When it does not come up


async def test_a_bad_model_is_told_with_what_the_server_printed(tmp_path):
    model = tmp_path / "bad.gguf"
    model.write_bytes(b"this is no model")
    with pytest.raises(ServerStartFailed, match=r"bad\.gguf ended with 1") as caught:
        async with llama_server(model):
            pytest.fail("a server without a model must not get this far")
    assert "invalid magic" in str(caught.value)
    assert caught.value.code == "SERVER_START_FAILED"


async def test_one_that_fails_takes_the_others_along(story_model, spawned, monkeypatch):
    wait_ready = LlamaServer.wait_ready

    def kill_the_last_at_once(server):
        spawned[-1].kill()
        wait_ready(server)

    monkeypatch.setattr(LlamaServer, "wait_ready", kill_the_last_at_once)
    with pytest.raises(ServerStartFailed, match="ended with -9"):
        async with llama_servers(story_model, 3):
            pytest.fail("all or none")
    assert [server.returncode for server in spawned] == [0, 0, -signal.SIGKILL]


def test_a_late_server_is_ended(story_model, spawned):
    with (
        pytest.raises(ServerStartFailed, match="not ready after 0 s") as caught,
        blocking_llama_server(story_model, start_limit=0),
    ):
        pytest.fail("a late server must not get this far")
    assert "longer start_limit" in str(caught.value)
    assert [server.returncode for server in spawned] == [-signal.SIGKILL]


async def test_an_interpreter_that_cannot_be_run_leaves_nothing_open(story_model, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(FileNotFoundError):
        async with llama_server(story_model):
            pytest.fail("there is no interpreter")


async def test_a_missing_model_starts_nothing(tmp_path, spawned):
    with pytest.raises(DemoError, match=r"no model .*nowhere\.gguf.*tiny_model"):
        async with llama_server(tmp_path / "nowhere.gguf"):
            pytest.fail("there is no model")
    assert spawned == []


@pytest.mark.parametrize("option", ["slots", "context", "threads"])
def test_options_out_of_range_are_refused_by_name(story_model, option):
    with (
        pytest.raises(DemoError, match=rf"{option} is 0 \(use 1 or more\)"),
        blocking_llama_servers(story_model, 1, **{option: 0}),
    ):
        pytest.fail("the option is out of range")


async def test_a_missing_extra_is_told_with_the_remedy(story_model, spawned, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(DemoExtraMissing, match=r"'xllamacpp'.*pip install 'rbee-scheduler\[demo\]"):
        async with llama_server(story_model):
            pytest.fail("the extra is missing")
    assert spawned == []


def test_the_child_tells_a_missing_extra_without_a_traceback(story_model):
    program = (
        "import sys\n"
        "sys.modules['xllamacpp'] = None\n"
        "from rbee_scheduler.demo._serve import main\n"
        "options = ['--slots=1', '--context=64', '--alias=a', '--threads=1']\n"
        "sys.exit(main([*options, sys.argv[1]]))\n"
    )
    command = [sys.executable, "-c", program, str(story_model)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "pip install 'rbee-scheduler[demo]'" in ended.stderr
    assert "Traceback" not in ended.stderr
