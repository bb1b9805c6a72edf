"""The models: what they refuse by name, what they derive, and what they keep to themselves."""

import hashlib
import math

import attrs
import pytest

from rbee_scheduler import (
    Catalog,
    ConfigError,
    Error,
    Geo,
    Gpu,
    HiveHeartbeat,
    InferenceRequest,
    LivenessConfig,
    ModelInfo,
    Outcome,
    Pool,
    PoolCommand,
    Queued,
    RequestEvent,
    SchedulerError,
    Started,
    Token,
    UnprocessableRequest,
    User,
    Worker,
    WorkerEvent,
    WorkerHeartbeat,
)
from rbee_scheduler._worker import id_of


URL = "http://10.0.0.7:8080"


def request(**fields):
    return InferenceRequest(**{"job_id": "j", "model": "m", "prompt": "Hi", **fields})


def worker(**fields):
    return Worker(**{"id": "w", "url": URL, "model": "m", **fields})


# ---- the request ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_id", ""), ("job_id", " "), ("job_id", None), ("job_id", 7),
        ("model", ""), ("model", "\t"), ("model", None),
        ("prompt", ""), ("prompt", None), ("prompt", 5), ("prompt", b"Hi"),
        ("messages", "Hi"), ("messages", {"role": "user"}),
        ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 1.5), ("max_tokens", True),
        ("max_tokens", "20"), ("max_tokens", None),
        pytest.param("max_tokens", 10**400, id="max_tokens-huge"),
        ("temperature", -0.1), ("temperature", math.nan), ("temperature", math.inf),
        ("temperature", "hot"), ("temperature", None), ("temperature", False),
        ("top_p", -0.1), ("top_p", 1.1), ("top_p", math.nan), ("top_p", True),
        ("top_k", 0), ("top_k", 1.5),
        ("seed", 1.5), ("seed", "7"), ("seed", 2**63),
        ("stop", "END"), ("stop", b"STOP"), ("stop", None), ("stop", 5),
        ("repetition_penalty", 0), ("repetition_penalty", -1),
        ("task_type", ""), ("priority", "urgent"), ("priority", None),
        ("tenant_id", 5), ("session_id", 5), ("strategy", 5),
        ("deadline", math.nan), ("deadline", "soon"), ("deadline_ms", math.inf),
        ("created_at", -1), ("queued_at", -1), ("retry_count", -1), ("retry_count", 0.5),
        ("estimated_vram_bytes", -1), ("estimated_duration_ms", -1),
    ],
)  # fmt: skip
def test_a_request_refuses_by_name(field, value):
    with pytest.raises(UnprocessableRequest) as caught:
        request(**{field: value})
    assert caught.value.place == f"$.{field}"
    assert caught.value.message.startswith(f"{field} is ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"stop": ["a", 5]}, "$.stop[1]"),
        ({"messages": [{"role": "user"}, "Hi"]}, "$.messages[1]"),
    ],
)
def test_a_request_refuses_by_index(fields, place):
    with pytest.raises(UnprocessableRequest) as caught:
        request(**fields)
    assert place == caught.value.place


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (Geo, "latitude", 90.1), (Geo, "latitude", -90.1), (Geo, "latitude", math.nan),
        (Geo, "longitude", 180.1), (Geo, "longitude", -180.1), (Geo, "longitude", None),
    ],
)  # fmt: skip
def test_a_place_is_on_earth(model, field, value):
    with pytest.raises(UnprocessableRequest, match=rf"^\$\.{field}: {field} is "):
        model(**{field: value})


def test_the_edges_are_allowed():
    edge = request(
        max_tokens=1, temperature=0, top_p=0, top_k=1, seed=-1, deadline=-1, deadline_ms=0
    )
    assert (edge.max_tokens, edge.temperature, edge.top_p, edge.seed) == (1, 0, 0, -1)
    assert request(top_p=1).top_p == 1


def test_messages_do_instead_of_a_prompt():
    assert request(prompt="", messages=[{"role": "user", "content": "Hi"}]).messages


def test_lists_become_tuples():
    assert (request(stop=["a", "b"]).stop, request().stop) == (("a", "b"), ())


def test_the_names_policies_use():
    made = request(task_type="embedding")
    assert (made.id, made.model_ref, made.type) == ("j", "m", "embedding")


