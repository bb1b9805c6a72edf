"""The wire: strict in, stable out, and every refusal says where and what instead."""

import json
import math
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from rbee_scheduler import (
    ConfigError,
    Error,
    Gpu,
    HeartbeatRefused,
    HiveHeartbeat,
    InferenceRequest,
    InvalidRequest,
    ModelInfo,
    NoWorkersAvailable,
    Outcome,
    Pool,
    SchedulerConfig,
    UnprocessableRequest,
    Worker,
    WorkerHeartbeat,
    loads,
    structure,
    unstructure,
)


REQUEST = {"job_id": "j", "model": "m", "prompt": "Hi"}
WORKER = {"id": "w", "url": "http://h:1"}
HIVE = {"hive_id": "h", "timestamp": 1000.0}


def refusal(data, model, **options):
    """What is wrong: the first problem, and the notes of the others."""
    with pytest.raises(InvalidRequest) as caught:
        structure(data, model, **options)
    return [str(caught.value), *getattr(caught.value, "__notes__", [])]


# ---- unknown keys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "model", "expected"),
    [
        ({**REQUEST, "promt": "x"}, InferenceRequest,
         "$.promt: unknown key (did you mean 'prompt'?)"),
        ({**REQUEST, "temprature": 1}, InferenceRequest,
         "$.temprature: unknown key (did you mean 'temperature'?)"),
        ({**REQUEST, "user": {"geo": {"lattitude": 1}}}, InferenceRequest,
         "$.user.geo.lattitude: unknown key (did you mean 'latitude'?)"),
        ({**HIVE, "workers": [WORKER, WORKER, {**WORKER, "statsu": 1}]}, HiveHeartbeat,
         "$.workers[2].statsu: unknown key (did you mean 'status'?)"),
        ({**HIVE, "gpus": [{"id": "0", "vram_totl_bytes": 1}]}, HiveHeartbeat,
         "$.gpus[0].vram_totl_bytes: unknown key (did you mean 'vram_total_bytes'?)"),
        ([{"id": "p"}, {"id": "q", "gpus": [{"id": "0", "vram_totl_bytes": 1}]}], list[Pool],
         "$[1].gpus[0].vram_totl_bytes: unknown key (did you mean 'vram_total_bytes'?)"),
        ({"worker": {**WORKER, "hive": "h"}, "timestamp": 1}, WorkerHeartbeat,
         "$.worker.hive: unknown key (did you mean 'hive_id'?)"),
        ({"retry": {"max_atempts": 1}}, SchedulerConfig,
         "$.retry.max_atempts: unknown key (did you mean 'max_attempts'?)"),
        ({"model_ref": "m", "alias": []}, ModelInfo,
         "$.alias: unknown key (did you mean 'aliases'?)"),
    ],
)  # fmt: skip
def test_an_unknown_key_has_its_path_and_the_nearest_known_one(data, model, expected):
    assert [expected] == refusal(data, model)


def test_without_a_near_key_all_known_ones_are_listed():
    known = sorted(field.name for field in attrs.fields(SchedulerConfig))
    expected = f"$.zzz: unknown key (known keys: {', '.join(known)})"
    assert [expected] == refusal({"zzz": 1}, SchedulerConfig)


def test_keys_that_are_no_words_are_quoted_in_the_path():
    assert refusal({"a b": 1}, SchedulerConfig)[0].startswith("$['a b']: unknown key")
    assert refusal({"x" * 500: 1}, SchedulerConfig)[0].startswith(
        "$['" + "x" * 56 + "...]: unknown"
    )
    assert refusal({7: 1}, SchedulerConfig)[0].startswith("$.7: unknown key")


# ---- ill-typed and missing keys ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_tokens", "20", "'20' is not an integer"),
        ("max_tokens", True, "true is not an integer"),
        ("max_tokens", 20.0, "20.0 is not an integer"),
        ("max_tokens", None, "null is not an integer"),
        ("temperature", "0.7", "'0.7' is not a number"),
        ("temperature", False, "false is not a number"),
        ("temperature", [], "an array is not a number"),
        pytest.param("temperature", 10**400, "an integer of more than 64 bits is not a number",
                     id="temperature-huge"),
        ("temperature", math.nan, "nan is not a number"),
        ("temperature", -math.inf, "-inf is not a number"),
        ("prompt", 5, "5 is not a string"),
        ("prompt", None, "null is not a string"),
        ("prompt", {"a": 1}, "an object is not a string"),
        ("stop", "END", "a string is not an array"),
        ("stop", {"a": 1}, "an object is not an array"),
        ("resume", 1, "1 is not true or false"),
        ("resume", "yes", "'yes' is not true or false"),
        ("user", "me", "a string is not an object"),
        ("messages", "Hi", "a string is not an array"),
    ],
)  # fmt: skip
def test_an_ill_typed_key_is_refused(key, value, expected):
    assert [f"$.{key}: {expected}"] == refusal({**REQUEST, key: value}, InferenceRequest)


