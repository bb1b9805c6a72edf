"""Laws of the wire: what goes out comes in again, and nothing raises what it should not."""

import json

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rbee_scheduler import (
    ConfigError,
    Gpu,
    HeartbeatRefused,
    HiveHeartbeat,
    InferenceRequest,
    InvalidRequest,
    LimitsConfig,
    LivenessConfig,
    ModelInfo,
    Pool,
    QueueConfig,
    RetryConfig,
    SchedulerConfig,
    TimeoutConfig,
    Worker,
    WorkerHeartbeat,
    loads,
    structure,
    unstructure,
)
from rbee_scheduler.testing import strategies


names = st.text(min_size=1, max_size=8).filter(str.strip)
positive = st.floats(0.001, 1e6)
sizes = st.integers(0, 2**50)
ms = st.floats(0, 4e12)
models = (
    InferenceRequest,
    Worker,
    Pool,
    HiveHeartbeat,
    WorkerHeartbeat,
    ModelInfo,
    SchedulerConfig,
)


def some(element):
    return st.lists(element, max_size=3)


requests = strategies.requests(
    messages=some(st.dictionaries(names, st.text(max_size=5) | st.integers() | st.none())),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 99),
    seed=st.none() | st.integers(-5, 2**40),
    stop=some(st.text(max_size=5)),
    deadline=st.none() | ms,
    deadline_ms=st.none() | st.floats(-10, 1e6),
    created_at=ms,
    retry_count=st.integers(0, 9),
    estimated_vram_bytes=st.none() | sizes,
    resume=st.booleans(),
    strategy=st.none() | names,
)
workers = strategies.workers(
    models=some(names),
    capabilities=some(names),
    pool_id=st.text(max_size=5),
    labels=st.dictionaries(names, st.text(max_size=5), max_size=3),
    estimated_time=st.none() | positive,
    pid=st.none() | st.integers(0, 2**22),
    last_used_at=ms,
    current_job_id=st.none() | names,
)
gpus = st.builds(
    Gpu,
    id=names,
    vram_total_bytes=sizes,
    vram_allocated_bytes=sizes,
    temperature_celsius=st.floats(-40, 120),
    supports_fp16=st.booleans(),
)
hives = st.builds(
    HiveHeartbeat,
    hive_id=names,
    timestamp=ms,
    workers=st.lists(workers, max_size=3, unique_by=lambda worker: worker.id),
    gpus=some(gpus),
    cached_models=some(names),
)
configs = st.builds(
    SchedulerConfig,
    strategy=st.text(max_size=5),
    seed=st.integers(0, 2**32),
    queue=st.builds(QueueConfig, capacity=st.integers(-1, 99), timeout=positive),
    retry=st.builds(RetryConfig, max_attempts=st.integers(1, 9), jitter=st.floats(0, 1)),
    timeout=st.builds(TimeoutConfig, connect=positive, idle=positive),
    limits=st.builds(LimitsConfig, max_prompt_bytes=st.integers(1, 2**30)),
    liveness=st.builds(LivenessConfig, missed=st.integers(1, 9), max_skew=positive),
)
instances = st.one_of(
    requests,
    workers,
    hives,
    configs,
    st.builds(WorkerHeartbeat, worker=workers, timestamp=ms),
    st.builds(Pool, id=names, gpus=some(gpus), worker_ids=some(names), last_heartbeat_ms=ms),
    st.builds(
        ModelInfo,
        model_ref=names,
        aliases=some(names),
        vram_required_bytes=sizes,
        estimated_tokens_per_sec=st.dictionaries(names, positive, max_size=3),
    ),
)


@given(instances)
def test_what_goes_out_comes_in_again(instance):
    data = unstructure(instance)
    assert instance == structure(data, type(instance))
    assert instance == loads(json.dumps(data), type(instance))
    assert json.dumps(data) == json.dumps(unstructure(structure(data, type(instance))))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@st.composite
def almost_right(draw):
    """A model, and data that fits it but for what was put into its keys, at any depth."""
    instance = draw(instances)
    data = unstructure(instance)
    here = data
    for _ in range(draw(st.integers(0, 3))):
        inner = [v for v in (here.values() if isinstance(here, dict) else here) if v]
        inner = [v for v in inner if isinstance(v, (dict, list, tuple))]
        if not inner:
            break
        here = draw(st.sampled_from(inner))
    if isinstance(here, dict):
        known = st.sampled_from([*here, "id", "type", "hive_id", "timestamp", "capability"])
        here.update(draw(st.dictionaries(known | st.text(max_size=8), plain, max_size=3)))
    elif isinstance(here, list):
        here.append(draw(plain))
    return type(instance), data


def acceptable(data, model, error):
    try:
        return structure(data, model, error=error)
    except error as problem:
        refused = problem
    assert refused.place.startswith("$")
    assert refused.message
    return None


@given(almost_right(), st.sampled_from([InvalidRequest, ConfigError, HeartbeatRefused]))
def test_almost_right_data_is_taken_or_refused_with_the_declared_error(case, error):
    model, data = case
    made = acceptable(data, model, error)
    if made is not None:
        assert acceptable(unstructure(made), model, error) is not None


@given(plain, st.sampled_from(models), st.sampled_from([InvalidRequest, ConfigError]))
def test_any_data_is_taken_or_refused_with_the_declared_error(data, model, error):
    acceptable(data, model, error)


@given(st.binary(max_size=40) | plain.map(lambda data: json.dumps(data).encode()))
@example(b"[" * 5000)
@example(b'{"a":' * 5000)
@example(b"9" * 5000)
@example(b"\xff\xfe{")
def test_any_bytes_are_taken_or_refused_with_the_declared_error(text):
    with pytest.raises(InvalidRequest):
        loads(text, InferenceRequest)


@given(requests, st.data())
def test_a_misspelt_key_is_recognised(request_, data):
    """One letter left out of a long key: the hint names the right one."""
    fields = [a.name for a in attrs.fields(InferenceRequest) if len(a.name) > 5]
    right = data.draw(st.sampled_from(fields))
    cut = data.draw(st.integers(1, len(right) - 1))
    sent = unstructure(request_)
    wrong = right[:cut] + right[cut + 1 :]
    if wrong in sent:
        return
    sent[wrong] = sent.pop(right)
    with pytest.raises(InvalidRequest) as caught:
        structure(sent, InferenceRequest)
    assert f"$.{wrong}: unknown key (did you mean '{right}'?)" == str(caught.value)
