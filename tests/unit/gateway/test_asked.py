"""What a body asks for: read as far as the scheduler needs it, and otherwise left as it came."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler import InvalidRequest, SchedulerError, UnprocessableRequest
from rbee_scheduler_gateway import Call, Identity
from rbee_scheduler_gateway._relay import SURFACES, read_asked
from rbee_scheduler_gateway._relay._alias import with_model


CHAT, PLAIN, EMBED, RESPONSES = SURFACES
BODIES = {
    CHAT.path: {"model": "bee", "messages": [{"role": "user", "content": "Hi"}]},
    PLAIN.path: {"model": "bee", "prompt": "Hi"},
    EMBED.path: {"model": "bee", "input": "Hi"},
    RESPONSES.path: {"model": "bee", "input": "Hi"},
}


class Body:
    def __init__(self, body, headers):
        self.body = body
        self.headers = headers


def asked(body=None, surface=CHAT, identity=None, headers=(), **changes):
    if not isinstance(body, bytes):
        body = json.dumps((body or BODIES[surface.path]) | changes).encode()
    call = Call(Body(body, dict(headers)), identity or Identity(), "c", [], 0.0)
    return read_asked(call, surface, Random(1))


@pytest.mark.parametrize("surface", SURFACES)
def test_each_path_is_read(surface):
    found = asked(surface=surface)
    request = found.request
    assert (request.model, request.task_type, found.stream) == ("bee", surface.task, False)
    assert request.prompt == ("" if surface is CHAT else "Hi")


def test_what_a_policy_may_read():
    request = asked(
        temperature=0.5, top_p=0.9, seed=4, max_tokens=7, stop="x", stream=True, user="u"
    ).request
    assert (request.temperature, request.top_p, request.seed) == (0.5, 0.9, 4)
    assert (request.max_tokens, request.stop) == (7, ("x",))
    both = asked(max_tokens=7, max_completion_tokens=8, stop=["a", "b"]).request
    assert (both.max_tokens, both.stop) == (8, ("a", "b"))
    assert asked(surface=RESPONSES, max_output_tokens=9).request.max_tokens == 9
    nothing = asked(
        temperature=None, top_p=None, seed=None, max_tokens=None, stop=None, stream=None
    )
    assert nothing.request.max_tokens == asked().request.max_tokens
    assert nothing.stream is False


@pytest.mark.parametrize("limit", [-1, 0])
def test_limits_that_mean_something_to_the_worker_are_its_own(limit):
    """llama.cpp takes -1 for no limit, vLLM 0 for the prompt's logprobs alone."""
    assert asked(max_tokens=limit).request.max_tokens == asked().request.max_tokens


def test_prompts_of_other_kinds():
    assert "ab" in asked(surface=PLAIN, prompt=["ab", "cd"]).request.prompt
    assert asked(surface=PLAIN, prompt=[1, 2, 3]).request.prompt == "[1, 2, 3]"
    items = [{"role": "user", "content": "Hi"}]
    assert asked(surface=RESPONSES, input=items).request.messages == tuple(items)


def test_what_only_the_worker_knows_is_its_to_judge():
    assert asked(messages={"a": 1}).request.prompt == '{"a": 1}'
    assert asked(tools="hammer", n=-1, logit_bias=[]).data["tools"] == "hammer"


def test_whose_it_is_does_not_come_from_the_body():
    tenant = Identity(role="tenant", tenant_id="t1")
    assert asked(identity=tenant, tenant_id="t2").request.tenant_id == "t1"
    assert asked(tenant_id="t2").request.tenant_id is None


def test_ids_are_not_the_clients_to_choose():
    first, second = asked(job_id="mine").request.job_id, asked().request.job_id
    assert len(first) == 32
    assert first == second  # of the same seed


