"""Fleets and schedulers for the benchmarks; each is made once."""

from __future__ import annotations

from functools import cache

import pytest

from rbee_scheduler import InferenceRequest, Scheduler, Scores, WorkerRegistry, hookimpl
from rbee_scheduler.testing import free_workers


class FilterScoresSelect:
    """What a deployment with rules of its own asks: one filter, two scores, one selector."""

    __name__ = "bench"

    @hookimpl
    def rbee_filter_workers(self, candidates):
        return {w.id: "too little memory" for w in candidates if w.vram_free_mb < 4_000}

    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)

    @hookimpl
    def rbee_select_worker(self, candidates, scores):
        best = max(scores, key=scores.__getitem__)
        return [best]


class CostScore:
    """The second score."""

    __name__ = "cost"

    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.cost_per_token for w in candidates}, better="lower")


class LoadScore:
    """A score with a declared range."""

    __name__ = "load"

    @hookimpl
    def rbee_score_workers(self, candidates):
        return Scores({w.id: w.load for w in candidates}, better="lower", lowest=0, highest=1)


@cache
def registry(size: int) -> WorkerRegistry:
    made = WorkerRegistry()
    for n, worker in enumerate(free_workers(size, slots=8, total_vram_mb=24_000.0)):
        varied = {"cost_per_token": n % 7 / 1e6, "vram_mb": n % 11 * 2_000.0, "running": n % 8}
        made.add(worker.changed(**varied, vram_free_mb=24_000.0 - varied["vram_mb"]))
    return made


@pytest.fixture
def rules():
    """One filter, two scores, one selector."""
    return [FilterScoresSelect(), CostScore()]


@pytest.fixture
def two_scores():
    """Two scores and no selector: core orders the candidates itself."""
    return [CostScore(), LoadScore()]


@pytest.fixture
def request_():
    return InferenceRequest(job_id="job", model="m", prompt="Hello!", created_at=1.0)


@pytest.fixture
def scheduler_for():
    def make(size: int, plugins) -> Scheduler:
        return Scheduler(registry(size), plugins)

    return make