def test_a_request_never_shows_its_prompt():
    secret = "the launch code"
    made = request(prompt=secret, messages=[{"role": "user", "content": secret}])
    assert secret not in repr(made)
    with pytest.raises(UnprocessableRequest) as caught:
        request(prompt=[secret])
    assert secret not in str(caught.value)


def test_prompt_hash_is_the_sha256_of_what_is_sent():
    assert hashlib.sha256(b"Hi").hexdigest() == request().prompt_hash
    messages = ({"role": "user", "content": "Hi"},)
    chat = request(prompt="", messages=messages)
    assert hashlib.sha256(repr(list(messages)).encode()).hexdigest() == chat.prompt_hash
    assert chat.prompt_hash == request(prompt="unused", messages=messages).prompt_hash


def test_half_a_surrogate_can_be_hashed():
    assert len(request(prompt="\ud800").prompt_hash) == 64


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({}, None),
        ({"deadline": 5000.0}, 5000.0),
        ({"deadline_ms": 300.0}, 1300.0),
        ({"deadline": 5000.0, "deadline_ms": 300.0}, 1300.0),
        ({"deadline": 1100.0, "deadline_ms": 300.0}, 1100.0),
        ({"deadline_ms": -1.0}, 999.0),
        ({"deadline": 0.0}, 0.0),
    ],
)
def test_the_earlier_deadline_counts(fields, moment):
    assert moment == request(**fields).deadline_at(1000.0)


def test_the_wait_begins_when_it_is_queued():
    assert request().wait_time_ms(5000.0) == 0.0
    assert request(queued_at=2000.0).wait_time_ms(5000.0) == 3000.0
    assert request(queued_at=9000.0).wait_time_ms(5000.0) == 0.0


def test_changed_is_evolve_without_the_checks():
    made = request(stop=["a"], user=User(geo=Geo(latitude=1.0)))
    changed = made.changed(created_at=7.0, model="other")
    assert attrs.evolve(made, created_at=7.0, model="other") == changed
    assert request(stop=["a"], user=User(geo=Geo(latitude=1.0))) == made


def test_a_request_is_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request().model = "other"


# ---- the worker -------------------------------------------------------------------------


NUMBERS = [
    "cost_per_token", "load", "cpu_pct", "rss_mb", "io_r_mb_s", "io_w_mb_s", "uptime_s",
    "gpu_util_pct", "vram_mb", "total_vram_mb", "vram_free_mb", "avg_tokens_per_sec",
    "last_used_at", "estimated_time",
]  # fmt: skip
INTEGERS = ["gpus", "running", "waiting", "in_flight", "jobs_completed", "pid"]


@pytest.mark.parametrize(
    "value", [-1, math.nan, math.inf, True, "1", pytest.param(10**400, id="huge")]
)
@pytest.mark.parametrize("field", NUMBERS + INTEGERS)
def test_a_worker_refuses_by_name(field, value):
    with pytest.raises(ConfigError) as caught:
        worker(**{field: value})
    assert f"$.{field}" == caught.value.place


@pytest.mark.parametrize("field", [*INTEGERS, "slots"])
def test_what_is_counted_is_no_fraction(field):
    with pytest.raises(ConfigError, match=rf"\$\.{field}: {field} is 1.5 \(it must be an integer"):
        worker(**{field: 1.5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""), ("id", None), ("slots", 0), ("status", "idle"), ("status", "READY"),
        ("protocol", "grpc"), ("models", "m"), ("capabilities", "text-gen"), ("gpu_ids", "0"),
        ("models", [1]),
    ],
)  # fmt: skip
def test_a_worker_refuses_other_values_by_name(field, value):
    with pytest.raises(ConfigError) as caught:
        worker(**{field: value})
    assert caught.value.place.startswith(f"$.{field}")


@pytest.mark.parametrize(
    "url",
    [
        "", "10.0.0.7:8080", "ftp://h", "http://", "http://:80", "http://h:99999", "http://h:x",
        "http://[::1", "http://h/?a=1", "http://h/#a", " http://h", "http://h h", "http://h\n",
        None, 5, b"http://x", [],
    ],
)  # fmt: skip
def test_a_worker_refuses_what_is_no_base_url(url):
    with pytest.raises(ConfigError, match=r"^\$\.url: url is .*http://127\.0\.0\.1:8080"):
        worker(url=url)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://h", "h", 80),
        ("https://h", "h", 443),
        ("http://H:81/", "h", 81),
        ("http://[::1]:8080", "::1", 8080),
        ("http://user:secret@h:81/llama/", "h", 81),
    ],
)
def test_host_and_port_are_derived(url, host, port):
    made = worker(url=url)
    assert (host, port) == (made.host, made.port)
    assert url.rstrip("/") == made.url


