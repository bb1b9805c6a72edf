"""What a worker says about itself: health, models, metrics, slots, the worker object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from rbee_scheduler.testing._fake_worker._reply import body_reply


if TYPE_CHECKING:
    from collections.abc import Mapping

    from rbee_scheduler.testing._fake_worker._reply import Reply


@attrs.frozen(kw_only=True)
class Facts:
    """The worker at one moment.

    Attributes:
        host: Where it listens.
        port: The same.
        model: The loaded model.
        slots: How many requests it can work at once.
        running: Requests that have a slot now.
        waiting: Requests beyond the slots.
        served: Requests answered so far.
        info: Fields of the worker object that the test adds or replaces.
    """

    host: str
    port: int
    model: str
    slots: int
    running: int
    waiting: int
    served: int
    info: Mapping[str, Any]


def health_json(_: Facts) -> Reply:
    """Answer GET /health as llama.cpp."""
    return body_reply({"status": "ok"})


def health_empty(_: Facts) -> Reply:
    """Answer GET /health as vLLM."""
    return body_reply(b"", content_type="text/plain")


def health_ok(_: Facts) -> Reply:
    """Answer GET /health as a queen worker."""
    return body_reply("ok")


def models(facts: Facts) -> Reply:
    """Answer GET /v1/models."""
    model = {"id": facts.model, "object": "model", "created": 1_760_000_000, "owned_by": "fake"}
    return body_reply({"object": "list", "data": [model]})


def slots(facts: Facts) -> Reply:
    """Answer GET /slots."""
    return body_reply(
        [
            {"id": slot, "n_ctx": 2048, "is_processing": slot < facts.running, "id_task": -1}
            for slot in range(facts.slots)
        ]
    )


def props(facts: Facts) -> Reply:
    """Answer GET /props."""
    return body_reply(
        {
            "total_slots": facts.slots,
            "model_alias": facts.model,
            "default_generation_settings": {"n_ctx": 2048},
            "is_sleeping": False,
        }
    )


def info(facts: Facts) -> Reply:
    """Answer GET /info: the worker object of the queen protocol."""
    worker: dict[str, Any] = {
        "id": f"fake-{facts.port}",
        "url": f"http://{facts.host}:{facts.port}",
        "port": facts.port,
        "model": facts.model,
        "device": "cpu:0",
        "backend": "cpu",
        "status": "ready" if facts.running < facts.slots else "busy",
        "slots": facts.slots,
    }
    return body_reply(worker | dict(facts.info))


def metrics_llamacpp(facts: Facts) -> Reply:
    """Answer GET /metrics as llama.cpp started with ``--metrics``."""
    return _exposition(
        ("llamacpp:n_decode_total", "counter", facts.served),
        ("llamacpp:requests_processing", "gauge", facts.running),
        ("llamacpp:requests_deferred", "gauge", facts.waiting),
        ("llamacpp:n_busy_slots_per_decode", "gauge", min(facts.running, facts.slots)),
    )


def metrics_vllm(facts: Facts) -> Reply:
    """Answer GET /metrics as vLLM, which labels each series with engine and model."""
    labels = f'{{engine="0",model_name="{facts.model}"}}'
    return _exposition(
        ("vllm:num_requests_running", "gauge", facts.running),
        ("vllm:num_requests_waiting", "gauge", facts.waiting),
        ("vllm:kv_cache_usage_perc", "gauge", min(1.0, facts.running / facts.slots)),
        labels=labels,
    )


def _exposition(*series: tuple[str, str, float], labels: str = "") -> Reply:
    text = "".join(
        f"# HELP {name} Of the fake worker.\n# TYPE {name} {kind}\n{name}{labels} {value}\n"
        for name, kind, value in series
    )
    return body_reply(text, content_type="text/plain; version=0.0.4")
