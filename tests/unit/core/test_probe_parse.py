"""What real servers answer to a probe, and what is read out of it. No I/O."""

import json

import pytest

from rbee_scheduler import Worker
from rbee_scheduler._findings import findings
from rbee_scheduler._probe_parse import (
    Answer,
    Load,
    info_fields,
    load_of,
    model_names,
    said,
)


# ---- recorded from a llama.cpp server (xllamacpp 2026.10), bodies shortened -------------------

LLAMA_MODELS = (
    '{"models":[{"name":"tiny-bee","model":"tiny-bee","type":"model","capabilities":["completion"]}],'
    '"object":"list","data":[{"id":"tiny-bee","aliases":["tiny-bee","bee"],"tags":[],"object":"model",'
    '"created":1795452219,"owned_by":"llamacpp","meta":{"vocab_type":2,"n_vocab":416}}]}'
)
LLAMA_METRICS = """\
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 38
# HELP llamacpp:requests_processing Number of requests processing
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# HELP llamacpp:requests_deferred Number of requests deferred
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
"""
LLAMA_SLOTS = (
    '[{"id":0,"n_ctx":2048,"speculative":false,"is_processing":true},'
    '{"id":1,"n_ctx":2048,"speculative":false,"is_processing":false}]'
)
LLAMA_PROPS = (
    '{"total_slots":2,"model_alias":"tiny-bee","build_info":"b7012-1a2b3c4","is_sleeping":false}'
)
LLAMA_404 = '{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'
LLAMA_401 = '{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}'
LLAMA_LOADING = '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
LLAMA_NO_METRICS = (
    '{"error":{"code":501,"message":"This server does not support metrics endpoint. '
    'Start it with `--metrics`","type":"not_supported_error"}}'
)

# ---- shapes of the others, as their docs and users show them ----------------------------------