def test_host_and_port_can_be_given():
    made = worker(host="inside", port=1)
    assert (made.host, made.port) == ("inside", 1)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h:81", "h:81"),
        ("http://h:81/", "h:81"),
        ("https://h/a/", "h/a"),
        ("http://user:secret@h:81", "h:81"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_an_id_is_made_of_the_url_without_its_password(url, name):
    assert name == id_of(url)


def test_free_memory_is_derived_unless_given():
    assert worker(total_vram_mb=8.0, vram_mb=3.0).vram_free_mb == 5.0
    assert worker(total_vram_mb=3.0, vram_mb=8.0).vram_free_mb == 0.0
    assert worker(total_vram_mb=8.0, vram_mb=3.0, vram_free_mb=1.0).vram_free_mb == 1.0


def test_the_loaded_model_is_among_the_models():
    assert worker(model="a", models=["b"]).models == ("a", "b")
    assert worker(model="a", models=["b", "a"]).models == ("b", "a")
    assert worker(model="").models == ()
    assert worker(model="a").serves("a")
    assert not worker(model="a").serves("b")


def test_the_workers_other_names():
    made = worker(pool_id="p", capabilities=["embedding", "text-gen"])
    assert (made.hive_id, made.capability) == ("p", "embedding")
    assert worker(capabilities=[]).capability == ""


@pytest.mark.parametrize(
    ("fields", "available", "usable", "free"),
    [
        ({}, True, True, True),
        ({"online": False}, False, False, False),
        ({"status": "busy"}, False, True, False),
        ({"status": "starting"}, False, False, False),
        ({"status": "failed"}, False, False, False),
        ({"status": "stopped"}, False, False, False),
        ({"slots": 2, "running": 1}, True, True, True),
        ({"slots": 2, "running": 2}, True, True, False),
        ({"running": 1000}, True, True, True),
    ],
)
def test_when_a_worker_can_be_used(fields, available, usable, free):
    made = worker(**fields)
    assert (available, usable, free) == (made.available, made.usable, made.free)


def test_changed_copies_and_checks_nothing():
    made = worker(slots=2)
    changed = made.changed(running=1)
    assert (made.running, changed.running) == (0, 1)
    assert attrs.evolve(made, running=1) == changed


def test_a_worker_is_frozen_but_equal_workers_are_one_in_a_set():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        worker().running = 5
    assert len({worker(), worker(), worker().changed(running=1)}) == 2


def test_revised_derives_again_what_follows_from_the_changes():
    made = worker(total_vram_mb=8.0, vram_mb=3.0)
    assert made.revised(vram_mb=7.0).vram_free_mb == 1.0
    assert made.revised(vram_mb=7.0, vram_free_mb=0.5).vram_free_mb == 0.5
    moved = made.revised(url="https://other")
    assert (moved.host, moved.port) == ("other", 443)
    assert made.revised(model="n").models == ("n",)
    assert worker(models=["m", "x"]).revised(model="n").models == ("n", "m", "x")
    assert made == made.revised()


def test_revised_checks():
    with pytest.raises(ConfigError, match=r"^\$\.slots: slots is 0"):
        worker().revised(slots=0)
    with pytest.raises(ConfigError, match=r"^\$\.sluts: a worker has no field 'sluts'"):
        worker().revised(sluts=1)


# ---- pools, heartbeats, the catalog --------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "fields", "place"),
    [
        (Gpu, {"id": ""}, "$.id"),
        (Gpu, {"id": "0", "vram_total_bytes": -1}, "$.vram_total_bytes"),
        (Gpu, {"id": "0", "vram_total_bytes": "8"}, "$.vram_total_bytes"),
        (Gpu, {"id": "0", "vram_allocated_bytes": 0.5}, "$.vram_allocated_bytes"),
        (Gpu, {"id": "0", "utilization_percent": -1}, "$.utilization_percent"),
        (Gpu, {"id": "0", "temperature_celsius": math.nan}, "$.temperature_celsius"),
        (Gpu, {"id": "0", "power_draw_watts": math.inf}, "$.power_draw_watts"),
        (Pool, {"id": " "}, "$.id"),
        (Pool, {"id": "p", "status": "fine"}, "$.status"),
        (Pool, {"id": "p", "gpus": [1]}, "$.gpus[0]"),
        (Pool, {"id": "p", "worker_ids": "w"}, "$.worker_ids"),
        (Pool, {"id": "p", "last_heartbeat_ms": -1}, "$.last_heartbeat_ms"),
        (HiveHeartbeat, {"hive_id": "", "timestamp": 1}, "$.hive_id"),
        (HiveHeartbeat, {"hive_id": "h", "timestamp": -1}, "$.timestamp"),
        (HiveHeartbeat, {"hive_id": "h", "timestamp": math.nan}, "$.timestamp"),
        (HiveHeartbeat, {"hive_id": "h", "timestamp": 1, "status": "ok"}, "$.status"),
        (HiveHeartbeat, {"hive_id": "h", "timestamp": 1, "workers": ["w"]}, "$.workers[0]"),
        (HiveHeartbeat, {"hive_id": "h", "timestamp": 1, "workers": [worker(), worker()]},
         "$.workers[1].id"),
        (WorkerHeartbeat, {"worker": worker(), "timestamp": None}, "$.timestamp"),
        (ModelInfo, {"model_ref": ""}, "$.model_ref"),
        (ModelInfo, {"model_ref": "m", "aliases": "n"}, "$.aliases"),
        (ModelInfo, {"model_ref": "m", "context_length": -1}, "$.context_length"),
        (LivenessConfig, {"missed": 0}, "$.missed"),
        (LivenessConfig, {"missed": 1.5}, "$.missed"),
        (LivenessConfig, {"max_skew": 0}, "$.max_skew"),
        (LivenessConfig, {"cooldown": math.nan}, "$.cooldown"),
    ],
)  # fmt: skip
def test_what_describes_a_deployment_is_refused_by_name(model, fields, place):
    with pytest.raises(ConfigError) as caught:
        model(**fields)
    assert place == caught.value.place