@pytest.mark.parametrize(
    ("data", "model", "expected"),
    [
        ({**REQUEST, "stop": ["a", 5]}, InferenceRequest, "$.stop[1]: 5 is not a string"),
        ({**REQUEST, "messages": [{}, "Hi"]}, InferenceRequest,
         "$.messages[1]: a string is not an object"),
        ({**WORKER, "labels": {"a": "b", "zone": 5}}, Worker,
         "$.labels.zone: 5 is not a string"),
        ({**WORKER, "labels": {"api key": None}}, Worker,
         "$.labels['api key']: null is not a string"),
        ({**WORKER, "labels": {None: "x"}}, Worker, "$.labels[null]: null is not a string"),
        ({**WORKER, "labels": []}, Worker, "$.labels: an array is not an object"),
        ({"model_ref": "m", "estimated_tokens_per_sec": {"H100": "fast"}}, ModelInfo,
         "$.estimated_tokens_per_sec.H100: 'fast' is not a number"),
        ([1], list[Worker], "$[0]: 1 is not an object"),
        ("abc", list[str], "$: a string is not an array"),
        ({"a": 1}, tuple[str, ...], "$: an object is not an array"),
        ([], InferenceRequest, "$: an array is not an object"),
        (None, InferenceRequest, "$: null is not an object"),
        ("5", int, "$: '5' is not an integer"),
        pytest.param(10**400, float, "$: an integer of more than 64 bits is not a number",
                     id="huge"),
    ],
)  # fmt: skip
def test_ill_typed_at_any_depth(data, model, expected):
    assert [expected] == refusal(data, model)


def test_an_integer_does_for_a_float_and_becomes_one():
    made = structure({**REQUEST, "temperature": 1}, InferenceRequest)
    assert (1.0, float) == (made.temperature, type(made.temperature))


def test_a_missing_key_is_named():
    assert refusal({}, InferenceRequest) == ["$.job_id: missing key", "also: $.model: missing key"]
    assert refusal({**HIVE, "workers": [{"id": "w"}]}, HiveHeartbeat) == [
        "$.workers[0].url: missing key"
    ]


def test_a_refused_value_of_a_prompt_is_not_shown():
    secret = "the launch code"
    for field in ("messages", "stop", "user"):
        assert secret not in refusal({**REQUEST, field: secret}, InferenceRequest)[0]
    assert secret not in refusal({**REQUEST, "prompt": [secret]}, InferenceRequest)[0]


# ---- several things wrong ----------------------------------------------------------------


def test_the_first_problem_is_raised_and_the_others_are_its_notes():
    workers = [{**WORKER, "slots": "2", "sttus": "ready"}, 5, {"id": "v"}]
    assert refusal({**HIVE, "workers": workers, "timestamp": None}, HiveHeartbeat) == [
        "$.timestamp: null is not a number",
        "also: $.workers[0].sttus: unknown key (did you mean 'status'?)",
        "also: $.workers[0].slots: '2' is not an integer",
        "also: $.workers[1]: 5 is not an object",
        "also: $.workers[2].url: missing key",
    ]


def test_a_misspelt_key_comes_before_the_missing_one():
    assert refusal({"job_id": "j", "modle": "m"}, InferenceRequest) == [
        "$.modle: unknown key (did you mean 'model'?)",
        "also: $.model: missing key",
    ]


