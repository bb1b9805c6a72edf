"""What is sent to workers, and what their answers mean."""

import json

import pytest

from rbee_scheduler import (
    InferenceRequest,
    ParseError,
    UnprocessableRequest,
    Usage,
    Worker,
    WorkerError,
)
from rbee_scheduler.protocols import OpenAIProtocol, Piece, QueenProtocol, protocol_for


def worker(**fields):
    return Worker(**{"id": "w", "url": "http://10.0.0.1:8080", "model": "m"} | fields)


def request(**fields):
    return InferenceRequest(**{"job_id": "j", "model": "m", "prompt": "Hi"} | fields)


def chunk(**fields):
    return json.dumps({"object": "text_completion", **fields})


def test_each_stream_has_a_protocol_of_its_own():
    assert isinstance(protocol_for("openai"), OpenAIProtocol)
    assert isinstance(protocol_for("queen"), QueenProtocol)
    assert protocol_for("queen") is not protocol_for("queen")


# Both


@pytest.mark.parametrize("protocol", [OpenAIProtocol, QueenProtocol])
class TestBoth:
    def test_headers(self, protocol):
        call = protocol().submit(worker(labels={"api_key": "secret"}), request())
        assert call.method == "POST"
        assert call.headers == {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",
            "x-correlation-id": "j",
            "connection": "close",
            "authorization": "Bearer secret",
        }

    @pytest.mark.parametrize(
        ("job_id", "header"),
        [
            ("job-123", "job-123"),
            ("a/b:c@d+e=f~g", "a/b:c@d+e=f~g"),
            ("a b", "a%20b"),
            ("Biene-\u00fc", "Biene-%C3%BC"),
            ("a\r\nHost: evil", "a%0D%0AHost:%20evil"),
        ],
    )
    def test_no_job_id_breaks_a_request(self, protocol, job_id, header):
        call = protocol().submit(worker(), request(job_id=job_id))
        assert call.headers["x-correlation-id"] == header

    def test_a_slash_at_the_end_of_the_url_and_a_path_in_it(self, protocol):
        call = protocol().submit(worker(url="http://host/gpu/0/"), request())
        assert call.url.startswith("http://host/gpu/0/v1/")

    def test_text_is_sent_as_it_is(self, protocol):
        call = protocol().submit(worker(), request(prompt="Grüße 🐝\n"))
        assert "Grüße 🐝".encode() in call.body
        assert json.loads(call.body)["prompt"] == "Grüße 🐝\n"

    def test_half_a_surrogate_pair_is_no_text(self, protocol):
        assert (
            json.loads(protocol().submit(worker(), request(prompt="a\ud800b")).body)["prompt"]
            == "a?b"
        )


# OpenAI