def test_a_gpus_free_memory_is_derived_unless_given():
    assert Gpu(id="0", vram_total_bytes=8, vram_allocated_bytes=3).vram_free_bytes == 5
    assert Gpu(id="0", vram_total_bytes=3, vram_allocated_bytes=8).vram_free_bytes == 0
    assert Gpu(id="0", vram_total_bytes=8, vram_free_bytes=1).vram_free_bytes == 1


def test_a_pools_heartbeat_has_an_age():
    pool = Pool(id="p", last_heartbeat_ms=1000.0)
    assert (pool.heartbeat_age_ms(1500.0), pool.heartbeat_age_ms(500.0)) == (500.0, 0.0)


def test_the_catalog_resolves_names():
    big = ModelInfo(model_ref="org/big", aliases=["big", "large"], vram_required_bytes=9)
    small = ModelInfo(model_ref="org/small")
    catalog = Catalog([big, small])
    assert (2, (big, small)) == (len(catalog), catalog.models())
    assert [catalog.resolve(name) for name in ("big", "org/big", "org/small", "new")] == [
        "org/big",
        "org/big",
        "org/small",
        "new",
    ]
    assert (big, big, None) == (catalog.get("large"), catalog.get("org/big"), catalog.get("new"))
    assert (len(Catalog()), Catalog().get("m")) == (0, None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ModelInfo(model_ref="a", aliases=["x"]), ModelInfo(model_ref="b", aliases=["x"])),
        (ModelInfo(model_ref="a"), ModelInfo(model_ref="b", aliases=["a"])),
        (ModelInfo(model_ref="a"), ModelInfo(model_ref="a", family="other")),
    ],
)
def test_a_name_that_stands_for_two_models_is_refused(first, second):
    with pytest.raises(ConfigError, match=r"names (both|two)"):
        Catalog([first, second])


# ---- events -------------------------------------------------------------------------------


def test_events_know_their_type():
    outcome = Outcome(job_id="j", kind="error")
    events = [
        Queued("j", 1), Started("j", "w"), Token("a"), Error(SchedulerError("no"), outcome)
    ]  # fmt: skip
    assert [event.type for event in events] == ["queued", "started", "token", "error"]


@pytest.mark.parametrize(
    "record",
    [
        RequestEvent(kind="queued", job_id="j", model="m", at=1.0),
        WorkerEvent(kind="came", worker_id="w", at=1.0),
        PoolCommand(kind="start_worker", pool_id="p"),
        Outcome(job_id="j", kind="success"),
    ],
)
def test_records_are_frozen_and_equal_by_value(record):
    assert attrs.evolve(record) == record
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.reason = "other"