VLLM_METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/Model {x} 7B"} 3.0
vllm:num_requests_running{engine="1",model_name="org/Model {x} 7B"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="org/Model {x} 7B"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 4.0
"""
SGLANG_METRICS = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 4.0
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="1"} 4.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",priority="1"} 2.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",priority=""} 3.0
"""
LM_STUDIO_ANYWAY = '{"error":"Unexpected endpoint or method. (GET /health). Returning 200 anyway"}'


def models(*names, owner="x"):
    rows = [{"id": name, "object": "model", "created": 1, "owned_by": owner} for name in names]
    return json.dumps({"object": "list", "data": rows})


def answer(path, body="", status=200, **more):
    return Answer(path=path, status=status, body=body.encode(), **more)


def ask(worker=None, /, server="", **paths):
    """Findings of answers given as ``health=(status, body)`` or a body alone."""
    known = {
        "health": "/health", "models": "/v1/models", "info": "/info", "metrics": "/metrics",
        "slots": "/slots", "props": "/props", "version": "/version", "api_version": "/api/version",
    }  # fmt: skip
    answers = []
    for name, path in known.items():
        given = paths.get(name, (404, "Not Found"))
        status, body = given if isinstance(given, tuple) else (200, given)
        answers.append(answer(path, body, status, server=server))
    return findings(worker or Worker(id="w", url="http://w:1"), answers)


# ---- whole servers --------------------------------------------------------------------------


def test_llama_cpp():
    found = ask(
        server="llama.cpp", health='{"status":"ok"}', models=LLAMA_MODELS, info=(404, LLAMA_404),
        metrics=LLAMA_METRICS, slots=LLAMA_SLOTS, props=LLAMA_PROPS,
    )  # fmt: skip
    worker = found.worker
    assert (worker.implementation, worker.version, worker.protocol) == (
        "llama-cpp", "b7012-1a2b3c4", "openai",
    )  # fmt: skip
    assert (worker.model, worker.models) == ("tiny-bee", ("tiny-bee", "bee"))
    assert (worker.slots, worker.running, worker.waiting) == (2, 2, 1)
    assert (worker.status, worker.online, found.usable, found.reason) == ("ready", True, True, "")


def test_llama_cpp_with_nothing_switched_on():
    found = ask(
        server="llama.cpp", health='{"status":"ok"}', models=LLAMA_MODELS,
        metrics=(501, LLAMA_NO_METRICS), slots=LLAMA_SLOTS, props=(501, "{}"),
    )  # fmt: skip
    assert (found.worker.slots, found.worker.running, found.worker.waiting) == (2, 1, 0)
    assert found.usable


def test_llama_cpp_that_loads():
    found = ask(server="llama.cpp", health=(503, LLAMA_LOADING), models=(503, LLAMA_LOADING))
    assert (found.worker.status, found.worker.online) == ("starting", True)
    assert found.reason == "GET /health: 503: Loading model"
    assert not found.usable


def test_llama_cpp_that_wants_a_key():
    found = ask(server="llama.cpp", health='{"status":"ok"}', models=(401, LLAMA_401))
    assert found.worker.status == "failed"
    assert found.reason == "GET /v1/models: 401: Invalid API Key; it asks for a key (label api_key)"


def test_vllm():
    found = ask(
        health="", models=models("org/Model {x} 7B", "lora-1", owner="vllm"),
        metrics=VLLM_METRICS, version='{"version":"0.33.0"}',
    )  # fmt: skip
    worker = found.worker
    assert (worker.implementation, worker.version) == ("vllm", "0.33.0")
    assert worker.models == ("org/Model {x} 7B", "lora-1")
    assert (worker.slots, worker.running, worker.waiting) == (None, 5, 4)
    assert found.usable


def test_vllm_whose_engine_died():
    found = ask(health=(503, ""), models=models("m", owner="vllm"))
    assert (found.worker.status, found.reason) == ("failed", "GET /health: 503")


def test_sglang():
    found = ask(health="", models=models("m", owner="sglang"), metrics=SGLANG_METRICS)
    worker = found.worker
    assert (worker.implementation, worker.running, worker.waiting) == ("sglang", 4, 3)


def test_sglang_that_loads():
    found = ask(health=(503, ""), models=models("m", owner="sglang"))
    assert found.worker.status == "starting"


def test_ollama():
    found = ask(
        models=models("gemma3:latest", "llama3:8b", owner="library"),
        api_version='{"version":"0.35.1"}',
    )
    worker = found.worker
    assert (worker.implementation, worker.version) == ("ollama", "0.35.1")
    assert (worker.model, worker.models) == ("", ("gemma3:latest", "gemma3", "llama3:8b"))
    assert found.usable


def test_ollama_with_a_model_of_ones_own():
    found = ask(models=models("me/bee:1b", owner="me"), api_version='{"version":"0.35.1"}')
    assert (found.worker.implementation, found.worker.model) == ("ollama", "me/bee:1b")


def test_lm_studio():
    anyway = dict.fromkeys(
        ("health", "info", "metrics", "slots", "props", "version", "api_version"), LM_STUDIO_ANYWAY
    )
    found = ask(models=models("qwen3-4b", "embed", owner="organization_owner"), **anyway)
    assert (found.worker.implementation, found.worker.protocol) == ("lm-studio", "openai")
    assert (found.worker.status, found.worker.models) == ("ready", ("qwen3-4b", "embed"))
    assert all(a.absent for a in found.answers if a.path != "/v1/models")
    assert ask(models=models("m"), **anyway).worker.implementation == "lm-studio"


def test_a_queen_worker():
    info = {
        "id": "cuda-0", "url": "http://elsewhere:9", "model": "llama-3-8b", "device": "cuda:0",
        "backend": "cuda", "status": "ready", "slots": 4, "running": 1, "vram_mb": 1000,
        "total_vram_mb": 8000, "gpus": "two", "labels": {"api_key": "stolen"}, "colour": "red",
        "capability": "text-gen", "cost_per_token": 0,
    }  # fmt: skip
    found = ask(health="ok", info=json.dumps(info))
    worker = found.worker
    assert (worker.protocol, worker.id, worker.url) == ("queen", "w", "http://w:1")
    assert (worker.model, worker.device, worker.backend) == ("llama-3-8b", "cuda:0", "cuda")
    assert (worker.slots, worker.running, worker.vram_free_mb) == (4, 1, 7000)
    assert (worker.gpus, worker.labels) == (0, {})
    assert found.usable


@pytest.mark.parametrize(
    ("status", "slots", "expected", "running"),
    [
        ("busy", 2, "ready", 2),  # full, and the slots say so
        ("busy", None, "busy", 0),
        ("stopped", 2, "stopped", 0),
        ("on fire", 2, "ready", 0),  # no status at all
    ],
)
def test_what_a_queen_worker_says_of_its_status(status, slots, expected, running):
    info = {"id": "q", "model": "m", "status": status} | ({"slots": slots} if slots else {})
    found = ask(health="ok", info=json.dumps(info))
    assert (found.worker.status, found.worker.running) == (expected, running)
    assert bool(found.reason) == (expected == "stopped")


def test_an_info_of_another_kind_makes_no_queen_worker():
    tgi = {"model_id": "org/m", "sha": "1", "version": "3.0", "max_concurrent_requests": 128}
    found = ask(health="", info=json.dumps(tgi), models=models("org/m"))
    assert (found.worker.protocol, found.worker.model) == ("openai", "org/m")


# ---- what was configured stands ---------------------------------------------------------------


def test_what_was_configured_stands():
    given = Worker(id="w", url="http://w:1", model="mine", slots=8, implementation="vllm")
    found = ask(given, server="llama.cpp", health="", models=LLAMA_MODELS, props=LLAMA_PROPS)
    worker = found.worker
    assert (worker.model, worker.models, worker.slots) == ("mine", ("mine",), 8)
    assert worker.implementation == "vllm"
    info = {"id": "q", "model": "other", "models": ["other"], "slots": 1, "device": "metal"}
    worker = ask(given, health="ok", info=json.dumps(info)).worker
    assert (worker.models, worker.slots, worker.device) == (("mine",), 8, "metal")


# ---- nobody, or nobody useful -----------------------------------------------------------------


def test_a_dead_worker_is_offline():
    found = findings(
        Worker(id="w", url="http://w:1"),
        [Answer(path="/health", error="refused"), Answer(path="/info", error="refused")],
    )
    assert (found.worker.online, found.worker.status) == (False, "failed")
    assert (found.reachable, found.timed_out, found.reason) == (False, False, "refused")


def test_a_silent_worker_is_told_from_a_dead_one():
    found = findings(
        Worker(id="w", url="http://w:1"),
        [Answer(path="/health", error="no answer within 2 s", timed_out=True)],
    )
    assert (found.reachable, found.timed_out) == (False, True)


def test_some_web_server_is_no_worker():
    found = ask(health=(404, "<html>"), models=(302, ""))
    assert (found.worker.status, found.worker.online) == ("failed", True)
    assert found.reason == "nothing a worker would answer: /health 404: <html>; /v1/models 302"


def test_a_worker_without_models_is_of_no_use():
    found = ask(health="", models='{"object":"list","data":[]}')
    assert (found.worker.status, found.usable) == ("ready", False)
    assert found.reason == "it names no model; give it one"


# ---- single answers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "{", "7", '{"data":7}', '{"data":[7,{},{"id":7},{"id":""}]}', "[" * 100_000],
)
def test_models_that_make_no_sense_are_none(body):
    assert model_names(answer("/v1/models", body)) == ([], "")