def test_openai_sends_what_is_set():
    call = OpenAIProtocol().submit(worker(), request(max_tokens=9, temperature=0.5))
    assert call.url == "http://10.0.0.1:8080/v1/completions"
    assert json.loads(call.body) == {
        "model": "m",
        "prompt": "Hi",
        "max_tokens": 9,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_openai_sends_every_option():
    options = {
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "repetition_penalty": 1.1,
        "stop": ["\n", "END"],
    }
    body = json.loads(OpenAIProtocol().submit(worker(), request(**options)).body)
    assert options.items() <= body.items()


def test_openai_chat():
    messages = [{"role": "user", "content": "Hi"}]
    call = OpenAIProtocol().submit(worker(), request(prompt="", messages=messages))
    body = json.loads(call.body)
    assert call.url == "http://10.0.0.1:8080/v1/chat/completions"
    assert body["messages"] == messages
    assert "prompt" not in body


@pytest.mark.parametrize("content", [{1, 2}, object(), b"bytes"])
def test_messages_that_are_no_json_are_the_requests_fault(content):
    messages = [{"role": "user", "content": content}]
    with pytest.raises(UnprocessableRequest, match=r"\$\.messages: messages hold what JSON can't"):
        OpenAIProtocol().submit(worker(), request(prompt="", messages=messages))


def test_messages_that_hold_themselves():
    content = []
    content.append(content)
    with pytest.raises(UnprocessableRequest):
        OpenAIProtocol().submit(
            worker(), request(prompt="", messages=[{"role": "user", "content": content}])
        )


@pytest.mark.parametrize("name", ["vllm", "sglang", "ollama"])
def test_openai_keeps_connections_of_servers_known_to_keep_them(name):
    call = OpenAIProtocol().submit(worker(implementation=name), request())
    assert "connection" not in call.headers


def test_openai_answer_is_the_stream_and_closing_cancels():
    assert OpenAIProtocol().follow(worker(), b"") is None
    assert OpenAIProtocol().cancel(worker()) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("[DONE]", {"done": True}),
        (chunk(choices=[{"text": " a"}]), {"text": " a"}),
        (chunk(choices=[{"text": "", "finish_reason": "stop"}]), {"finish_reason": "stop"}),
        (
            chunk(choices=[{"text": "z", "finish_reason": "length"}]),
            {"text": "z", "finish_reason": "length"},
        ),
        (chunk(choices=[{"delta": {"content": "a"}}]), {"text": "a"}),
        (chunk(choices=[{"delta": {"role": "assistant", "content": None}}]), {}),
        (chunk(choices=[{"delta": {}, "finish_reason": "stop"}]), {"finish_reason": "stop"}),
        (chunk(choices=[{"delta": {"tool_calls": []}}]), {}),
        (chunk(choices=[{"finish_reason": 7}]), {}),
        (chunk(choices=[], error=None), {}),
        (
            chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4}),
            {"usage": Usage(prompt_tokens=3, completion_tokens=4)},
        ),
        (
            chunk(choices=[], usage={"prompt_tokens": -1, "completion_tokens": True}),
            {"usage": Usage()},
        ),
        (chunk(choices=[], usage="many"), {}),
        (
            chunk(choices=[{"text": "", "finish_reason": "stop"}], timings={"cache_n": 1}),
            {"finish_reason": "stop", "values": {"cache_n": 1}},
        ),
        (chunk(choices=[], timings=[1]), {}),
        ('{"content": "a", "stop": false}', {"text": "a"}),
        (
            '{"content": "", "stop": true, "stop_type": "eos"}',
            {"done": True, "finish_reason": "eos"},
        ),
        ('{"content": "b", "stop": true}', {"text": "b", "done": True}),
        ('{"usage": {"prompt_tokens": 1}}', {"usage": Usage(prompt_tokens=1)}),
        ('{"object": "ping"}', {}),
    ],
)
def test_openai_events(data, expected):
    assert Piece(data, **expected) == OpenAIProtocol().parse(data)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "hello",
        '{"choices": [{"text": "a"}',
        "[]",
        '"text"',
        "null",
        "{}",
        '{"token": "a"}',
        "[" * 100_000,
        '{"choices": {}}',
        '{"choices": ["a"]}',
        '{"choices": [{"text": 7}]}',
        '{"choices": [{"text": ["a"]}]}',
        '{"choices": [{"delta": {"content": {}}}]}',
        '{"content": 1}',
        '{"usage": {"prompt_tokens": ' + "9" * 5000 + "}}",
    ],
    ids=lambda data: data[:30],
)
def test_openai_events_without_sense(data):
    with pytest.raises(ParseError, match="the worker sent") as caught:
        OpenAIProtocol().parse(data)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("error", "message", "status", "at_fault"),
    [
        ("boom", "boom", 200, True),
        ({"message": "boom"}, "boom", 200, True),
        ({"message": "boom", "code": 500}, "boom", 500, True),
        ({"message": "boom", "status": 429}, "boom", 429, True),
        ({"message": "too long", "code": 400}, "too long", 400, False),
        ({"message": "boom", "code": "invalid_api_key"}, "boom", 200, True),
        ({"message": "boom", "code": 1}, "boom", 200, True),
        ({"reason": "boom"}, "{'reason': 'boom'}", 200, True),
        ({"message": "x" * 9999}, "x" * 500, 200, True),
    ],
)
@pytest.mark.parametrize("way", ["parse", "parse_answer"])
def test_openai_errors(error, message, status, at_fault, way):
    text = json.dumps({"error": error})
    protocol = OpenAIProtocol()
    with pytest.raises(WorkerError) as caught:
        protocol.parse(text) if way == "parse" else protocol.parse_answer(text.encode())
    assert caught.value.message == message
    assert caught.value.status == status
    assert caught.value.at_fault == at_fault


