"""A made-up fleet and made-up jobs, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from rbee_scheduler import (
    Catalog,
    Geo,
    InferenceRequest,
    ModelInfo,
    User,
    Worker,
    WorkerRegistry,
)
from rbee_scheduler_script._still_clock import StillClock


__all__ = ["job_seconds", "jobs", "synthetic_registry"]

GIBIBYTE: Final = 1024**3
SMALL: Final = "llama-3-8b"
LARGE: Final = "llama-3-70b"

_PLACES: Final = (
    Geo(latitude=48.86, longitude=2.35, region="eu-west"),
    Geo(latitude=52.52, longitude=13.41, region="eu-central"),
    Geo(latitude=39.96, longitude=-83.0, region="us-east"),
    Geo(latitude=1.35, longitude=103.82, region="ap-southeast"),
)
# Backend, GPUs, memory in MB, price of a million tokens, tokens/s, slots, models.
_KINDS: Final = (
    ("cuda", 1, 24_576, 0.4, 90.0, 4, (SMALL,)),
    ("cuda", 4, 196_608, 2.5, 60.0, 8, (SMALL, LARGE)),
    ("metal", 1, 65_536, 0.1, 30.0, 2, (SMALL,)),
    ("cpu", 0, 0, 0.05, 8.0, 1, (SMALL,)),
)
_CATALOG: Final = (
    ModelInfo(
        model_ref=SMALL, family="llama", size="8b", vram_required_bytes=6 * GIBIBYTE,
        context_length=8192, estimated_tokens_per_sec={"default": 40.0},
    ),
    ModelInfo(
        model_ref=LARGE, family="llama", size="70b", vram_required_bytes=40 * GIBIBYTE,
        context_length=8192, estimated_tokens_per_sec={"default": 10.0},
    ),
)  # fmt: skip

# What part of all slots the jobs would keep busy, were they spread evenly.
LOAD: Final = 0.7
TOKENS: Final = (16, 64, 256, 1024)


def synthetic_registry(count: int, seed: int, clock: StillClock) -> WorkerRegistry:
    """Return a fleet of ``count`` workers of four kinds in four places.

    The first four are one of each kind, so that the smallest fleets serve every model.
    """
    rng = Random(seed)
    registry = WorkerRegistry(clock=clock, catalog=Catalog(list(_CATALOG)))
    for number in range(count):
        order = (1, 0, 2, 3)
        at = order[number] if number < len(order) else rng.randrange(len(_KINDS))
        backend, gpus, memory, price, speed, slots, models = _KINDS[at]
        geo = rng.choice(_PLACES)
        registry.add(
            Worker(
                id=f"{backend}{gpus}-{number}",
                url=f"http://10.{number >> 16}.{number >> 8 & 255}.{number & 255}:8080",
                models=models,
                backend=backend,
                device=f"{backend}:0",
                gpus=gpus,
                slots=slots,
                cost_per_token=price * 1e-6 * rng.uniform(0.8, 1.2),
                geo=geo,
                pool_id=geo.region,
                total_vram_mb=float(memory),
                vram_mb=memory * rng.uniform(0.2, 0.7),
                avg_tokens_per_sec=speed * rng.uniform(0.8, 1.2),
                capabilities=("text-gen", "embedding") if gpus else ("text-gen",),
            )
        )
    return registry


def jobs(
    count: int, seed: int, registry: WorkerRegistry, clock: StillClock
) -> Iterator[tuple[float, InferenceRequest]]:
    """Yield ``(seconds, job)``: when each comes, and what it is."""
    rng = Random(seed + 1)
    workers = registry.snapshot().workers()
    models = sorted({model for worker in workers for model in worker.models})
    served = {m: sum(m in worker.models for worker in workers) for m in models}
    speed = sum((w.avg_tokens_per_sec or 20.0) * (w.slots or 1) for w in workers)
    rate = LOAD * speed / (sum(TOKENS) / len(TOKENS))
    moment = 0.0
    for number in range(count):
        moment += rng.expovariate(max(rate, 1e-6))
        created = clock.now() + moment * 1000.0
        interactive = rng.random() < 0.7  # noqa: PLR2004 - most jobs have somebody waiting
        (model,) = rng.choices(models, weights=[served[m] for m in models])
        yield (
            moment,
            InferenceRequest(
                job_id=f"job-{number}",
                model=model,
                prompt="made up",
                max_tokens=rng.choice(TOKENS),
                priority="interactive" if interactive else "batch",
                tenant_id=f"tenant-{rng.randrange(4)}",
                session_id=f"session-{rng.randrange(max(1, count // 8))}",
                user=User(geo=rng.choice(_PLACES)),
                deadline=created + 30_000.0 if interactive else None,
                created_at=created,
            ),
        )


def job_seconds(job: InferenceRequest, worker: Worker) -> float:
    """Return how long a job keeps a slot of a worker busy."""
    return job.max_tokens / (worker.avg_tokens_per_sec or 20.0)
