"""What holds for every policy, request and fleet: the same answer twice, candidates only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbee_scheduler import PluginError
from rbee_scheduler._pipeline import decide
from rbee_scheduler._plugins import Plugins
from rbee_scheduler.testing import strategies as some
from rbee_scheduler_script import Policy, SelectPolicy, as_plugin


FOLDER = Path(__file__).parents[2] / "examples" / "policies"
EXAMPLES = sorted(FOLDER.glob("*.rhai"))

# Answers of all kinds, good and bad.
ANSWERS = [
    "workers[0]", "workers.last()", "workers.random()", "workers.round_robin()", "()", "[]",
    "workers", "workers.map(|w| w.id)", "get_all_workers().last()", "find_ready_worker(job.model)",
    "job", "job.model", "1", "true", "#{}", "#{action: `wait`}", "#{action: `fly`}", "reject(`no`)",
    "workers.group_by(`backend`)", "pools", "pools.first()", "throw 1", "|x| x", "workers[99]",
    "#{action: `dispatch`, worker_id: `gone`}", "#{id: `gone`}", "workers.min_by(|w| w.nothing)",
    "workers.sort_by_key(|w| w.load)", "find_worker_to_evict_lru()", "[[], []]", "'c'", "1..2",
]  # fmt: skip


def decided(chain, request, snapshot):
    failures = []
    return decide(request, snapshot, chain, on_failure=failures.append), failures


def check(chain, request, snapshot):
    first, failures = decided(chain, request, snapshot)
    again, _ = decided(chain, request, snapshot)
    assert first == again
    free = {worker.id for worker in snapshot.free(request.model, request.task_type)}
    named = [first.worker.id, *first.fallbacks] if first.worker else []
    assert free.issuperset(named)
    assert all(isinstance(failure, PluginError) for failure in failures)
    return first, failures


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path):
    chain = Plugins([SelectPolicy(Policy.from_file(path, max_failures=0))]).chain("script")

    @settings(max_examples=20)
    @given(request=some.requests(), snapshot=some.snapshots())
    def prove(request, snapshot):
        _, failures = check(chain, request, snapshot)
        assert not failures

    prove()


def test_any_answer():
    chains = [
        Plugins(
            [SelectPolicy(Policy(f"fn schedule_job(job, pools, workers) {{ {answer} }}",
                                 max_failures=0))]
        ).chain("script")
        for answer in ANSWERS
    ]  # fmt: skip

    @given(chain=st.sampled_from(chains), request=some.requests(), snapshot=some.snapshots())
    def prove(chain, request, snapshot):
        first, failures = check(chain, request, snapshot)
        # A wrong answer never stands in the way: somebody free gets the job.
        if failures and snapshot.free(request.model):
            assert first.worker is not None

    prove()


def test_filters_and_scores_agree_with_python():
    filters = Plugins(
        [as_plugin(Policy("fn filter(job, worker) { worker.gpus > 1 && worker.load <= 0.5 }"))]
    ).chain("best-score")
    scores = Plugins(
        [as_plugin(Policy("fn score(job, worker) { worker.vram_free_mb - worker.load }"))]
    ).chain("best-score")

    @settings(max_examples=40)
    @given(request=some.requests(), snapshot=some.snapshots())
    def prove(request, snapshot):
        candidates = snapshot.free(request.model)
        kept = [w.id for w in candidates if w.gpus > 1 and w.load <= 0.5]
        decision, _ = check(filters, request, snapshot)
        assert (decision.worker.id if decision.worker else None) == (kept[0] if kept else None)
        best = max(candidates, key=lambda w: w.vram_free_mb - w.load, default=None)
        decision, _ = check(scores, request, snapshot)
        assert (decision.worker.id if decision.worker else None) == (best.id if best else None)

    prove()