# ---- values out of range -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "model", "place"),
    [
        ({**REQUEST, "temperature": -1}, InferenceRequest, "$.temperature"),
        ({**REQUEST, "model": " "}, InferenceRequest, "$.model"),
        ({**REQUEST, "user": {"geo": {"latitude": 91}}}, InferenceRequest, "$.user.geo.latitude"),
        ({**HIVE, "workers": [{**WORKER, "slots": 0}]}, HiveHeartbeat, "$.workers[0].slots"),
        ({**HIVE, "workers": [{**WORKER, "status": "READY"}]}, HiveHeartbeat,
         "$.workers[0].status"),
        ({**HIVE, "workers": [WORKER, WORKER]}, HiveHeartbeat, "$.workers[1].id"),
        ({**HIVE, "status": "ok"}, HiveHeartbeat, "$.status"),
        ({"worker": {**WORKER, "url": "h:1"}, "timestamp": 1}, WorkerHeartbeat, "$.worker.url"),
        ({"retry": {"multiplier": 0.5}}, SchedulerConfig, "$.retry.multiplier"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_unprocessable_wherever_it_stands(data, model, place):
    with pytest.raises(UnprocessableRequest) as caught:
        structure(data, model)
    assert place == caught.value.place
    assert caught.value.hint


@pytest.mark.parametrize("error", [ConfigError, HeartbeatRefused])
@pytest.mark.parametrize(
    "data",
    [{"slots": 0}, {"slots": "2"}, {"sluts": 2}, {"url": "h"}, {"status": 5}],
    ids=["range", "type", "unknown", "url", "status"],
)
def test_everything_is_raised_as_the_class_that_was_asked_for(data, error):
    with pytest.raises(error) as caught:
        structure({**WORKER, **data}, Worker, place="f.toml:$.workers[3]", error=error)
    assert error is type(caught.value)
    assert caught.value.place.startswith("f.toml:$.workers[3].")


# ---- names and forms of the original system ----------------------------------------------


def test_a_request_may_use_the_names_of_policies():
    data = {"id": "j", "model_ref": "m", "type": "embedding", "prompt": "Hi"}
    made = structure(data, InferenceRequest)
    assert (made.job_id, made.model, made.task_type) == ("j", "m", "embedding")


def test_a_worker_may_use_the_names_of_the_original():
    made = structure({**WORKER, "hive_id": "h", "capability": "embedding"}, Worker)
    assert (made.pool_id, made.capabilities) == ("h", ("embedding",))
    several = structure({**WORKER, "capabilities": ["a", "b"]}, Worker)
    assert several.capabilities == ("a", "b")


def test_a_pool_may_use_the_names_of_the_original():
    made = structure({"hive_id": "h", "workers": ["a", "b"]}, Pool)
    assert (made.id, made.worker_ids) == ("h", ("a", "b"))


def test_problems_are_told_under_the_name_that_was_used():
    assert refusal({**REQUEST, "type": None}, InferenceRequest) == ["$.type: null is not a string"]
    assert refusal({**REQUEST, "type": ""}, InferenceRequest)[0].startswith("$.type: ")
    assert refusal({"id": "p", "workers": ["a", 5]}, Pool) == ["$.workers[1]: 5 is not a string"]


@pytest.mark.parametrize("twice", [{"id": "x"}, {"model_ref": "x"}])
def test_a_field_under_two_names_is_refused(twice):
    (name,) = twice
    field = {"id": "job_id", "model_ref": "model"}[name]
    assert [f"$.{name}: says again what '{field}' says"] == refusal(
        {**REQUEST, **twice}, InferenceRequest
    )


def test_what_is_the_registrys_own_is_not_a_senders_to_set():
    made = structure({**WORKER, "in_flight": 7, "host": "elsewhere", "port": 9}, Worker)
    assert (made.in_flight, made.host, made.port) == (0, "h", 1)


@pytest.mark.parametrize(
    ("timestamp", "ms"),
    [
        (1_700_000_000_000, 1.7e12),
        (1_700_000_000_000.5, 1.7e12 + 0.5),
        ("2023-11-14T22:13:20Z", 1.7e12),
        ("2023-11-14T22:13:20+00:00", 1.7e12),
        ("2023-11-15T00:13:20.250+02:00", 1.7e12 + 250),
        ("2023-11-14 22:13:20", 1.7e12),
    ],
)
def test_timestamps_are_milliseconds_or_iso_8601(timestamp, ms):
    assert ms == structure({**HIVE, "timestamp": timestamp}, HiveHeartbeat).timestamp
    data = {"worker": WORKER, "timestamp": timestamp}
    assert ms == structure(data, WorkerHeartbeat).timestamp


@pytest.mark.parametrize("timestamp", ["", "now", "2023-13-01T00:00:00Z", "1700000000000"])
def test_what_is_no_moment_is_refused_where_it_stands(timestamp):
    expected = f"$.timestamp: {timestamp!r} is not an ISO 8601 moment"
    assert [expected] == refusal({**HIVE, "timestamp": timestamp}, HiveHeartbeat)


def test_a_moment_before_1970_is_out_of_range():
    assert refusal({**HIVE, "timestamp": "1969-01-01"}, HiveHeartbeat)[0].startswith(
        "$.timestamp: "
    )


# ---- JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"job_id": "j",\n  model: "m"}', "<json>:2:3: no JSON: Expecting property name"),
        ("", "<json>:1:1: no JSON: Expecting value"),
        ('{"a": 1} x', "<json>:1:10: no JSON: Extra data"),
        ('{"a": NaN}', "<json>: no JSON: NaN is not a JSON number"),
        ('{"a": -Infinity}', "<json>: no JSON: -Infinity is not a JSON number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "<json>: no JSON: the key 'c' is given twice"),
        (b'{"job_id": "\xff"}', "<json>: no JSON: 'utf-8' codec can't decode"),
        pytest.param("[" * 100_000, "<json>: no JSON: maximum recursion depth", id="deep"),
        pytest.param('{"a": ' + "9" * 5000 + "}", "<json>: no JSON: Exceeds the limit", id="long"),
        pytest.param('{"max_tokens": ' + "9" * 400 + "}", "$.job_id: missing key", id="huge"),
    ],
)
def test_broken_json_has_its_place(text, expected):
    with pytest.raises(InvalidRequest) as caught:
        loads(text, InferenceRequest)
    assert str(caught.value).startswith(expected)


def test_a_float_that_no_float_can_hold_is_refused():
    with pytest.raises(InvalidRequest, match=r"^\$\.temperature: inf is not a number"):
        loads(json.dumps(REQUEST)[:-1] + ', "temperature": 1e999}', InferenceRequest)


def test_the_source_is_part_of_every_place():
    with pytest.raises(ConfigError, match=r"^job\.json:1:2: no JSON"):
        loads("{", InferenceRequest, source="job.json", error=ConfigError)
    with pytest.raises(ConfigError, match=r"^job\.json: no JSON: NaN"):
        loads("NaN", InferenceRequest, source="job.json", error=ConfigError)
    with pytest.raises(ConfigError, match=r"^job\.json:\$\.job_id: missing key"):
        loads("{}", InferenceRequest, source="job.json", error=ConfigError)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_bytes_in_any_unicode_are_read(encoding):
    data = {**REQUEST, "prompt": "Grüße 蜂"}
    text = json.dumps(data, ensure_ascii=False).encode(encoding)
    assert loads(text, InferenceRequest).prompt == "Grüße 蜂"


def test_deep_nesting_where_a_plain_value_belongs_is_refused_without_recursing():
    deep = []
    for _ in range(500):
        deep = [deep]
    assert refusal({**REQUEST, "prompt": deep}, InferenceRequest) == [
        "$.prompt: an array is not a string"
    ]


# ---- out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        InferenceRequest(**REQUEST),
        Worker(**WORKER),
        Pool(id="p", gpus=[Gpu(id="0")]),
        HiveHeartbeat(**HIVE, workers=[Worker(**WORKER)]),
        ModelInfo(model_ref="m"),
        SchedulerConfig(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_field_is_there_in_the_order_of_its_class(model):
    data = unstructure(model)
    assert [field.name for field in attrs.fields(type(model))] == list(data)
    assert model == loads(json.dumps(data), type(model))


def test_an_error_is_plain_data_too():
    error = NoWorkersAvailable("none", hint="add one")
    outcome = Outcome(job_id="j", kind="error", error=error)
    data = unstructure(Error(error, outcome))
    assert json.loads(json.dumps(data)) == data
    assert error.to_dict() == data["error"] == data["outcome"]["error"]


@attrs.frozen
class Options:
    """The options class of some plugin."""

    anything: Any = None
    nested: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    names: list[str] = attrs.field(factory=list)
    mode: str = attrs.field(default="a", validator=attrs.validators.in_(("a", "b")))


def test_a_plugins_own_class_is_held_to_the_same_rules():
    data = {"anything": [1, {"x": None}], "nested": {"a": {"b": 1}}, "names": ["x"]}
    assert Options([1, {"x": None}], {"a": {"b": 1}}, ["x"]) == structure(data, Options)
    assert refusal({"nested": {"a": {"b": "1"}}}, Options) == [
        "$.nested.a.b: '1' is not an integer"
    ]
    assert refusal({"names": "x"}, Options) == ["$.names: a string is not an array"]
    with pytest.raises(ConfigError, match=r"^\$\.mode: 'mode' must be in "):
        structure({"mode": "c"}, Options, error=ConfigError)
