"""Hypothesis strategies for requests, workers and fleets."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rbee_scheduler._request import PRIORITIES, Geo, InferenceRequest, User
from rbee_scheduler._snapshot import Snapshot
from rbee_scheduler._worker import STATUSES, Worker
from rbee_scheduler.testing._fleet import fleet


__all__ = ["geos", "models", "requests", "snapshots", "workers"]

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)


def models() -> st.SearchStrategy[str]:
    """Return model names; few, so that requests and workers meet."""
    return st.sampled_from(["llama-3-8b", "llama-3-70b", "qwen-3-32b", "tiny-bee"])


def geos() -> st.SearchStrategy[Geo]:
    """Return places."""
    return st.builds(
        Geo,
        latitude=st.floats(-90, 90),
        longitude=st.floats(-180, 180),
        region=st.sampled_from(["", "eu-west", "eu-north", "us-east"]),
    )


def requests(**fixed: Any) -> st.SearchStrategy[InferenceRequest]:
    """Return requests; pass strategies for the fields that matter."""
    fields: dict[str, Any] = {
        "job_id": _NAMES,
        "model": models(),
        "prompt": st.text(min_size=1, max_size=40),
        "max_tokens": st.integers(1, 4096),
        "temperature": st.floats(0, 2),
        "priority": st.sampled_from(PRIORITIES),
        "tenant_id": st.none() | _NAMES,
        "session_id": st.none() | _NAMES,
        "user": st.none() | st.builds(User, geo=geos()),
    }
    return st.builds(InferenceRequest, **{**fields, **fixed})


@st.composite
def workers(draw: st.DrawFn, /, **fixed: Any) -> Worker:
    """Return a worker in any state; pass strategies for the fields that matter."""
    slots = draw(st.none() | st.integers(1, 8))
    total = draw(st.sampled_from([0.0, 24_576.0, 81_920.0]))
    fields: dict[str, Any] = {
        "id": _NAMES,
        "url": st.just("http://127.0.0.1:8080"),
        "model": models(),
        "status": st.sampled_from(STATUSES),
        "online": st.booleans(),
        "gpus": st.integers(0, 8),
        "cost_per_token": st.floats(0, 1),
        "geo": st.none() | geos(),
        "running": st.integers(0, slots or 16),
        "slots": st.just(slots),
        "gpu_util_pct": st.floats(0, 100),
        "total_vram_mb": st.just(total),
        "vram_mb": st.floats(0, total),
        "backend": st.sampled_from(["cuda", "metal", "cpu"]),
    }
    chosen = {name: draw(strategy) for name, strategy in {**fields, **fixed}.items()}
    return Worker(**chosen)


def snapshots(max_size: int = 12, **fixed: Any) -> st.SearchStrategy[Snapshot]:
    """Return snapshots of fleets of up to ``max_size`` workers with distinct ids."""
    return st.lists(workers(**fixed), max_size=max_size, unique_by=lambda w: w.id).map(fleet)