@pytest.mark.parametrize("body", ["", "{}", '{"id":7,"url":"x"}', '{"id":"a"}', "[]", "ok"])
def test_info_that_makes_no_sense_is_none(body):
    assert info_fields(answer("/info", body)) is None


def test_a_cut_body_is_read_by_the_line_but_not_as_json():
    cut = answer("/metrics", LLAMA_METRICS, error="cut after 1048576 bytes")
    assert load_of(cut, answer("/slots")).running == 2
    assert model_names(answer("/v1/models", LLAMA_MODELS, error="cut")) == ([], "")


@pytest.mark.parametrize(
    ("line", "running"),
    [
        ("llamacpp:requests_processing 2 1795452219000", 2),
        ("llamacpp:requests_processing{} 2", 2),
        ("llamacpp:requests_processing NaN", None),
        ("llamacpp:requests_processing -1", None),
        ("llamacpp:requests_processing +Inf", None),
        ("llamacpp:requests_processing", None),
        ("llamacpp:requests_processing{", None),
        ("llamacpp:requests_processing_total 7", None),
        ("llamacpp:requests_processing many", None),
    ],
)
def test_samples(line, running):
    load = load_of(answer("/metrics", line + "\n"), answer("/slots"))
    assert load == Load(implementation="llama-cpp", running=running)


@pytest.mark.parametrize("body", ["{}", "[]", "nonsense"])
def test_slots_that_make_no_sense_say_nothing(body):
    assert load_of(answer("/metrics", "", 404), answer("/slots", body)) == Load()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer("/p", LLAMA_401, 401), "401: Invalid API Key"),
        (answer("/p", "plain\n  text", 500), "500: plain text"),
        (answer("/p", "", 200), "200"),
        (answer("/p", '{"error":"odd"}', 400), '400: {"error":"odd"}'),
        (answer("/p", "x", 200, error="cut"), "200: x (cut)"),
        (Answer(path="/p", error="refused"), "refused"),
    ],
)
def test_what_was_said_in_a_line(given, expected):
    assert said(given) == expected
