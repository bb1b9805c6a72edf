"""Samples for the contract: requests and fleets of all kinds, the same ones each time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from rbee_scheduler._plugins import Chain, Plugins
from rbee_scheduler._request import PRIORITIES, Geo, InferenceRequest, User
from rbee_scheduler._worker import Worker


__all__ = ["sample_request", "samples"]

MODEL = "m"
SAMPLES = 40


def samples(plugins: Plugins) -> Iterator[tuple[Chain, InferenceRequest, list[Worker]]]:
    """Yield each strategy with requests and fleets of all kinds; the same ones each time."""
    for strategy in plugins.strategies:
        rng = Random(11)
        for _ in range(SAMPLES):
            yield plugins.chain(strategy), sample_request(rng), _workers(rng)


def sample_request(rng: Random) -> InferenceRequest:
    return InferenceRequest(
        job_id=f"job-{rng.randrange(1000)}",
        model=MODEL,
        prompt="Hello!",
        max_tokens=rng.choice([1, 20, 4096]),
        priority=rng.choice(PRIORITIES),
        tenant_id=rng.choice([None, "t-1", "t-2"]),
        session_id=rng.choice([None, "s-1"]),
        seed=rng.choice([None, 7]),
        user=rng.choice([None, User(geo=_geo(rng))]),
    )


def _workers(rng: Random) -> list[Worker]:
    return [
        Worker(
            id=f"w{n}",
            url=f"http://127.0.0.1:{10_000 + n}",
            model=rng.choice([MODEL, MODEL, "other"]),
            status=rng.choice(["ready", "ready", "ready", "busy", "failed"]),
            online=rng.random() < 0.9,  # noqa: PLR2004 - most are
            gpus=rng.randrange(5),
            cost_per_token=rng.random(),
            running=rng.randrange(3),
            slots=rng.choice([None, 2, 4]),
            total_vram_mb=24_576.0,
            vram_mb=rng.random() * 24_576.0,
            gpu_util_pct=rng.choice([0.0, 50.0]),
            geo=rng.choice([None, _geo(rng)]),
        )
        for n in range(rng.randrange(9))
    ]


def _geo(rng: Random) -> Geo:
    return Geo(
        latitude=rng.uniform(-90, 90),
        longitude=rng.uniform(-180, 180),
        region=rng.choice(["eu-west", "us-east"]),
    )