def test_headers():
    headers = {
        "x-deadline-ms": "1500", "x-priority": "batch", "x-session-id": "s 1",
        "x-rbee-strategy": "spread", "x-rbee-resume": "TRUE",
    }  # fmt: skip
    request = asked(headers=headers).request
    assert (request.deadline_ms, request.priority, request.session_id) == (1500.0, "batch", "s 1")
    assert (request.strategy, request.resume) == ("spread", True)
    assert asked(headers={"x-rbee-resume": "0"}).request.resume is False


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("x-deadline-ms", "soon"), ("x-deadline-ms", "-1"), ("x-deadline-ms", "0"),
        ("x-deadline-ms", "nan"), ("x-deadline-ms", "inf"), ("x-deadline-ms", ""),
        ("x-priority", "urgent"), ("x-rbee-resume", "maybe"),
    ],
)  # fmt: skip
def test_a_header_without_sense_is_a_400_that_names_it(header, text):
    with pytest.raises(InvalidRequest) as wrong:
        asked(headers={header: text})
    error = wrong.value
    assert (error.http_status, error.place) == (400, header)
    assert error.hint


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"[]", 400, "$"),
        (b'"bee"', 400, "$"),
        (b'{"model": "\xff"}', 400, "byte 11"),
        (b"[" * 100_000, 400, ""),
        (b'{"model": 1' + b"0" * 5000 + b"}", 400, ""),
        ({"messages": []}, 422, "$.model"),
        ({"model": ""}, 422, "$.model"),
        ({"model": 1}, 422, "$.model"),
        ({"model": "bee"}, 422, "$.messages"),
        ({"model": "bee", "messages": []}, 422, "$.messages"),
        ({"model": "bee", "messages": [{}, 1]}, 422, "$.messages[1]"),
        (BODIES[CHAT.path] | {"stream": "yes"}, 422, "$.stream"),
        (BODIES[CHAT.path] | {"temperature": -1}, 422, "$.temperature"),
        (BODIES[CHAT.path] | {"temperature": "hot"}, 422, "$.temperature"),
        (BODIES[CHAT.path] | {"max_tokens": "many"}, 422, "$.max_tokens"),
        (BODIES[CHAT.path] | {"stop": [1]}, 422, "$.stop"),
    ],
)
def test_a_body_without_sense_is_an_error_that_says_where(body, status, place):
    with pytest.raises(SchedulerError) as wrong:
        asked(body)
    error = wrong.value
    assert (error.http_status, error.place.startswith(place)) == (status, True)
    assert isinstance(error, UnprocessableRequest) == (status == 422)


# ---- aliases -----------------------------------------------------------------------------

ODD = st.sampled_from(["", " ", "\n", "\t ", "\r\n  "])
NAMES = st.sampled_from(["model", "messages", "usage", '"model"', "mod\\el", "é🐝"]) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def bodies(draw):
    """A JSON object as anyone may write it, and the same with another model."""
    pairs = draw(st.lists(st.tuples(NAMES, JSON), max_size=4))
    pairs.insert(draw(st.integers(0, len(pairs))), ("model", "bee"))
    space = [draw(ODD) for _ in range(6)]

    def write(model):
        members = []
        for key, value in pairs:
            ascii_only = len(key) % 2 == 0 or key == "model"
            name = json.dumps(key, ensure_ascii=ascii_only)
            text = json.dumps(model if key == "model" else value, ensure_ascii=ascii_only)
            members.append(f"{space[0]}{name}{space[1]}:{space[2]}{text}{space[3]}")
        return f"{space[4]}{{{','.join(members)}}}{space[5]}".encode("utf-8", "surrogatepass")

    return write


@given(bodies(), st.sampled_from(["wasp", "a/b:c", 'q"uote', "é", "bee2"]))
def test_an_alias_is_replaced_at_the_top_level_and_nothing_else(write, name):
    assert with_model(write("bee"), name) == write(name)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        # The only "model" as text is not the one that counts.
        (b'{"mod\\u0065l":"a","x":{"model":"a"}}', b'{"mod\\u0065l":"b","x":{"model":"a"}}'),
        (b'{"model":"\\u0061","n":1.00}', b'{"model":"b","n":1.00}'),
        # Servers differ in which of two counts: both are replaced.
        (b'{"model":"a","model":"a"}', b'{"model":"b","model":"b"}'),
        # What a parser that writes it anew would not keep.
        (b'{"model":"a","x":"\\ud800","y":1e400}', b'{"model":"b","x":"\\ud800","y":1e400}'),
        (b'{"messages":[{"content":"\\"model\\":\\"a\\""}],"model":"a"}',
         b'{"messages":[{"content":"\\"model\\":\\"a\\""}],"model":"b"}'),
    ],
)  # fmt: skip
def test_aliases_in_odd_bodies(body, expected):
    assert with_model(body, "b") == expected


def test_the_workers_own_name_leaves_the_body_alone():
    body = b' { "model" : "bee", "prompt":"x" } '
    found = asked(body, PLAIN)
    assert found.body_for("bee") is found.body
    assert found.body_for("wasp") == body.replace(b"bee", b"wasp")