def test_openai_a_whole_answer_is_one_piece():
    body = chunk(
        choices=[{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1, "completion_tokens": 2},
    )
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    expected = Piece(body, "Hello", done=True, finish_reason="stop", usage=usage)
    assert expected == OpenAIProtocol().parse_answer(body.encode())


# Queen


def test_queen_sends_its_five_options_and_no_others():
    call = QueenProtocol().submit(
        worker(), request(max_tokens=9, temperature=0, top_p=0.5, top_k=3, seed=1, stop=["x"])
    )
    assert call.url == "http://10.0.0.1:8080/v1/inference"
    assert json.loads(call.body) == {
        "prompt": "Hi",
        "max_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
    }


def test_queen_knows_no_roles():
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    call = QueenProtocol().submit(worker(), request(prompt="", messages=messages))
    assert json.loads(call.body)["prompt"] == "system: Be kind.\nuser: Hi"


@pytest.mark.parametrize(
    ("base", "sse_url", "url"),
    [
        ("http://w:1", "/v1/inference/7/stream", "http://w:1/v1/inference/7/stream"),
        ("http://w:1/", "/s?a=b", "http://w:1/s?a=b"),
        ("http://w:1/gpu/0", "/s", "http://w:1/gpu/0/s"),
        ("http://w:1/gpu/0", "http://w:1/s", "http://w:1/s"),
        ("http://w:1", "//evil:2/s", "http://w:1//evil:2/s"),
    ],
)
def test_queen_follows_its_own_worker(base, sse_url, url):
    protocol = QueenProtocol()
    at = worker(url=base)
    protocol.submit(at, request())
    call = protocol.follow(at, json.dumps({"job_id": "7", "sse_url": sse_url}).encode())
    assert (call.method, call.url) == ("GET", url)
    assert call.headers["x-correlation-id"] == "j"


@pytest.mark.parametrize(
    "sse_url",
    ["http://evil/s", "https://w:1/s", "http://w:2/s", "s", "@evil/s", "http://[", "", "file:///x"],
)
def test_queen_follows_nobody_else(sse_url):
    answer = json.dumps({"job_id": "7", "sse_url": sse_url}).encode()
    with pytest.raises(ParseError, match="leads elsewhere"):
        QueenProtocol().follow(worker(url="http://w:1"), answer)


@pytest.mark.parametrize(
    "answer",
    [b"", b"ok", b"[]", b"7", b"{}", b'{"job_id": "7"}', b'{"job_id": 7, "sse_url": "/s"}',
     b'{"job_id": "7", "sse_url": null}', b"\xff", b"[" * 100_000],
    ids=lambda answer: repr(answer[:20]),
)  # fmt: skip
def test_queen_answers_without_sense(answer):
    with pytest.raises(ParseError):
        QueenProtocol().follow(worker(), answer)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("[DONE]", {"done": True}),
        (" once", {"text": " once"}),
        ("7", {"text": "7"}),
        ("{", {"text": "{"}),
        ("{" * 100_000, {"text": "{" * 100_000}),
        ('{"text": "a"}', {"text": "a"}),
        ('{"token": "a"}', {"text": "a"}),
        ('{"content": "a", "type": "token"}', {"text": "a"}),
        ('{"token": [], "type": []}', {"text": '{"token": [], "type": []}'}),
        ('{"a": 1, "error": null}', {"text": '{"a": 1, "error": null}'}),
        (
            '{"usage": {"prompt_tokens": 1, "completion_tokens": 2.5}}',
            {"usage": Usage(prompt_tokens=1)},
        ),
        ('{"type": "metrics", "n": 1}', {"values": {"type": "metrics", "n": 1}}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_queen_events(data, expected):
    assert Piece(data, **expected) == QueenProtocol().parse(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"error": "boom"}', "boom"),
        ('{"error": {"message": "boom"}}', "boom"),
        ('{"error": {"code": 1}}', "{'code': 1}"),
    ],
)
def test_queen_errors(data, message):
    with pytest.raises(WorkerError) as caught:
        QueenProtocol().parse(data)
    assert (caught.value.message, caught.value.status) == (message, 200)


def test_queen_answers_only_as_a_stream():
    with pytest.raises(ParseError, match="instead of an event stream"):
        QueenProtocol().parse_answer(b"{}")


def test_queen_cancels_what_was_accepted():
    protocol = QueenProtocol()
    assert protocol.cancel(worker()) is None
    protocol.submit(worker(), request())
    assert protocol.cancel(worker()) is None
    protocol.follow(worker(), b'{"job_id": "7", "sse_url": "/s"}')
    call = protocol.cancel(worker())
    assert (call.method, call.url) == ("POST", "http://10.0.0.1:8080/v1/cancel")
    assert call.body == b'{"job_id": "7"}'
